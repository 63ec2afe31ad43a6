// One answer of the scripted engine as a state machine without I/O: it is told the time, appends
// the bytes that are due and says when it wants to be asked again. One owner, one thread.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "tools/fakes/engine/dialect.h"
#include "tools/fakes/engine/request.h"
#include "tools/fakes/engine/script.h"
#include "tools/fakes/engine/text.h"

namespace trib::fake {

struct Plan {
  Call call;
  Script script;
  Dialect dialect = Dialect::generic;
  bool flat_errors = false;
  bool close = false;      // the peer asked for a close after the answer
  bool continues = false;  // the dialect continues call.continued
  std::int64_t context = 4096;
  std::string id;
  std::int64_t created_s = 0;
};

enum class Then : std::uint8_t {
  wait,   // ask again at `due_us` (never, if -1: only the peer ends it)
  keep,   // the answer is over, the connection stays
  close,  // FIN once the bytes are out
  reset,  // RST once the bytes are out
};
struct Step {
  Then then = Then::wait;
  std::int64_t due_us = -1;
};

class Reply {
 public:
  Reply(Plan plan, std::int64_t now_us);
  // Appends at most about `room` bytes; what is due beyond that comes with the next call.
  Step step(std::int64_t now_us, std::size_t room, std::string& out);

  const Plan& plan() const { return plan_; }
  int status() const { return status_; }              // 0: no head was sent
  std::int64_t tokens_sent() const { return sent_; }  // in this answer
  std::int64_t tokens_due() const { return limit_; }  // what a whole answer would hold
  std::int64_t prefix_pieces() const { return prefix_.pieces; }
  bool prefix_foreign() const { return prefix_.foreign; }
  // The whole answer went out as the script of a sound engine has it.
  bool complete() const { return complete_; }

 private:
  enum class At : std::uint8_t { head, tokens, held, tail, forever, over };
  Step head(std::string& out);
  Step tokens(std::int64_t now_us, std::size_t room, std::string& out);
  Step fault(std::int64_t now_us, std::string& out);
  Step hold(std::int64_t now_us, std::string& out);
  Step tail(std::string& out);
  Step forever(std::int64_t now_us, std::size_t room, std::string& out);
  Step whole(std::string& out);
  Step spoilt_whole(std::string body, std::string& out);
  Step odd_whole(std::string_view body, std::string& out);
  Step refuse(const Refusal& refusal, std::int64_t retry_after_s, std::string& out);
  bool refusal_of_script(Step& step, std::string& out);
  void plain(int status, std::string_view type, std::string_view body, std::string& out);
  void plain_head(int status, std::string_view type, std::int64_t length, std::string& out);
  void stream_head(std::string& out);
  void token_event(std::int64_t count, std::string& out);
  void event(std::string_view data, std::string& out);
  void chunk(std::string_view bytes, std::string& out);
  void next_text(std::string& out);
  Step end() const { return {plan_.close || plan_.script.close ? Then::close : Then::keep, -1}; }
  std::int64_t due(std::int64_t token) const;

  Plan plan_;
  Shape shape_;
  Prefix prefix_;
  At at_ = At::head;
  int status_ = 0;
  std::int64_t start_us_;
  std::int64_t shift_us_ = 0;  // added by a stall
  std::int64_t sent_ = 0;
  std::int64_t limit_ = 0;
  std::int64_t fault_at_ = -1;  // tokens sent before the fault; -1: none, or it is over
  std::int64_t held_until_us_ = 0;
  std::int64_t endless_ = 0;  // bytes of an endless event or body so far
  bool by_length_ = false;    // the token limit ends the answer
  bool complete_ = false;
  std::string text_;   // scratch
  std::string event_;  // scratch
};

}  // namespace trib::fake

// One customer: asks, reads as fast as it likes, leaves when it likes, asks again. What it receives it
// compares byte for byte with what it must be, and tells the oracle.
#pragma once
#include <deque>
#include <memory>
#include <string>

#include "tests/sim/answer_reader.h"
#include "tests/sim/net.h"
#include "tests/sim/oracle.h"

namespace trib::sim {

struct CustomerTerms {
  std::size_t number = 0;
  std::string tenant, key;
  std::string door;
  unsigned requests = 3;
  std::int64_t start_ns = 0;
  std::int64_t patience_ns = 40 * second;
  std::uint64_t tokens_max = 30;
};

struct CustomerFigures {
  std::uint64_t sent = 0, left = 0, slow = 0, pipelined = 0, again = 0, malformed = 0, given_up = 0;
};

class Customer final : private StreamHandler {
 public:
  Customer(Timeline& timeline, Net& net, Rng& rng, Oracle& oracle, CustomerTerms terms, CustomerFigures& figures,
           std::function<void(const std::string& rule, const std::string& what)> violated);
  ~Customer();
  void start();
  bool done() const { return done_; }

 private:
  struct Sent {
    std::shared_ptr<Asked> asked;
    std::string bytes;
    bool malformed = false;  // must be refused and the connection closed
    int expected = 0;        // else: this status and no other; 0: any that fits
    unsigned tries = 0;
  };
  void on_open() override;
  void on_bytes(std::string_view bytes) override;
  void on_end() override;
  void on_error(const Fault& fault) override;

  void next();
  Sent make();
  void send_waiting();
  bool take_head();
  bool take_body();
  bool take_event(std::string_view event);
  bool take_text(std::string_view text);
  void finish(bool whole);
  void drop(bool excused);
  void leave();
  void after(std::int64_t ns, void (Customer::*what)());
  void go_on();
  void lose_patience();
  bool excused() const;
  Timeline& timeline() { return life_->timeline(); }
  void bad(const std::string& rule, const std::string& what) { violated_(rule, what); }

  Net& net_;
  Rng& rng_;
  Oracle& oracle_;
  const CustomerTerms terms_;
  CustomerFigures& figures_;
  std::function<void(const std::string&, const std::string&)> violated_;
  std::shared_ptr<Life> life_;

  unsigned made_ = 0;
  bool done_ = false;
  std::deque<Sent> again_;    // to be sent a second time
  std::deque<Sent> waiting_;  // answers that are due, in order
  std::unique_ptr<PipeEnd> stream_;
  bool open_ = false, reused_ = false, answered_ = false;
  bool stalls_ = false;  // on this connection it has taken nothing for long
  std::int64_t pause_ns_max_ = 0;
  std::uint64_t leave_after_ = UINT64_MAX;  // bytes of the present answer
  std::uint64_t taken_ = 0, paused_at_ = 0, patience_taken_ = 0;
  std::uint64_t connection_ = 0;  // how many it has opened
  std::uint64_t turn_ = 0;  // what was planned for an earlier turn is void

  AnswerReader reader_;
  Answer answer_;
  bool head_told_ = false;
  std::string text_;
};

}  // namespace trib::sim

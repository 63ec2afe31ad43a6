// A customer's own reading of HTTP/1.1 answers and of the events in them: plain, whole, and sharing no
// code with the gateway, so that it does not repeat the gateway's mistakes.
#pragma once
#include <map>
#include <string>
#include <string_view>

namespace trib::sim {

class AnswerReader {
 public:
  // Takes what it needs of `bytes`; the rest belongs to the next answer. False: not an answer.
  bool feed(std::string_view& bytes);
  bool head_done() const { return state_ != State::head; }
  bool done() const { return state_ == State::done; }
  int status() const { return status_; }
  std::string field(const std::string& lower_name) const;
  std::string& body() { return body_; }  // so far; the caller may take from its front
  bool closes() const { return field("connection") == "close"; }
  bool started() const { return started_; }
  const std::string& why() const { return why_; }
  void reset() { *this = AnswerReader(); }

 private:
  enum class State { head, length, size, chunk, chunk_end, trailer, done };
  bool take_head();
  bool take_line(std::string_view& bytes, std::string& line);
  bool fail(const char* why) {
    why_ = why;
    return false;
  }
  State state_ = State::head;
  std::string head_, line_, body_, why_;
  std::map<std::string, std::string> fields_;
  int status_ = 0;
  std::size_t left_ = 0;
  bool started_ = false;
};

// The text of the first `"key":"…"` in flat JSON without escapes, and whether it is there.
bool text_of(std::string_view json, std::string_view key, std::string& out);
// The number of the first `"key":N`; false when it is not there.
bool number_of(std::string_view json, std::string_view key, std::uint64_t& out);

}  // namespace trib::sim

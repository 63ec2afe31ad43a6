// Reads HTTP/1.1 answers as they arrive and counts the events of a stream. It keeps no body, only
// the event it is inside of. Pure; one owner, one thread.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace trib::bench {

class Response {
 public:
  void reset();
  // Takes bytes; returns how many belong to this answer. After done() or broken() it takes none.
  std::size_t feed(std::string_view bytes);
  // The connection ended: true when the answer is over by that (no framing said where it ends).
  bool end();

  bool started() const { return status_ != 0; }
  bool done() const { return at_ == At::done; }
  bool broken() const { return at_ == At::broken; }
  int status() const { return status_; }
  bool keeps_alive() const { return !close_; }
  std::int64_t body_bytes() const { return body_bytes_; }
  // Of a stream:
  std::int64_t events() const { return events_; }
  std::int64_t tokens() const { return tokens_; }      // events with text
  std::int64_t in_order() const { return in_order_; }  // t1, t2, ... without a gap or a repeat
  bool saw_done() const { return saw_done_; }

 private:
  enum class At : std::uint8_t {
    head,
    length,
    chunk_size,
    chunk,
    chunk_end,
    trailer,
    until_close,
    done,
    broken
  };
  std::size_t head(std::string_view bytes);
  void read_head();
  void body(std::string_view bytes);
  void event(std::string_view text);

  At at_ = At::head;
  int status_ = 0;
  bool close_ = false;
  bool saw_done_ = false;
  std::string line_;   // head, or a line of the chunk framing
  std::string event_;  // begun, not ended
  std::uint64_t left_ = 0;
  std::int64_t body_bytes_ = 0;
  std::int64_t events_ = 0;
  std::int64_t tokens_ = 0;
  std::int64_t in_order_ = 0;
};

}  // namespace trib::bench

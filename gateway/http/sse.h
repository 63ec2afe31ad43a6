// Server-sent events (WHATWG HTML, section 9.2.6), found in place in the receive buffer. A byte order
// mark is not accepted; lines end in LF, CRLF or CR.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace trib::http {

struct SseEvent {
  std::string_view raw;   // the event's bytes with the blank line that ends it
  std::string_view data;  // the data field; several are joined with LF
  std::string_view type;  // the event field, or empty
};

// Splits a byte stream into whole events. Holds only an incomplete event, at most `bytes_max` of it.
class SseScanner {
 public:
  explicit SseScanner(std::size_t bytes_max = 1u << 20) : bytes_max_(bytes_max) {}
  enum class Status : std::uint8_t { need_more, event, comment, too_large };
  // Takes from the front of `in`. `event`: out is valid until the next call. `comment`: a block of
  // comment lines only was skipped. `need_more`: all of `in` was taken, the rest is held.
  Status next(std::string_view& in, SseEvent& out);
  std::size_t held_bytes() const { return held_.size(); }  // > 0 at the end of a stream: a torn event
  void reset();

 private:
  bool parse(std::string_view block, SseEvent& out);
  std::size_t find_end(std::string_view text);
  std::size_t bytes_max_;
  std::size_t scanned_ = 0;
  std::string held_;
  bool emitted_ = false;  // held_ was given out; drop it at the next call
  std::string joined_;
};

}  // namespace trib::http

// Server-sent events (WHATWG HTML, section 9.2.6), found in place in the receive buffer. Lines end
// in LF, CRLF or CR. A byte order mark is not accepted: the event it stands before is given out
// with the whole block as its data, which no JSON reader takes. Comments and unknown fields stay in
// `raw`.
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

// Splits a byte stream into whole events. Holds only an incomplete event, at most `bytes_max` of
// it.
class SseScanner {
 public:
  explicit SseScanner(std::size_t bytes_max = 1u << 20) : bytes_max_(bytes_max) {}
  enum class Status : std::uint8_t { need_more, event, comment, too_large };
  // Takes from the front of `in`. `event`: out is valid until the next call. `comment`: a block
  // that dispatches nothing was skipped: comment lines, or fields without data. `need_more`: all of
  // `in` was taken, the rest is held. `too_large` is final until reset(). Events do not depend on
  // how the stream was cut; blank lines between them are skipped.
  Status next(std::string_view& in, SseEvent& out);
  // Of an incomplete event; > 0 at the end of a stream means that it was torn.
  std::size_t held_bytes() const { return emitted_ ? 0 : held_.size(); }
  void reset();

 private:
  bool parse(std::string_view block, SseEvent& out);
  std::size_t find_end(std::string_view text);
  Status refuse_size();

  std::size_t bytes_max_;
  std::size_t line_ = 0;     // start of the first line in the block whose end was not found yet
  std::size_t scanned_ = 0;  // bytes looked at for it
  std::string held_;
  bool emitted_ = false;  // held_ was given out; drop it at the next call
  bool too_large_ = false;
  std::string joined_;
};

}  // namespace trib::http

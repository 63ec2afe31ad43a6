#include "gateway/http/sse.h"

#include <algorithm>
#include <cstring>

namespace trib::http {
namespace {

constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";

// Offset of the first CR or LF at or after `from`, or the text's size; eight bytes at a time.
std::size_t line_end(std::string_view text, std::size_t from) {
  constexpr std::uint64_t ones = 0x0101010101010101u;
  constexpr std::uint64_t highs = 0x8080808080808080u;
  const char* const p = text.data();
  std::size_t i = from;
  while (text.size() - i >= 8) {
    std::uint64_t word;
    std::memcpy(&word, p + i, 8);
    const std::uint64_t lf = word ^ ones * '\n';
    const std::uint64_t cr = word ^ ones * '\r';
    if (((((lf - ones) & ~lf) | ((cr - ones) & ~cr)) & highs) != 0) break;
    i += 8;
  }
  while (i < text.size() && p[i] != '\n' && p[i] != '\r') ++i;
  return i;
}

std::size_t after_line_end(std::string_view text, std::size_t end) {
  return text.substr(end, 2) == "\r\n" ? end + 2 : end + 1;
}

// The value of field `name` if that is what the line is: after the colon and one blank.
bool field_value(std::string_view line, std::string_view name, std::string_view& value) {
  if (!line.starts_with(name)) return false;
  line.remove_prefix(name.size());
  if (!line.empty() && line.front() != ':') return false;
  if (!line.empty()) line.remove_prefix(1);
  if (!line.empty() && line.front() == ' ') line.remove_prefix(1);
  value = line;
  return true;
}

}  // namespace

void SseScanner::reset() {
  held_.clear();
  line_ = scanned_ = 0;
  emitted_ = too_large_ = false;
}

SseScanner::Status SseScanner::refuse_size() {
  reset();
  too_large_ = true;
  return Status::too_large;
}

SseScanner::Status SseScanner::next(std::string_view& in, SseEvent& out) {
  if (too_large_) return Status::too_large;
  if (emitted_) reset();
  std::string_view block;
  if (held_.empty()) {
    in.remove_prefix(std::min(in.find_first_not_of("\r\n"), in.size()));
    const std::size_t end = find_end(in);
    if (end == in.npos) {
      if (in.size() > bytes_max_) return refuse_size();
      held_.assign(in);
      in = {};
      return Status::need_more;
    }
    block = in.substr(0, end);
    in.remove_prefix(end);
    line_ = scanned_ = 0;
  } else {
    // The block's beginning is held: join what came, then give back what is behind its end.
    const std::size_t before = held_.size();
    held_.append(in);
    const std::size_t end = find_end(held_);
    if (end == in.npos) {
      if (held_.size() > bytes_max_) return refuse_size();
      in = {};
      return Status::need_more;
    }
    in.remove_prefix(end - before);
    held_.resize(end);
    emitted_ = true;
    block = held_;
  }
  if (block.size() > bytes_max_) return refuse_size();
  return parse(block, out) ? Status::event : Status::comment;
}

// The size of the block up to and with its blank line, or npos. `text` begins with a line that is
// not blank. A CR at the very end may be half a CRLF: it ends a line before it in any case, but as
// a blank line it is taken at once only where the line before ended in CR alone too. So a CRLF
// stream is never cut between CR and LF, and a CR stream never waits for a byte that may not come.
std::size_t SseScanner::find_end(std::string_view text) {
  for (;;) {
    const std::size_t end = line_end(text, scanned_);
    scanned_ = end;
    if (end == text.size()) return text.npos;
    const bool blank = end == line_ && line_ > 0;
    const bool cr = text[end] == '\r';
    if (blank) {
      const bool cr_before = text[line_ - 1] == '\r';
      if (!cr || cr_before) return end + 1;
      if (end + 1 == text.size()) return text.npos;
      return after_line_end(text, end);
    }
    if (cr && end + 1 == text.size()) return text.npos;
    line_ = scanned_ = after_line_end(text, end);
  }
}

// True if the block dispatches an event.
bool SseScanner::parse(std::string_view block, SseEvent& out) {
  out = {block, {}, {}};
  if (block.starts_with(byte_order_mark)) {
    out.data = block;
    return true;
  }
  unsigned data_lines = 0;
  std::size_t at = 0;
  while (at < block.size()) {
    const std::size_t end = line_end(block, at);
    const std::string_view line = block.substr(at, end - at);
    std::string_view value;
    if (field_value(line, "data", value)) {
      if (++data_lines == 1) {
        out.data = value;
      } else {
        if (data_lines == 2) joined_.assign(out.data);
        joined_.append(1, '\n').append(value);
        out.data = joined_;
      }
    } else if (field_value(line, "event", value)) {
      out.type = value;
    }
    at = after_line_end(block, end);
  }
  return data_lines > 0;
}

}  // namespace trib::http

#include "tools/bench/load/response.h"

#include <algorithm>
#include <charconv>
#include <cstring>

namespace trib::bench {
namespace {

constexpr std::size_t kHeadMost = 64 * 1024;
constexpr std::size_t kEventMost = 1024 * 1024;

// The value of a field, found without regard to case; the head starts with its status line.
std::string_view field(std::string_view head, std::string_view lower_name) {
  for (std::size_t at = head.find("\r\n"); at != std::string_view::npos && at + 2 < head.size();) {
    const std::size_t from = at + 2;
    at = head.find("\r\n", from);
    const std::string_view line = head.substr(from, at == std::string_view::npos ? at : at - from);
    if (line.size() <= lower_name.size() || line[lower_name.size()] != ':') continue;
    const bool same = std::equal(lower_name.begin(), lower_name.end(), line.begin(),
                                 [](char a, char b) { return a == (b | 0x20) || a == b; });
    if (!same) continue;
    std::string_view value = line.substr(lower_name.size() + 1);
    while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
    return value;
  }
  return {};
}

}  // namespace

void Response::reset() {
  at_ = At::head;
  status_ = 0;
  close_ = saw_done_ = false;
  line_.clear();
  event_.clear();
  left_ = 0;
  body_bytes_ = events_ = tokens_ = in_order_ = 0;
}

bool Response::end() {
  if (at_ == At::until_close) at_ = At::done;
  if (at_ != At::done) at_ = At::broken;
  return at_ == At::done;
}

void Response::read_head() {
  const std::string_view head = line_;
  if (head.size() < 12 || head.substr(0, 7) != "HTTP/1.") {
    at_ = At::broken;
    return;
  }
  std::from_chars(head.data() + 9, head.data() + 12, status_);
  close_ = field(head, "connection") == "close";
  const std::string_view length = field(head, "content-length");
  if (status_ >= 100 && status_ < 200) {  // an interim answer
    status_ = 0;
    at_ = At::head;
  } else if (field(head, "transfer-encoding") == "chunked") {
    at_ = At::chunk_size;
  } else if (!length.empty()) {
    std::from_chars(length.data(), length.data() + length.size(), left_);
    at_ = left_ == 0 ? At::done : At::length;
  } else {
    close_ = true;
    at_ = At::until_close;
  }
  line_.clear();
}

std::size_t Response::head(std::string_view bytes) {
  const std::size_t had = line_.size();
  const std::size_t from = had < 3 ? 0 : had - 3;
  line_ += bytes;
  const std::size_t end = line_.find("\r\n\r\n", from);
  if (end == std::string::npos) {
    if (line_.size() > kHeadMost) at_ = At::broken;
    return bytes.size();
  }
  line_.resize(end);
  read_head();
  return end + 4 - had;
}

std::size_t Response::feed(std::string_view bytes) {
  std::size_t used = 0;
  while (used < bytes.size() && at_ != At::done && at_ != At::broken) {
    const std::string_view rest = bytes.substr(used);
    switch (at_) {
      case At::head:
        used += head(rest);
        break;
      case At::length:
      case At::chunk: {
        const std::size_t n = static_cast<std::size_t>(std::min<std::uint64_t>(left_, rest.size()));
        body(rest.substr(0, n));
        used += n;
        left_ -= n;
        if (left_ == 0) at_ = at_ == At::length ? At::done : At::chunk_end;
        break;
      }
      case At::until_close:
        body(rest);
        used += rest.size();
        break;
      case At::chunk_size:
      case At::chunk_end:
      case At::trailer: {
        const char c = rest.front();
        ++used;
        if (c != '\n') {
          line_ += c;
          if (line_.size() > 4096) at_ = At::broken;
          break;
        }
        if (!line_.empty() && line_.back() == '\r') line_.pop_back();
        if (at_ == At::chunk_end) {
          at_ = line_.empty() ? At::chunk_size : At::broken;
        } else if (at_ == At::trailer) {
          if (line_.empty()) at_ = At::done;
        } else {
          const auto parsed = std::from_chars(line_.data(), line_.data() + line_.size(), left_, 16);
          if (parsed.ec != std::errc{})
            at_ = At::broken;
          else
            at_ = left_ == 0 ? At::trailer : At::chunk;
        }
        line_.clear();
        break;
      }
      default:
        break;
    }
  }
  return used;
}

void Response::body(std::string_view bytes) {
  body_bytes_ += static_cast<std::int64_t>(bytes.size());
  while (!bytes.empty()) {
    if (event_.empty()) {
      const std::size_t end = bytes.find("\n\n");
      if (end == std::string_view::npos) {
        event_ = bytes;
        return;
      }
      event(bytes.substr(0, end));
      bytes.remove_prefix(end + 2);
      continue;
    }
    const std::size_t had = event_.size();
    event_ += bytes;
    const std::size_t end = event_.find("\n\n", had - 1);
    if (end == std::string::npos) {
      if (event_.size() > kEventMost) at_ = At::broken;
      return;
    }
    event(std::string_view(event_).substr(0, end));
    event_.clear();
    bytes.remove_prefix(end + 2 - had);
  }
}

void Response::event(std::string_view text) {
  if (text.substr(0, 6) != "data: ") return;  // a comment, or a body that is no stream
  ++events_;
  if (text == "data: [DONE]") {
    saw_done_ = true;
    return;
  }
  static constexpr std::string_view kContent = "\"content\":\"";
  const auto* found =
      static_cast<const char*>(memmem(text.data(), text.size(), kContent.data(), kContent.size()));
  if (found == nullptr) return;
  std::string_view content =
      text.substr(static_cast<std::size_t>(found - text.data()) + kContent.size());
  if (content.empty() || content.front() == '"') return;
  ++tokens_;
  if (content.front() == ' ') content.remove_prefix(1);
  if (content.empty() || content.front() != 't') return;
  std::int64_t number = 0;
  std::from_chars(content.data() + 1, content.data() + content.size(), number);
  if (number == in_order_ + 1) ++in_order_;
}

}  // namespace trib::bench

#include "tests/sim/answer_reader.h"

#include <algorithm>
#include <cctype>
#include <cstdint>

namespace trib::sim {

std::string AnswerReader::field(const std::string& lower_name) const {
  const auto found = fields_.find(lower_name);
  return found == fields_.end() ? std::string() : found->second;
}

bool AnswerReader::take_line(std::string_view& bytes, std::string& line) {
  const auto end = bytes.find('\n');
  line_.append(bytes.substr(0, end));
  bytes.remove_prefix(end == std::string_view::npos ? bytes.size() : end + 1);
  if (end == std::string_view::npos) return false;
  if (!line_.empty() && line_.back() == '\r') line_.pop_back();
  line.swap(line_);
  line_.clear();
  return true;
}

bool AnswerReader::take_head() {
  const auto first = head_.find("\r\n");
  if (head_.size() < 12 || head_.compare(0, 9, "HTTP/1.1 ") != 0) return fail("no status line");
  status_ = std::stoi(head_.substr(9, 3));
  for (std::size_t at = first + 2; at + 2 < head_.size();) {
    const auto end = head_.find("\r\n", at);
    const std::string line = head_.substr(at, end - at);
    at = end + 2;
    const auto colon = line.find(": ");
    if (colon == std::string::npos) return fail("a field without a colon");
    std::string name = line.substr(0, colon);
    std::transform(name.begin(), name.end(), name.begin(), [](char c) { return static_cast<char>(std::tolower(c)); });
    if (!fields_.emplace(name, line.substr(colon + 2)).second) return fail("a field twice");
  }
  const bool chunked = field("transfer-encoding") == "chunked";
  const std::string length = field("content-length");
  if (chunked == !length.empty()) return fail("no framing, or two");
  state_ = chunked ? State::size : State::length;
  if (!chunked) left_ = std::stoul(length);
  if (state_ == State::length && left_ == 0) state_ = State::done;
  return true;
}

bool AnswerReader::feed(std::string_view& bytes) {
  std::string line;
  while (!bytes.empty() && state_ != State::done) {
    started_ = true;
    switch (state_) {
      case State::head: {
        const auto before = head_.size();
        head_.append(bytes);
        const auto end = head_.find("\r\n\r\n", before > 3 ? before - 3 : 0);
        if (end == std::string::npos) {
          bytes = {};
          return true;
        }
        bytes.remove_prefix(end + 4 - before);
        head_.resize(end + 4);
        if (head_.compare(0, 12, "HTTP/1.1 100") == 0) {
          head_.clear();
          continue;
        }
        if (!take_head()) return false;
        break;
      }
      case State::length:
      case State::chunk: {
        const auto n = std::min(left_, bytes.size());
        body_.append(bytes.substr(0, n));
        bytes.remove_prefix(n);
        left_ -= n;
        if (left_ == 0) state_ = state_ == State::length ? State::done : State::chunk_end;
        break;
      }
      case State::size:
        if (!take_line(bytes, line)) return true;
        if (line.empty() || line.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos) return fail("a bad chunk size");
        left_ = std::stoul(line, nullptr, 16);
        state_ = left_ == 0 ? State::trailer : State::chunk;
        break;
      case State::chunk_end:
        if (!take_line(bytes, line)) return true;
        if (!line.empty()) return fail("a chunk that does not end");
        state_ = State::size;
        break;
      case State::trailer:
        if (!take_line(bytes, line)) return true;
        if (!line.empty()) return fail("a trailer nobody sent");
        state_ = State::done;
        break;
      case State::done:
        break;
    }
  }
  return true;
}

bool text_of(std::string_view json, std::string_view key, std::string& out) {
  const std::string wanted = '"' + std::string(key) + "\":\"";
  const auto at = json.find(wanted);
  if (at == std::string_view::npos) return false;
  const auto from = at + wanted.size();
  out = json.substr(from, json.find('"', from) - from);
  return true;
}

bool number_of(std::string_view json, std::string_view key, std::uint64_t& out) {
  const std::string wanted = '"' + std::string(key) + "\":";
  const auto at = json.find(wanted);
  if (at == std::string_view::npos) return false;
  std::size_t i = at + wanted.size();
  if (i >= json.size() || json[i] < '0' || json[i] > '9') return false;
  out = 0;
  for (; i < json.size() && json[i] >= '0' && json[i] <= '9'; ++i) out = out * 10 + static_cast<std::uint64_t>(json[i] - '0');
  return true;
}

}  // namespace trib::sim

#include "backends/devices/wire.h"

#include <poll.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>

#include "gateway/base/json.h"

namespace trib::devices {
namespace {

void put_fields(std::string& out, const Fields& fields) {
  bool first = true;
  for (const auto& [key, value] : fields) {
    if (!first) out += ',';
    first = false;
    json::quote(key, out);
    out += ':';
    if (json::valid_utf8(value)) {
      json::quote(value, out);
      continue;
    }
    std::string clean = value;
    for (char& c : clean)
      if (static_cast<unsigned char>(c) >= 0x80) c = '?';
    json::quote(clean, out);
  }
}

// The members of an open object; "items" only where `items` is given.
bool read_members(json::Cursor& in, Fields& fields, std::vector<Fields>* items) {
  if (!in.enter_object()) return false;
  std::string_view key;
  while (in.next_key(key)) {
    std::string name(key);
    if (items != nullptr && name == "items") {
      if (!in.enter_array()) return false;
      while (in.next_element()) {
        if (items->size() == items_max) return false;
        if (!read_members(in, items->emplace_back(), nullptr)) return false;
      }
      continue;
    }
    if (!in.read_string(fields[name])) return false;
  }
  return in.ok();
}

template <class Int>
std::optional<Int> parse(std::string_view text) {
  Int value{};
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (ec != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

ReadEnd read_bytes(int fd, char* to, std::size_t n, std::int64_t deadline_ns) {
  while (n > 0) {
    pollfd waiting{fd, POLLIN, 0};
    int wait_ms = -1;
    if (deadline_ns != 0) {
      const std::int64_t left = deadline_ns - monotonic_ns();
      if (left <= 0) return ReadEnd::deadline;
      wait_ms = static_cast<int>(left / 1'000'000 + 1);
    }
    const int ready = ::poll(&waiting, 1, wait_ms);
    if (ready < 0 && errno != EINTR) return ReadEnd::failed;
    if (ready <= 0) continue;
    const ssize_t got = ::read(fd, to, n);
    if (got == 0) return ReadEnd::closed;
    if (got < 0) {
      if (errno == EINTR || errno == EAGAIN) continue;
      return ReadEnd::failed;
    }
    to += got;
    n -= static_cast<std::size_t>(got);
  }
  return ReadEnd::frame;
}

}  // namespace

std::string encode(const Message& message) {
  std::string out = "{";
  put_fields(out, message.fields);
  if (!message.items.empty()) {
    out += out.size() > 1 ? ",\"items\":[" : "\"items\":[";
    for (std::size_t i = 0; i < message.items.size(); ++i) {
      out += i == 0 ? "{" : ",{";
      put_fields(out, message.items[i]);
      out += '}';
    }
    out += ']';
  }
  return out + "}";
}

std::optional<Message> decode(std::string_view text) {
  json::Cursor in(text, {.depth = 4, .unique_keys = true});
  Message out;
  if (!read_members(in, out.fields, &out.items) || !in.finish()) return std::nullopt;
  return out;
}

std::string_view text(const Fields& fields, const char* key) {
  const auto at = fields.find(key);
  return at == fields.end() ? std::string_view{} : std::string_view(at->second);
}
std::optional<std::uint64_t> number(const Fields& fields, const char* key) {
  return parse<std::uint64_t>(text(fields, key));
}
std::optional<std::int64_t> signed_number(const Fields& fields, const char* key) {
  return parse<std::int64_t>(text(fields, key));
}

ReadEnd read_frame(int fd, std::string& out, std::int64_t deadline_ns) {
  unsigned char head[4];
  if (const auto end = read_bytes(fd, reinterpret_cast<char*>(head), sizeof head, deadline_ns);
      end != ReadEnd::frame)
    return end;
  const std::size_t n = head[0] | std::size_t{head[1]} << 8 | std::size_t{head[2]} << 16 | std::size_t{head[3]} << 24;
  if (n > frame_bytes_max) return ReadEnd::rubbish;
  out.resize(n);
  return read_bytes(fd, out.data(), n, deadline_ns);
}

bool write_frame(int fd, std::string_view json) {
  std::string bytes;
  for (unsigned i = 0; i < 4; ++i) bytes += static_cast<char>(json.size() >> (8 * i));
  bytes += json;
  for (std::size_t at = 0; at < bytes.size();) {
    const ssize_t n = ::write(fd, bytes.data() + at, bytes.size() - at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    at += static_cast<std::size_t>(n);
  }
  return true;
}

std::int64_t monotonic_ns() {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1'000'000'000 + t.tv_nsec;
}

}  // namespace trib::devices

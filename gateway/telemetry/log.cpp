#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <ctime>

#include "gateway/base/clock.h"
#include "gateway/telemetry/log_line.h"

namespace trib::telemetry {
namespace {

std::atomic<Level> least_level{Level::info};
// -1: not said, ask whether standard error is a terminal.
std::atomic<int> json_choice{-1};

std::string_view name(Level level) {
  switch (level) {
    case Level::debug:
      return "debug";
    case Level::info:
      return "info";
    case Level::warning:
      return "warning";
    case Level::error:
      return "error";
  }
  return "?";
}

// Length of the valid UTF-8 sequence at the front, 0 when there is none.
std::size_t utf8_length(std::string_view text) {
  const auto a = static_cast<unsigned char>(text[0]);
  const std::size_t length = a < 0x80                ? 1
                             : a >= 0xC2 && a < 0xE0 ? 2
                             : a >= 0xE0 && a < 0xF0 ? 3
                             : a >= 0xF0 && a < 0xF5 ? 4
                                                     : 0;
  if (length == 0 || length > text.size()) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xC0) != 0x80) return 0;
  }
  const auto b = length > 1 ? static_cast<unsigned char>(text[1]) : 0;
  const bool overlong = (a == 0xE0 && b < 0xA0) || (a == 0xF0 && b < 0x90);
  const bool outside = (a == 0xED && b > 0x9F) || (a == 0xF4 && b > 0x8F);
  return overlong || outside ? 0 : length;
}

// In quotes, as JSON has it; bytes that are not UTF-8 become U+FFFD, so that a line is always JSON.
std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (std::size_t i = 0; i < text.size();) {
    if (out.size() > log_value_bytes_max) {
      out += "...";
      break;
    }
    const auto byte = static_cast<unsigned char>(text[i]);
    const std::size_t length = utf8_length(text.substr(i));
    if (length == 0) {
      out += "\xEF\xBF\xBD";
      ++i;
      continue;
    }
    if (byte == '"' || byte == '\\') {
      out += '\\';
      out += text[i];
    } else if (byte < 0x20 || byte == 0x7f) {
      char code[8];
      std::snprintf(code, sizeof code, "\\u%04x", byte);
      out += code;
    } else {
      out += text.substr(i, length);
    }
    i += length;
  }
  return out + "\"";
}

bool plain(std::string_view text) {
  if (text.empty() || text.size() > 256) return false;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= 0x20 || byte >= 0x7f || c == '"' || c == '\\' || c == '=') return false;
  }
  return true;
}

}  // namespace

std::string time_text(std::int64_t unix_ms) {
  std::int64_t ms = unix_ms % 1000;
  if (ms < 0) ms += 1000;
  const auto seconds = static_cast<std::time_t>((unix_ms - ms) / 1000);
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  char out[96];
  std::snprintf(out, sizeof out, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", utc.tm_year + 1900,
                utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
                static_cast<int>(ms));
  return out;
}

std::string log_line(bool json, std::int64_t unix_ms, Level level, std::string_view event,
                     std::span<const LogField> fields) {
  std::string out;
  if (json) {
    out = "{\"time\":\"" + time_text(unix_ms) + "\",\"level\":\"" + std::string(name(level)) +
          "\",\"event\":" + quoted(event);
    for (const LogField& field : fields) {
      out += "," + quoted(field.key) + ":" + (field.number ? field.value : quoted(field.value));
    }
    return out + "}\n";
  }
  std::string level_text(name(level));
  level_text.resize(8, ' ');
  out = time_text(unix_ms) + " " + level_text + (plain(event) ? std::string(event) : quoted(event));
  for (const LogField& field : fields) {
    out += " " + std::string(field.key) + "=" +
           (plain(field.value) ? field.value : quoted(field.value));
  }
  return out + "\n";
}

void log(Level level, std::string_view event, std::initializer_list<LogField> fields) {
  if (level < least_level.load(std::memory_order_relaxed)) return;
  int json = json_choice.load(std::memory_order_relaxed);
  if (json < 0) {
    json = ::isatty(STDERR_FILENO) == 1 ? 0 : 1;
    json_choice.store(json, std::memory_order_relaxed);
  }
  const std::string line =
      log_line(json == 1, system_clock().wall_ms(), level, event, {fields.begin(), fields.size()});
  // One write a line keeps lines of several threads apart.
  std::string_view rest = line;
  while (!rest.empty()) {
    const ssize_t sent = ::write(STDERR_FILENO, rest.data(), rest.size());
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return;  // nobody to tell
    rest.remove_prefix(static_cast<std::size_t>(sent));
  }
}

void set_log_level(Level least) {
  least_level.store(least, std::memory_order_relaxed);
}
void set_log_json(bool json) {
  json_choice.store(json ? 1 : 0, std::memory_order_relaxed);
}

}  // namespace trib::telemetry

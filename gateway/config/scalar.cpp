#include "gateway/config/scalar.h"

#include <algorithm>
#include <cstdio>

namespace trib::config {
namespace {

bool digit(char c) {
  return c >= '0' && c <= '9';
}

// Splits "10ms" into 10 and "ms". Empty when there are no digits or more than 15.
std::optional<std::uint64_t> leading_number(std::string_view& text) {
  std::size_t n = 0;
  std::uint64_t value = 0;
  while (n < text.size() && digit(text[n])) {
    value = value * 10 + static_cast<std::uint64_t>(text[n] - '0');
    if (++n > 15) return {};
  }
  if (n == 0 || (n > 1 && text[0] == '0')) return {};
  text.remove_prefix(n);
  return value;
}

std::optional<std::uint64_t> scaled(std::uint64_t value, std::uint64_t unit) {
  std::uint64_t out = 0;
  if (__builtin_mul_overflow(value, unit, &out) || out > (1ull << 62)) return {};
  return out;
}

bool host_ok(std::string_view host) {
  if (host.empty() || host.size() > 253) return false;
  return std::all_of(host.begin(), host.end(), [](char c) {
    return digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '-' ||
           c == '_';
  });
}

bool ipv6_ok(std::string_view host) {
  if (host.size() < 2 || host.size() > 45) return false;
  return std::all_of(host.begin(), host.end(),
                     [](char c) {
                       return digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') ||
                              c == ':' || c == '.';
                     }) &&
         host.find(':') != std::string_view::npos;
}

// Takes the host (brackets removed) off the front of `text`.
std::optional<std::string> take_host(std::string_view& text) {
  if (!text.empty() && text[0] == '[') {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos || !ipv6_ok(text.substr(1, end - 1))) return {};
    std::string host(text.substr(1, end - 1));
    text.remove_prefix(end + 1);
    return host;
  }
  const std::size_t end = std::min(text.find_first_of(":/"), text.size());
  if (!host_ok(text.substr(0, end))) return {};
  std::string host(text.substr(0, end));
  text.remove_prefix(end);
  return host;
}

std::optional<std::uint16_t> parse_port(std::string_view text) {
  const auto port = parse_count(text);
  if (!port || *port > 65535) return {};
  return static_cast<std::uint16_t>(*port);
}

bool url_path_ok(std::string_view path) {
  const bool plain = std::all_of(path.begin(), path.end(), [](char c) {
    return digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '/' || c == '-' ||
           c == '.' || c == '_' || c == '~';
  });
  return plain && path.size() <= 256 && path.find("//") == std::string_view::npos &&
         path.find("/.") == std::string_view::npos;
}

// Days since 1970-01-01 in the proleptic Gregorian calendar; March-based years keep leap days last.
std::int64_t days_from_civil(std::int64_t year, unsigned month, unsigned day) {
  year -= month <= 2 ? 1 : 0;
  const std::int64_t era = year / 400;
  const std::int64_t year_of_era = year - era * 400;
  const std::int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
  return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
         719468;
}

unsigned days_in_month(std::int64_t year, unsigned month) {
  static constexpr unsigned days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  return month == 2 && leap ? 29 : days[month - 1];
}

constexpr std::int64_t shanghai_offset_s =
    8 * 3600;  // no daylight saving since 1991: plain arithmetic

// `width` digits at the front.
std::optional<unsigned> take_digits(std::string_view& text, std::size_t width) {
  if (text.size() < width) return {};
  unsigned value = 0;
  for (std::size_t i = 0; i < width; ++i) {
    if (!digit(text[i])) return {};
    value = value * 10 + static_cast<unsigned>(text[i] - '0');
  }
  text.remove_prefix(width);
  return value;
}

bool take(std::string_view& text, std::string_view any_of) {
  if (text.empty() || any_of.find(text[0]) == std::string_view::npos) return false;
  text.remove_prefix(1);
  return true;
}

std::optional<std::int64_t> take_offset_s(std::string_view& text) {
  if (take(text, "Zz")) return 0;
  const bool west = !text.empty() && text[0] == '-';
  if (!take(text, "+-")) return {};
  const auto hours = take_digits(text, 2);
  if (!hours || !take(text, ":")) return {};
  const auto minutes = take_digits(text, 2);
  if (!minutes || *hours > 23 || *minutes > 59) return {};
  const std::int64_t seconds = *hours * 3600 + *minutes * 60;
  return west ? -seconds : seconds;
}

// ".123456": milliseconds, the rest cut off.
std::optional<std::int64_t> take_fraction_ms(std::string_view& text) {
  if (!take(text, ".")) return 0;
  std::int64_t ms = 0;
  std::size_t n = 0;
  for (; n < text.size() && digit(text[n]); ++n) {
    if (n < 3) ms = ms * 10 + (text[n] - '0');
  }
  if (n == 0 || n > 9) return {};
  for (std::size_t i = n; i < 3; ++i) ms *= 10;
  text.remove_prefix(n);
  return ms;
}

}  // namespace

std::optional<std::int64_t> parse_duration_ms(std::string_view text) {
  const auto value = leading_number(text);
  if (!value) return {};
  const std::uint64_t unit = text == "ms"  ? 1u
                             : text == "s" ? 1000u
                             : text == "m" ? 60'000u
                             : text == "h" ? 3'600'000u
                                           : 0u;
  if (unit == 0) return {};
  const auto ms = scaled(*value, unit);
  if (!ms) return {};
  return static_cast<std::int64_t>(*ms);
}

std::optional<std::uint64_t> parse_size(std::string_view text) {
  const auto value = leading_number(text);
  if (!value) return {};
  static constexpr std::pair<std::string_view, unsigned> units[] = {
      {"B", 0}, {"KiB", 10}, {"MiB", 20}, {"GiB", 30}, {"TiB", 40}};
  for (const auto& [unit, shift] : units) {
    if (text == unit) return scaled(*value, 1ull << shift);
  }
  return {};
}

std::optional<std::uint64_t> parse_count(std::string_view text) {
  const auto value = leading_number(text);
  if (!value || !text.empty()) return {};
  return value;
}

bool valid_id(std::string_view text) {
  auto plain = [](char c) { return digit(c) || (c >= 'a' && c <= 'z'); };
  if (text.empty() || text.size() > 128 || !plain(text[0])) return false;
  return std::all_of(text.begin(), text.end(),
                     [&](char c) { return plain(c) || c == '.' || c == '_' || c == '-'; });
}

std::optional<Address> parse_address(std::string_view text) {
  auto host = take_host(text);
  if (!host || text.empty() || text[0] != ':') return {};
  const auto port = parse_port(text.substr(1));
  if (!port) return {};
  return Address{std::move(*host), *port};
}

std::optional<Url> parse_url(std::string_view text) {
  Url url;
  if (text.substr(0, 7) == "http://") {
    text.remove_prefix(7);
  } else if (text.substr(0, 8) == "https://") {
    text.remove_prefix(8);
    url.tls = true;
  } else {
    return {};
  }
  auto host = take_host(text);
  if (!host) return {};
  url.address = Address{std::move(*host), static_cast<std::uint16_t>(url.tls ? 443 : 80)};
  if (!text.empty() && text[0] == ':') {
    const std::size_t end = std::min(text.find('/'), text.size());
    const auto port = parse_port(text.substr(1, end - 1));
    if (!port || *port == 0) return {};
    url.address.port = *port;
    text.remove_prefix(end);
  }
  if (!text.empty() && text[0] != '/') return {};
  if (!url_path_ok(text)) return {};
  if (!text.empty() && text.back() == '/') text.remove_suffix(1);
  url.path = std::string(text);
  return url;
}

std::optional<std::int64_t> parse_date(std::string_view text) {
  const auto year = take_digits(text, 4);
  if (!year || *year < 1970 || !take(text, "-")) return {};
  const auto month = take_digits(text, 2);
  if (!month || *month < 1 || *month > 12 || !take(text, "-")) return {};
  const auto day = take_digits(text, 2);
  if (!day || *day < 1 || *day > days_in_month(*year, *month)) return {};
  const std::int64_t midnight_s = days_from_civil(*year, *month, *day) * 86'400;
  if (text.empty()) return (midnight_s - shanghai_offset_s) * 1000;
  if (!take(text, "Tt")) return {};
  const auto hour = take_digits(text, 2);
  if (!hour || *hour > 23 || !take(text, ":")) return {};
  const auto minute = take_digits(text, 2);
  if (!minute || *minute > 59 || !take(text, ":")) return {};
  const auto second = take_digits(text, 2);
  if (!second || *second > 59) return {};
  const auto fraction_ms = take_fraction_ms(text);
  if (!fraction_ms) return {};
  const auto offset_s = take_offset_s(text);
  if (!offset_s || !text.empty()) return {};
  return (midnight_s + *hour * 3600 + *minute * 60 + *second - *offset_s) * 1000 + *fraction_ms;
}

}  // namespace trib::config

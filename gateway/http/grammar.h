// Bytes and small rules of RFC 9110 and RFC 3986 that heads and chunks share. Private to the room.
#pragma once
#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace trib::http::grammar {

inline constexpr std::uint8_t token_bit = 1;  // tchar
inline constexpr std::uint8_t uri_bit = 2;    // pchar without '%', '/' and '?'
inline constexpr std::uint8_t host_bit = 4;   // letters, digits, '-', '.', '_'

inline constexpr std::array<std::uint8_t, 256> make_classes() {
  std::array<std::uint8_t, 256> classes{};
  const auto mark = [&classes](std::string_view bytes, std::uint8_t bits) {
    for (const char c : bytes) classes[static_cast<unsigned char>(c)] |= bits;
  };
  mark("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._",
       token_bit | uri_bit | host_bit);
  mark("!#$%&'*+^`|~", token_bit);
  mark("~!$&'()*+,;=:@/?", uri_bit);
  return classes;
}
inline constexpr std::array<std::uint8_t, 256> classes = make_classes();

inline bool is(char c, std::uint8_t bit) {
  return (classes[static_cast<unsigned char>(c)] & bit) != 0;
}

inline bool all(std::string_view text, std::uint8_t bit) {
  for (const char c : text) {
    if (!is(c, bit)) return false;
  }
  return true;
}
inline bool token(std::string_view text) {
  return !text.empty() && all(text, token_bit);
}

inline constexpr bool digit(char c) {
  return c >= '0' && c <= '9';
}
inline constexpr bool blank(char c) {
  return c == ' ' || c == '\t';
}

// A byte that a field value may hold: HTAB, visible ASCII, space, and 0x80-0xff, which are opaque.
inline constexpr bool field_byte(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte >= 0x20 && byte != 0x7f) || byte == '\t';
}

inline constexpr int hex_value(char c) {
  if (digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

inline std::string_view trim(std::string_view text) {
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

// Size of the longest front of `text` that field_byte() allows; eight bytes at a time.
inline std::size_t field_bytes(std::string_view text) {
  constexpr std::uint64_t ones = 0x0101010101010101u;
  constexpr std::uint64_t highs = 0x8080808080808080u;
  std::size_t i = 0;
  for (;;) {
    while (text.size() - i >= 8) {
      std::uint64_t word;
      std::memcpy(&word, text.data() + i, 8);
      const std::uint64_t control = (word - ones * 0x20) & ~word;
      const std::uint64_t del = ((word ^ ones * 0x7f) - ones) & ~(word ^ ones * 0x7f);
      if (((control | del) & highs) != 0) break;
      i += 8;
    }
    // One of the next eight may be at fault, or be a tab, or the text is nearly over.
    const std::size_t stop = text.size() - i < 8 ? text.size() : i + 8;
    while (i < stop && field_byte(text[i])) ++i;
    if (i < stop || i == text.size()) return i;
  }
}

}  // namespace trib::http::grammar

// Bytes of JSON text that its reader and its writers share. Private to json.cpp and json_text.cpp.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace trib::json::detail {

inline constexpr std::uint64_t ones = 0x0101010101010101u;
inline constexpr std::uint64_t highs = 0x8080808080808080u;

// High bit set in each byte of `word` that is below `n` (n <= 0x80), for bytes below 0x80. A borrow
// may set bits above a true hit only, which is enough to ask "any?".
inline constexpr std::uint64_t below(std::uint64_t word, std::uint64_t n) {
  return (word - ones * n) & ~word & highs;
}
inline constexpr std::uint64_t equal(std::uint64_t word, std::uint64_t c) {
  return below(word ^ ones * c, 1);
}

inline std::uint64_t load8(const char* p) {
  std::uint64_t word;
  std::memcpy(&word, p, 8);
  return word;
}

inline constexpr bool digit(char c) {
  return c >= '0' && c <= '9';
}

inline int hex_value(char c) {
  if (digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Four hex digits at `p`, or -1. Precondition: four bytes are there.
inline int hex4(const char* p) {
  int value = 0;
  for (int i = 0; i < 4; ++i) {
    const int d = hex_value(p[i]);
    if (d < 0) return -1;
    value = value * 16 + d;
  }
  return value;
}

inline constexpr bool high_surrogate(int c) {
  return c >= 0xd800 && c < 0xdc00;
}
inline constexpr bool low_surrogate(int c) {
  return c >= 0xdc00 && c < 0xe000;
}

// Size of the well-formed UTF-8 sequence at `p` whose first byte is not ASCII; 0 if it is
// malformed. The second byte's range is what excludes overlong forms, surrogates and values above
// U+10FFFF.
inline std::size_t utf8_sequence(const char* p, const char* end) {
  const auto at = [p](std::size_t i) { return static_cast<unsigned char>(p[i]); };
  const auto left = static_cast<std::size_t>(end - p);
  const auto tail = [&at](std::size_t i) { return (at(i) & 0xc0) == 0x80; };
  const unsigned char lead = at(0);
  if (lead < 0xc2) return 0;
  if (lead < 0xe0) return left >= 2 && tail(1) ? 2 : 0;
  if (lead < 0xf0) {
    if (left < 3 || !tail(1) || !tail(2)) return 0;
    if (lead == 0xe0 && at(1) < 0xa0) return 0;
    if (lead == 0xed && at(1) >= 0xa0) return 0;
    return 3;
  }
  if (lead > 0xf4 || left < 4 || !tail(1) || !tail(2) || !tail(3)) return 0;
  if (lead == 0xf0 && at(1) < 0x90) return 0;
  if (lead == 0xf4 && at(1) >= 0x90) return 0;
  return 4;
}

// The byte that a one-letter escape stands for, or 0 if there is none such.
inline char simple_escape(char c) {
  switch (c) {
    case '"':
    case '\\':
    case '/':
      return c;
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    default:
      return 0;
  }
}

}  // namespace trib::json::detail

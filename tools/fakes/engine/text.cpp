#include "tools/fakes/engine/text.h"

#include <charconv>

namespace trib::fake {

void append_number(std::int64_t value, std::string& out) {
  char digits[24];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  out.append(digits, end);
}

void piece(const Script& script, std::int64_t i, std::string& out) {
  if (i > 1) out += ' ';
  if (!script.utf8 || i % 3 == 1) {
    out += script.mark;
    append_number(i, out);
  } else if (i % 3 == 2) {
    out += "\u4ee4\u724c";  // three bytes a character
    out += script.mark;
    append_number(i, out);
  } else {
    out += script.mark;
    append_number(i, out);
    out += "\u00e9\U0001f30a";  // two and four bytes
  }
}

Prefix prefix_of(const Script& script, std::string_view text) {
  Prefix prefix;
  std::string next;
  while (!text.empty()) {
    next.clear();
    piece(script, prefix.pieces + 1, next);
    if (text.substr(0, next.size()) == next) {
      text.remove_prefix(next.size());
      ++prefix.pieces;
      continue;
    }
    if (next.compare(0, text.size(), text) == 0) {  // ends inside this piece
      ++prefix.pieces;
      prefix.rest = next.substr(text.size());
      return prefix;
    }
    return {0, {}, true};
  }
  return prefix;
}

void escape(std::string_view text, std::string& out) {
  static constexpr char kHex[] = "0123456789abcdef";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (byte < 0x20) {
      out += "\\u00";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
}

std::int64_t words_in(std::string_view text) {
  std::int64_t words = 0;
  bool inside = false;
  for (const char c : text) {
    const bool blank = c == ' ' || c == '\n' || c == '\t' || c == '\r';
    words += !blank && !inside;
    inside = !blank;
  }
  return words;
}

}  // namespace trib::fake

#include "gateway/base/json.h"

#include <bit>
#include <algorithm>
#include <limits>

#include "gateway/base/json_text.h"

namespace trib::json {

static_assert(std::endian::native == std::endian::little, "the word-wise scan counts from the low byte");
using namespace detail;

Cursor::Cursor(std::string_view text, Limits limits) : text_(text), limits_(limits) {
  limits_.depth = std::min(limits_.depth, depth_max);
}

void Cursor::reset(std::string_view text) {
  text_ = text;
  at_ = 0;
  error_ = nullptr;
  level_ = 0;
  due_ = true;
  first_ = false;
  keys_.clear();
  keys_from_.clear();
  decoded_keys_.clear();
}

bool Cursor::fail(const char* why) {
  if (error_ == nullptr) error_ = why;
  return false;
}

void Cursor::blanks() {
  while (at_ < text_.size()) {
    const char c = text_[at_];
    if (c != ' ' && c != '\n' && c != '\r' && c != '\t') return;
    ++at_;
  }
}

Type Cursor::peek() {
  if (!ok()) return Type::none;
  if (!due_) {
    fail("no value is due here");
    return Type::none;
  }
  blanks();
  if (at_ == text_.size()) {
    fail("the text ends where a value is due");
    return Type::none;
  }
  switch (text_[at_]) {
    case '{':
      return Type::object;
    case '[':
      return Type::array;
    case '"':
      return Type::string;
    case 't':
    case 'f':
      return Type::boolean;
    case 'n':
      return Type::null;
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9':
      return Type::number;
    default:
      fail("not a value");
      return Type::none;
  }
}

bool Cursor::value_due(Type wanted, const char* why) {
  const Type type = peek();
  if (type == Type::none) return false;
  return type == wanted || fail(why);
}

bool Cursor::enter(bool object) {
  if (level_ >= limits_.depth) return fail("nested too deep");
  ++at_;
  const std::uint64_t bit = std::uint64_t{1} << level_ % 64;
  std::uint64_t& word = objects_[level_ / 64];
  word = object ? word | bit : word & ~bit;
  ++level_;
  due_ = false;
  first_ = true;
  if (limits_.unique_keys) keys_from_.push_back(keys_.size());
  return true;
}

bool Cursor::leave(bool object) {
  ++at_;
  if (limits_.unique_keys) {
    if (object && !keys_differ()) return fail("a key stands twice in one object");
    keys_.resize(keys_from_.back());
    keys_from_.pop_back();
  }
  --level_;
  first_ = false;
  return true;
}

// Moves past the comma to the next member of the innermost container; false at its end, which it
// leaves.
bool Cursor::next_member(bool object) {
  if (!ok()) return false;
  if (due_) return fail("the value before was not read");
  if (level_ == 0 || in_object() != object) return fail("not inside such a container");
  blanks();
  if (at_ == text_.size()) return fail("the text ends inside a container");
  const char c = text_[at_];
  if (c == (object ? '}' : ']')) {
    leave(object);
    return false;
  }
  if (!first_) {
    if (c != ',') return fail("a comma or the container's end is due");
    ++at_;
    blanks();
  }
  first_ = false;
  return true;
}

bool Cursor::enter_object() {
  return value_due(Type::object, "not an object") && enter(true);
}
bool Cursor::enter_array() {
  return value_due(Type::array, "not an array") && enter(false);
}

bool Cursor::next_element() {
  if (!next_member(false)) return false;
  due_ = true;
  return true;
}

bool Cursor::next_key(std::string_view& key) {
  if (!next_member(true)) return false;
  if (at_ == text_.size() || text_[at_] != '"') return fail("a key is due");
  std::string_view raw;
  bool escaped = false;
  if (!scan_string(raw, escaped)) return false;
  blanks();
  if (at_ == text_.size() || text_[at_] != ':') return fail("a colon is due");
  ++at_;
  key = raw;
  if (escaped) {
    unescape(raw, scratch_);
    key = scratch_;
  }
  if (limits_.unique_keys) remember_key(key, escaped);
  due_ = true;
  return true;
}

void Cursor::remember_key(std::string_view decoded, bool in_scratch) {
  if (keys_.capacity() == 0) keys_.reserve(32);
  if (in_scratch) decoded = decoded_keys_.emplace_front(decoded);
  keys_.push_back(decoded);
}

// The keys of the innermost object are all different.
bool Cursor::keys_differ() {
  const auto from = keys_.begin() + static_cast<std::ptrdiff_t>(keys_from_.back());
  if (keys_.end() - from > 8) {
    std::sort(from, keys_.end());
    return std::adjacent_find(from, keys_.end()) == keys_.end();
  }
  for (auto key = from; key != keys_.end(); ++key) {
    if (std::find(from, key, *key) != key) return false;
  }
  return true;
}

bool Cursor::scan_scalar(Type type) {
  std::string_view raw;
  bool escaped = false;
  due_ = false;
  switch (type) {
    case Type::string:
      return scan_string(raw, escaped);
    case Type::number:
      return scan_number();
    case Type::boolean:
      return scan_literal(text_[at_] == 't' ? "true" : "false");
    case Type::null:
      return scan_literal("null");
    default:
      return false;
  }
}

std::string_view Cursor::skip() {
  const Type outer = peek();
  const std::size_t from = at_;
  if (outer != Type::object && outer != Type::array) {
    return scan_scalar(outer) ? text_.substr(from, at_ - from) : std::string_view{};
  }
  // Iterative, so that depth costs no stack: each round takes one value, then moves on to the next
  // place where one is due.
  const unsigned base = level_;
  do {
    const Type type = peek();
    if (type == Type::object || type == Type::array) {
      enter(type == Type::object);
    } else {
      scan_scalar(type);
    }
    std::string_view key;
    while (ok() && level_ > base && !(in_object() ? next_key(key) : next_element())) {
    }
  } while (ok() && level_ > base);
  return ok() ? text_.substr(from, at_ - from) : std::string_view{};
}

std::string_view Cursor::raw_string() {
  std::string_view raw;
  bool escaped = false;
  if (!value_due(Type::string, "not a string")) return {};
  due_ = false;
  return scan_string(raw, escaped) ? raw : std::string_view{};
}

bool Cursor::read_string(std::string& out) {
  std::string_view raw;
  bool escaped = false;
  if (!value_due(Type::string, "not a string")) return false;
  due_ = false;
  if (!scan_string(raw, escaped)) return false;
  if (escaped) {
    unescape(raw, out);
  } else {
    out.assign(raw);
  }
  return true;
}

bool Cursor::read_bool(bool& out) {
  if (!value_due(Type::boolean, "not a boolean")) return false;
  out = text_[at_] == 't';
  return scan_scalar(Type::boolean);
}

bool Cursor::read_null() {
  return value_due(Type::null, "not null") && scan_scalar(Type::null);
}

bool Cursor::read_integer(std::int64_t& out) {
  if (!value_due(Type::number, "not a number")) return false;
  const std::size_t from = at_;
  if (!scan_scalar(Type::number)) return false;
  const std::string_view literal = text_.substr(from, at_ - from);
  const bool negative = literal.front() == '-';
  // Gathered as a negative number, whose range is the larger one.
  std::int64_t value = 0;
  for (const char c : literal.substr(negative ? 1 : 0)) {
    if (!digit(c)) return fail("not an integer");
    if (__builtin_mul_overflow(value, std::int64_t{10}, &value) ||
        __builtin_sub_overflow(value, std::int64_t{c - '0'}, &value)) {
      return fail("an integer out of range");
    }
  }
  if (!negative) {
    if (value == std::numeric_limits<std::int64_t>::min()) return fail("an integer out of range");
    value = -value;
  }
  out = value;
  return true;
}

bool Cursor::scan_string(std::string_view& raw, bool& escaped) {
  const char* const begin = text_.data() + at_ + 1;
  const char* const end = text_.data() + text_.size();
  const char* p = begin;
  for (;;) {
    while (end - p >= 8) {
      const std::uint64_t word = load8(p);
      const std::uint64_t hits = below(word, 0x20) | equal(word, '"') | equal(word, '\\') | (word & highs);
      if (hits != 0) {  // a borrow can only mark bytes behind the first hit
        p += std::countr_zero(hits) / 8;
        break;
      }
      p += 8;
    }
    if (p == end) return fail("the text ends inside a string");
    const auto c = static_cast<unsigned char>(*p);
    if (c == '"') break;
    if (c == '\\') {
      escaped = true;
      if (!scan_escape(p, end)) return false;
    } else if (c < 0x20) {
      return fail("a control character in a string");
    } else if (c < 0x80) {
      ++p;
    } else {
      const std::size_t size = utf8_sequence(p, end);
      if (size == 0) return fail("not UTF-8");
      p += size;
    }
  }
  raw = std::string_view(begin, static_cast<std::size_t>(p - begin));
  at_ += raw.size() + 2;
  return true;
}

// `p` is at a backslash; moves it past the escape, past both of a surrogate pair.
bool Cursor::scan_escape(const char*& p, const char* end) {
  if (end - p < 2) return fail("the text ends inside a string");
  if (p[1] != 'u') {
    if (simple_escape(p[1]) == 0) return fail("an unknown escape in a string");
    p += 2;
    return true;
  }
  const int unit = end - p >= 6 ? hex4(p + 2) : -1;
  if (unit < 0) return fail("\\u without four hex digits");
  p += 6;
  if (low_surrogate(unit)) return fail("a lone surrogate");
  if (!high_surrogate(unit)) return true;
  const bool pair = end - p >= 6 && p[0] == '\\' && p[1] == 'u' && low_surrogate(hex4(p + 2));
  if (!pair) return fail("a lone surrogate");
  p += 6;
  return true;
}

bool Cursor::scan_number() {
  const char* p = text_.data() + at_;
  const char* const end = text_.data() + text_.size();
  const auto digits = [&p, end] {
    const char* const from = p;
    while (p != end && digit(*p)) ++p;
    return p != from;
  };
  if (*p == '-') ++p;
  if (p != end && *p == '0') {
    ++p;
  } else if (!digits()) {
    return fail("not a number");
  }
  if (p != end && *p == '.') {
    ++p;
    if (!digits()) return fail("a fraction without digits");
  }
  if (p != end && (*p == 'e' || *p == 'E')) {
    ++p;
    if (p != end && (*p == '+' || *p == '-')) ++p;
    if (!digits()) return fail("an exponent without digits");
  }
  at_ = static_cast<std::size_t>(p - text_.data());
  return true;
}

bool Cursor::scan_literal(std::string_view word) {
  if (text_.substr(at_, word.size()) != word) return fail("not a value");
  at_ += word.size();
  return true;
}

bool Cursor::finish() {
  if (!ok()) return false;
  if (due_ || level_ != 0) return fail("the value is not complete");
  blanks();
  return at_ == text_.size() || fail("something follows the value");
}

bool valid(std::string_view text, Limits limits) {
  Cursor cursor(text, limits);
  cursor.skip();
  return cursor.finish();
}

}  // namespace trib::json

// A strict pull reader of JSON (RFC 8259, UTF-8 as RFC 3629) over bytes that stay where they are:
// it validates while it walks, allocates nothing for unescaped text and says where each value
// stands, so that a body can be edited in place. Refuses: depth above the limit, duplicate keys
// (when asked), lone surrogates, control characters in strings, anything after the value.
//
// Usage: walk one value from the top, then finish(). Every call returns false or an empty view once
// an error is set; check `ok()` at the end only. Asking for a type that is not there is an error
// too: peek() first where several are fine. Nothing is allocated but for decoded text and
// unique_keys.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <forward_list>
#include <string>
#include <string_view>
#include <vector>

namespace trib::json {

enum class Type : std::uint8_t { none, object, array, string, number, boolean, null };

inline constexpr unsigned depth_max = 256;

struct Limits {
  unsigned depth = 64;       // of nested arrays and objects; at most depth_max
  bool unique_keys = false;  // refuse an object that has a key twice (compared decoded)
};

class Cursor {
 public:
  explicit Cursor(std::string_view text, Limits limits = {});
  void reset(std::string_view text);  // begins anew with the same limits, keeping buffers

  Type peek();  // type of the value at the cursor; none (and an error) where no value can begin

  // Object: enter, then next_key() until false (which also leaves it). After each key its value
  // must be read or skipped. `key` is decoded; it is valid until the next call.
  bool enter_object();
  bool next_key(std::string_view& key);
  // Array: enter, then next_element() until false (which also leaves it).
  bool enter_array();
  bool next_element();

  std::string_view skip();             // validates the value at the cursor; returns its raw bytes
  bool read_string(std::string& out);  // decoded
  std::string_view raw_string();       // the raw bytes between the quotes, validated, still escaped
  bool read_bool(bool& out);
  bool read_integer(std::int64_t& out);  // an integer literal without fraction or exponent
  bool read_null();

  std::size_t offset() const {
    return at_;
  }  // of the next byte to read (blanks skipped after peek())
  bool finish();  // one whole value was read and only blanks may follow
  bool ok() const { return error_ == nullptr; }
  const char* error() const { return error_; }  // static text, null when fine

 private:
  bool fail(const char* why);
  void blanks();
  bool value_due(Type wanted, const char* why);
  bool enter(bool object);
  bool leave(bool object);
  bool next_member(bool object);
  bool scan_scalar(Type type);
  bool scan_string(std::string_view& raw, bool& escaped);
  bool scan_escape(const char*& p, const char* end);
  bool scan_number();
  bool scan_literal(std::string_view word);
  void remember_key(std::string_view decoded, bool in_scratch);
  bool keys_differ();
  bool in_object() const { return (objects_[(level_ - 1) / 64] >> ((level_ - 1) % 64) & 1) != 0; }

  std::string_view text_;
  std::size_t at_ = 0;
  Limits limits_;
  const char* error_ = nullptr;
  unsigned level_ = 0;  // open arrays and objects
  bool due_ = true;     // a value is due at the cursor
  bool first_ = false;  // the innermost array or object has had no member yet
  std::array<std::uint64_t, depth_max / 64> objects_{};  // a bit a level: object, not array
  // Only with unique_keys: the keys of all open objects, and where each level's begin. Checked when
  // an object closes, so that a hostile one costs n log n.
  std::vector<std::string_view> keys_;
  std::vector<std::size_t> keys_from_;
  std::forward_list<std::string> decoded_keys_;  // those that had escapes
  std::string scratch_;
};

// The whole text is one valid value.
bool valid(std::string_view text, Limits limits = {});
// Decodes the raw bytes between two quotes (as raw_string gives them). Precondition: validated.
void unescape(std::string_view raw, std::string& out);
// Appends `text` quoted and escaped. Precondition: `text` is valid UTF-8.
void quote(std::string_view text, std::string& out);
// Strict UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF.
bool valid_utf8(std::string_view text);

}  // namespace trib::json

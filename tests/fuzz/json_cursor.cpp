// JSON: skipping and pulling agree, what is read and written again is the same document, and
// strings that were read are UTF-8.
#include <string>

#include "gateway/base/json.h"
#include "tests/fuzz/fuzz.h"

using namespace trib::json;

namespace {

void rewrite(Cursor& cursor, std::string& out) {
  std::string text;
  std::string_view key;
  const char* comma = "";
  switch (cursor.peek()) {
    case Type::object:
      if (!cursor.enter_object()) return;
      out += '{';
      for (; cursor.next_key(key); comma = ",") {
        TRIB_ASSERT(valid_utf8(key));
        out += comma;
        quote(key, out);
        out += ':';
        rewrite(cursor, out);
      }
      out += '}';
      return;
    case Type::array:
      if (!cursor.enter_array()) return;
      out += '[';
      for (; cursor.next_element(); comma = ",") {
        out += comma;
        rewrite(cursor, out);
      }
      out += ']';
      return;
    case Type::string:
      if (cursor.read_string(text)) TRIB_ASSERT(valid_utf8(text));
      quote(text, out);
      return;
    default:
      out += cursor.skip();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = trib::fuzz::text(data, size);
  const Limits limits{.depth = 16, .unique_keys = size > 0 && (data[0] & 1) != 0};
  Cursor cursor(text, limits);
  std::string once;
  rewrite(cursor, once);
  const bool fine = cursor.finish();
  TRIB_ASSERT(fine == valid(text, limits));
  if (!fine) return 0;
  TRIB_ASSERT(valid_utf8(text));
  Cursor second(once, limits);
  std::string twice;
  rewrite(second, twice);
  TRIB_ASSERT(second.finish() && twice == once);
  return 0;
}

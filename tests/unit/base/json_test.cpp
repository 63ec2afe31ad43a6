#include <boost/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "gateway/base/base.h"
#include "tests/catch.h"

using namespace trib;
using json::Cursor;
using json::Type;

namespace {

boost::json::error_code boost_verdict(const std::string& text) {
  boost::json::parse_options options;
  options.max_depth = 64;
  boost::json::error_code ec;
  boost::json::parse(text, ec, {}, options);
  return ec;
}

// Walks any value with the pulling calls (never skip()) and writes it anew without blanks; strings
// decoded and quoted again.
void rewrite(Cursor& cursor, std::string& out) {
  std::string text;
  std::string_view key;
  const char* comma = "";
  bool truth = false;
  switch (cursor.peek()) {
    case Type::object:
      cursor.enter_object();
      out += '{';
      while (cursor.next_key(key)) {
        out += comma;
        comma = ",";
        json::quote(key, out);
        out += ':';
        rewrite(cursor, out);
      }
      out += '}';
      return;
    case Type::array:
      cursor.enter_array();
      out += '[';
      while (cursor.next_element()) {
        out += comma;
        comma = ",";
        rewrite(cursor, out);
      }
      out += ']';
      return;
    case Type::string:
      cursor.read_string(text);
      json::quote(text, out);
      return;
    case Type::number:
      out += cursor.skip();
      return;
    case Type::boolean:
      cursor.read_bool(truth);
      out += truth ? "true" : "false";
      return;
    case Type::null:
      cursor.read_null();
      out += "null";
      return;
    case Type::none:
      return;
  }
}

const std::vector<std::string>& documents() {
  static const std::vector<std::string> all = {
      R"({"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"m",)"
      R"("choices":[{"index":0,"delta":{"content":" hello"},"logprobs":null,"finish_reason":null}]})",
      R"({"model":"m","messages":[{"role":"user","content":"\u4f60\u597d \ud83d\ude00 \"q\" \\ \/"}],"stream":true})",
      "{\"a\":\"\xe4\xbd\xa0\xe5\xa5\xbd \xf0\x9f\x98\x80 "
      "\xc3\xa9\",\"b\":[-0,-1.5e+10,0.25E-3,12345678901234567890]}",
      " [ 1 , [ ] , { } , \"\" , false , null , [ [ [ 0 ] ] ] ]\t\r\n",
      R"({"usage":{"prompt_tokens":12,"completion_tokens":34,"prompt_tokens_details":{"cached_tokens":5}}})",
      "\"plain\"",
      "-1",
      "0",
      "1e5",
      "true",
      "[]",
      "{}",
      "\"\\b\\f\\n\\r\\t\\u0000\"",
  };
  return all;
}

std::string mutate(std::string text, SeededRng& rng) {
  static const std::string alphabet =
      "{}[]\",:\\u019aFeE+-.tfnl \t\n\x01\x7f\x80\xbf\xc0\xc2\xe0\xed\xa0\xf0\xf4\x90\xff/";
  const auto pick = [&rng](std::size_t n) { return static_cast<std::size_t>(rng.next() % n); };
  for (std::size_t times = 1 + pick(3); times > 0 && !text.empty(); --times) {
    const std::size_t at = pick(text.size());
    switch (pick(5)) {
      case 0:
        text[at] = alphabet[pick(alphabet.size())];
        break;
      case 1:
        text.erase(at, 1 + pick(3));
        break;
      case 2:
        text.insert(at, 1, alphabet[pick(alphabet.size())]);
        break;
      case 3:
        text.resize(at);
        break;
      default:
        text.insert(at, text.substr(pick(text.size()), pick(8)));
    }
  }
  return text;
}

}  // namespace

TEST_CASE("json: valid documents walk to what a second parser reads") {
  for (const std::string& text : documents()) {
    INFO(text);
    CHECK(json::valid(text));
    Cursor cursor(text);
    std::string out;
    rewrite(cursor, out);
    REQUIRE(cursor.finish());
    CHECK(boost::json::parse(out) == boost::json::parse(text));
  }
}

TEST_CASE("json: mutated documents are judged as a second strict parser judges them") {
  SeededRng rng(20260101);
  std::size_t taken = 0;
  for (int round = 0; round < 60000; ++round) {
    const std::string text =
        mutate(documents()[static_cast<std::size_t>(round) % documents().size()], rng);
    const bool ours = json::valid(text);
    const boost::json::error_code theirs = boost_verdict(text);
    // Its numbers are doubles: it refuses exponents that they cannot hold; ours stay text.
    if (theirs == boost::json::error::exponent_overflow) continue;
    if (ours == !!theirs) FAIL_CHECK(text << ": " << theirs.message());
    Cursor cursor(text);
    std::string out;
    rewrite(cursor, out);
    if (cursor.finish() != ours) FAIL_CHECK("skip() and the pulling calls differ on " << text);
    if (ours) {
      ++taken;
      const boost::json::value value = boost::json::parse(text);
      const bool comparable = value == boost::json::parse(text);  // 0e999 is not a number to it
      if (comparable && boost::json::parse(out) != value) FAIL_CHECK("read otherwise: " << text);
    }
  }
  CHECK(taken > 5000);
  CHECK(taken < 55000);
}

TEST_CASE("json: what RFC 8259 does not allow") {
  for (const std::string text : {"",
                                 " ",
                                 "{",
                                 "}",
                                 "[",
                                 "]",
                                 "[1,]",
                                 "[,1]",
                                 "[1 2]",
                                 "{\"a\"}",
                                 "{\"a\":}",
                                 "{\"a\":1,}",
                                 "{,}",
                                 "{a:1}",
                                 "{'a':1}",
                                 "[1]]",
                                 "1 2",
                                 "01",
                                 "-",
                                 "+1",
                                 ".5",
                                 "1.",
                                 "1e",
                                 "1e+",
                                 "0x1",
                                 "NaN",
                                 "Infinity",
                                 "-Infinity",
                                 "nul",
                                 "nulll",
                                 "True",
                                 "\"",
                                 "\"a",
                                 "\"\t\"",
                                 "\"\n\"",
                                 "\"\\",
                                 "\"\\x\"",
                                 "\"\\u12\"",
                                 "\"\\u12g4\"",
                                 "\"\\ud800\"",
                                 "\"\\udc00\"",
                                 "\"\\ud800\\u0041\"",
                                 "\"\\ud800\\ud800\"",
                                 "\"\\uD83D\\\"",
                                 "// c\n1",
                                 "/**/1",
                                 "\xef\xbb\xbf"
                                 "1",
                                 "1\x0c",
                                 "[1}",
                                 "{\"a\":1]",
                                 "\"\xc3\"",
                                 "\"\xff\"",
                                 "{\"a\" 1}",
                                 "{\"a\"::1}",
                                 "[\"a\":1]"}) {
    INFO(text);
    CHECK_FALSE(json::valid(text));
    Cursor cursor(text);
    cursor.skip();
    CHECK_FALSE(cursor.finish());
    CHECK(cursor.error() != nullptr);
  }
  CHECK_FALSE(json::valid(std::string("1\0", 2)));
  CHECK_FALSE(json::valid(std::string("\"a\0\"", 4)));
}

TEST_CASE("json: depth is bounded and costs no stack") {
  const auto nested = [](std::size_t n, const char* open, const char* close) {
    std::string text;
    for (std::size_t i = 0; i < n; ++i) text += open;
    text += '1';
    for (std::size_t i = 0; i < n; ++i) text += close;
    return text;
  };
  CHECK(json::valid(nested(64, "[", "]")));
  CHECK_FALSE(json::valid(nested(65, "[", "]")));
  CHECK(json::valid(nested(64, "{\"a\":", "}")));
  CHECK_FALSE(json::valid(nested(65, "{\"a\":", "}")));
  CHECK(json::valid(nested(32, "{\"a\":[", "]}")));
  CHECK(json::valid(nested(2, "[", "]"), {.depth = 2}));
  CHECK_FALSE(json::valid(nested(3, "[", "]"), {.depth = 2}));
  CHECK(json::valid(nested(256, "[", "]"), {.depth = 100000}));
  for (const std::size_t n : {std::size_t{10000}, std::size_t{1000000}}) {
    CHECK_FALSE(json::valid(nested(n, "[", "]"), {.depth = 100000}));
    CHECK_FALSE(json::valid(std::string(n, '[')));
    CHECK_FALSE(json::valid(nested(n, "{\"a\":", "}")));
  }
}

TEST_CASE("json: keys are compared decoded, object by object") {
  const json::Limits unique{.depth = 64, .unique_keys = true};
  for (const char* text :
       {R"({"a":1,"b":{"a":2},"c":[{"a":1},{"a":1}]})", R"({"a":1,"A":2,"":3," ":4})", "{}"}) {
    INFO(text);
    CHECK(json::valid(text, unique));
  }
  for (const char* text :
       {R"({"a":1,"a":1})", R"({"a":1,"\u0061":2})", R"({"\u0061":1,"b":{},"a":2})",
        R"({"":1,"":2})", R"([{"x":{"a":1,"b":2,"a":3}}])", R"({"b":1,"x":{"b":{"c":1}},"b":1})"}) {
    INFO(text);
    CHECK_FALSE(json::valid(text, unique));
    CHECK(json::valid(text));
  }
  std::string many = "{";
  for (int i = 0; i < 200000; ++i) many += "\"key" + std::to_string(i) + "\":0,";
  CHECK(json::valid(many + "\"key\":0}", unique));
  CHECK_FALSE(json::valid(many + "\"key77\":0}", unique));
}

TEST_CASE("json: a cursor says where values stand") {
  const std::string text = R"( { "a" : [1, 2] , "n" : "x\ny" , "t" : -5 , "z" : {} } )";
  Cursor cursor(text);
  REQUIRE(cursor.enter_object());
  std::string_view key;
  REQUIRE(cursor.next_key(key));
  CHECK(key == "a");
  CHECK(cursor.peek() == Type::array);
  CHECK(cursor.offset() == text.find("[1"));
  const std::string_view raw = cursor.skip();
  CHECK(raw == "[1, 2]");
  CHECK(raw.data() == text.data() + text.find("[1"));
  CHECK(cursor.offset() == text.find("[1") + raw.size());
  REQUIRE(cursor.next_key(key));
  CHECK(cursor.raw_string() == "x\\ny");
  REQUIRE(cursor.next_key(key));
  std::int64_t number = 0;
  CHECK(cursor.read_integer(number));
  CHECK(number == -5);
  REQUIRE(cursor.next_key(key));
  REQUIRE(cursor.enter_object());
  CHECK_FALSE(cursor.next_key(key));
  CHECK_FALSE(cursor.next_key(key));
  CHECK(cursor.finish());
}

TEST_CASE("json: integers are exact or refused") {
  const auto read = [](std::string_view text, std::int64_t& out) {
    Cursor cursor(text);
    return cursor.read_integer(out) && cursor.finish();
  };
  std::int64_t n = 0;
  CHECK(read("9223372036854775807", n));
  CHECK(n == INT64_MAX);
  CHECK(read("-9223372036854775808", n));
  CHECK(n == INT64_MIN);
  CHECK(read("-0", n));
  CHECK(n == 0);
  for (const char* text : {"9223372036854775808", "-9223372036854775809", "99999999999999999999",
                           "1.0", "1e2", "\"1\"", "true"}) {
    INFO(text);
    CHECK_FALSE(read(text, n));
  }
}

TEST_CASE("json: a wrong call is an error, and errors stay") {
  Cursor cursor("[1,2]");
  std::string_view key;
  CHECK_FALSE(cursor.enter_object());
  CHECK_FALSE(cursor.ok());
  CHECK_FALSE(cursor.enter_array());
  CHECK(cursor.skip().empty());
  CHECK_FALSE(cursor.next_key(key));
  CHECK_FALSE(cursor.finish());

  cursor.reset("[1,2]");
  CHECK(cursor.enter_array());
  CHECK(cursor.next_element());
  CHECK_FALSE(cursor.next_element());  // the value was not read

  cursor.reset("1");
  CHECK_FALSE(cursor.finish());
  cursor.reset("1");
  CHECK(cursor.skip() == "1");
  CHECK(cursor.skip().empty());
}

TEST_CASE("json: strings survive quoting and reading") {
  std::string all;
  for (int c = 0; c < 128; ++c) all.push_back(static_cast<char>(c));
  all += "\xe4\xbd\xa0\xf0\x9f\x98\x80\xc3\xa9";
  std::string quoted;
  json::quote(all, quoted);
  Cursor cursor(quoted);
  std::string back;
  REQUIRE(cursor.read_string(back));
  CHECK(back == all);
  CHECK(boost::json::parse(quoted).as_string() == all);
  cursor.reset(R"("\u00e9\u4f60\ud83d\ude00\u0041")");
  REQUIRE(cursor.read_string(back));
  CHECK(back ==
        "\xc3\xa9\xe4\xbd\xa0\xf0\x9f\x98\x80"
        "A");
}

TEST_CASE("utf8: exactly the sequences of RFC 3629") {
  // Every two-byte and three-byte text, and the edges of four-byte ones, against the standard's
  // table 3-7.
  const auto b = [](int c) { return static_cast<char>(c); };
  const auto within = [](int c, int low, int high) { return c >= low && c <= high; };
  for (int first = 0x80; first < 0x100; ++first) {
    for (int second = 0; second < 0x100; ++second) {
      const bool tail = within(second, 0x80, 0xbf);
      if (json::valid_utf8(std::string{b(first), b(second)}) !=
          (within(first, 0xc2, 0xdf) && tail)) {
        FAIL_CHECK(first << " " << second);
      }
      const bool three =
          (first == 0xe0 && within(second, 0xa0, 0xbf)) || (within(first, 0xe1, 0xec) && tail) ||
          (first == 0xed && within(second, 0x80, 0x9f)) || (within(first, 0xee, 0xef) && tail);
      const bool four = (first == 0xf0 && within(second, 0x90, 0xbf)) ||
                        (within(first, 0xf1, 0xf3) && tail) ||
                        (first == 0xf4 && within(second, 0x80, 0x8f));
      for (const int third : {0x00, 0x41, 0x7f, 0x80, 0xbf, 0xc0, 0xff}) {
        const bool third_tail = within(third, 0x80, 0xbf);
        // A valid two-byte sequence before an ASCII byte is valid too.
        const bool two = within(first, 0xc2, 0xdf) && tail && third < 0x80;
        if (json::valid_utf8(std::string{b(first), b(second), b(third)}) !=
            ((three && third_tail) || two)) {
          FAIL_CHECK(first << " " << second << " " << third);
        }
        for (const int last : {0x7f, 0x80, 0xbf, 0xc0}) {
          const bool expected = (four && third_tail && within(last, 0x80, 0xbf)) ||
                                (((three && third_tail) || two) && last < 0x80) ||
                                (within(first, 0xc2, 0xdf) && tail && within(third, 0xc2, 0xdf) &&
                                 within(last, 0x80, 0xbf));
          if (json::valid_utf8(std::string{b(first), b(second), b(third), b(last)}) != expected) {
            FAIL_CHECK(first << " " << second << " " << third << " " << last);
          }
        }
      }
    }
  }
  CHECK(json::valid_utf8(""));
  CHECK(json::valid_utf8("twelve bytes of ASCII and \xe4\xbd\xa0"));
  CHECK_FALSE(json::valid_utf8("twelve bytes of ASCII and \xe4\xbd"));
  CHECK_FALSE(json::valid_utf8("\x80"));
}

// Frames: what comes from a plugin's process is not trusted.
#include "backends/devices/wire.h"

#include <fcntl.h>
#include <unistd.h>

#include "gateway/base/rng.h"
#include "tests/catch.h"

using namespace trib::devices;

namespace {
struct Pipe {
  int fds[2];
  Pipe() { REQUIRE(::pipe2(fds, O_CLOEXEC) == 0); }
  ~Pipe() {
    ::close(fds[0]);
    shut();
  }
  void shut() {
    if (fds[1] >= 0) ::close(fds[1]);
    fds[1] = -1;
  }
};
}  // namespace

TEST_CASE("a message comes back as it was") {
  const Message sent{{{"rc", "0"}, {"why", "a \"quoted\"\n line, \xe6\x98\x9f"}}, {{{"key", "a"}}, {{"key", "b"}}}};
  const auto got = decode(encode(sent));
  REQUIRE(got);
  CHECK(got->fields == sent.fields);
  CHECK(got->items == sent.items);
}

TEST_CASE("bytes that are not UTF-8 are replaced, not passed on") {
  const auto got = decode(encode({{{"name", "bad \xff\xfe name"}}, {}}));
  REQUIRE(got);
  CHECK(text(got->fields, "name") == "bad ?? name");
}

TEST_CASE("rubbish is no message") {
  for (const char* bad : {"", "{", "[]", "{\"a\":1}", "{\"a\":\"b\"}x", "{\"a\":\"b\",\"a\":\"c\"}", "{\"items\":{}}",
                          "{\"items\":[{\"items\":[]}]}", "null"})
    CHECK_FALSE(decode(bad).has_value());
  trib::SeededRng rng(7);
  const std::string good = encode({{{"rc", "0"}, {"name", "x"}}, {{{"key", "k"}}}});
  for (int i = 0; i < 2000; ++i) {
    std::string damaged = good;
    damaged[rng.below(damaged.size())] = static_cast<char>(rng.next());
    decode(damaged);  // any answer, but an answer
  }
}

TEST_CASE("numbers are whole and in range, or absent") {
  const Fields f{{"a", "12"}, {"b", "12x"}, {"c", "-3"}, {"d", "99999999999999999999"}, {"e", ""}};
  CHECK(number(f, "a") == 12u);
  CHECK_FALSE(number(f, "b").has_value());
  CHECK_FALSE(number(f, "c").has_value());
  CHECK(signed_number(f, "c") == -3);
  CHECK_FALSE(number(f, "d").has_value());
  CHECK_FALSE(number(f, "e").has_value());
  CHECK_FALSE(number(f, "none").has_value());
}

TEST_CASE("a frame is read whole, or its end has a name") {
  Pipe pipe;
  std::string got;
  REQUIRE(write_frame(pipe.fds[1], "{}"));
  CHECK(read_frame(pipe.fds[0], got, 0) == ReadEnd::frame);
  CHECK(got == "{}");
  CHECK(read_frame(pipe.fds[0], got, monotonic_ns() + 1'000'000) == ReadEnd::deadline);
  REQUIRE(::write(pipe.fds[1], "\xff\xff\xff\x7f", 4) == 4);
  CHECK(read_frame(pipe.fds[0], got, 0) == ReadEnd::rubbish);
  REQUIRE(::write(pipe.fds[1], "\x05\0\0\0ab", 6) == 6);
  pipe.shut();
  CHECK(read_frame(pipe.fds[0], got, 0) == ReadEnd::closed);
}

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "gateway/base/json.h"
#include "gateway/http/http.h"
#include "tests/catch.h"

using namespace trib::http;

namespace {
struct Seen {
  std::string raw, data, type;
  friend bool operator==(const Seen&, const Seen&) = default;
};
using S = SseScanner::Status;

// Feeds `bytes` in pieces of at most `step`, the first of at most `first`; the last element's raw
// is what was left over.
std::vector<Seen> scan(std::string_view bytes, std::size_t first, std::size_t step,
                       std::size_t max = 1u << 20) {
  SseScanner scanner(max);
  std::vector<Seen> seen;
  while (!bytes.empty()) {
    std::string_view in = bytes.substr(0, first);
    bytes.remove_prefix(in.size());
    first = step;
    for (;;) {
      SseEvent event;
      const S status = scanner.next(in, event);
      if (status == S::need_more) break;
      if (status == S::too_large) {
        seen.push_back({"too large", "", ""});
        return seen;
      }
      if (status == S::event) {
        seen.push_back({std::string(event.raw), std::string(event.data), std::string(event.type)});
      }
    }
    REQUIRE(in.empty());
  }
  seen.push_back({"torn " + std::to_string(scanner.held_bytes()), "", ""});
  return seen;
}

std::vector<Seen> same_however_cut(std::string_view bytes, std::size_t max = 1u << 20) {
  INFO(bytes);
  const std::vector<Seen> whole = scan(bytes, bytes.size(), bytes.size(), max);
  CHECK(scan(bytes, 1, 1, max) == whole);
  for (std::size_t cut = 1; cut < bytes.size(); ++cut) {
    const bool same = scan(bytes, cut, bytes.size(), max) == whole;
    if (!same) FAIL_CHECK("cut at " << cut);
  }
  return whole;
}
}  // namespace

TEST_CASE("events are found whichever way their lines end") {
  for (const std::string end : {"\n", "\r\n", "\r"}) {
    const std::string one = "event: m" + end + "data: {\"a\":1}" + end + end;
    const std::string two = ": note" + end + "data:x" + end + "data: y" + end + "id: 3" + end + end;
    const auto seen =
        same_however_cut(end + one + ": only a comment" + end + end + end + two + "data: to");
    REQUIRE(seen.size() == 3);
    CHECK(seen[0] == Seen{one, "{\"a\":1}", "m"});
    CHECK(seen[1] == Seen{two, "x\ny", ""});
    CHECK(seen[2].raw == "torn 8");
  }
}

TEST_CASE("odd fields") {
  const auto data = [](std::string_view bytes) {
    const auto seen = same_however_cut(bytes);
    return seen.size() == 2 ? seen[0].data : std::string("no event");
  };
  CHECK(data("data\n\n") == "");
  CHECK(data("data:\n\n") == "");
  CHECK(data("data:  two blanks\n\n") == " two blanks");
  CHECK(data("data: a\ndata\ndata:\ndata: b\n\n") == "a\n\n\nb");
  CHECK(data("database: x\n\n") == "no event");
  CHECK(data("event: ping\n\n") == "no event");
  CHECK(data(" data: x\n\n") == "no event");
  CHECK(data("\xef\xbb\xbf"
             "data: x\n\n") ==
        "\xef\xbb\xbf"
        "data: x\n\n");
  CHECK(data("data: a\r\n\n") == "a");
  CHECK(data("data: a\n\r\n") == "a");
  CHECK(data("data: a\r\r\n") == "a");
}

TEST_CASE("an event above its cap is refused however it comes") {
  const std::string ok = "data: " + std::string(24, 'x') + "\n\n";
  CHECK(same_however_cut(ok + ok, 32).size() == 3);
  CHECK(same_however_cut(ok + "data: " + std::string(25, 'x') + "\n\n" + ok, 32).size() == 2);
  CHECK(same_however_cut("data: " + std::string(26, 'x') + "\r\n\r\n", 32).back().raw ==
        "too large");
  SseScanner scanner(8);
  std::string_view in = "data: 123456789";
  SseEvent event;
  CHECK(scanner.next(in, event) == S::too_large);
  in = "data: 1\n\n";
  CHECK(scanner.next(in, event) == S::too_large);
  scanner.reset();
  in = "data:1\n\n";
  CHECK(scanner.next(in, event) == S::event);
}

TEST_CASE(
    "streams of engines give the same events however they are cut and whichever way lines end") {
  std::size_t streams = 0;
  for (const auto& entry : std::filesystem::directory_iterator("tests/corpus/sse")) {
    std::ifstream file(entry.path(), std::ios::binary);
    const std::string stream{std::istreambuf_iterator<char>(file), {}};
    INFO(entry.path().filename().string());
    const auto with_lf = same_however_cut(stream);
    CHECK(with_lf.size() > 3);
    CHECK(with_lf.back().raw == "torn 0");
    for (const Seen& event : with_lf) {
      if (&event == &with_lf.back()) continue;
      CHECK(stream.find(event.raw) != stream.npos);
      CHECK((event.data == "[DONE]" || trib::json::valid(event.data)));
    }
    for (const std::string end : {"\r\n", "\r"}) {
      std::string other;
      for (const char c : stream) c == '\n' ? other.append(end) : other.append(1, c);
      const auto seen = same_however_cut(other);
      REQUIRE(seen.size() == with_lf.size());
      for (std::size_t i = 0; i < seen.size(); ++i) {
        CHECK(seen[i].data == with_lf[i].data);
        CHECK(seen[i].type == with_lf[i].type);
      }
    }
    ++streams;
  }
  CHECK(streams >= 10);
}

TEST_CASE("a stream cut anywhere gives a front of its events, and says that it was torn") {
  const std::string stream = "data: {\"a\":1}\r\n\r\n: c\r\n\r\ndata: {\"b\":2}\r\n\r\n";
  const auto whole = scan(stream, stream.size(), 1);
  for (std::size_t size = 1; size < stream.size(); ++size) {
    const auto seen = scan(std::string_view(stream).substr(0, size), size, 1);
    REQUIRE(seen.size() <= whole.size());
    for (std::size_t i = 0; i + 1 < seen.size(); ++i) CHECK(seen[i] == whole[i]);
    if (size > 32) CHECK(seen.back().raw != "torn 0");
  }
}

// The corpus of malformed, ambiguous and odd requests, however the bytes are cut into reads.
#include <set>
#include <string>

#include "tests/catch.h"
#include "tests/corpus/corpus.h"
#include "tests/corpus/front.h"

using namespace trib::corpus;

namespace {

const std::vector<Case>& cases() {
  static const std::vector<Case> all = load("tests/corpus/http");
  return all;
}

std::string verdict(const Front& front) {
  std::string out = front.end();
  for (const std::string& request : front.served()) out += "\n--- served\n" + request;
  return out;
}
std::string verdict(const Case& c) {
  std::string out = c.end;
  for (const std::string& request : c.want) out += "\n--- served\n" + request;
  return out;
}

std::string cut_in_two(std::string_view bytes, std::size_t at) {
  Front front;
  front.feed(bytes.substr(0, at));
  front.feed(bytes.substr(at));
  return verdict(front);
}

}  // namespace

TEST_CASE("every request of the corpus is refused, or read as exactly what it says") {
  for (const Case& c : cases()) {
    Front front;
    front.feed(c.send);
    INFO(c.group << " / " << c.name << ": " << front.why());
    CHECK(verdict(front) == verdict(c));
    if (c.end.starts_with("refuse")) CHECK_FALSE(front.why().empty());
  }
}

TEST_CASE("cutting the bytes changes no verdict") {
  for (const Case& c : cases()) {
    INFO(c.group << " / " << c.name);
    const std::string expected = verdict(c);
    Front front;
    for (const char byte : c.send) front.feed(std::string_view(&byte, 1));
    CHECK(verdict(front) == expected);
    // Long ones (sizes) at every position near an end, and now and then between.
    const std::size_t near_end = 600;
    std::size_t differing = 0;
    for (std::size_t at = 1; at < c.send.size(); ++at) {
      const bool between = at > near_end && at + near_end < c.send.size();
      if (between && at % 61 != 0 && (at & (at - 1)) != 0) continue;
      if (cut_in_two(c.send, at) != expected) differing = at;
    }
    CHECK(differing == 0);
  }
}

TEST_CASE("the corpus is as large as promised and its names are unique") {
  std::set<std::string> names;
  std::size_t hard = 0;
  std::size_t legal = 0;
  std::size_t beast = 0;
  for (const Case& c : cases()) {
    CHECK(names.insert(c.name).second);
    CHECK_FALSE(c.send.empty());
    ++(c.group == "legal" ? legal : hard);
    if (c.group == "beast") ++beast;
    if (c.group == "legal") CHECK_FALSE(c.want.empty());
  }
  CHECK(hard >= 220);
  CHECK(legal >= 30);
  CHECK(beast == 12);
}

// What a party's files may hold, on random ledgers.
#include <map>
#include <regex>
#include <set>

#include "tests/unit/settlement/random_books.h"

using namespace trib;
using namespace trib::settlement;
using test::RandomBooks;

namespace {

// Every decimal that stands in a text as a word of its own and is long enough to be nobody's by chance.
std::set<std::string> amounts_in(const std::string& text) {
  static const std::regex decimal("[0-9]+\\.[0-9]{9,12}");
  return {std::sregex_token_iterator(text.begin(), text.end(), decimal), std::sregex_token_iterator()};
}

std::string all_of(const Export& made) {
  REQUIRE(made.error == "");
  std::string out;
  for (const auto& file : made.files) out += file.content;
  return out;
}

const std::set<std::string> parties = {"site:dc-one", "site:cafe-one", "site:lab.two", "vendor:nvidia", "vendor:amd", "referrer:lianmeng", "platform"};

}  // namespace

TEST_CASE("invariant 28: party A's export contains nothing of party B", "[invariant]") {
  const std::uint64_t seed = GENERATE(1u, 2u, 3u, 4u);
  INFO("seed " << seed);
  RandomBooks books(seed);
  books.live(60);
  const std::string names[] = {"dc-one", "cafe-one", "lab.two", "nvidia", "amd", "lianmeng", "acme", "bolt", "corp"};
  for (const std::string period : {"2026-11", "2026-12"}) {
    std::map<std::string, std::set<std::string>> amounts;
    for (const auto& party : parties) {
      const Export made = books.make(period, Format::jsonl, party);
      const std::string text = all_of(made);
      INFO(period << ' ' << party);
      CHECK(made.files.size() == 4);  // detail, summary, lines, manifest
      for (const auto& name : names) {
        INFO("names " << name);
        CHECK((party.find(name) != std::string::npos || !std::regex_search(text, std::regex("\\b" + name + "\\b"))));
      }
      CHECK(text.find("\"charge\":\"") == std::string::npos);
      CHECK(text.find("\"gross_revenue\":\"") == std::string::npos);
      amounts[party] = amounts_in(text);
    }
    // No figure stands in the files of two parties: parts, sums and carries are each one's own.
    for (const auto& one : parties) {
      for (const auto& other : parties) {
        if (one == other) continue;
        for (const auto& amount : amounts[one]) {
          INFO(period << ": " << amount << " is told to " << one << " and to " << other);
          CHECK_FALSE(amounts[other].contains(amount));
        }
      }
    }
  }
}

TEST_CASE("what customers paid is shown to a party whose contract says so, and to nobody else") {
  RandomBooks books(5, true);
  books.live(60);
  CHECK(all_of(books.make("2026-11", Format::jsonl, "site:cafe-one")).find("\"charge\":\"") != std::string::npos);
  CHECK(all_of(books.make("2026-11", Format::jsonl, "site:dc-one")).find("\"charge\":\"") == std::string::npos);
}

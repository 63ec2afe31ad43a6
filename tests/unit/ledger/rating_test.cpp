#include "gateway/ledger/rating.h"

#include <map>

#include "gateway/ledger/period.h"
#include "tests/catch.h"
#include "tests/unit/ledger/samples.h"

using namespace trib;
using namespace trib::ledger;
using metering::Final;
using metering::TokenCounts;
using money::Amount;

namespace {

std::map<std::string, Amount> by_party(const Rated& rated) {
  std::map<std::string, Amount> out;
  for (const auto& part : rated.parts) out[part.party] += part.amount;
  return out;
}

TokenCounts golden_counts() {
  TokenCounts counts;
  counts.input = 1234;
  counts.cached_input = 10'007;
  counts.output = 567;
  return counts;
}

Final golden_final() {
  Final final = test::request({1, 2}, 1'000'000, golden_counts());
  test::add_attempt(final, "dc-one", "nvidia", 567);
  return final;
}

}  // namespace

TEST_CASE("the golden request is rated and split to the last pico") {
  const Rated rated = rate(golden_final(), test::golden_book());
  REQUIRE(rated.quarantine.empty());
  REQUIRE(rated.gross == Amount::pico(10'339'663'898));
  REQUIRE(rated.parts.size() == 4);
  CHECK(rated.parts[0] == Part{1, "platform", "c", 1, Amount::pico(2'946'804'211)});
  CHECK(rated.parts[1] == Part{1, "site:dc-one", "c", 1, Amount::pico(6'720'781'534)});
  CHECK(rated.parts[2] == Part{1, "vendor:nvidia", "c", 1, Amount::pico(516'983'195)});
  CHECK(rated.parts[3] == Part{1, "referrer:lianmeng", "c", 1, Amount::pico(155'094'958)});
}

TEST_CASE("what is unknown is quarantined with its reason, never zero") {
  Book book = test::golden_book();
  Final final = golden_final();
  SECTION("no price version") {
    final.admit.price_version = 2;
    CHECK(rate(final, book).quarantine == "no price: model \"m\" version 2");
  }
  SECTION("no such model") {
    final.admit.model = "gone";
    CHECK(rate(final, book).quarantine == "no price: model \"gone\" version 1");
  }
  SECTION("no contract version") {
    final.attempts[0].contract_version = 0;
    CHECK(rate(final, book).quarantine == "no contract: \"c\" version 0");
  }
  SECTION("tokens without a source") {
    final.source = metering::CountSource::none;
    CHECK_FALSE(rate(final, book).quarantine.empty());
  }
  SECTION("billed tokens that nobody delivered") {
    final.attempts.clear();
    final.results.clear();
    CHECK_FALSE(rate(final, book).quarantine.empty());
  }
  SECTION("results that do not pair with attempts") {
    final.results[0].n = 7;
    CHECK_FALSE(rate(final, book).quarantine.empty());
  }
  SECTION("a count that no request can have") {
    final.counts.output = UINT64_MAX;
    CHECK_FALSE(rate(final, book).quarantine.empty());
  }
  SECTION("a charge of a million CNY and more") {
    book.prices["m"][0].output = money::Price::pico_per_unit(1'000'000'000'000);
    final.counts = {};
    final.counts.output = 1'000'000;
    CHECK_FALSE(rate(final, book).quarantine.empty());
    final.counts.output = 999'999;
    CHECK(rate(final, book).quarantine.empty());
  }
  const Rated rated = rate(final, book);
  if (!rated.quarantine.empty()) {
    CHECK(rated.gross.zero());
    CHECK(rated.parts.empty());
  }
}

TEST_CASE("no token billed is a void row; free is a price") {
  Book book = test::golden_book();
  Final final = golden_final();
  final.counts = {};
  final.outcome = metering::Outcome::failed;
  final.source = metering::CountSource::none;
  final.admit.price_version = 9;
  CHECK(rate(final, book) .quarantine.empty());
  CHECK(rate(final, book).parts.empty());

  Final gratis = golden_final();
  book.prices["m"][0] = test::price_version("m", 1, 0, 0, 0, 0);
  const Rated rated = rate(gratis, book);
  CHECK(rated.quarantine.empty());
  CHECK(rated.gross.zero());
  CHECK(rated.parts.size() == 4);
}

TEST_CASE("an unknown vendor's part waits under its own name") {
  Final final = golden_final();
  final.attempts[0].vendor.clear();
  CHECK(by_party(rate(final, test::golden_book()))["vendor:"] == Amount::pico(516'983'195));
}

TEST_CASE("a party without a weight takes no part, not even in the rotation") {
  Book book = test::golden_book();
  book.contracts["c"][0].shares = {500'000, 500'000, 0, 0};
  book.prices["m"][0] = test::price_version("m", 1, 0, 1, 1, 1);
  for (std::uint64_t lo = 0; lo < 64; ++lo) {
    TokenCounts one;
    one.output = 1;
    Final final = test::request({7, lo}, 0, one);
    test::add_attempt(final, "dc-one", "", 1);
    const Rated rated = rate(final, book);
    REQUIRE(rated.parts.size() == 2);
    const std::uint64_t turn = money::split_rotation(final.admit.id.text(), 2);
    REQUIRE(rated.parts[turn].amount == Amount::pico(1));
    REQUIRE(rated.parts[1 - turn].amount.zero());
  }
}

TEST_CASE("the referrer's share goes to the platform after the last day of its until") {
  Book book = test::golden_book();
  const std::int64_t last_day = period_end_ms(202612) - day_ms;  // 2026-12-31 in Shanghai
  book.contracts["c"][0].referrer_until_ms = last_day;
  Final final = golden_final();
  final.admit.wall_ms = last_day + day_ms - 1;
  CHECK(by_party(rate(final, book)).count("referrer:lianmeng") == 1);
  final.admit.wall_ms = last_day + day_ms;
  const Rated rated = rate(final, book);
  REQUIRE(rated.parts.size() == 3);
  CHECK(rated.parts[0].amount.pico() >= 10'339'663'898 * 3 / 10);
  CHECK(rated.parts[0].amount.pico() <= 10'339'663'898 * 3 / 10 + 1);
}

TEST_CASE("several sites: input once to the first that delivered, output by delivered tokens") {
  Book book = test::golden_book();
  book.contracts["d"] = {test::contract_version("d", 1, {100'000, 900'000, 0, 0})};
  TokenCounts counts;
  counts.input = 100;
  counts.output = 30;
  Final final = test::request({1, 3}, 0, counts);
  test::add_attempt(final, "dead", "amd", 0, "connect_refused");
  test::add_attempt(final, "dc-one", "nvidia", 20, "stall");
  test::add_attempt(final, "cafe-one", "amd", 10, "none", "d");
  const Rated rated = rate(final, book);
  REQUIRE(rated.shares.size() == 2);
  CHECK(rated.shares[0].attempt == 2);
  CHECK(rated.shares[0].counts.input == 100);
  CHECK(rated.shares[0].counts.output == 20);
  CHECK(rated.shares[1].attempt == 3);
  CHECK(rated.shares[1].counts.input == 0);
  CHECK(rated.shares[1].counts.output == 10);
  auto parties = by_party(rated);
  CHECK(parties.count("site:dead") == 0);
  CHECK(parties["site:cafe-one"] == Amount::pico(80'000'010 * 9 / 10));
}

TEST_CASE("output that does not divide goes by largest remainder, ties by attempt number") {
  TokenCounts counts;
  counts.output = 10;
  counts.reasoning = 1;
  Final final = test::request({1, 4}, 0, counts);
  for (int i = 0; i < 3; ++i) test::add_attempt(final, "s", "v", 5);
  const Rated rated = rate(final, test::golden_book());
  REQUIRE(rated.shares.size() == 3);
  CHECK(rated.shares[0].counts.output + rated.shares[0].counts.reasoning == 4);
  CHECK(rated.shares[1].counts.output + rated.shares[1].counts.reasoning == 4);
  CHECK(rated.shares[2].counts.output + rated.shares[2].counts.reasoning == 3);
}

TEST_CASE("input without output goes to the attempt that answered") {
  TokenCounts counts;
  counts.input = 12;
  Final final = test::request({1, 5}, 0, counts);
  test::add_attempt(final, "dead", "amd", 0, "reset");
  test::add_attempt(final, "dc-one", "nvidia", 0);
  const Rated rated = rate(final, test::golden_book());
  REQUIRE(rated.shares.size() == 1);
  CHECK(rated.shares[0].attempt == 2);
}

TEST_CASE("any request: parts sum to gross, shares sum to counts") {
  SeededRng rng(33);
  Book book = test::golden_book();
  for (int round = 0; round < 5'000; ++round) {
    std::uint32_t cut[3] = {static_cast<std::uint32_t>(rng.below(1'000'001)), static_cast<std::uint32_t>(rng.below(1'000'001)),
                            static_cast<std::uint32_t>(rng.below(1'000'001))};
    std::sort(cut, cut + 3);
    book.contracts["c"][0].shares = {cut[0], cut[1] - cut[0], cut[2] - cut[1], 1'000'000 - cut[2]};
    book.prices["m"][0] = test::price_version("m", 1, 0, static_cast<std::int64_t>(rng.below(9'000'000)),
                                              static_cast<std::int64_t>(rng.below(9'000'000)),
                                              static_cast<std::int64_t>(rng.below(9'000'000)));
    TokenCounts counts{rng.below(5000), rng.below(5000), rng.below(50), rng.below(5000), rng.below(500)};
    Final final = test::request({rng.next(), rng.next()}, 0, counts);
    const auto attempts = 1 + rng.below(5);
    for (std::uint64_t i = 0; i < attempts; ++i) test::add_attempt(final, "s", "v", rng.below(3) == 0 ? 0 : rng.below(3000));
    const Rated rated = rate(final, book);
    REQUIRE(rated.quarantine.empty());
    Amount parts, shares;
    TokenCounts sum;
    for (const auto& p : rated.parts) parts += p.amount;
    for (const auto& s : rated.shares) {
      shares += s.gross;
      sum.input += s.counts.input;
      sum.cached_input += s.counts.cached_input;
      sum.cache_write += s.counts.cache_write;
      sum.output += s.counts.output;
      sum.reasoning += s.counts.reasoning;
    }
    REQUIRE(parts == rated.gross);
    REQUIRE(shares == rated.gross);
    REQUIRE(sum == counts);
  }
}

TEST_CASE("a book answers one version for any instant") {
  Book book;
  book.prices["m"] = {test::price_version("m", 1, 1000, 1, 1, 1), test::price_version("m", 2, 2000, 2, 2, 2)};
  book.prices["m"][0].to_ms = 2000;
  book.prices["m"][1].to_ms = 3000;
  CHECK(book.price_at("m", 999) == nullptr);
  CHECK(book.price_at("m", 1000)->version == 1);
  CHECK(book.price_at("m", 1999)->version == 1);
  CHECK(book.price_at("m", 2000)->version == 2);
  CHECK(book.price_at("m", 2999)->version == 2);
  CHECK(book.price_at("m", 3000) == nullptr);
  CHECK(book.price_at("x", 1000) == nullptr);
  CHECK(book.price("m", 0) == nullptr);
  CHECK(book.price("m", 2)->from_ms == 2000);
  CHECK(book.price("m", 3) == nullptr);
}

TEST_CASE("a hold covers the dearest class") {
  auto price = test::price_version("m", 1, 0, 10, 1, 20);
  price.reasoning = money::Price::pico_per_unit(25);
  CHECK(worst_case(price, 100, 10) == Amount::pico(1250));
}

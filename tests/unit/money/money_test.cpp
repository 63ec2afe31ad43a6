#include "gateway/money/money.h"

#include <numeric>

#include "gateway/base/base.h"
#include "tests/catch.h"

using namespace trib;
using namespace trib::money;

TEST_CASE("the golden charge: four classes at whole pico prices") {
  const Amount gross = charge(1234, Price::pico_per_unit(2'000'000)) + charge(10'007, Price::pico_per_unit(333'333)) +
                       charge(567, Price::pico_per_unit(8'000'001));
  REQUIRE(gross.text() == "0.010339663898");
}

TEST_CASE("the golden split: three leftover units go to the largest remainders") {
  const std::uint32_t weights[] = {285'000, 650'000, 50'000, 15'000};
  const auto parts = split(Amount::pico(10'339'663'898), weights, 0);
  REQUIRE(parts == std::vector<Amount>{Amount::pico(2'946'804'211), Amount::pico(6'720'781'534), Amount::pico(516'983'195),
                                       Amount::pico(155'094'958)});
  const int128 many = parts[1].pico() * 1'000'003;
  REQUIRE(many / 10'000'000'000 == 672'080);
  REQUIRE(many % 10'000'000'000 == 1'696'344'602);
}

TEST_CASE("one pico among four equals goes where the rotation points") {
  const std::uint32_t weights[] = {250'000, 250'000, 250'000, 250'000};
  for (std::uint64_t r = 0; r < 4; ++r) {
    const auto parts = split(Amount::pico(1), weights, r);
    for (std::size_t i = 0; i < 4; ++i) REQUIRE(parts[i].pico() == (i == r ? 1 : 0));
  }
}

TEST_CASE("any split sums to its gross and stays within one unit of the exact share") {
  SeededRng rng(20261124);
  for (int round = 0; round < 20'000; ++round) {
    const std::size_t n = 1 + rng.below(6);
    std::vector<std::uint32_t> weights(n, 0);
    std::uint32_t left = ppm_whole;
    for (std::size_t i = 0; i + 1 < n; ++i) {
      weights[i] = static_cast<std::uint32_t>(rng.below(left + 1));
      left -= weights[i];
    }
    weights[n - 1] = left;
    const Amount gross = Amount::pico(static_cast<int128>(rng.below(1'000'000'000'000'000'000ULL)));
    const auto parts = split(gross, weights, rng.next());
    Amount sum;
    for (std::size_t i = 0; i < n; ++i) {
      sum += parts[i];
      const int128 exact_ppm = gross.pico() * weights[i];
      const int128 off = parts[i].pico() * ppm_whole - exact_ppm;
      const bool within = off < ppm_whole && off > -static_cast<int128>(ppm_whole);
      REQUIRE(within);
    }
    REQUIRE(sum == gross);
  }
}

TEST_CASE("apportioned units sum and follow the weights") {
  const std::uint64_t weights[] = {40, 20, 0};
  REQUIRE(apportion(61, weights) == std::vector<std::uint64_t>{41, 20, 0});
  const std::uint64_t equal[] = {1, 1, 1};
  REQUIRE(apportion(2, equal) == std::vector<std::uint64_t>{1, 1, 0});
  const std::uint64_t none[] = {0, 0};
  REQUIRE(apportion(5, none) == std::vector<std::uint64_t>{0, 0});
}

TEST_CASE("amounts are read and written exactly, and what is not one is refused") {
  for (const char* text : {"0", "100", "0.010339663898", "-0.5", "999999999999999999.999999999999"})
    REQUIRE(Amount::parse(text)->text() == text);
  REQUIRE(Amount::parse("100.00")->text() == "100");
  for (const char* text : {"", ".", "1.", ".5", "+1", "1e3", "1,0", " 1", "1 ", "0.0000000000001", "--1", "1.2.3"})
    REQUIRE_FALSE(Amount::parse(text));
}

TEST_CASE("prices have at most six decimals, so a token is whole pico") {
  REQUIRE(Price::parse_per_million("0.50")->pico() == 500'000);
  REQUIRE(Price::parse_per_million("2")->pico() == 2'000'000);
  REQUIRE(Price::parse_per_million("0.333333")->pico() == 333'333);
  REQUIRE(Price::parse_per_million("8.000001")->per_million_text() == "8.000001");
  for (const char* text : {"0.3333333", "-1", "1e2", "free", ""}) REQUIRE_FALSE(Price::parse_per_million(text));
}

TEST_CASE("invariant 6: (mu, pf) round-trips int128, both signs", "[invariant]") {
  // The edges: of the remainder, of the sign, and of what two BIGINT columns hold.
  const int128 million = 1'000'000, most = static_cast<int128>(INT64_MAX) * million + 999'999, least = static_cast<int128>(INT64_MIN) * million;
  for (const int128 value : {int128{0}, int128{1}, int128{-1}, million - 1, million, million + 1, -million + 1, -million, -million - 1, most, most - 1, least, least + 1}) {
    const Amount a = Amount::pico(value);
    REQUIRE(a.pf() >= 0);
    REQUIRE(a.pf() < 1'000'000);
    REQUIRE(static_cast<int128>(a.mu()) * million + a.pf() == value);
    REQUIRE(Amount::from_mu_pf(a.mu(), a.pf()) == a);
  }
  REQUIRE(Amount::pico(-1).mu() == -1);  // floored, not cut
  REQUIRE(Amount::pico(-1).pf() == 999'999);
  SeededRng rng(5);
  for (int i = 0; i < 10'000; ++i) {
    auto value = static_cast<int128>(rng.next() >> 2) * static_cast<int128>(1 + rng.below(1000));
    if (rng.below(2) == 1) value = -value;
    const Amount a = Amount::pico(value);
    REQUIRE(a.pf() >= 0);
    REQUIRE(a.pf() < 1'000'000);
    REQUIRE(Amount::from_mu_pf(a.mu(), a.pf()) == a);
  }
}

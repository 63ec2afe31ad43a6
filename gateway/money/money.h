// Money and its arithmetic: no I/O, no clocks, no floats. The unit is 1 pico-CNY (10^-12 CNY), so a
// price quoted per million tokens with six decimals is a whole number per token and qty * price is
// exact. Rounding happens once, to fen, on statements.
#pragma once
#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/base/base.h"

namespace trib::money {

__extension__ using int128 = __int128;

// An amount of pico-CNY. No implicit conversions. Overflow of the 128 bits is an assertion; asserted
// bounds elsewhere keep every sum far below.
class Amount {
 public:
  constexpr Amount() = default;
  static constexpr Amount pico(int128 value) { return Amount(value); }
  // A decimal string in CNY with at most `places_max` (<= 12) decimals: "100.00", "-0.5". Refuses
  // signs other than a leading '-', exponents, separators, blanks and more than 18 whole digits.
  static std::optional<Amount> parse(std::string_view text, int places_max = 12);

  constexpr int128 pico() const { return value_; }
  constexpr bool zero() const { return value_ == 0; }
  constexpr bool negative() const { return value_ < 0; }
  // Shortest decimal in CNY, at most 12 places: "0.010339663898", "100", "-0.5". Exact.
  std::string text() const;

  // Storage form: micro-CNY floored, and the pico remainder in [0, 999999].
  std::int64_t mu() const;
  std::int64_t pf() const;
  static Amount from_mu_pf(std::int64_t mu, std::int64_t pf);

  friend constexpr auto operator<=>(const Amount&, const Amount&) = default;
  friend Amount operator+(Amount a, Amount b);
  friend Amount operator-(Amount a, Amount b);
  Amount operator-() const { return Amount{} - *this; }
  Amount& operator+=(Amount b) { return *this = *this + b; }
  Amount& operator-=(Amount b) { return *this = *this - b; }

 private:
  explicit constexpr Amount(int128 value) : value_(value) {}
  int128 value_ = 0;
};

// A price: whole pico-CNY for one unit (one token).
class Price {
 public:
  constexpr Price() = default;
  static constexpr Price pico_per_unit(std::int64_t value) { return Price(value); }
  // "0.50" CNY per one million tokens, at most six decimals, not negative.
  static std::optional<Price> parse_per_million(std::string_view text);
  constexpr std::int64_t pico() const { return value_; }
  std::string per_million_text() const;
  friend constexpr auto operator<=>(const Price&, const Price&) = default;

 private:
  explicit constexpr Price(std::int64_t value) : value_(value) {}
  std::int64_t value_ = 0;
};

// qty * price, exact.
Amount charge(std::uint64_t quantity, Price price);

constexpr std::uint32_t ppm_whole = 1'000'000;

// Splits `gross` >= 0 by integer weights in ppm that sum to 1,000,000, by largest remainder: floors
// first, then the leftover units one each to the largest remainders; ties go in list order rotated by
// `rotation` (position (rotation + i) mod n comes first). Parts sum to gross exactly.
// At most `parties_max` parties.
constexpr std::size_t parties_max = 16;
std::vector<Amount> split(Amount gross, std::span<const std::uint32_t> weights_ppm, std::uint64_t rotation);
// The same by the rotation of a request (split_rotation), into `parts`, as many as weights.
void split_request(Amount gross, std::span<const std::uint32_t> weights_ppm, const RequestId& id, std::span<Amount> parts);

// The rotation of a request: the first 8 bytes, big-endian, of SHA-256 of the id's text, mod n.
std::uint64_t split_rotation(std::string_view request_id_text, std::size_t parties);

// Shares `total` units by weights (need not sum to anything), largest remainder, ties to the earlier.
std::vector<std::uint64_t> apportion(std::uint64_t total, std::span<const std::uint64_t> weights);

}  // namespace trib::money

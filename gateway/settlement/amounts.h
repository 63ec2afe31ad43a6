// Shares of amounts whose products do not fit 128 bits. Pure.
#pragma once
#include <vector>

#include "gateway/money/money.h"

namespace trib::settlement {

inline constexpr money::int128 pico_per_fen = 10'000'000'000;
money::Amount floor_fen(money::Amount amount);    // to whole fen, towards minus infinity
money::Amount half_up_fen(money::Amount amount);  // to whole fen, half away from zero

// floor(a * b / c) and what is left over, 0 <= rest < c. b >= 0, c > 0; a may be negative.
struct Quotient {
  money::Amount whole, rest;
};
Quotient part_of(money::Amount a, money::Amount b, money::Amount c);

// `total` >= 0 by weights, which may be negative and sum to more than zero: floor(weight * total / sum) each,
// and the units that are left one each to the largest rests, ties to the earlier. Sums to `total`.
std::vector<money::Amount> apportion(money::Amount total, const std::vector<money::Amount>& weights);

}  // namespace trib::settlement

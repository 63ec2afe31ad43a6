#include "gateway/settlement/amounts.h"

#include <algorithm>
#include <numeric>

namespace trib::settlement {

using money::Amount;
using money::int128;

Amount floor_fen(Amount amount) {
  const int128 rest = amount.pico() % pico_per_fen;
  return Amount::pico(amount.pico() - rest - (rest < 0 ? pico_per_fen : 0));
}

Amount half_up_fen(Amount amount) {
  if (amount.negative()) return -half_up_fen(-amount);
  return floor_fen(amount + Amount::pico(pico_per_fen / 2));
}

Quotient part_of(Amount a, Amount b, Amount c) {
  TRIB_ASSERT(!b.negative() && c > Amount{});
  const int128 magnitude = a.negative() ? -a.pico() : a.pico();
  int128 quotient = 0, rest = 0;
  for (int bit = 126; bit >= 0; --bit) {  // long division, a bit of b at a time
    rest = rest * 2 + ((b.pico() >> bit & 1) != 0 ? magnitude : 0);
    quotient = quotient * 2 + rest / c.pico();
    rest %= c.pico();
  }
  if (!a.negative()) return {Amount::pico(quotient), Amount::pico(rest)};
  if (rest == 0) return {Amount::pico(-quotient), {}};
  return {Amount::pico(-quotient - 1), Amount::pico(c.pico() - rest)};
}

std::vector<Amount> apportion(Amount total, const std::vector<Amount>& weights) {
  const Amount sum = std::accumulate(weights.begin(), weights.end(), Amount{});
  std::vector<Amount> out, rests;
  Amount left = total;
  for (const Amount weight : weights) {
    const Quotient part = part_of(weight, total, sum);
    out.push_back(part.whole);
    rests.push_back(part.rest);
    left -= part.whole;
  }
  std::vector<std::size_t> order(weights.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return rests[a] != rests[b] ? rests[a] > rests[b] : a < b; });
  for (std::size_t i = 0; Amount::pico(static_cast<int128>(i)) < left; ++i) out[order[i]] += Amount::pico(1);
  return out;
}

}  // namespace trib::settlement

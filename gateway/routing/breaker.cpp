#include "gateway/routing/breaker.h"

#include <algorithm>
#include <bit>

namespace trib::routing {
namespace {

Breaker opened(Breaker from, std::uint32_t now_ds) {
  from.phase = Breaker::Phase::open;
  from.until_ds = now_ds + (Breaker::open_ds << from.doublings);
  from.doublings = static_cast<std::uint8_t>(std::min<unsigned>(from.doublings + 1u, Breaker::doublings_max));
  from.in_a_row = 0;
  from.seen = 0;
  from.history = 0;
  return from;
}

}  // namespace

std::uint64_t Breaker::pack() const {
  return static_cast<std::uint64_t>(until_ds) << 32 | static_cast<std::uint64_t>(history) << 16 |
         static_cast<std::uint64_t>(seen) << 8 | static_cast<std::uint64_t>(doublings) << 5 |
         static_cast<std::uint64_t>(in_a_row) << 2 | static_cast<std::uint64_t>(phase);
}

Breaker Breaker::unpack(std::uint64_t word) {
  Breaker out;
  out.phase = static_cast<Phase>(word & 3);
  out.in_a_row = static_cast<std::uint8_t>(word >> 2 & 7);
  out.doublings = static_cast<std::uint8_t>(word >> 5 & 7);
  out.seen = static_cast<std::uint8_t>(word >> 8 & 0xff);
  out.history = static_cast<std::uint16_t>(word >> 16);
  out.until_ds = static_cast<std::uint32_t>(word >> 32);
  return out;
}

bool Breaker::admits(std::uint32_t now_ds, bool low_value) const {
  return phase == Phase::closed || now_ds >= until_ds + (low_value ? 0 : patience_ds);
}

Breaker Breaker::trying(std::uint32_t now_ds) const {
  Breaker next = *this;
  if (phase == Phase::closed) return next;
  next.phase = Phase::half_open;
  next.until_ds = now_ds + trial_ds;
  return next;
}

Breaker Breaker::told(Verdict verdict, std::uint32_t now_ds) const {
  Breaker next = *this;
  switch (phase) {
    case Phase::open:  // what began before it opened says nothing new
      return next;
    case Phase::half_open:
      if (verdict == Verdict::bad) return opened(next, now_ds);
      if (verdict == Verdict::good) {
        next.phase = Phase::closed;
        next.until_ds = 0;
      } else {  // the trial told nothing: another may go
        next.phase = Phase::open;
        next.until_ds = now_ds;
      }
      return next;
    case Phase::closed:
      break;
  }
  if (verdict == Verdict::neutral) return next;
  const bool bad = verdict == Verdict::bad;
  next.history = static_cast<std::uint16_t>(next.history << 1 | (bad ? 1 : 0));
  next.seen = static_cast<std::uint8_t>(std::min<unsigned>(next.seen + 1u, window));
  next.in_a_row = bad ? static_cast<std::uint8_t>(next.in_a_row + 1) : std::uint8_t{0};
  if (!bad) {
    if (next.seen == window && next.history == 0) next.doublings = 0;
    return next;
  }
  const auto failures = static_cast<unsigned>(std::popcount(next.history));
  if (next.in_a_row >= in_a_row_max || (next.seen >= window_min && failures * 2 >= next.seen)) return opened(next, now_ds);
  return next;
}

Breaker Breaker::forgiven() const {
  Breaker next = *this;
  if (phase != Phase::closed || next.history == 0) return next;
  next.history = static_cast<std::uint16_t>(next.history & (next.history - 1));
  if (next.in_a_row > 0) --next.in_a_row;
  return next;
}

}  // namespace trib::routing

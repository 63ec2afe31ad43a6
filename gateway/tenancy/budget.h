// Budgets: what was spent, by day and month, and how long a key's answers are. Plain values; whoever
// shares them locks them. Days and months are those of Asia/Shanghai, as in the ledger.
#pragma once
#include <array>
#include <cstdint>
#include <map>
#include <optional>

#include "gateway/config/config.h"
#include "gateway/money/money.h"

namespace trib::tenancy {

enum class Span : std::uint8_t { day, month };

// When the span that `wall_ms` lies in is over: its first millisecond outside. Names the span too.
std::int64_t span_end_ms(Span span, std::int64_t wall_ms);

// Charges, by the day and month in which their requests ended. The latest few of each are kept, so
// that a clock that steps back finds yesterday's; older ones answer zero.
class Spending {
 public:
  void add(std::int64_t wall_ms, money::Amount amount);
  money::Amount in(Span span, std::int64_t wall_ms) const;

 private:
  static constexpr std::size_t spans_kept = 3;
  std::array<std::map<std::int64_t, money::Amount>, 2> sums_;  // by span, by its end
};

// One budget and where it stands.
struct BudgetState {
  bool of_key = false;
  Sha256 key{};  // of which key; zeros: the tenant's
  Span span{};
  money::Amount limit, spent, held;
  std::int64_t resets_at_ms = 0;
};

// Lengths of a key's answers in tokens, the older ones fading. Quarter octaves: p99 is at most 25 % high.
class Lengths {
 public:
  void add(std::uint64_t tokens);
  // What 99 of 100 stay below; none before there are enough.
  std::optional<std::uint64_t> p99() const;

 private:
  static constexpr std::uint32_t samples_min = 100, samples_max = 8192;
  std::array<std::uint32_t, 160> counts_{};
  std::uint32_t samples_ = 0;
};

}  // namespace trib::tenancy

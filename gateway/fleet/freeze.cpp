#include "gateway/fleet/freeze.h"

#include <algorithm>
#include <array>
#include <utility>

#include "gateway/fleet/sites.h"

namespace trib::fleet {

bool BlameFreeze::too_many(std::size_t offers_in_fleet) const {
  if (marks_.size() < nodes_min || marks_.size() * share_divisor <= offers_in_fleet) return false;
  std::array<std::uint64_t, sites_min> sites{};
  std::size_t n = 0;
  for (const auto& [key, mark] : marks_) {
    if (std::find(sites.begin(), sites.begin() + static_cast<std::ptrdiff_t>(n), mark.site) !=
        sites.begin() + static_cast<std::ptrdiff_t>(n))
      continue;
    sites[n++] = mark.site;
    if (n == sites_min) return true;
  }
  return false;
}

bool BlameFreeze::marked(std::shared_ptr<OfferBreaker> breaker, std::uint64_t site, std::size_t offers_in_fleet,
                         std::int64_t now_ns) {
  const std::lock_guard lock(mutex_);
  // A sweep walks all marks: at most one a second, and one before anything is decided.
  if (now_ns - swept_ns_ >= 1'000'000'000) {
    std::erase_if(marks_, [&](const auto& mark) { return mark.second.at_ns + window_ns <= now_ns; });
    swept_ns_ = now_ns;
  }
  if (marks_.size() < marks_max || marks_.contains(breaker.get())) {
    auto& mark = marks_[breaker.get()];
    mark.site = site;
    mark.at_ns = now_ns;
    mark.breaker = std::move(breaker);
  }
  const bool was_frozen = frozen(now_ns);
  if (!too_many(offers_in_fleet)) return was_frozen;
  until_ns_.store(now_ns + thaw_ns, std::memory_order_relaxed);
  if (!was_frozen)
    for (const auto& [key, mark] : marks_) mark.breaker->word.store(0, std::memory_order_relaxed);
  return true;
}

}  // namespace trib::fleet

#include "gateway/routing/routing.h"

#include <algorithm>

namespace trib::routing {
namespace {

// In flight per capacity, compared without dividing.
bool less_loaded(const fleet::Offer& a, const fleet::Offer& b) {
  const std::uint64_t left = a.load->in_flight.load(std::memory_order_relaxed);
  const std::uint64_t right = b.load->in_flight.load(std::memory_order_relaxed);
  return left * b.capacity < right * a.capacity;
}

}  // namespace

bool tier_allows(config::SiteKind kind, config::Privacy privacy) {
  switch (privacy) {
    case config::Privacy::any:
      return true;
    case config::Privacy::dc:
      return kind == config::SiteKind::hosted || kind == config::SiteKind::datacenter;
    case config::Privacy::tee:
      return false;
  }
  return false;
}

Choice choose(const fleet::FleetSnapshot& fleet, const Wish& wish, Rng& rng, std::int64_t now_ns) {
  const auto found = fleet.by_model.find(wish.model);
  if (found == fleet.by_model.end() || found->second.empty()) return {nullptr, Why::unknown_model, 0};
  // Reservoir of two: uniform over those that pass, in one walk and without a list.
  const fleet::OfferPtr* drawn[2] = {nullptr, nullptr};
  std::uint64_t passed = 0;
  Why why = Why::tier;
  std::int64_t soonest = INT64_MAX;
  for (const auto& offer : found->second) {
    if (!tier_allows(offer->kind, wish.privacy)) continue;
    if (std::find(wish.excluded_sites.begin(), wish.excluded_sites.end(), offer->site) != wish.excluded_sites.end()) {
      why = std::max(why, Why::excluded);
      continue;
    }
    const auto rest = offer->rest->until_ns.load(std::memory_order_relaxed);
    if (rest > now_ns) {
      why = std::max(why, Why::resting);
      soonest = std::min(soonest, rest);
      continue;
    }
    if (offer->load->in_flight.load(std::memory_order_relaxed) >= offer->capacity) {
      why = std::max(why, Why::full);
      continue;
    }
    ++passed;
    if (passed <= 2) {
      drawn[passed - 1] = &offer;
    } else if (const auto at = rng.below(passed); at < 2) {
      drawn[at] = &offer;
    }
  }
  if (passed == 0) return {nullptr, why, soonest == INT64_MAX ? 0 : (soonest - now_ns) / 1'000'000 + 1};
  if (passed == 1) return {*drawn[0]};
  if (less_loaded(**drawn[0], **drawn[1])) return {*drawn[0]};
  if (less_loaded(**drawn[1], **drawn[0])) return {*drawn[1]};
  return {*drawn[rng.below(2)]};
}

}  // namespace trib::routing

// Choosing an offer: candidates -> filter -> score -> choose. Pure but for the random draw.
#pragma once
#include <cstdint>
#include <span>
#include <string>

#include "gateway/base/base.h"
#include "gateway/config/config.h"
#include "gateway/fleet/fleet.h"

namespace trib::routing {

struct Wish {
  const std::string& model;
  config::Privacy privacy = config::Privacy::dc;
  std::span<const std::string> excluded_sites;  // failed this request already
};

// Why nothing was chosen: the filter that removed the last candidates.
enum class Why : std::uint8_t { chosen, unknown_model, tier, excluded, resting, full };

struct Choice {
  fleet::OfferPtr offer;  // null: see why
  Why why = Why::chosen;
  std::int64_t retry_after_ms = 0;  // when all that was left is resting
};

// May this kind of site see a request of this tier? Labs need a contract that says so: not yet.
bool tier_allows(config::SiteKind kind, config::Privacy privacy);

// Two random candidates of those that pass, the better by requests in flight per capacity.
Choice choose(const fleet::FleetSnapshot& fleet, const Wish& wish, Rng& rng, std::int64_t now_ns);

}  // namespace trib::routing

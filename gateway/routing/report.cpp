// What the end of an attempt means for the next choice.
#include <algorithm>

#include "gateway/routing/routing.h"

namespace trib::routing {
namespace {

constexpr std::int64_t ms = 1'000'000;
constexpr std::int64_t rest_ms_min = 1'000;
constexpr std::int64_t rest_ms_max = 30'000;

// Never shortened: two refusals may come in any order.
void rest(fleet::OfferRest& rest, std::int64_t until_ns) {
  auto seen = rest.until_ns.load(std::memory_order_relaxed);
  while (seen < until_ns && !rest.until_ns.compare_exchange_weak(seen, until_ns, std::memory_order_relaxed)) {
  }
}

}  // namespace

Verdict verdict(FaultKind fault, Side side) {
  switch (fault) {
    case FaultKind::none:
      return Verdict::good;
    case FaultKind::connect_refused:
    case FaultKind::connect_timeout:
    case FaultKind::connect_failed:
    case FaultKind::reset_before_head:
    case FaultKind::head_timeout:
    case FaultKind::first_token_timeout:
    case FaultKind::gap_timeout:
    case FaultKind::bad_head:
    case FaultKind::bad_chunk:
    case FaultKind::bad_event:
    case FaultKind::bad_content_type:
    case FaultKind::engine_error:
    case FaultKind::status_config:
    case FaultKind::status_server:
    case FaultKind::cut:
    case FaultKind::too_large:
      return side == Side::client || side == Side::gateway || side == Side::none ? Verdict::neutral : Verdict::bad;
    default:
      return Verdict::neutral;
  }
}

void Router::report(const fleet::FleetSnapshot& fleet, const Report& report, Rng& rng, std::int64_t now_ns) {
  const auto& offer = *report.offer;
  learn(offer, report.sample, now_ns);
  if (report.fault == FaultKind::status_busy) {
    refused(*offer.pace);
    const auto doublings = std::max(1u, offer.pace->refusals.load(std::memory_order_relaxed));
    // Where it names no time: 1 s, doubling while it goes on saying so, then a quarter of it by chance.
    auto for_ms = report.retry_after_ms;
    if (for_ms <= 0) for_ms = rest_ms_min << (doublings - 1);
    if (report.retry_after_ms <= 0 && doublings > 1) for_ms = for_ms * static_cast<std::int64_t>(100 + rng.below(25)) / 100;
    rest(*offer.rest, now_ns + std::min(for_ms, rest_ms_max) * ms);
  } else if (report.fault == FaultKind::connect_refused || report.fault == FaultKind::connect_timeout ||
             report.fault == FaultKind::connect_failed) {
    rest(*offer.rest, now_ns + rest_ms_min * ms);
  }
  lines_.freed();
  auto told = verdict(report.fault, report.side);
  // A lost tunnel takes its offers with it and is one incident, however many attempts it ended: it opens
  // nothing, but many of them at once are what a failing network of our own looks like.
  const bool marks = told == Verdict::bad || report.fault == FaultKind::tunnel_lost;
  if (marks && fleet.freeze != nullptr &&
      fleet.freeze->marked(report.offer->breaker, text_hash(offer.site), fleet.offers, now_ns))
    told = Verdict::neutral;
  change(offer.breaker->word, [&](const Breaker& breaker) { return breaker.told(told, deciseconds(now_ns)); });
}

void Router::forgive(const fleet::Offer& offer) {
  change(offer.breaker->word, [](const Breaker& breaker) { return breaker.forgiven(); });
}

}  // namespace trib::routing

// Choosing an offer: filter -> a few weighted random draws -> the better by the model's policy; and what
// an attempt's end means for the next choice. One Router a worker; it sends nothing and waits for nothing.
// docs/routing.md tells the whole of it.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "gateway/base/base.h"
#include "gateway/config/config.h"
#include "gateway/fleet/fleet.h"
#include "gateway/routing/affinity.h"
#include "gateway/routing/breaker.h"
#include "gateway/routing/index.h"
#include "gateway/routing/line.h"
#include "gateway/routing/lines.h"
#include "gateway/routing/pace.h"
#include "gateway/routing/policy.h"

namespace trib::routing {

// The supply side's part of the price at one offer, in ppm: what a policy calls dear. `who` is the caller's.
using SupplierPpm = std::uint32_t (*)(const void* who, const fleet::Offer& offer);

struct Wish {
  const std::string& model;
  config::Privacy privacy = config::Privacy::dc;
  std::span<const std::string> excluded_sites{};   // failed this request already
  const config::ModelRouting* rules = nullptr;     // null: the defaults
  std::uint64_t prompt_tokens = 0;   // at least so many
  std::uint64_t answer_tokens = 0;   // at most so many; 0: not said
  std::uint64_t head = 0;            // conversation_head(); 0: no affinity
  bool going_on = false;             // with a broken answer: only where the engine can
  bool low_value = true;             // may be the trial of an offer whose breaker is open
  SupplierPpm supplier_ppm = nullptr;  // null: all cost the same
  const void* who = nullptr;
};

// Why nothing was chosen: the filter that removed the last candidates.
enum class Why : std::uint8_t { chosen, unknown_model, tier, constraint, price, context, excluded, broken, resting, full };

struct Choice {
  fleet::OfferPtr offer;  // null: see why
  Why why = Why::chosen;
  std::int64_t retry_after_ms = 0;  // when all that was left is resting
};

// What an attempt showed, told when it is over.
struct Report {
  const fleet::OfferPtr& offer;
  FaultKind fault = FaultKind::none;
  Side side = Side::none;
  std::int64_t retry_after_ms = 0;  // of a refusal; 0: it named none
  Sample sample;
};

// May this kind of site see a request of this tier? Labs need a contract that says so: not yet.
bool tier_allows(config::SiteKind kind, config::Privacy privacy);

// Whose fault counts against an offer: what broke in the hands of its supplier. A customer's 4xx, a full
// engine, an owner's reclaim and everything of the gateway's own do not.
Verdict verdict(FaultKind fault, Side side);

// The rules of all models of a configuration.
class Rules {
 public:
  Rules() = default;
  explicit Rules(const config::ConfigSnapshot& config);
  const config::ModelRouting* of(const std::string& model) const;  // null: the defaults

 private:
  std::unordered_map<std::string, config::ModelRouting> models_;
};

// One worker's; not thread-safe. The figures it reads and writes are shared with the other workers.
class Router {
 public:
  Router() = default;  // nobody waits
  Router(Loop& loop, const config::LineConfig& line)
      : lines_(loop, Line::Limits{line.length_max, line.wait_ms_max * 1'000'000}) {}

  Lines& lines() { return lines_; }
  // Finds an offer; of one whose breaker is open it takes the trial.
  Choice choose(const fleet::FleetSnapshot& fleet, const Wish& wish, Rng& rng, std::int64_t now_ns);
  // Learns from an attempt: its pace, its rest, its breaker. Once for each offer that was chosen.
  void report(const fleet::FleetSnapshot& fleet, const Report& report, Rng& rng, std::int64_t now_ns);
  // A second, independent site failed on the same request: the earlier failures were the request's.
  static void forgive(const fleet::Offer& offer);

 private:
  struct Search;
  ModelIndex& index(const std::string& model);
  Lines lines_;
  std::unordered_map<std::string, ModelIndex> indexes_;  // of models that offers exist for
};

}  // namespace trib::routing

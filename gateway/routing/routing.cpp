#include "gateway/routing/routing.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace trib::routing {
namespace {

constexpr std::int64_t ms = 1'000'000;
constexpr std::size_t few = 16;        // so many offers are walked rather than drawn from
constexpr int misses_max = 24;         // draws that hit what may not be chosen, before the list is walked
constexpr std::size_t models_max = 4096;
constexpr std::size_t ring_steps_max = 8;
constexpr std::int64_t forced_every_ns = 1'000'000'000;  // trials while everything is broken
constexpr std::size_t sites_at_once = 3;  // whose breakers are not believed when nobody else is left
// Of the time to the first token, what a warm prefix cache saves; of the answer's time, what a seat that
// is likely to leave before its end costs.
constexpr std::uint64_t warm_saves_percent = 75;
constexpr std::uint64_t leaving_costs_percent = 50;

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

Rules::Rules(const config::ConfigSnapshot& config) {
  for (const auto& model : config.models) models_.emplace(model.id, model.routing);
}

const config::ModelRouting* Rules::of(const std::string& model) const {
  const auto found = models_.find(model);
  return found == models_.end() ? nullptr : &found->second;
}

ModelIndex& Router::index(const std::string& model) {
  if (indexes_.size() >= models_max && !indexes_.contains(model)) indexes_.clear();
  return indexes_[model];
}

// One choice: what it looks for, and what it has found out.
struct Router::Search {
  const Wish& wish;
  const config::ModelRouting& rules;
  const ModelIndex::Offers& offers;
  const ModelIndex& index;
  std::int64_t now_ns;
  bool frozen;
  bool any_context = false;

  Why why = Why::tier;               // the filter that removed the furthest
  std::int64_t soonest = INT64_MAX;  // of the rests
  const fleet::OfferPtr* broken_longest = nullptr;
  std::uint32_t broken_until = UINT32_MAX;
  std::array<std::string_view, sites_at_once> broken_sites{};  // that could serve but for their breakers
  std::size_t broken_n = 0;

  std::uint32_t supplier_ppm(const fleet::Offer& offer) const {
    return wish.supplier_ppm == nullptr ? 0 : wish.supplier_ppm(wish.who, offer);
  }
  bool removed(Why by) {
    why = std::max(why, by);
    return false;
  }
  void note_broken(std::string_view site) {
    const auto end = broken_sites.begin() + static_cast<std::ptrdiff_t>(broken_n);
    if (broken_n < sites_at_once && std::find(broken_sites.begin(), end, site) == end) broken_sites[broken_n++] = site;
  }
  static bool listed(const std::vector<std::string>& allowed, const std::string& one) {
    return allowed.empty() || std::find(allowed.begin(), allowed.end(), one) != allowed.end();
  }

  bool passes(const fleet::OfferPtr& at) {
    const auto& offer = *at;
    if (!tier_allows(offer.kind, wish.privacy)) return false;
    if (!listed(rules.regions, offer.region) || !listed(rules.vendors, offer.vendor)) return removed(Why::constraint);
    if (rules.supplier_ppm_max < 1'000'000 && supplier_ppm(offer) > rules.supplier_ppm_max) return removed(Why::price);
    if (wish.going_on && offer.ways_left(now_ns) == 0) return removed(Why::constraint);
    if (!any_context && offer.can.context != 0 && wish.prompt_tokens + std::max<std::uint64_t>(1, wish.answer_tokens) > offer.can.context)
      return removed(Why::context);
    if (std::find(wish.excluded_sites.begin(), wish.excluded_sites.end(), offer.site) != wish.excluded_sites.end())
      return removed(Why::excluded);
    const auto rest = offer.rest->until_ns.load(std::memory_order_relaxed);
    const bool is_full = offer.load->in_flight.load(std::memory_order_relaxed) >= offer.capacity;
    if (const auto word = offer.breaker->word.load(std::memory_order_relaxed); word != 0 && !frozen) {
      const auto breaker = Breaker::unpack(word);
      if (!breaker.admits(deciseconds(now_ns), wish.low_value)) {
        if (rest <= now_ns && !is_full) note_broken(offer.site);
        if (rest <= now_ns && !is_full && breaker.phase == Breaker::Phase::open && breaker.until_ds < broken_until) {
          broken_until = breaker.until_ds;
          broken_longest = &at;
        }
        return removed(Why::broken);
      }
    }
    if (rest > now_ns) {
      soonest = std::min(soonest, rest);
      return removed(Why::resting);
    }
    if (is_full) return removed(Why::full);
    return true;
  }

  Candidate judge(const fleet::Offer& offer, bool warm) const {
    const auto speed = believe(*offer.pace, index.neutral(), now_ns);
    // Nobody knows how long an answer will be: as long as this model's usually are, or as asked at most.
    std::uint64_t tokens = index.neutral().answer_tokens;
    if (wish.answer_tokens != 0) tokens = std::min(tokens, wish.answer_tokens);
    Candidate out;
    out.finish_us = finish_us(offer, speed, tokens);
    if (warm) out.finish_us -= first_us(offer, speed) * warm_saves_percent / 100;
    const auto leaves = offer.pace->leaves_ns.load(std::memory_order_relaxed);
    if (leaves != 0 && now_ns + static_cast<std::int64_t>(out.finish_us) * 1000 > leaves)
      out.finish_us += out.finish_us * leaving_costs_percent / 100 + first_us(offer, speed);
    out.supplier_ppm = supplier_ppm(offer);
    return out;
  }

  // The conversation's place: the first in the ring that passes and is not busier than a quarter above
  // the average. A head that many share spills over to the next ones.
  const fleet::OfferPtr* warm() {
    if (wish.head == 0 || offers.size() < 2) return nullptr;
    const auto place = index.place(wish.head);
    for (std::size_t step = 0; step < std::min(ring_steps_max, offers.size()); ++step) {
      const auto& at = offers[index.at(place + step)];
      const std::uint64_t in_flight = at->load->in_flight.load(std::memory_order_relaxed);
      if (in_flight * 1024 > at->capacity * (index.load() * 5 / 4) + 1023) continue;
      if (passes(at)) return &at;
    }
    return nullptr;
  }

  // Up to `wanted` different ones, by weight. Draws; where too many miss, or there are few, walks.
  std::size_t draw(Rng& rng, std::size_t wanted, std::array<const fleet::OfferPtr*, draws_max>& out) {
    std::size_t n = 0;
    const auto has = [&](const fleet::OfferPtr* at) {
      return std::find(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(n), at) != out.begin() + static_cast<std::ptrdiff_t>(n);
    };
    if (offers.size() > few) {
      for (int misses = 0; misses < misses_max && n < wanted;) {
        const auto* const at = &offers[index.draw(rng)];
        if (!has(at) && passes(*at)) out[n++] = at; else ++misses;
      }
      // One that passes is enough: to walk ten thousand for a second would be a scan in a busy hour.
      if (n > 0) return n;
    }
    return walk(rng, wanted, out);
  }

  // All that pass, in one walk and without a list: a weighted reservoir.
  std::size_t walk(Rng& rng, std::size_t wanted, std::array<const fleet::OfferPtr*, draws_max>& out) {
    std::array<double, draws_max> keys{};
    std::size_t n = 0;
    for (const auto& at : offers) {
      if (!passes(at)) continue;
      const double key = exponential(rng) / static_cast<double>(weight(*at, believe(*at->pace, index.neutral(), now_ns)));
      std::size_t to = n;
      if (n < wanted) {
        ++n;
      } else if (key < keys[n - 1]) {
        to = n - 1;
      } else {
        continue;
      }
      for (; to > 0 && keys[to - 1] > key; --to) {
        keys[to] = keys[to - 1];
        out[to] = out[to - 1];
      }
      keys[to] = key;
      out[to] = &at;
    }
    return n;
  }
  static double exponential(Rng& rng);
};

// The offer with the smallest exponential/weight is a draw by weight, and so is the next without it.
double Router::Search::exponential(Rng& rng) {
  return -std::log((static_cast<double>(rng.next() >> 11) + 1.0) * 0x1.0p-53);
}

Choice Router::choose(const fleet::FleetSnapshot& fleet, const Wish& wish, Rng& rng, std::int64_t now_ns) {
  const auto found = fleet.by_model.find(wish.model);
  if (found == fleet.by_model.end() || found->second.empty()) return {nullptr, Why::unknown_model, 0};
  static const config::ModelRouting defaults;
  const auto& rules = wish.rules == nullptr ? defaults : *wish.rules;
  auto& known = index(wish.model);
  known.refresh(found->second, fleet.revision, now_ns);
  Search search{wish, rules, found->second, known, now_ns, fleet.freeze != nullptr && fleet.freeze->frozen(now_ns)};
  const auto& policy = policy_of(rules.policy);

  // A trial's exchange may be lost to another worker: then once more, without it.
  for (int round = 0; round < 3; ++round) {
    std::array<const fleet::OfferPtr*, draws_max> drawn{};
    auto n = search.draw(rng, policy.draws(), drawn);
    if (n == 0 && search.why == Why::context) {  // nobody has the room: the engine shall say so, not we
      search.any_context = true;
      n = search.draw(rng, policy.draws(), drawn);
    }
    if (n == 0 && search.broken_n == sites_at_once) {  // each answers now and then: better such a one than none
      search.frozen = true;
      n = search.draw(rng, policy.draws(), drawn);
    }
    const fleet::OfferPtr* best = n == 0 ? nullptr : drawn[0];
    if (n > 0) {
      const auto* const warm = search.warm();
      auto cost = search.judge(**best, best == warm);
      for (std::size_t i = 1; i <= n; ++i) {
        const auto* const other = i < n ? drawn[i] : warm;
        if (other == nullptr || other == best) continue;
        const auto theirs = search.judge(**other, other == warm);
        if (!policy.better(theirs, cost)) continue;
        best = other;
        cost = theirs;
      }
    } else if (search.broken_longest != nullptr && now_ns - known.forced_ns >= forced_every_ns) {
      best = search.broken_longest;
      known.forced_ns = now_ns;
    }
    if (best == nullptr) break;
    auto& word = (*best)->breaker->word;
    const auto now_ds = deciseconds(now_ns);
    const bool closed = search.frozen || Breaker::unpack(word.load(std::memory_order_relaxed)).phase == Breaker::Phase::closed;
    const bool forced = n == 0;
    if (closed || change(word, [&](const Breaker& breaker) {
          return forced || breaker.admits(now_ds, wish.low_value) ? breaker.trying(now_ds) : breaker;
        }))
      return {*best};
  }
  const auto soonest = search.soonest;
  return {nullptr, search.why, soonest == INT64_MAX ? 0 : (soonest - now_ns) / ms + 1};
}

}  // namespace trib::routing

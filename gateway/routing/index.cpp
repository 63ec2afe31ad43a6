#include "gateway/routing/index.h"

#include <algorithm>

#include "gateway/routing/affinity.h"

namespace trib::routing {
namespace {

constexpr std::uint64_t probes = 4;  // points a head tries; the one nearest to an offer wins

std::uint32_t median(std::vector<std::uint32_t>& of, std::uint32_t otherwise) {
  if (of.empty()) return otherwise;
  const auto middle = of.begin() + static_cast<std::ptrdiff_t>(of.size() / 2);
  std::nth_element(of.begin(), middle, of.end());
  return *middle;
}

}  // namespace

std::uint64_t mix(std::uint64_t value) {
  value ^= value >> 32;
  value *= 0xd6e8feb86659fd93ULL;
  value ^= value >> 32;
  value *= 0xd6e8feb86659fd93ULL;
  return value ^ value >> 32;
}

// The median of each figure over the offers that have one.
void ModelIndex::learn_neutral(const Offers& offers) {
  const auto middle = [&](auto figure, std::uint32_t otherwise) {
    scratch_.clear();
    for (const auto& offer : offers)
      if (const auto value = ((*offer->pace).*figure).load(std::memory_order_relaxed); value != 0) scratch_.push_back(value);
    return median(scratch_, otherwise);
  };
  const Speed unknown;
  neutral_ = {middle(&fleet::OfferPace::token_us, unknown.token_us), middle(&fleet::OfferPace::first_us, unknown.first_us),
              middle(&fleet::OfferPace::answer_tokens, unknown.answer_tokens)};
}

void ModelIndex::build_ring(const Offers& offers) {
  ring_.clear();
  ring_.reserve(offers.size());
  for (std::size_t i = 0; i < offers.size(); ++i) ring_.emplace_back(text_hash(offers[i]->id), static_cast<std::uint32_t>(i));
  std::sort(ring_.begin(), ring_.end());
}

void ModelIndex::refresh(const Offers& offers, std::uint64_t revision, std::int64_t now_ns) {
  const bool same = revision == revision_ && offers.size() == size_;
  if (same && now_ns - filled_ns_ < refresh_ns) return;
  learn_neutral(offers);
  sums_.clear();
  sums_.reserve(offers.size());
  std::uint64_t sum = 0, in_flight = 0, capacity = 0;
  for (const auto& offer : offers) {
    sum += weight(*offer, believe(*offer->pace, neutral_, now_ns));
    sums_.push_back(sum);
    in_flight += offer->load->in_flight.load(std::memory_order_relaxed);
    capacity += offer->capacity;
  }
  load_ = capacity == 0 ? 0 : in_flight * 1024 / capacity;
  if (!same) build_ring(offers);
  revision_ = revision;
  size_ = offers.size();
  filled_ns_ = now_ns;
}

std::size_t ModelIndex::draw(Rng& rng) const {
  const auto at = std::upper_bound(sums_.begin(), sums_.end(), rng.below(sums_.back()));
  return static_cast<std::size_t>(at - sums_.begin());
}

std::size_t ModelIndex::place(std::uint64_t head) const {
  std::size_t best = 0;
  std::uint64_t nearest = UINT64_MAX;
  for (std::uint64_t i = 0; i < probes; ++i) {
    const std::uint64_t point = mix(head + i * 0x9e3779b97f4a7c15ULL);
    auto at = std::lower_bound(ring_.begin(), ring_.end(), std::pair<std::uint64_t, std::uint32_t>(point, 0));
    if (at == ring_.end()) at = ring_.begin();
    const std::uint64_t distance = at->first - point;  // round the ring
    if (distance >= nearest) continue;
    nearest = distance;
    best = static_cast<std::size_t>(at - ring_.begin());
  }
  return best;
}

}  // namespace trib::routing

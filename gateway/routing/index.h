// What one worker keeps of one model's offers, so that a choice does not walk them: running sums of
// their weights for the weighted draw, the neutral speed, and the ring for affinity. Positions are those
// of the snapshot's list. Refilled when the snapshot changes; the weights also once a second. One thread.
#pragma once
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "gateway/routing/pace.h"

namespace trib::routing {

class ModelIndex {
 public:
  using Offers = std::vector<fleet::OfferPtr>;
  static constexpr std::int64_t refresh_ns = 1'000'000'000;

  void refresh(const Offers& offers, std::uint64_t revision, std::int64_t now_ns);

  const Speed& neutral() const { return neutral_; }
  // A position, by weight. The list is not empty.
  std::size_t draw(Rng& rng) const;
  // In flight of all, in 1024ths of their capacity, as of the last refresh.
  std::uint64_t load() const { return load_; }
  // Where this conversation's head belongs: a place in the ring, then the following ones.
  std::size_t place(std::uint64_t head) const;
  std::size_t at(std::size_t place) const { return ring_[place % ring_.size()].second; }

  std::int64_t forced_ns = INT64_MIN / 2;  // the last trial sent because everything was broken

 private:
  void learn_neutral(const Offers& offers);
  void build_ring(const Offers& offers);
  std::uint64_t revision_ = UINT64_MAX;
  std::size_t size_ = SIZE_MAX;
  std::int64_t filled_ns_ = 0;
  Speed neutral_;
  std::uint64_t load_ = 0;
  std::vector<std::uint64_t> sums_;
  std::vector<std::pair<std::uint64_t, std::uint32_t>> ring_;  // hash, position; sorted
  std::vector<std::uint32_t> scratch_;
};

std::uint64_t mix(std::uint64_t value);  // a good 64-bit finaliser

}  // namespace trib::routing

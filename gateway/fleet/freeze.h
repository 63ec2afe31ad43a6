// Many machines of many sites that fail within a minute have not all broken: the gateway's own network
// or store has. While that looks so, nobody is blamed (fleet.md 9). A state machine over marks; shared by
// all workers, with one lock that is taken when an attempt fails and never on the way of one that does not.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>

namespace trib::fleet {

struct OfferBreaker;

class BlameFreeze {
 public:
  static constexpr std::int64_t window_ns = 60'000'000'000;
  static constexpr std::int64_t thaw_ns = 600'000'000'000;  // after the rate has fallen
  static constexpr std::size_t nodes_min = 10;
  static constexpr std::size_t sites_min = 3;
  static constexpr std::size_t share_divisor = 20;  // more than one in twenty
  static constexpr std::size_t marks_max = 16'384;  // later ones in one window are not kept: it is frozen by then

  // An attempt failed in its supplier's hands. `site` tells sites apart; the breaker tells offers apart.
  // True: blame is frozen, and this failure counts against nobody. When a freeze begins, the breakers of
  // all that were marked in the window are closed again: what opened them was ours.
  bool marked(std::shared_ptr<OfferBreaker> breaker, std::uint64_t site, std::size_t offers_in_fleet, std::int64_t now_ns);

  bool frozen(std::int64_t now_ns) const { return now_ns < until_ns_.load(std::memory_order_relaxed); }

 private:
  struct Mark {
    std::uint64_t site = 0;
    std::int64_t at_ns = 0;
    std::shared_ptr<OfferBreaker> breaker;
  };
  bool too_many(std::size_t offers_in_fleet) const;
  std::mutex mutex_;
  std::unordered_map<const OfferBreaker*, Mark> marks_;
  std::int64_t swept_ns_ = 0;
  std::atomic<std::int64_t> until_ns_{0};
};

}  // namespace trib::fleet

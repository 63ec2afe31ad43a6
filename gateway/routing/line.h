// Who waits for a model, and who is next. A bounded queue with deadlines, fair between tenants by the
// tokens they were served (a virtual token counter), weighted by priority: a high one gets four times
// what a normal one gets, a low one a quarter, and nobody starves. Sans-I/O: it is told the time and asked
// who goes; it wakes nobody. One thread. Bounds: entries, and 1,024 tenants remembered without any.
#pragma once
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "gateway/config/config.h"

namespace trib::routing {

using Priority = config::Priority;

class Line {
 public:
  struct Limits {
    std::uint32_t length_max = 256;  // 0: nobody waits
    std::int64_t wait_ns_max = 10'000'000'000;
  };
  using Ticket = std::uint64_t;  // never 0, never used twice
  struct Entry {
    std::string_view tenant;
    Priority priority = Priority::normal;
    std::uint64_t tokens = 1;     // expected, prompt and answer; what the tenant is charged when served
    std::int64_t deadline_ns = 0;  // the caller's own; `wait_ns_max` holds too
  };
  struct Place {
    Ticket ticket = 0;                // 0: refused
    std::int64_t retry_after_ms = 0;  // refused: when it would be let in, from the measured drain
    Ticket pushed_out = 0;            // the newest of the longest flow gave way; its owner must be told
  };

  Line() = default;
  explicit Line(Limits limits) : limits_(limits) {}

  // Refused when the line is full, unless another tenant holds far more of it, and when the expected
  // wait is longer than the entry may wait.
  Place enter(const Entry& entry, std::int64_t now_ns);
  void leave(Ticket ticket);  // gone by itself; unknown tickets are ignored

  // Offers what is free: asks `serve` in fair order. True: it was served, and leaves. False: it cannot
  // be now (its tier, its excluded sites), and the next is asked. Ends after `misses_max` in a row.
  // `serve` must not touch the line.
  void pump(std::int64_t now_ns, const std::function<bool(Ticket)>& serve);

  // What was served has ended: its tenant was charged `charged` tokens for it, and it took `actual` ones.
  void correct(std::string_view tenant, Priority priority, std::uint64_t charged, std::uint64_t actual);

  // One whose time is up, taken out; none: nothing.
  std::optional<Ticket> expired(std::int64_t now_ns);

  // How long one more entry of this tenant would wait. 0: nothing measured yet.
  std::int64_t wait_ns(std::string_view tenant, Priority priority, std::int64_t now_ns) const;
  // The honest Retry-After for whoever is sent away now, at least one second.
  std::int64_t retry_after_ms(std::string_view tenant, Priority priority, std::int64_t now_ns) const;

  std::size_t size() const { return waiting_.size(); }
  bool empty() const { return waiting_.empty(); }

  static constexpr int misses_max = 16;

 private:
  static constexpr std::size_t flows_max = 1024;
  static constexpr int tries_a_flow = 4;  // one that cannot be served hides no more than these
  using Key = std::pair<std::string, Priority>;
  struct Flow {
    std::uint64_t counter = 0;  // tokens served, by weight
    std::uint64_t floor = 0;    // where it came back to the line: no correction gives it more than that
    std::deque<Ticket> tickets;
  };
  using Flows = std::map<Key, Flow>;
  struct Waiting {
    Flows::iterator flow;
    std::int64_t deadline_ns;
    std::uint64_t tokens;
  };
  struct ByCounter {
    bool operator()(const Flows::iterator& a, const Flows::iterator& b) const {
      return std::tie(a->second.counter, a->first) < std::tie(b->second.counter, b->first);
    }
  };

  Flows::iterator flow_of(const Entry& entry);
  void take_out(Ticket ticket);
  Ticket push_out_for(std::size_t own);
  void served(Flows::iterator flow, std::uint64_t tokens, std::int64_t now_ns);
  void forget_idle();
  std::int64_t interval_ns(std::int64_t now_ns) const;

  Limits limits_;
  Flows flows_;
  std::set<Flows::iterator, ByCounter> active_;  // with somebody waiting
  std::unordered_map<Ticket, Waiting> waiting_;
  std::set<std::pair<std::int64_t, Ticket>> deadlines_;
  Ticket last_ticket_ = 0;
  std::uint64_t virtual_ = 0;         // the counter of whoever was served last
  std::int64_t drained_ns_ = 0;       // between two that were served, smoothed; 0: not measured
  std::int64_t mark_ns_ = 0;          // the last one served, or since when somebody waits
};

}  // namespace trib::routing

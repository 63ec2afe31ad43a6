// The waiting lines of one worker, one a model: Line knows who is next, this knows when to ask and whom
// to tell. Asked at every end of an attempt of this worker, and every 50 ms for what others have freed.
#pragma once
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>

#include "gateway/base/base.h"
#include "gateway/base/loop.h"
#include "gateway/routing/line.h"

namespace trib::routing {

class Lines;

// Leaves by its destructor. Told from the loop, never from within a call.
class Waiter {
 public:
  Waiter() = default;
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

 protected:
  virtual ~Waiter();
  virtual bool on_asked() = 0;  // something may be free: take hold of it, or say no. May do nothing else
  virtual void on_turn() = 0;   // later, after a yes: go on. May destroy this
  virtual void on_sent_away(std::int64_t retry_after_ms) = 0;  // its time is up. May destroy this

 private:
  friend class Lines;
  Lines* lines_ = nullptr;        // while it waits or is about to be told
  Line* line_ = nullptr;
  Line::Ticket ticket_ = 0;       // 0: about to be told
  std::uint64_t asked_ = 0;       // tokens it is charged for a turn
  std::uint64_t charged_ = 0;     // for the turns it has had
};

class Lines {
 public:
  static constexpr std::int64_t every_ns = 50'000'000;

  Lines() = default;  // nobody waits
  Lines(Loop& loop, Line::Limits limits) : loop_(limits.length_max == 0 ? nullptr : &loop), limits_(limits) {}

  // Does somebody wait for this model? Then who comes now may not overtake.
  bool any(const std::string& model) const;
  // None: it waits. Else it is sent away, with its Retry-After; 0: lines are off, and nothing is known.
  std::optional<std::int64_t> wait(Waiter& waiter, const std::string& model, const Line::Entry& entry, std::int64_t now_ns);
  void leave(Waiter& waiter);
  // A request that may have had its turn has ended; what it was charged becomes what it took.
  void ended(Waiter& waiter, const std::string& model, std::string_view tenant, Priority priority, std::uint64_t tokens);
  void freed();  // an attempt has ended

 private:
  struct Told {
    Waiter* waiter = nullptr;  // null: it has gone meanwhile
    std::optional<std::int64_t> retry_after_ms;  // none: its turn
  };
  struct One {
    Line line;
    std::unordered_map<Line::Ticket, Waiter*> waiters;
  };
  void ask_soon();
  void pump();
  void send_away(One& one, Line::Ticket ticket, std::int64_t now_ns);
  void on_timer() { pump(); }

  Loop* loop_ = nullptr;
  Line::Limits limits_;
  std::map<std::string, One> lines_;  // kept: they know how fast they drain
  std::size_t waiting_ = 0;
  std::deque<Told> told_;
  bool posted_ = false;
  MemberTimer<Lines, &Lines::on_timer> timer_{*this};
};

}  // namespace trib::routing

// Virtual time: events in order of their due time, one timer wheel, nothing else moves. Two events of
// one instant run in the order in which they were asked for, so a seed alone decides what happens.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "gateway/base/base.h"

namespace trib::sim {

constexpr std::int64_t us = 1'000;  // in nanoseconds
constexpr std::int64_t ms = 1'000'000;
constexpr std::int64_t second = 1'000'000'000;

class Timeline final : public Clock {
 public:
  Timeline() = default;
  ~Timeline();

  std::int64_t mono_ns() const override { return now_ns_; }
  std::int64_t wall_ms() const override { return start_wall_ms + now_ns_ / ms + wall_shift_ms_; }
  void shift_wall(std::int64_t by_ms) { wall_shift_ms_ += by_ms; }

  void after(std::int64_t delay_ns, std::function<void()> what);
  // Runs the next event, and before it the wheel up to its time. False: nothing is left.
  bool step();
  // Somebody waits without running events: the time passes all the same.
  void pass(std::int64_t ns) { now_ns_ += ns; }
  TimerWheel& wheel() { return wheel_; }
  std::uint64_t steps() const { return steps_; }
  void clear() { events_.clear(); }

  // What --verbose prints: one line an occurrence. Ask `tracing` before composing one.
  bool tracing = false;
  void trace(const std::string& what) const;

 private:
  static constexpr std::int64_t start_wall_ms = 1'793'930'000'000;  // 2026-11-06, Asia/Shanghai
  struct Event {
    std::int64_t due_ns;
    std::uint64_t number;
    std::function<void()> what;
    bool operator<(const Event& other) const {  // the heap's top is the soonest
      return due_ns != other.due_ns ? due_ns > other.due_ns : number > other.number;
    }
  };
  std::int64_t now_ns_ = second;
  std::int64_t wall_shift_ms_ = 0;
  std::uint64_t numbers_ = 0, steps_ = 0;
  TimerWheel wheel_{now_ns_};
  std::vector<Event> events_;
};

// One life of a process: what it has asked for later is not done once it is dead.
class Life {
 public:
  explicit Life(Timeline& timeline) : timeline_(timeline) {}
  ~Life() { end(); }
  Life(const Life&) = delete;
  Life& operator=(const Life&) = delete;
  bool alive() const { return *alive_; }
  void end() { *alive_ = false; }
  void after(std::int64_t delay_ns, std::function<void()> what);
  Timeline& timeline() { return timeline_; }

 private:
  Timeline& timeline_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

// A loop of a process. What is posted runs in a later turn, after a delay that the seed draws.
class Turns final : public Loop {
 public:
  Turns(Life& life, Rng& rng) : life_(life), rng_(rng) {}
  void post(std::function<void()> task) override;
  TimerWheel& wheel() override { return life_.timeline().wheel(); }
  Rng& rng() override { return rng_; }
  void drop() { inbox_.clear(); }

 private:
  void run();
  Life& life_;
  Rng& rng_;
  std::vector<std::function<void()>> inbox_;
};

}  // namespace trib::sim

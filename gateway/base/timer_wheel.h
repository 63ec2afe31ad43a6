// A coarse hashed wheel of deadlines: O(1) to arm, move and cancel, no allocation. A deadline fires
// at most one tick late and never early. Single-threaded; the owner calls `advance`.
#pragma once
#include <array>
#include <cstdint>

namespace trib {

// A deadline embedded in its owner. Cancelled by its destructor. Not movable: the wheel points at it.
class Timer {
 public:
  Timer() = default;
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  virtual ~Timer() { cancel(); }
  void cancel();
  bool armed() const { return next_ != nullptr; }

 protected:
  virtual void on_timer() = 0;  // may arm, cancel or destroy this and other timers

 private:
  friend class TimerWheel;
  Timer* next_ = nullptr;
  Timer* prev_ = nullptr;
  std::int64_t due_ns_ = 0;
};

class TimerWheel {
 public:
  static constexpr std::int64_t tick_ns = 50'000'000;
  explicit TimerWheel(std::int64_t now_ns);
  ~TimerWheel();
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  // Re-arming moves the timer. A due time in the past fires at the next advance.
  void arm(Timer& timer, std::int64_t due_ns);
  // Fires everything due. Time may jump any distance.
  void advance(std::int64_t now_ns);
  std::int64_t now_ns() const { return now_ns_; }

 private:
  static constexpr std::size_t slots = 512;
  struct Head final : Timer {
    void on_timer() override {}
  };
  static void link(Timer& head, Timer& timer);
  Head& slot(std::int64_t due_ns);
  std::array<Head, slots> heads_;
  std::int64_t now_ns_;
  std::int64_t tick_;
};

// A Timer that calls one member function of its owner.
template <class Owner, void (Owner::*method)()>
class MemberTimer final : public Timer {
 public:
  explicit MemberTimer(Owner& owner) : owner_(owner) {}

 private:
  void on_timer() override { (owner_.*method)(); }
  Owner& owner_;
};

}  // namespace trib

#include "tests/sim/timeline.h"

#include <algorithm>
#include <cstdio>

namespace trib::sim {

Timeline::~Timeline() = default;

void Timeline::trace(const std::string& what) const {
  if (!tracing) return;
  std::printf("%9.3f s  step %llu  %s\n", static_cast<double>(now_ns_) / 1e9, static_cast<unsigned long long>(steps_), what.c_str());
}

void Timeline::after(std::int64_t delay_ns, std::function<void()> what) {
  events_.push_back({now_ns_ + std::max<std::int64_t>(0, delay_ns), ++numbers_, std::move(what)});
  std::push_heap(events_.begin(), events_.end());
}

bool Timeline::step() {
  if (events_.empty()) return false;
  // Timers are due at whole ticks; one that fires may ask for an event before the next one here.
  const std::int64_t tick = (wheel_.now_ns() / TimerWheel::tick_ns + 1) * TimerWheel::tick_ns;
  ++steps_;
  if (tick <= events_.front().due_ns) {
    now_ns_ = std::max(now_ns_, tick);
    wheel_.advance(now_ns_);
    return true;
  }
  std::pop_heap(events_.begin(), events_.end());
  const Event event = std::move(events_.back());
  events_.pop_back();
  now_ns_ = std::max(now_ns_, event.due_ns);
  event.what();
  return true;
}

void Life::after(std::int64_t delay_ns, std::function<void()> what) {
  timeline_.after(delay_ns, [alive = alive_, what = std::move(what)] {
    if (*alive) what();
  });
}

void Turns::post(std::function<void()> task) {
  if (!life_.alive()) return;
  inbox_.push_back(std::move(task));
  if (inbox_.size() > 1) return;
  life_.after(static_cast<std::int64_t>(rng_.below(20)) * us, [this] { run(); });
}

void Turns::run() {
  std::vector<std::function<void()>> tasks;
  tasks.swap(inbox_);
  for (auto& task : tasks) {
    if (!life_.alive()) return;
    task();
  }
}

}  // namespace trib::sim

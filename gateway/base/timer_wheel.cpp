#include "gateway/base/timer_wheel.h"

namespace trib {

void Timer::cancel() {
  if (next_ == nullptr) return;
  prev_->next_ = next_;
  next_->prev_ = prev_;
  next_ = prev_ = nullptr;
}

TimerWheel::TimerWheel(std::int64_t now_ns) : now_ns_(now_ns), tick_(now_ns / tick_ns) {
  for (auto& head : heads_) head.next_ = head.prev_ = &head;
}

TimerWheel::~TimerWheel() {
  for (auto& head : heads_) {
    while (head.next_ != &head) head.next_->cancel();
    head.next_ = head.prev_ = nullptr;
  }
}

void TimerWheel::link(Timer& head, Timer& timer) {
  timer.prev_ = head.prev_;
  timer.next_ = &head;
  head.prev_->next_ = &timer;
  head.prev_ = &timer;
}

TimerWheel::Head& TimerWheel::slot(std::int64_t due_ns) {
  // Rounded up: a deadline is never early. One already due goes to the next tick.
  std::int64_t tick = (due_ns + tick_ns - 1) / tick_ns;
  if (tick <= tick_) tick = tick_ + 1;
  return heads_[static_cast<std::size_t>(tick) % slots];
}

void TimerWheel::arm(Timer& timer, std::int64_t due_ns) {
  timer.cancel();
  timer.due_ns_ = due_ns;
  link(slot(due_ns), timer);
}

void TimerWheel::advance(std::int64_t now_ns) {
  if (now_ns <= now_ns_) return;
  now_ns_ = now_ns;
  const std::int64_t target = now_ns / tick_ns;
  // A jump past a whole turn visits every slot once; nothing is visited twice.
  std::int64_t from = tick_ + 1;
  if (target - from >= static_cast<std::int64_t>(slots)) from = target - static_cast<std::int64_t>(slots) + 1;
  for (std::int64_t t = from; t <= target; ++t) {
    tick_ = t;
    Head& head = heads_[static_cast<std::size_t>(t) % slots];
    // Take the whole list first: handlers may arm into this very slot.
    Head due;
    due.next_ = due.prev_ = &due;
    for (Timer* p = head.next_; p != &head;) {
      Timer* next = p->next_;
      if (p->due_ns_ <= now_ns) {
        p->cancel();
        link(due, *p);
      }
      p = next;
    }
    while (due.next_ != &due) {
      Timer* p = due.next_;
      p->cancel();
      p->on_timer();
    }
    due.next_ = due.prev_ = nullptr;
  }
}

}  // namespace trib

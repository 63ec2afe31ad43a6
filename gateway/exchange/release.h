// Those who wait for the journal, one queue a worker. The journal's writer wakes the worker; the
// worker then calls `advance`.
#pragma once
#include <atomic>
#include <cstddef>
#include <functional>
#include <vector>

#include "gateway/metering/metering.h"

namespace trib::exchange {

class ReleaseQueue;

class Waiter {
 public:
  Waiter() = default;
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

 protected:
  virtual void on_released() = 0;        // the record waited for may be relied on
  virtual void on_journal_failed() = 0;  // it never will
  virtual ~Waiter();

 private:
  friend class ReleaseQueue;
  ReleaseQueue* queue_ = nullptr;
  std::size_t at_ = 0;
  std::size_t due_at_ = 0;  // its place among those about to be told, from 1; 0: none
  metering::Lsn lsn_ = 0;
};

class ReleaseQueue {
 public:
  // `ask` is called whenever someone begins to wait: the worker then lets the journal be helped at the end of its turn. For
  // those who come during a sync too: the writer goes on with them at once, not only when the worker has served that sync's.
  explicit ReleaseQueue(metering::Journal& journal, std::function<void()> ask = {})
      : journal_(journal), ask_(std::move(ask)) {}
  enum class Now : std::uint8_t { waiting, released, failed };
  // One wait at a time a waiter; a second call replaces it. Never calls back from within: only when
  // the answer is `waiting` will the waiter be told.
  Now wait(Waiter& waiter, metering::Lsn lsn);
  void cancel(Waiter& waiter);
  // On the worker, after the journal's wake: tells everyone whose record is released.
  void advance();
  // On the worker: has more been released since it last told anyone? Two loads, so that it can be asked between any two events.
  bool due() const { return waiting() && journal_.released() != told_; }
  // Any thread: is a wake worth a post?
  bool waiting() const { return count_.load() > 0; }

 private:
  metering::Journal& journal_;
  const std::function<void()> ask_;
  std::vector<Waiter*> waiters_;
  std::vector<Waiter*> due_;
  std::atomic<std::size_t> count_{0};
  metering::Lsn told_ = 0;  // up to here, by the last advance()
};

}  // namespace trib::exchange

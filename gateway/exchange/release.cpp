#include "gateway/exchange/release.h"

namespace trib::exchange {

Waiter::~Waiter() {
  if (queue_ != nullptr) queue_->cancel(*this);
}

ReleaseQueue::Now ReleaseQueue::wait(Waiter& waiter, metering::Lsn lsn) {
  if (lsn == 0) {  // no record at all
    cancel(waiter);
    return Now::failed;
  }
  waiter.lsn_ = lsn;
  if (waiter.queue_ == nullptr) {
    waiter.queue_ = this;
    waiter.at_ = waiters_.size();
    waiters_.push_back(&waiter);
    count_.store(waiters_.size());
  }
  // Looked at after the count was raised: either the writer sees us waiting or we see its release.
  if (journal_.released() >= lsn) {
    cancel(waiter);
    return Now::released;
  }
  if (journal_.failed()) {
    cancel(waiter);
    return Now::failed;
  }
  if (ask_) ask_();
  return Now::waiting;
}

void ReleaseQueue::cancel(Waiter& waiter) {
  if (waiter.queue_ == nullptr) return;
  waiter.queue_ = nullptr;
  if (waiter.at_ < waiters_.size() && waiters_[waiter.at_] == &waiter) {
    waiters_[waiter.at_] = waiters_.back();
    waiters_[waiter.at_]->at_ = waiter.at_;
    waiters_.pop_back();
    count_.store(waiters_.size());
  }
  if (waiter.due_at_ == 0) return;
  due_[waiter.due_at_ - 1] = nullptr;  // it was about to be told
  waiter.due_at_ = 0;
}

void ReleaseQueue::advance() {
  const bool failed = static_cast<bool>(journal_.failed());
  const auto released = told_ = journal_.released();
  for (Waiter* waiter : waiters_) {
    if (!failed && waiter->lsn_ > released) continue;
    due_.push_back(waiter);
    waiter->due_at_ = due_.size();
  }
  for (std::size_t i = 0; i < due_.size(); ++i) {
    Waiter* const waiter = due_[i];
    if (waiter == nullptr) continue;
    const bool ready = waiter->lsn_ <= released;
    if (!ready && !failed) {  // one told before it made it wait anew
      waiter->due_at_ = 0;
      continue;
    }
    cancel(*waiter);
    if (ready) {
      waiter->on_released();
    } else {
      waiter->on_journal_failed();
    }
  }
  due_.clear();
}

}  // namespace trib::exchange

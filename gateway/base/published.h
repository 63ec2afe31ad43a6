// A value that one thread replaces whole and many read. std::atomic<std::shared_ptr> would do, but
// libstdc++ 12 lets its readers' lock go without release, which is a race by the letter.
#pragma once
#include <memory>
#include <mutex>
#include <utility>

namespace trib {

// Any thread. What was loaded stays as it was for as long as it is held.
template <class T>
class Published {
 public:
  Published() = default;
  explicit Published(std::shared_ptr<const T> value) : value_(std::move(value)) {}
  std::shared_ptr<const T> load() const {
    const std::lock_guard lock(mutex_);
    return value_;
  }
  void store(std::shared_ptr<const T> value) {
    const std::lock_guard lock(mutex_);
    value_.swap(value);  // what was there goes after the lock
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const T> value_;
};

}  // namespace trib

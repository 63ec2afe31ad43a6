#include "gateway/net/worker.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>

namespace trib::net {

namespace asio = boost::asio;

Worker::Worker(unsigned index, Clock& clock)
    : index_(index), clock_(clock), wheel_(clock.mono_ns()), rng_(system_rng().next()), scratch_(64u << 10) {}

Worker::~Worker() = default;

void Worker::run() {
  const auto guard = asio::make_work_guard(io_);
  tick();
  io_.run();
}

void Worker::stop() { io_.stop(); }

void Worker::post(std::function<void()> task) {
  bool first = false;
  {
    const std::lock_guard lock(inbox_mutex_);
    first = inbox_.empty();
    inbox_.push_back(std::move(task));
  }
  if (first) asio::post(io_, [this] { run_inbox(); });
}

void Worker::run_inbox() {
  std::vector<std::function<void()>> tasks;
  {
    const std::lock_guard lock(inbox_mutex_);
    tasks.swap(inbox_);
  }
  clock_.turn();
  for (auto& task : tasks) task();
}

void Worker::tick() {
  clock_.turn();
  wheel_.advance(clock_.mono_ns());
  timer_.expires_after(std::chrono::nanoseconds(TimerWheel::tick_ns));
  timer_.async_wait([this](const boost::system::error_code& ec) {
    if (!ec) tick();
  });
}

}  // namespace trib::net

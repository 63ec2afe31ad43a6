// One event loop on one thread, with its timer wheel and its random numbers. Everything that a worker
// owns is touched on its thread only; other threads reach it by post().
#pragma once
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "gateway/base/base.h"
#include "gateway/net/poller.h"

namespace trib::net {

// A socket of a worker's own loop. The loop's executor by its own type: the type-erased one costs at
// each operation.
using Socket = boost::asio::basic_stream_socket<boost::asio::ip::tcp, boost::asio::io_context::executor_type>;

// The time as a loop sees it: asked of the real clock once a turn. The loop's thread only. A turn that
// did not begin with turn() sees a time that is old by a tick of the wheel at most.
class TurnClock final : public Clock {
 public:
  explicit TurnClock(Clock& real) : real_(real) {}
  void turn() { mono_known_ = wall_known_ = false; }
  std::int64_t mono_ns() const override {
    if (!std::exchange(mono_known_, true)) mono_ns_ = real_.mono_ns();
    return mono_ns_;
  }
  std::int64_t wall_ms() const override {
    if (!std::exchange(wall_known_, true)) wall_ms_ = real_.wall_ms();
    return wall_ms_;
  }

 private:
  Clock& real_;
  mutable std::int64_t mono_ns_ = 0, wall_ms_ = 0;
  mutable bool mono_known_ = false, wall_known_ = false;
};

class Worker final : public Loop {
 public:
  Worker(unsigned index, Clock& clock);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void run();   // until stop(); on the worker's own thread
  void stop();  // any thread

  // Any thread. Runs on the worker, in order; what arrives during one turn runs in one later turn.
  void post(std::function<void()> task) override;

  unsigned index() const { return index_; }
  boost::asio::io_context& io() { return io_; }
  Poller& poller() { return poller_; }
  TimerWheel& wheel() override { return wheel_; }
  TurnClock& clock() { return clock_; }
  Rng& rng() override { return rng_; }
  // Shared by the sockets of this worker; valid during one read's upcall only.
  std::span<char> scratch() { return scratch_; }

 private:
  void tick();
  void run_inbox();

  const unsigned index_;
  TurnClock clock_;
  // Sockets are touched on the loop's own thread only, so they need no locks; posting has its own.
  boost::asio::io_context io_{BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO};
  boost::asio::steady_timer timer_{io_};
  Poller poller_{io_};
  TimerWheel wheel_;
  SeededRng rng_;
  std::vector<char> scratch_;
  std::mutex inbox_mutex_;
  std::vector<std::function<void()>> inbox_;
};

}  // namespace trib::net

// Readiness of a worker's established connections. Asio's own read costs a receive that finds nothing
// for each one that finds something, because it asks again before it waits; here an edge is remembered,
// and a receive that did not fill its buffer is known to have emptied the socket. The set is an epoll
// instance of its own inside the loop's. One thread: the loop's.
#pragma once
#include <sys/epoll.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <functional>
#include <utility>

#include "gateway/base/base.h"

namespace trib::net {

class Poller {
 public:
  class Watched {
   public:
    // Each edge once, together where they came together. May call forget() for any that is watched.
    virtual void on_ready(std::uint32_t events) = 0;  // of epoll: EPOLLIN, EPOLLOUT, EPOLLRDHUP, EPOLLHUP, EPOLLERR

   protected:
    ~Watched() = default;
  };

  explicit Poller(boost::asio::io_context& io);
  std::error_code add(int fd, Watched& watched);  // what is ready by now comes as the first edge
  void forget(Watched& watched);                  // before its descriptor is closed; nothing more comes
  // Called after each event was told: for what must not wait for the end of a turn. Cheap; set before the loop runs.
  void between(std::function<void()> call) { between_ = std::move(call); }

 private:
  void wait();
  void turn();

  using Descriptor = boost::asio::posix::basic_stream_descriptor<boost::asio::io_context::executor_type>;
  Descriptor set_;
  // Few: between two turns the loop runs what was posted, such as the call for the journal's writer and its answer,
  // which would else wait for all of a burst.
  std::array<epoll_event, 16> ready_{};
  std::size_t at_ = 0, count_ = 0;  // of ready_, while they are told
  std::function<void()> between_;
};

}  // namespace trib::net

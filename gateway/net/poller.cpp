#include "gateway/net/poller.h"

#include <cerrno>

namespace trib::net {

Poller::Poller(boost::asio::io_context& io) : set_(io, ::epoll_create1(EPOLL_CLOEXEC)) { wait(); }

std::error_code Poller::add(int fd, Watched& watched) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.ptr = &watched;
  if (::epoll_ctl(set_.native_handle(), EPOLL_CTL_ADD, fd, &event) == 0) return {};
  return {errno, std::system_category()};
}

void Poller::forget(Watched& watched) {
  for (std::size_t i = at_; i < count_; ++i)
    if (ready_[i].data.ptr == &watched) ready_[i].data.ptr = nullptr;
}

void Poller::wait() {
  set_.async_wait(Descriptor::wait_read, [this](const boost::system::error_code& ec) {
    if (!ec) turn();
  });
}

void Poller::turn() {
  const int n = ::epoll_wait(set_.native_handle(), ready_.data(), static_cast<int>(ready_.size()), 0);
  count_ = n > 0 ? static_cast<std::size_t>(n) : 0;
  for (at_ = 0; at_ < count_;) {
    const epoll_event event = ready_[at_++];
    if (event.data.ptr == nullptr) continue;
    static_cast<Watched*>(event.data.ptr)->on_ready(event.events);
    if (between_) between_();
  }
  at_ = count_ = 0;
  wait();
}

}  // namespace trib::net

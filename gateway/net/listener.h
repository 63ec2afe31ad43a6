// A listening socket of one worker. With SO_REUSEPORT each worker has its own on the same port and
// the kernel spreads the connections.
#pragma once
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <string>

#include "gateway/net/worker.h"

namespace trib::net {

class Listener {
 public:
  using Accept = std::function<void(Socket)>;
  explicit Listener(Worker& worker) : worker_(worker), acceptor_(worker.io()), again_(worker.io()) {}

  // Binds and listens; on failure returns the reason ("address already in use") and stays closed.
  // Port 0 takes a free one; `port()` tells it.
  std::string open(const std::string& host, std::uint16_t port);
  std::uint16_t port() const { return port_; }
  void start(Accept accept);  // on the worker's thread, or before it runs
  void close();               // on the worker's thread

 private:
  void next();
  Worker& worker_;
  boost::asio::basic_socket_acceptor<boost::asio::ip::tcp, boost::asio::io_context::executor_type> acceptor_;
  boost::asio::steady_timer again_;
  Accept accept_;
  std::uint16_t port_ = 0;
};

}  // namespace trib::net

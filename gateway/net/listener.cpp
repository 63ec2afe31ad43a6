#include "gateway/net/listener.h"

#include <sys/socket.h>

#include <boost/asio/ip/address.hpp>

namespace trib::net {

namespace asio = boost::asio;
using asio::ip::tcp;

std::string Listener::open(const std::string& host, std::uint16_t port) {
  boost::system::error_code ec;
  auto address = asio::ip::make_address(host, ec);
  if (ec) {
    tcp::resolver resolver(worker_.io());
    const auto found = resolver.resolve(host, std::to_string(port), tcp::resolver::passive, ec);
    if (ec || found.empty()) return "no such address";
    address = found.begin()->endpoint().address();
  }
  const tcp::endpoint endpoint(address, port);
  const auto fail = [&] {
    boost::system::error_code ignored;
    acceptor_.close(ignored);
    return ec.message();
  };
  acceptor_.open(endpoint.protocol(), ec);
  if (ec) return fail();
  acceptor_.set_option(tcp::acceptor::reuse_address(true), ec);
  if (ec) return fail();
  using reuse_port = asio::detail::socket_option::boolean<SOL_SOCKET, SO_REUSEPORT>;
  acceptor_.set_option(reuse_port(true), ec);
  if (ec) return fail();
  acceptor_.bind(endpoint, ec);
  if (ec) return fail();
  acceptor_.listen(4096, ec);
  if (ec) return fail();
  port_ = acceptor_.local_endpoint(ec).port();
  return {};
}

void Listener::start(Accept accept) {
  accept_ = std::move(accept);
  next();
}

void Listener::next() {
  acceptor_.async_accept([this](const boost::system::error_code& ec, Socket socket) {
    if (ec == asio::error::operation_aborted || !acceptor_.is_open()) return;
    if (!ec) {
      accept_(std::move(socket));
      return next();
    }
    // Out of descriptors, most likely: the connection waits in the backlog, and trying again at once
    // would only burn the worker.
    again_.expires_after(std::chrono::milliseconds(50));
    again_.async_wait([this](const boost::system::error_code& cancelled) {
      if (!cancelled && acceptor_.is_open()) next();
    });
  });
}

void Listener::close() {
  boost::system::error_code ignored;
  acceptor_.close(ignored);
  again_.cancel();
}

}  // namespace trib::net

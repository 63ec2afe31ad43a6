// TCP sockets as streams, plain or under TLS. A read is always pending unless paused; a write is
// tried at once, and only what does not fit is copied.
#pragma once
#include <boost/asio/ip/tcp.hpp>
#include <map>
#include <memory>
#include <string>

#include "gateway/base/base.h"
#include "gateway/net/tls.h"
#include "gateway/net/worker.h"

namespace trib::net {

// Takes an accepted socket. `tls` null: plain. on_open follows for TLS streams once the handshake is
// done, for plain ones it does not come.
std::unique_ptr<Stream> adopt_socket(Worker& worker, Socket socket,
                                     std::shared_ptr<const TlsContext> tls);

// The TLS session below a stream that adopt_socket or SocketTransport made; null when plain.
TlsSession* tls_of(Stream& stream);

// Dials from one worker. TLS contexts for dialled engines are made once per trust and kept.
class SocketTransport final : public Transport {
 public:
  explicit SocketTransport(Worker& worker) : worker_(worker) {}
  std::unique_ptr<Stream> dial(const Endpoint& to, StreamHandler& handler) override;
  // Uses this context for every TLS dial instead of one made from the endpoint's trust.
  void set_tls(std::shared_ptr<const TlsContext> tls) { tls_ = std::move(tls); }

 private:
  Worker& worker_;
  std::shared_ptr<const TlsContext> tls_;
  std::map<std::string, std::shared_ptr<const TlsContext>> by_trust_;
};

}  // namespace trib::net

// Dials the gateway's sites door: TCP, through an HTTP proxy when there is one (CONNECT), then
// TLS 1.3. A Transport like any other, over a plain one. Room-private.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "gateway/config/config.h"
#include "gateway/net/net.h"

namespace trib::agent {

class DoorTransport final : public Transport {
 public:
  DoorTransport(Transport& plain, std::shared_ptr<const net::TlsContext> tls,
                std::optional<config::Address> proxy)
      : plain_(plain), tls_(std::move(tls)), proxy_(std::move(proxy)) {}
  // TLS always, with the context given; only host and port of `to` are used.
  std::unique_ptr<Stream> dial(const Endpoint& to, StreamHandler& handler) override;

 private:
  Transport& plain_;
  std::shared_ptr<const net::TlsContext> tls_;
  std::optional<config::Address> proxy_;
};

}  // namespace trib::agent

// Byte streams behind one interface: sockets (plain or TLS) in production, in-memory pipes with
// seeded trouble in simulation. The protocol code above cannot tell.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "gateway/base/fault.h"

namespace trib {

// Receives a stream's events, on the stream's thread. A handler may close or destroy the stream from
// within a call; the stream notices and touches nothing afterwards.
class StreamHandler {
 public:
  virtual void on_open() {}                              // connected (TLS included); dialled streams only
  virtual void on_bytes(std::string_view bytes) = 0;     // valid during the call only; never empty
  virtual void on_drained() {}                           // every byte written so far has left
  virtual void on_end() = 0;                             // the peer finished cleanly; writing may go on
  virtual void on_error(const Fault& fault) = 0;         // last call; the stream is dead

 protected:
  ~StreamHandler() = default;
};

// One connection. Owned by whoever opened or accepted it; destroying it closes it at once (unsent
// bytes are dropped, a TCP reset follows if input was unread).
class Stream {
 public:
  virtual ~Stream() = default;
  virtual void set_handler(StreamHandler& handler) = 0;
  // Starts or resumes reading. Reading is off at first and after pause().
  virtual void resume() = 0;
  virtual void pause() = 0;
  // Sends the pieces in order, trying at once; what does not fit is copied and sent later.
  virtual void write(std::span<const std::string_view> pieces) = 0;
  void write(std::string_view bytes) { write(std::span<const std::string_view>(&bytes, 1)); }
  virtual std::size_t unsent_bytes() const = 0;
  // Those, and what the other end's machine has not acknowledged; where that is not known, the same.
  virtual std::size_t unacknowledged_bytes() const { return unsent_bytes(); }
  // Sends what is queued, then finishes the sending side (FIN, TLS close_notify).
  virtual void shutdown() = 0;
  // The address of the other end, for logs and limits: "127.0.0.1:4711".
  virtual std::string peer() const = 0;
};

// Where to dial. Everything that makes two connections differ is part of the key.
struct Endpoint {
  std::string host;
  std::uint16_t port = 0;
  bool tls = false;
  std::string server_name;     // SNI and the name to verify, when tls
  std::string trust;           // path of a CA file or pinned certificate; empty: the system's
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
  std::string key() const;     // a text that is equal exactly when the endpoints are
  struct Hash {
    std::size_t operator()(const Endpoint& e) const noexcept {
      return std::hash<std::string_view>{}(e.host) * 31 + e.port;
    }
  };
};

class Transport {
 public:
  virtual ~Transport() = default;
  // Begins to connect; on_open or on_error follows, never from within this call.
  virtual std::unique_ptr<Stream> dial(const Endpoint& to, StreamHandler& handler) = 0;
};

}  // namespace trib

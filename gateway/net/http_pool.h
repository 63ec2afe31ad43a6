// The client's end of HTTP/1.1: calls over pooled keep-alive connections to dialled engines. One pool
// a worker; last-in first-out reuse; the key is everything that makes two connections differ. Knows
// no sockets: it dials through Transport.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "gateway/base/base.h"
#include "gateway/http/http.h"

namespace trib::net {

struct PoolLimits {
  std::int64_t connect_ms = 2'000;
  std::int64_t idle_ms = 30'000;       // shorter than engines' own
  std::size_t idle_per_endpoint = 128;
  http::HeadLimits head;
};

struct PoolFigures {  // for /metrics; read on the pool's thread
  std::uint64_t dialled = 0, reused = 0, stale = 0;
  std::size_t open = 0, idle = 0;
};

class HttpConnection;

class HttpPool {
 public:
  HttpPool(Transport& transport, TimerWheel& wheel, const PoolLimits& limits);
  ~HttpPool();  // ends every call without a word
  // Begins a call. Events come later, never from within. A pooled connection that turns out to be
  // dead before any byte of the answer is replaced by a fresh one, once.
  std::unique_ptr<http::Call> call(const Endpoint& to, http::CallRequest request, http::CallEvents& events);
  PoolFigures figures() const;

 private:
  friend class HttpConnection;
  friend class HttpCall;
  HttpConnection& connect(const Endpoint& to);
  HttpConnection* take_idle(const Endpoint& to);
  void park(HttpConnection& connection);     // back to the idle list, or closed when it is full
  void discard(HttpConnection& connection);  // destroys it; it may be on the stack

  Transport& transport_;
  TimerWheel& wheel_;
  const PoolLimits limits_;
  PoolFigures figures_;
  std::unordered_map<HttpConnection*, std::unique_ptr<HttpConnection>> connections_;
  std::unordered_map<Endpoint, std::vector<HttpConnection*>, Endpoint::Hash> idle_;  // the last is the warmest
};

}  // namespace trib::net

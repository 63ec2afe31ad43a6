#include "gateway/net/http_pool.h"

#include <algorithm>

#include "gateway/net/http_connection.h"

namespace trib::net {

HttpPool::HttpPool(Transport& transport, TimerWheel& wheel, const PoolLimits& limits)
    : transport_(transport), wheel_(wheel), limits_(limits) {}

HttpPool::~HttpPool() = default;

std::unique_ptr<http::Call> HttpPool::call(const Endpoint& to, http::CallRequest request, http::CallEvents& events) {
  auto call = std::make_unique<HttpCall>(*this, to, std::move(request), events);
  call->begin(false);
  return call;
}

PoolFigures HttpPool::figures() const {
  PoolFigures out = figures_;
  out.open = connections_.size();
  for (const auto& [key, list] : idle_) out.idle += list.size();
  return out;
}

HttpConnection& HttpPool::connect(const Endpoint& to) {
  ++figures_.dialled;
  auto made = std::make_unique<HttpConnection>(*this, to);
  HttpConnection& connection = *made;
  connections_.emplace(&connection, std::move(made));
  return connection;
}

HttpConnection* HttpPool::take_idle(const Endpoint& to) {
  const auto found = idle_.find(to);
  if (found == idle_.end() || found->second.empty()) return nullptr;
  HttpConnection* connection = found->second.back();
  found->second.pop_back();
  ++figures_.reused;
  return connection;
}

void HttpPool::park(HttpConnection& connection) {
  auto& list = idle_[connection.to()];
  if (list.size() >= limits_.idle_per_endpoint) {
    discard(connection);
    return;
  }
  list.push_back(&connection);
  connection.park();
}

void HttpPool::discard(HttpConnection& connection) {
  const auto found = idle_.find(connection.to());
  if (found != idle_.end()) {
    auto& list = found->second;
    list.erase(std::remove(list.begin(), list.end(), &connection), list.end());
    if (list.empty()) idle_.erase(found);
  }
  connections_.erase(&connection);
}

}  // namespace trib::net

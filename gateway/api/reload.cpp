#include "gateway/api/reload.h"

namespace trib::api {
namespace {

std::vector<std::string> texts(const std::vector<config::Address>& addresses) {
  std::vector<std::string> out;
  for (const auto& address : addresses) out.push_back(address.text());
  return out;
}

}  // namespace

std::vector<std::string> keys_of_start(const config::ConfigSnapshot& was_all, const config::ConfigSnapshot& now_all) {
  std::vector<std::string> out;
  const auto differs = [&](const char* key, bool is) {
    if (is) out.emplace_back(key);
  };
  const auto& was = was_all.gateway;
  const auto& now = now_all.gateway;
  differs("gateway.listen", now.listen.text() != was.listen.text());
  differs("gateway.tls", now.tls.has_value() != was.tls.has_value() ||
                             (now.tls && (now.tls->certificate != was.tls->certificate || now.tls->key != was.tls->key)));
  differs("gateway.sites.listen", now.sites.listen.text() != was.sites.listen.text());
  differs("gateway.sites.public", texts(now.sites.reached_at) != texts(was.sites.reached_at));
  differs("gateway.data", now.data != was.data);
  differs("gateway.journal.sync", now.journal.sync_always != was.journal.sync_always || now.journal.sync_window_ms != was.journal.sync_window_ms);
  differs("gateway.journal.keep", now.journal.keep_ms != was.journal.keep_ms);
  differs("gateway.journal.segment", now.journal.segment_bytes != was.journal.segment_bytes);
  differs("gateway.workers", now.workers != was.workers);
  const auto& d = now.deadlines;
  const auto& e = was.deadlines;
  differs("gateway.deadlines.head", d.head_ms != e.head_ms);
  differs("gateway.deadlines.body", d.body_ms != e.body_ms);
  differs("gateway.deadlines.connect", d.connect_ms != e.connect_ms);
  differs("gateway.deadlines.stall", d.stall_ms != e.stall_ms);
  differs("gateway.deadlines.idle", d.idle_ms != e.idle_ms);
  differs("gateway.deadlines.drain", d.drain_ms != e.drain_ms);
  const auto& l = now.limits;
  const auto& m = was.limits;
  differs("gateway.limits.head", l.head_bytes != m.head_bytes);
  differs("gateway.limits.headers", l.headers != m.headers);
  differs("gateway.limits.body", l.body_bytes != m.body_bytes);
  differs("gateway.limits.buffers", l.buffers_bytes != m.buffers_bytes);
  differs("gateway.limits.connections", l.connections != m.connections);
  differs("gateway.limits.idempotent_total", l.idempotent_total_bytes != m.idempotent_total_bytes);
  differs("store.url", now_all.store_path != was_all.store_path);
  differs("routing.line", now_all.routing.line.length_max != was_all.routing.line.length_max ||
                              now_all.routing.line.wait_ms_max != was_all.routing.line.wait_ms_max);
  differs("audit.checkpoint", now_all.audit.checkpoint_ms != was_all.audit.checkpoint_ms);
  return out;
}

}  // namespace trib::api

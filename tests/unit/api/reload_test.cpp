// What a reload says that it does not change: every key of a start by its own name, and nothing else.
#include <functional>
#include <utility>

#include "gateway/api/api.h"
#include "tests/catch.h"

using namespace trib;
using config::ConfigSnapshot;

TEST_CASE("a reload names every key that needs a restart, as it stands in the file") {
  const std::vector<std::pair<const char*, std::function<void(ConfigSnapshot&)>>> changes = {
      {"gateway.listen", [](auto& c) { c.gateway.listen.port = 1; }},
      {"gateway.tls", [](auto& c) { c.gateway.tls = config::Tls{"a", "b"}; }},
      {"gateway.sites.listen", [](auto& c) { c.gateway.sites.listen.host = "::1"; }},
      {"gateway.sites.public", [](auto& c) { c.gateway.sites.reached_at = {{"gateway.example", 443}}; }},
      {"gateway.data", [](auto& c) { c.gateway.data = "elsewhere"; }},
      {"gateway.journal.sync", [](auto& c) { c.gateway.journal.sync_always = false; }},
      {"gateway.journal.sync", [](auto& c) { c.gateway.journal.sync_window_ms = 5; }},
      {"gateway.journal.keep", [](auto& c) { ++c.gateway.journal.keep_ms; }},
      {"gateway.journal.segment", [](auto& c) { c.gateway.journal.segment_bytes *= 2; }},
      {"gateway.workers", [](auto& c) { c.gateway.workers = 3; }},
      {"gateway.deadlines.head", [](auto& c) { ++c.gateway.deadlines.head_ms; }},
      {"gateway.deadlines.body", [](auto& c) { ++c.gateway.deadlines.body_ms; }},
      {"gateway.deadlines.connect", [](auto& c) { ++c.gateway.deadlines.connect_ms; }},
      {"gateway.deadlines.stall", [](auto& c) { ++c.gateway.deadlines.stall_ms; }},
      {"gateway.deadlines.idle", [](auto& c) { ++c.gateway.deadlines.idle_ms; }},
      {"gateway.deadlines.drain", [](auto& c) { ++c.gateway.deadlines.drain_ms; }},
      {"gateway.limits.head", [](auto& c) { ++c.gateway.limits.head_bytes; }},
      {"gateway.limits.headers", [](auto& c) { ++c.gateway.limits.headers; }},
      {"gateway.limits.body", [](auto& c) { ++c.gateway.limits.body_bytes; }},
      {"gateway.limits.buffers", [](auto& c) { ++c.gateway.limits.buffers_bytes; }},
      {"gateway.limits.connections", [](auto& c) { ++c.gateway.limits.connections; }},
      {"gateway.limits.idempotent_total", [](auto& c) { ++c.gateway.limits.idempotent_total_bytes; }},
      {"store.url", [](auto& c) { c.store_path = "postgresql://tributary@db/ledger"; }},
      {"routing.line", [](auto& c) { ++c.routing.line.length_max; }},
      {"routing.line", [](auto& c) { ++c.routing.line.wait_ms_max; }},
      {"audit.checkpoint", [](auto& c) { ++c.audit.checkpoint_ms; }},
  };
  const ConfigSnapshot was;
  CHECK(api::keys_of_start(was, was).empty());
  ConfigSnapshot all;
  for (const auto& [key, change] : changes) {
    INFO(key);
    ConfigSnapshot now;
    change(now);
    CHECK(api::keys_of_start(was, now) == std::vector<std::string>{key});
    CHECK(api::keys_of_start(now, was) == std::vector<std::string>{key});
    change(all);
  }
  CHECK(api::keys_of_start(was, all).size() == 24);
}

TEST_CASE("what a reload applies is not said to need a restart") {
  const ConfigSnapshot was;
  ConfigSnapshot now;
  now.store_backlog = 5'000;  // while the store is away nothing can be restarted
  now.gateway.admin_token_env = "OTHER";
  now.gateway.continuations = 1;
  now.gateway.probe_generation_ms = 0;
  for (auto* ms : {&now.gateway.deadlines.first_token_ms, &now.gateway.deadlines.unary_token_ms, &now.gateway.deadlines.gap_ms,
                   &now.gateway.deadlines.keepalive_ms, &now.gateway.deadlines.total_ms})
    ++*ms;
  for (auto* bytes : {&now.gateway.limits.event_bytes, &now.gateway.limits.unary_hold_bytes, &now.gateway.limits.idempotent_answer_bytes}) ++*bytes;
  now.routing.policy = config::RoutingPolicy::cheapest;
  now.grace_days = 5;
  now.models.emplace_back().id = "m";
  now.tenants.emplace_back().id = "t";
  CHECK(api::keys_of_start(was, now).empty());
}

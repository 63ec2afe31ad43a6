// What each path means. One Api a worker; what all of them share is in Services.
#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "gateway/api/idempotency.h"
#include "gateway/base/base.h"
#include "gateway/config/config.h"
#include "gateway/exchange/exchange.h"
#include "gateway/fleet/fleet.h"
#include "gateway/ledger/ledger.h"
#include "gateway/net/net.h"
#include "gateway/telemetry/telemetry.h"
#include "gateway/tenancy/tenancy.h"

namespace trib::api {

// One configuration as the doors use it; swapped whole on reload, running requests keep theirs.
struct Live {
  std::shared_ptr<const config::ConfigSnapshot> config;
  std::shared_ptr<const tenancy::TenantBook> tenants;
  std::shared_ptr<const exchange::Terms> terms;
  std::unordered_map<std::string, std::uint32_t> contexts;  // model -> tokens
  std::optional<Sha256> admin_token;                        // its SHA-256; none: the admin doors are shut
};

// The answer of an administrative door.
struct Answer {
  int status = 200;
  std::string body;
  std::string content_type = "application/json";
};

struct AdminRequest {
  std::string method, path, query, body;
  std::string peer;  // "address:port"
};

// Runs on the administrative thread, but for at_once(): may read the store, sign and wait.
class AdminDoors {
 public:
  virtual Answer admin(const AdminRequest& request) = 0;
  // Any thread; waits for nothing, so that it answers while that thread is at long work. None: ask admin().
  virtual std::optional<Answer> at_once(const AdminRequest&) { return std::nullopt; }
  // The sites' door, POST /enrol/v1/requests; no token but the invite's own.
  virtual Answer enrol(const AdminRequest& request) = 0;

 protected:
  ~AdminDoors() = default;
};

enum class Readiness : std::uint8_t {
  starting,
  ready,
  behind,  // the ledger's store has not taken `store.backlog` records: nothing is admitted until it has
  draining
};
std::string_view name(Readiness readiness);

// Shared by all workers; outlives them. The atomics are swapped by the control thread.
struct Services {
  Clock& clock;
  telemetry::Registry& registry;
  IdempotencyTable& idempotency;
  AdminDoors& doors;
  std::function<bool(std::function<void()>)> run_admin;  // queues work on the administrative thread; false: full
  std::function<std::shared_ptr<const ledger::Book>()> book;
  std::function<std::string()> reload_state;             // "" or why the last reload was refused
  Published<Live> live;
  std::atomic<Readiness> readiness{Readiness::starting};
};

// What a configuration allows a session at these doors.
net::SessionLimits session_limits(const config::GatewayConfig& config);

// The token of an Authorization field; empty: none, or another scheme.
std::string_view bearer(std::string_view authorization);

// The customers' listener: OpenAI's doors, the admin API, /metrics, /healthz, /readyz.
class Api final : public net::RequestHandler {
 public:
  Api(Services& services, exchange::World& world, Loop& loop, std::uint16_t shard)
      : services_(services), world_(world), loop_(loop), shard_(shard) {}
  std::unique_ptr<net::Operation> on_request(net::Request request, net::Responder& responder) override;
  std::string refusal(int status, std::string_view why, std::string& fields) override;

 private:
  std::unique_ptr<net::Operation> customer(const net::Request& request, net::Responder& responder,
                                           engines::Operation operation, std::string body);
  void models(const net::Request& request, net::Responder& responder, std::string_view one);
  std::unique_ptr<net::Operation> admin(const net::Request& request, net::Responder& responder, std::string body);
  std::shared_ptr<tenancy::Tenant> authenticate(const Live& live, const net::Request& request, Sha256& key);
  void refuse(net::Responder& responder, int status, std::string_view message, std::string_view param = {},
              std::string_view code = {}, std::string_view extra_fields = {});

  Services& services_;
  exchange::World& world_;
  Loop& loop_;
  const std::uint16_t shard_;
};

// The sites' listener while it speaks HTTP/1.1: enrolment only.
class EnrolDoor final : public net::RequestHandler {
 public:
  EnrolDoor(Services& services, Loop& loop) : services_(services), loop_(loop) {}
  std::unique_ptr<net::Operation> on_request(net::Request request, net::Responder& responder) override;
  std::string refusal(int status, std::string_view why, std::string& fields) override;

 private:
  Services& services_;
  Loop& loop_;
};

}  // namespace trib::api

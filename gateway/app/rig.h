// All that one worker has: its loop and thread, its listeners, its pool, and the World that exchanges
// see. Made on the main thread, then touched on the worker's alone.
#pragma once
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>

#include "gateway/api/api.h"
#include "gateway/exchange/exchange.h"
#include "gateway/net/net.h"
#include "gateway/tunnel/tunnel.h"

namespace trib::app {

// What all rigs share.
struct Shared {
  Clock& clock;
  metering::Journal& journal;
  fleet::Fleet& fleet;
  exchange::Figures& figures;
  telemetry::Registry& registry;
  const config::LineConfig& line;        // of the start
  const config::GatewayConfig& config;   // of the start; listeners, limits and deadlines of sessions
  api::Services* services = nullptr;
  tunnel::Hub* hub = nullptr;
  std::shared_ptr<const net::TlsContext> customers_tls;  // null: plain
  std::shared_ptr<const net::TlsContext> sites_tls;
  std::atomic<std::int64_t> held_bytes{0};
  std::atomic<std::uint32_t> connections{0};
};

class Rig final : public exchange::World {
 public:
  Rig(unsigned index, Shared& shared);
  ~Rig() override;

  net::Worker& worker() { return worker_; }
  net::HttpPool& pool() { return pool_; }
  // Empty, or why it cannot listen. Port 0 takes a free one; see the ports.
  std::string listen_customers(const std::string& host, std::uint16_t port) { return customers_.open(host, port); }
  std::string listen_sites(const std::string& host, std::uint16_t port) { return sites_.open(host, port); }
  std::uint16_t customers_port() const { return customers_.port(); }
  std::uint16_t sites_port() const { return sites_.port(); }
  void start();             // begins to accept and runs the loop on a thread of its own
  void drain();             // any thread
  void drain_expired();     // any thread
  void stop();              // any thread; then join()
  void join() { if (thread_.joinable()) thread_.join(); }
  void wake_if_waiting();   // any thread: the journal released something

  Clock& clock() override { return worker_.clock(); }
  TimerWheel& wheel() override { return worker_.wheel(); }
  Rng& rng() override { return worker_.rng(); }
  routing::Router& router() override { return router_; }
  metering::Journal& journal() override { return shared_.journal; }
  exchange::ReleaseQueue& releases() override { return releases_; }
  exchange::Figures& figures() override { return shared_.figures; }
  std::shared_ptr<const fleet::FleetSnapshot> fleet() override { return shared_.fleet.snapshot(); }
  std::unique_ptr<http::Call> call(const fleet::Offer& offer, http::CallRequest request, http::CallEvents& events) override;
  bool hold_bytes(std::int64_t change) override;

 private:
  class Arrival;
  void accept_customer(net::Socket socket);
  void accept_site(net::Socket socket);
  void settle_arrival(Arrival& arrival, bool greeted);
  void serve(std::unique_ptr<Stream> stream, net::RequestHandler& handler);
  void closed(net::ClientSession& session);
  void on_second();
  void expire_holds();
  void help_journal();
  void serve_released();

  Shared& shared_;
  net::Worker worker_;
  net::SocketTransport transport_;
  net::HttpPool pool_;
  exchange::ReleaseQueue releases_;
  routing::Router router_;
  net::SessionLimits session_limits_;
  api::Api api_;
  api::EnrolDoor enrol_door_;
  net::Listener customers_, sites_;
  std::unordered_map<net::ClientSession*, std::unique_ptr<net::ClientSession>> sessions_;
  std::unordered_map<Arrival*, std::unique_ptr<Arrival>> arrivals_;  // TLS connections of sites, before hello
  bool draining_ = false;
  std::atomic<bool> wake_posted_{false};
  bool help_posted_ = false;
  telemetry::Counter& holds_expired_;
  telemetry::Gauge& pool_open_;
  telemetry::Gauge& pool_idle_;
  telemetry::Gauge& pool_dialled_;
  telemetry::Gauge& pool_reused_;
  MemberTimer<Rig, &Rig::on_second> second_{*this};
  std::thread thread_;
};

}  // namespace trib::app

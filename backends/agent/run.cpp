#include <signal.h>

#include <boost/asio/signal_set.hpp>
#include <cstdio>
#include <utility>

#include "backends/agent/agent.h"
#include "backends/agent/dialler.h"
#include "backends/agent/door.h"
#include "backends/agent/engine_book.h"
#include "backends/agent/identity.h"
#include "backends/agent/moment.h"
#include "backends/agent/receipts.h"
#include "backends/agent/witness.h"
#include "gateway/telemetry/telemetry.h"

namespace trib::agent {
namespace {

constexpr std::int64_t ms = 1'000'000;
constexpr std::int64_t drain_ms_max = 30'000;

Endpoint gateway_of(const config::AgentConfig& config) {
  Endpoint out;
  out.host = config.gateway_host;
  out.port = config.gateway_port;
  out.tls = true;
  return out;
}

std::string address_of(const config::AgentConfig& config) {
  return config::Address{config.gateway_host, config.gateway_port}.text();
}

std::vector<fleet::DeviceClaim> claims(const config::AgentConfig& config,
                                       const DeviceSource& source) {
  std::vector<fleet::DeviceClaim> out;
  if (source) out = source();
  for (const auto& manual : config.manual_devices) {
    for (std::uint32_t i = 0; i < manual.count && out.size() < tunnel::devices_max; ++i) {
      fleet::DeviceClaim claim;
      claim.key = "manual-" + std::to_string(out.size());
      claim.vendor = manual.vendor;
      claim.name = manual.name;
      claim.memory_bytes = manual.memory_bytes;
      claim.plugin = "manual";
      out.push_back(std::move(claim));
    }
  }
  return out;
}

// Everything of a running agent, on one worker.
class Program {
 public:
  Program(const config::AgentConfig& config, const Identity& identity,
          std::shared_ptr<const net::TlsContext> tls, std::vector<fleet::DeviceClaim> devices)
      : config_(config),
        site_(identity.site),
        door_(sockets_, std::move(tls), config.proxy),
        pool_(sockets_, worker_.wheel(), {}),
        forwarder_(caller(), worker_.wheel(), worker_.clock()),
        book_(config.engines, caller(), forwarder_, worker_.wheel(), book_terms(config, devices)),
        moment_(caller(), forwarder_, worker_.wheel(), worker_.clock(), config.lend_until_min),
        witness_(system_disk(), config.state),
        receipts_(system_disk(), config.state, identity.site),
        courier_(receipts_, worker_.wheel(), worker_.clock()),
        dialler_(door_, gateway_of(config), forwarder_, worker_.wheel(), worker_.clock(),
                 worker_.rng(), terms(identity, std::move(devices))) {}

  int run() {
    book_.on_offers = [this](std::vector<fleet::AgentOffer> offers) {
      moment_.offer(std::move(offers));
    };
    moment_.on_offers = [this](std::vector<fleet::AgentOffer> offers) {
      for (const auto& offer : offers) models_[offer.id] = offer.model;
      dialler_.offer(std::move(offers));
    };
    forwarder_.on_unreachable = [this](std::size_t engine) { book_.probe_soon(engine); };
    dialler_.witness = &witness_;
    dialler_.courier = &courier_;
    forwarder_.model_of = [this](const std::string& offer) { return models_[offer]; };
    forwarder_.on_served = [this](const ledger::Receipt& receipt) { courier_.add(receipt); };
    if (!receipts_.why().empty()) {
      telemetry::log(telemetry::Level::error, "receipts_damaged",
                     {{"why", receipts_.why()}, {"then", "nothing is signed until receipts.key and receipts-*.log are moved away; then the gateway pins the new key"}});
    }
    dialler_.on_up = [this] { up(); };
    dialler_.on_down = [this](const Fault& fault, std::int64_t wait_ms) {
      telemetry::log(
          telemetry::Level::warning, "gateway not connected",
          {{"gateway", address_of(config_)}, {"why", fault.detail}, {"again_in_ms", wait_ms}});
    };
    signals_.async_wait([this](const boost::system::error_code& ec, int) {
      if (!ec) leave();
    });
    book_.start();
    dialler_.start();
    worker_.run();
    return 0;
  }

 private:
  Forwarder::CallEngine caller() {
    return [this](const Endpoint& to, http::CallRequest request, http::CallEvents& events) {
      return pool_.call(to, std::move(request), events);
    };
  }

  static BookTerms book_terms(const config::AgentConfig& config, const std::vector<fleet::DeviceClaim>& devices) {
    BookTerms out;
    out.generation_ms = config.probe_generation_ms;
    if (devices.empty()) return out;
    out.device = devices.front().key;
    out.vendor = devices.front().vendor;
    return out;
  }

  static tunnel::AgentTerms terms(const Identity& identity,
                                  std::vector<fleet::DeviceClaim> devices) {
    tunnel::AgentTerms out;
    out.hello.site = identity.site;
    out.hello.instance_id = identity.instance_id;
    out.hello.boot_id = random_id();
    out.hello.agent_version = TRIB_VERSION;
    out.hello.streams_max = 1024;
    out.hello.devices = std::move(devices);
    return out;
  }

  void up() {
    telemetry::log(telemetry::Level::info, "gateway connected",
                   {{"gateway", address_of(config_)}, {"site", site_}});
    if (std::exchange(told_ready_, true)) return;
    std::printf("ready gateway=https://%s site=%s\n", address_of(config_).c_str(), site_.c_str());
    std::fflush(stdout);
  }

  void leave() {
    telemetry::log(telemetry::Level::info, "draining",
                   {{"in_flight", static_cast<std::int64_t>(forwarder_.in_flight())}});
    worker_.wheel().arm(drain_timer_, worker_.wheel().now_ns() + drain_ms_max * ms);
    dialler_.drain([this] { worker_.stop(); });
  }

  void drained() { worker_.stop(); }

  const config::AgentConfig& config_;
  const std::string site_;
  net::Worker worker_{0, system_clock()};
  boost::asio::signal_set signals_{worker_.io(), SIGTERM, SIGINT};
  net::SocketTransport sockets_{worker_};
  DoorTransport door_;
  net::HttpPool pool_;
  Forwarder forwarder_;
  EngineBook book_;
  Moment moment_;
  Witness witness_;
  ReceiptBook receipts_;
  Courier courier_;
  std::map<std::string, std::string> models_;  // by offer: public names
  Dialler dialler_;
  bool told_ready_ = false;
  MemberTimer<Program, &Program::drained> drain_timer_{*this};
};

int failed(const std::string& why) {
  std::fprintf(stderr, "agent: %s\n", why.c_str());
  return 1;
}

}  // namespace

int run_agent(const config::AgentConfig& config, const DeviceSource& devices) {
  std::string why;
  const auto identity = load_identity(system_disk(), config.state, why);
  if (!identity) return failed(why);
  const auto until_ms = net::certificate_until_ms(identity->certificate_pem);
  if (until_ms && *until_ms <= system_clock().wall_ms()) {
    return failed(
        "the certificate has expired; ask the gateway's operator for a new invite and enrol again");
  }
  net::TlsClientOptions options;
  options.pin = net::certificate_key(identity->ca_pem);
  options.verify_name = false;  // the CA is this one gateway's own
  options.alpn = {std::string(net::agent_alpn)};
  options.certificate_pem = identity->certificate_pem;
  options.key_pem = identity->key_pem;
  auto tls = options.pin ? net::TlsContext::client(options, why) : nullptr;
  if (!tls)
    return failed(config.state + ": " + (why.empty() ? "ca.pem is damaged; enrol again" : why));
  Program program(config, *identity, std::move(tls), claims(config, devices));
  return program.run();
}

}  // namespace trib::agent

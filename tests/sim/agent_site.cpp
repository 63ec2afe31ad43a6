#include "tests/sim/agent_site.h"

namespace trib::sim {
namespace {

config::AgentEngineConfig engine_config(const Endpoint& endpoint) {
  config::AgentEngineConfig out;
  out.endpoint = endpoint;
  out.models = {{"m", "engine-model"}};
  out.capacity = 12;
  return out;
}

tunnel::AgentTerms agent_terms(const std::string& site, std::uint64_t life) {
  tunnel::AgentTerms out;
  out.hello.site = site;
  out.hello.instance_id = "instance-" + site;
  out.hello.boot_id = "boot-" + std::to_string(life);
  out.hello.agent_version = "0";
  out.hello.streams_max = 64;
  fleet::DeviceClaim device;
  device.key = "manual-0";
  device.vendor = "acme-chips";
  device.name = "card";
  out.hello.devices = {device};
  return out;
}

agent::BookTerms book_terms() {
  agent::BookTerms out;
  out.found_ms = 4'000;
  out.missing_ms = 300;
  out.device = "manual-0";
  out.vendor = "acme-chips";
  return out;
}

}  // namespace

struct AgentSite::Program {
  Program(AgentSite& of, std::uint64_t life_number)
      : life(std::make_shared<Life>(of.timeline_)),
        lan(of.net_, life, of.site_),
        pool(lan, of.timeline_.wheel(), pool_limits()),
        forwarder(caller(), of.timeline_.wheel(), of.timeline_),
        book({engine_config(of.engine_)}, caller(), forwarder, of.timeline_.wheel(), book_terms()),
        dialler(lan, door(of.door_), forwarder, of.timeline_.wheel(), of.timeline_, of.rng_, agent_terms(of.site_, life_number)) {
    book.on_offers = [this](std::vector<fleet::AgentOffer> offers) { dialler.offer(std::move(offers)); };
    forwarder.on_unreachable = [this](std::size_t engine) { book.probe_soon(engine); };
  }

  agent::Forwarder::CallEngine caller() {
    return [this](const Endpoint& to, http::CallRequest request, http::CallEvents& events) { return pool.call(to, std::move(request), events); };
  }
  static net::PoolLimits pool_limits() {
    net::PoolLimits out;
    out.connect_ms = 500;
    out.idle_ms = 4'000;
    return out;
  }
  static Endpoint door(const std::string& address) {
    Endpoint out;
    const auto colon = address.find(':');
    out.host = address.substr(0, colon);
    out.port = static_cast<std::uint16_t>(std::stoi(address.substr(colon + 1)));
    return out;
  }

  std::shared_ptr<Life> life;
  NetTransport lan;
  net::HttpPool pool;
  agent::Forwarder forwarder;
  agent::EngineBook book;
  agent::Dialler dialler;
};

AgentSite::AgentSite(Timeline& timeline, Net& net, Rng& rng, std::string site, std::string door, Endpoint engine)
    : timeline_(timeline), net_(net), rng_(rng), site_(std::move(site)), door_(std::move(door)), engine_(std::move(engine)) {}

AgentSite::~AgentSite() { die(false); }

void AgentSite::start() {
  if (program_ != nullptr) return;
  program_ = std::make_unique<Program>(*this, ++lives_);
  program_->book.start();
  program_->dialler.start();
}

void AgentSite::die(bool silent) {
  if (program_ == nullptr) return;
  program_->life->end();
  net_.bury(*program_->life, silent);
  program_.reset();
}

void AgentSite::drain() {
  if (program_ != nullptr) program_->dialler.drain([] {});
}

std::size_t AgentSite::in_flight() const { return program_ == nullptr ? 0 : program_->forwarder.in_flight(); }

}  // namespace trib::sim

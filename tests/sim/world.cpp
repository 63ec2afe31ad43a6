#include "tests/sim/world.h"

namespace trib::sim {
namespace {

constexpr std::size_t customers_in_all = 60;
constexpr std::int64_t time_max = 400 * second;

money::Price price(std::int64_t pico) { return money::Price::pico_per_unit(pico); }

config::SiteConfig site(const char* id, config::SiteKind kind, const char* contract, const char* vendor) {
  config::SiteConfig out;
  out.id = id;
  out.kind = kind;
  out.contract = contract;
  out.vendor = vendor;
  return out;
}

std::shared_ptr<config::ConfigSnapshot> make_config(Rng& rng) {
  auto out = std::make_shared<config::ConfigSnapshot>();
  out->file = "sim.yaml";
  auto& g = out->gateway;
  g.data = "var";
  out->store_path = "var/ledger.db";
  g.deadlines = {2'000, 3'000, 500, 2'000, 40, 1'500, 2'000, 400, 5'000, 12'000, 2'000};
  g.limits.unary_hold_bytes = rng.below(3) == 0 ? 600 : 64u << 10;
  if (rng.below(6) == 0) g.limits.buffers_bytes = 6u << 10;
  g.limits.idempotent_answer_bytes = 48u << 10;
  g.limits.event_bytes = 8u << 10;
  g.limits.body_bytes = 32u << 10;
  g.journal.segment_bytes = 24u << 10;
  if (rng.below(4) == 0) {
    g.journal.sync_always = false;
    g.journal.sync_window_ms = 5;
  }
  config::ModelConfig model;
  model.id = "m";
  model.context = 4096;
  config::PriceConfig p;
  p.from_ms = 1'793'462'400'000;
  p.input = p.cache_write = price(500'003);
  p.cached_input = price(100'003);
  p.output = p.reasoning = price(2'000'029);
  model.prices = {p};
  out->models = {model};
  config::ContractConfig standard;
  standard.id = "standard";
  standard.from_ms = *p.from_ms;
  standard.shares = {300'000, 650'000, 50'000, 0};
  config::ContractConfig cafe = standard;
  cafe.id = "cafe";
  cafe.shares = {285'000, 650'000, 50'000, 15'000};
  cafe.referrer_party = "lianmeng";
  out->contracts = {standard, cafe};
  auto one = site("dc-one", config::SiteKind::datacenter, "standard", "nvidia");
  auto two = site("dc-two", config::SiteKind::datacenter, "standard", "");
  for (auto* const dialled : {&one, &two}) {
    config::EngineConfig engine;
    engine.endpoint.host = dialled->id;
    engine.endpoint.port = 9001;
    engine.models = {{"m", "engine-model"}};
    engine.capacity = 24;
    dialled->engines = {engine};
  }
  out->sites = {one, two, site("dc-far", config::SiteKind::datacenter, "standard", ""), site("cafe-one", config::SiteKind::cafe, "cafe", "")};
  for (int i = 0; i < 6; ++i) {
    config::TenantConfig tenant;
    tenant.id = "t" + std::to_string(i);
    tenant.keys = {config::TenantKey(sha256("key-of-" + tenant.id))};
    tenant.balance = money::Amount::pico(i == 3 ? 2'000'000'000 : 900'000'000'000);
    tenant.privacy = i < 4 ? config::Privacy::dc : config::Privacy::any;
    tenant.limits = {0, 0, 0};
    if (i == 1) tenant.limits.in_flight = 3;
    if (i == 2) tenant.limits.requests_per_minute = 40;
    if (i == 5) tenant.limits.tokens_per_minute = 3'000;
    out->tenants.push_back(std::move(tenant));
  }
  return out;
}

}  // namespace

std::string replay_command(std::uint64_t seed) { return "build/release/tests/sim/test_sim --seed " + std::to_string(seed) + " --verbose"; }

World::World(const WorldOptions& options) : options_(options), rng_(options.seed), disk_(options.seed ^ 0x5eed) { build(); }

World::~World() {
  disk_.kill();
  if (gateway_ != nullptr) gateway_->die(false);
  customers_.clear();
  agents_.clear();
  engines_.clear();
  gateway_.reset();
  timeline_.clear();
}

void World::violated(const std::string& rule, const std::string& what) {
  if (!failure_.rule.empty()) return;
  failure_ = {timeline_.steps(), timeline_.mono_ns() / ms, rule, what};
}

void World::build() {
  timeline_.tracing = options_.verbose;
  telemetry::set_log_level(options_.verbose ? telemetry::Level::info : telemetry::Level::error);
  config_ = make_config(rng_);
  const auto tell = [this](const std::string& rule, const std::string& what) { violated(rule, what); };
  oracle_ = std::make_unique<Oracle>(*config_, timeline_, tell);
  net_ = std::make_unique<Net>(timeline_, rng_, [this](std::string what) { violated("connection", what); });
  vfs_ = std::make_unique<test::DiskVfs>("sim", disk_, timeline_, options_.seed);

  // How bad it is: a third of the worlds are nearly calm, so that order is tested too.
  const std::uint64_t mood = options_.calm ? 0 : rng_.below(3);
  Weather near, far;
  far.latency_ns_min = 200 * us;
  far.latency_ns_max = 20 * ms;
  if (mood > 0) {
    far.reset_ppm = 30'000;
    far.stall_ppm = 20'000;
    far.freeze_ppm = 10'000;
    far.lost_dial_ppm = 5'000;
    near.reset_ppm = 40'000;
    near.stall_ppm = 15'000;
    near.freeze_ppm = 10'000;
  }
  Weather tunnel = far;
  if (mood == 2) {
    tunnel.reset_ppm = 300'000;
    tunnel.stall_ppm = 200'000;
    tunnel.freeze_ppm = 100'000;
    tunnel.trouble_bytes_max = 60'000;
  }
  const std::uint32_t trouble_ppm = mood == 0 ? 0 : mood == 1 ? 60'000 : 250'000;
  for (const char* const id : {"dc-one", "dc-two", "lan-far", "lan-cafe"}) {
    EngineTerms engine;
    engine.site = std::string(id) == "lan-far" ? "dc-far" : std::string(id) == "lan-cafe" ? "cafe-one" : id;
    engine.host = id;
    engine.trouble_ppm = trouble_ppm;
    engine.weather = near;
    engine.vllm = rng_.below(2) == 0;
    engines_.push_back(std::make_unique<Engine>(timeline_, *net_, rng_, *oracle_, engine));
    engines_.back()->start();
  }
  terms_.config = config_;
  terms_.vfs = vfs_->name();
  terms_.sabotage = options_.sabotage;
  terms_.customers_weather = far;
  terms_.sites_weather = tunnel;
  terms_.batch_max = rng_.below(3) == 0 ? 3 : 10'000;
  for (const auto& [id, lan] : {std::pair{"dc-far", "lan-far"}, std::pair{"cafe-one", "lan-cafe"}}) {
    Endpoint engine;
    engine.host = lan;
    engine.port = 9001;
    agents_.push_back(std::make_unique<AgentSite>(timeline_, *net_, rng_, id, terms_.sites, engine));
    agents_.back()->start();
  }
  for (std::size_t i = 0; i < customers_in_all; ++i) {
    CustomerTerms customer;
    customer.number = i;
    customer.tenant = "t" + std::to_string(i % 6);
    customer.key = "key-of-" + customer.tenant;
    customer.door = terms_.customers;
    customer.requests = 1 + static_cast<unsigned>(rng_.below(5));
    customer.start_ns = some(4 * second);
    customers_.push_back(std::make_unique<Customer>(timeline_, *net_, rng_, *oracle_, customer, customer_figures_, tell));
    customers_.back()->start();
  }
  timeline_.after(0, [this] { start_gateway(); });
  timeline_.after(10 * ms, [this] { watch(); });
  if (!options_.calm) plan();
}

void World::plan() {
  const std::uint64_t n = rng_.below(7);
  for (std::uint64_t i = 0; i < n; ++i) {
    const auto what = static_cast<Disaster>(rng_.below(static_cast<std::uint64_t>(Disaster::topup) + 1));
    ++disasters_left_;
    timeline_.after(200 * ms + some(6 * second), [this, what] {
      --disasters_left_;
      befall(what);
    });
  }
  // The poor tenant gets money now and then.
  for (int i = 0; i < 2; ++i) {
    ++disasters_left_;
    timeline_.after(some(8 * second), [this] {
      --disasters_left_;
      befall(Disaster::topup);
    });
  }
}

void World::befall(Disaster what) {
  switch (what) {
    case Disaster::kill:
      if (gateway_ != nullptr) end_gateway(false, false);
      break;
    case Disaster::power:
      if (gateway_ != nullptr) end_gateway(true, rng_.below(2) == 0);
      break;
    case Disaster::power_soon:
      timeline_.trace("the power will go within some operations of the disk");
      disk_.cut_power_at(disk_.operations() + 1 + rng_.below(400));
      break;
    case Disaster::drain:
      if (gateway_ == nullptr || draining_) break;
      timeline_.trace("SIGTERM");
      ++counts_.drains;
      draining_ = true;
      gateway_->terminate([this] {
        timeline_.trace("drained");
        if (!gateway_->journal().failed()) oracle_->nothing_open("after a drain");
        end_gateway(false, false);
      });
      break;
    case Disaster::disk_error:
      timeline_.trace("an error of the disk is near");
      ++counts_.disk_faults;
      fault_set_ = true;
      disk_.fail_at(disk_.operations() + 1 + rng_.below(300), rng_.below(2) == 0 ? std::errc::io_error : std::errc::no_space_on_device);
      break;
    case Disaster::disk_full:
      timeline_.trace("the disk is full");
      ++counts_.disk_faults;
      fault_set_ = true;
      disk_.full(true);
      timeline_.after(some(2 * second), [this] { disk_.full(false); });
      break;
    case Disaster::engine: {
      auto& engine = *engines_[rng_.below(engines_.size())];
      if (!engine.up()) break;
      timeline_.trace("the engine of " + engine.terms().site + " dies");
      ++counts_.engine_deaths;
      engine.die();
      timeline_.after(some(4 * second), [&engine] {
        if (!engine.up()) engine.start();
      });
      break;
    }
    case Disaster::agent:
    case Disaster::agent_silent: {
      auto& agent = *agents_[rng_.below(agents_.size())];
      timeline_.trace("an agent dies");
      ++counts_.agent_deaths;
      agent.die(what == Disaster::agent_silent);
      timeline_.after(some(3 * second), [&agent] { agent.start(); });
      break;
    }
    case Disaster::agent_drain: {
      auto& agent = *agents_[rng_.below(agents_.size())];
      timeline_.trace("an agent says goodbye");
      agent.drain();
      timeline_.after(2 * second + some(2 * second), [&agent] {
        agent.die(false);
        agent.start();
      });
      break;
    }
    case Disaster::clock:
      timeline_.trace("the wall clock steps");
      ++counts_.clock_steps;
      timeline_.shift_wall(static_cast<std::int64_t>(rng_.below(60'000)) - 30'000);
      break;
    case Disaster::price: {
      if (gateway_ == nullptr) break;
      auto next = std::make_shared<config::ConfigSnapshot>(*config_);
      auto p = next->models[0].prices.back();
      p.from_ms = timeline_.wall_ms() + 100 + some(1'500);
      p.input = p.cache_write = price(400'000 + some(300'000));
      p.output = p.reasoning = price(1'500'000 + some(900'000));
      next->models[0].prices.push_back(p);
      const std::string why = gateway_->publish(*next);
      timeline_.trace("a new price: " + (why.empty() ? "published" : why));
      if (!why.empty()) break;
      ++counts_.prices;
      terms_.config = config_ = next;
      break;
    }
    case Disaster::close_site:
      if (gateway_ != nullptr) gateway_->close_site(rng_.below(2) == 0 ? "dc-far" : "cafe-one");
      break;
    case Disaster::topup:
      if (gateway_ == nullptr) break;
      ++counts_.topups;
      gateway_->topup("t3", "top-" + std::to_string(counts_.topups), money::Amount::pico(3'000'000'007));
      break;
  }
}

void World::start_gateway() {
  const bool faulty = fault_set_;
  auto fresh = std::make_unique<Gateway>(timeline_, *net_, rng_, disk_, *oracle_, terms_);
  const std::string why = fresh->start(promised_);
  if (!why.empty()) {
    timeline_.trace("the gateway does not start: " + why);
    const bool power = disk_.power_lost();
    if (!faulty && !power) return violated("start", why);
    fresh->die(false);
    gateway_ = std::move(fresh);
    return end_gateway(power, false);
  }
  timeline_.trace("the gateway serves");
  gateway_ = std::move(fresh);
  draining_ = false;
}

// The process ends at once; the next one comes a little later.
void World::end_gateway(bool power, bool silent) {
  timeline_.trace(power ? "the gateway's power is cut" : "the gateway dies");
  ++(power ? counts_.power_cuts : counts_.kills);
  durable_ = std::max(durable_, gateway_->promise(true));
  promised_ = power ? durable_ : std::max(promised_, gateway_->promise(false));
  gateway_->die(silent);
  power ? disk_.crash() : disk_.kill();
  fault_set_ = false;
  gateway_.reset();
  timeline_.after(20 * ms + some(400 * ms), [this] { start_gateway(); });
}

void World::watch() {
  if (gateway_ != nullptr) {
    oracle_->look(gateway_->tenants());
    // A gateway whose journal has failed is of no use: its supervisor ends it.
    if (gateway_->journal().failed() && !end_asked_) {
      end_asked_ = true;
      ++counts_.journal_deaths;
      timeline_.trace("the journal has failed: " + gateway_->journal().failed().message());
      timeline_.after(some(1'500 * ms), [this] {
        end_asked_ = false;
        if (gateway_ != nullptr && gateway_->journal().failed()) end_gateway(false, false);
      });
    }
  }
  timeline_.after(50 * ms, [this] { watch(); });
}

bool World::over() const {
  if (disasters_left_ > 0 || gateway_ == nullptr || draining_ || end_asked_) return false;
  for (const auto& customer : customers_)
    if (!customer->done()) return false;
  return gateway_->quiet();
}

std::string World::unrest() const {
  if (gateway_ == nullptr) return "there is no gateway";
  for (const auto& customer : customers_)
    if (!customer->done()) return "a customer waits";
  return gateway_->unrest();
}

bool World::run() {
  while (failure_.rule.empty()) {
    if (!timeline_.step()) {
      violated("time", "nothing happens any more");
      break;
    }
    if (disk_.power_lost()) {
      if (gateway_ != nullptr) {
        end_gateway(true, rng_.below(2) == 0);
      } else {
        disk_.crash();
      }
    }
    if (gateway_ != nullptr) gateway_->turn();
    if (timeline_.mono_ns() > time_max) violated("time", "it does not come to rest: " + unrest());
    if (timeline_.steps() % 64 == 0 && over()) break;
  }
  if (failure_.rule.empty()) final_look();
  return failure_.rule.empty();
}

void World::final_look() {
  disk_.mend();
  oracle_->look(gateway_->tenants());
  oracle_->nothing_open("at rest");
  if (const auto left = gateway_->leftovers(); !left.empty()) violated("at rest", left);
  if (!failure_.rule.empty()) return;
  const auto read = [this] { oracle_->audit(gateway_->ledger(), gateway_->ledger_path(), vfs_->name(), gateway_->journal()); };
  read();
  // Once more from the disk alone: a last life finds the same.
  if (!failure_.rule.empty()) return;
  end_gateway(true, false);
  --counts_.power_cuts;
  start_gateway();
  if (!failure_.rule.empty() || gateway_ == nullptr) return;
  read();
}

WorldFigures World::figures() const {
  WorldFigures out = counts_;
  out.oracle = oracle_->figures();
  out.net = net_->figures();
  out.customers = customer_figures_;
  for (const auto& engine : engines_) {
    out.engines.requests += engine->figures().requests;
    out.engines.troubled += engine->figures().troubled;
    out.engines.tokens += engine->figures().tokens;
  }
  out.steps = timeline_.steps();
  out.virtual_ms = timeline_.mono_ns() / ms;
  out.digest = net_->digest();
  return out;
}

}  // namespace trib::sim

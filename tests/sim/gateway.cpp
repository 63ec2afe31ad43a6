#include "tests/sim/gateway.h"

#include <utility>

#include "gateway/app/prober.h"

namespace trib::sim {
namespace {

net::PoolLimits pool_limits(const config::GatewayConfig& config) {
  net::PoolLimits out;
  out.connect_ms = config.deadlines.connect_ms;
  out.idle_ms = 4'000;
  out.idle_per_endpoint = 8;
  return out;
}

// The sites that dial in were invited, enrolled and approved by hand before the world begins.
std::string enrol_all(fleet::SiteRegistry& registry, const config::ConfigSnapshot& config, std::int64_t now_ms) {
  for (const auto& site : config.sites) {
    if (!site.engines.empty()) continue;
    if (const auto known = registry.find(site.id); known && known->state == fleet::SiteState::active) continue;
    if (auto why = registry.add_invite({site.id, "token-" + site.id, now_ms + 60'000}, now_ms); !why.empty()) return why;
    fleet::SiteRecord record;
    record.instance_id = "instance-" + site.id;
    record.serial = "serial-" + site.id;
    record.until_ms = now_ms + 86'400'000;
    if (auto why = registry.enrol("token-" + site.id, site.id, record, now_ms); !why.empty()) return why;
    if (auto why = registry.approve(site.id, now_ms); !why.empty()) return why;
  }
  return {};
}

}  // namespace

class Gateway::NoDoors final : public api::AdminDoors {
 public:
  api::Answer admin(const api::AdminRequest&) override { return {404, "{}"}; }
  api::Answer enrol(const api::AdminRequest&) override { return {404, "{}"}; }
};

// What gateway/app's Rig is, on a virtual loop.
class Gateway::Rig final : public exchange::World {
 public:
  Rig(Gateway& of, unsigned index)
      : of_(of), rng_(of.rng_.next()), turns_(*of.life_, of.rng_), router_(turns_, of.terms_.config->routing.line), transport_(of.net_, of.life_, "gateway"),
        pool_(transport_, turns_.wheel(), pool_limits(of.terms_.config->gateway)), releases_(*of.journal_, [this] { help_journal(); }),
        limits_(api::session_limits(of.terms_.config->gateway)), api_(*of.services_, *this, turns_, 0) {
    if (index == 0) {
      prober_ = std::make_unique<app::Prober>(turns_, pool_, of.fleet_);
      turns_.post([this] { prober_->configure(*of_.terms_.config); });
    }
    second();
  }

  Clock& clock() override { return of_.timeline_; }
  TimerWheel& wheel() override { return turns_.wheel(); }
  Rng& rng() override { return rng_; }
  routing::Router& router() override { return router_; }
  metering::Journal& journal() override { return *of_.journal_; }
  exchange::ReleaseQueue& releases() override { return releases_; }
  exchange::Figures& figures() override { return *of_.figures_; }
  std::shared_ptr<const fleet::FleetSnapshot> fleet() override { return of_.fleet_.snapshot(); }
  std::unique_ptr<http::Call> call(const fleet::Offer& offer, http::CallRequest request, http::CallEvents& events) override {
    if (const auto* const dialled = std::get_if<fleet::Dialled>(&offer.link)) return pool_.call(dialled->endpoint, std::move(request), events);
    return of_.hub_->call(turns_, std::get<fleet::Tunnelled>(offer.link), std::move(request), events);
  }
  bool hold_bytes(std::int64_t change) override {
    if (change > 0 && of_.held_bytes_ + change > static_cast<std::int64_t>(of_.terms_.config->gateway.limits.buffers_bytes)) return false;
    of_.held_bytes_ += change;
    return true;
  }

  void accept(std::unique_ptr<PipeEnd> stream) {
    const auto number = next_++;
    auto session = std::make_unique<net::ClientSession>(std::move(stream), api_, limits_, wheel(), [this, number](net::ClientSession&) {
      turns_.post([this, number] { sessions_.erase(number); });
    });
    auto& started = *session;
    sessions_.emplace(number, std::move(session));
    if (draining_) started.drain(false);
    started.start();
  }
  void wake_if_waiting() {
    if (!releases_.waiting() || std::exchange(wake_posted_, true)) return;
    turns_.post([this] {
      wake_posted_ = false;
      of_.journal_->help();
      releases_.advance();
    });
  }
  void drain() {
    turns_.post([this] {
      draining_ = true;
      for (auto* const session : all()) session->drain();
    });
  }
  void drain_expired() {
    turns_.post([this] {
      for (const auto& [number, session] : sessions_) session->drain_expired();
    });
  }
  // A dead process: everything goes, nothing is told.
  void drop() {
    turns_.drop();
    prober_.reset();
    sessions_.clear();
  }

  Turns& turns() { return turns_; }
  const net::HttpPool& pool() const { return pool_; }
  const exchange::ReleaseQueue& waiters() const { return releases_; }

 private:
  std::vector<net::ClientSession*> all() {
    std::vector<net::ClientSession*> out;
    for (const auto& [number, session] : sessions_) out.push_back(session.get());
    return out;
  }
  void help_journal() {
    if (of_.terms_.config->gateway.journal.sync_always || std::exchange(help_posted_, true)) return;
    turns_.post([this] {
      help_posted_ = false;
      of_.journal_->help();
      releases_.advance();
    });
  }
  void second() {
    if (of_.journal_->failed()) releases_.advance();
    wheel().arm(second_timer_, wheel().now_ns() + sim::second);
  }

  Gateway& of_;
  SeededRng rng_;
  Turns turns_;
  routing::Router router_;
  NetTransport transport_;
  net::HttpPool pool_;
  exchange::ReleaseQueue releases_;
  const net::SessionLimits limits_;
  api::Api api_;
  std::unique_ptr<app::Prober> prober_;
  std::map<std::uint64_t, std::unique_ptr<net::ClientSession>> sessions_;
  std::uint64_t next_ = 1;
  bool draining_ = false, wake_posted_ = false, help_posted_ = false;
  MemberTimer<Rig, &Rig::second> second_timer_{*this};
};

Gateway::Gateway(Timeline& timeline, Net& net, Rng& rng, test::MemDisk& disk, Oracle& oracle, GatewayTerms terms)
    : timeline_(timeline), net_(net), rng_(rng), disk_(disk), oracle_(oracle), terms_(std::move(terms)), life_(std::make_shared<Life>(timeline)) {}

Gateway::~Gateway() {
  life_->end();
  for (auto& rig : rigs_) rig->drop();
  if (hub_ != nullptr) hub_->clear();
  rigs_.clear();
}

// The order of gateway/app's Gateway::open, open_ledger and open_doors.
std::string Gateway::start(metering::Lsn must_have) {
  const auto& config = *terms_.config;
  if (const auto error = disk_.make_dirs(config.gateway.data)) return "data: " + error.message();
  figures_ = std::make_unique<exchange::Figures>(registry_);
  std::string why;
  sites_ = std::make_unique<fleet::SiteRegistry>(disk_, config.gateway.data + "/sites.json");
  if (!sites_->open(why)) return why;
  if (why = enrol_all(*sites_, config, timeline_.wall_ms()); !why.empty()) return "enrol: " + why;
  idempotency_ = std::make_unique<api::IdempotencyTable>(
      api::IdempotencyTable::Bounds{config.gateway.limits.idempotent_answer_bytes, config.gateway.limits.idempotent_total_bytes});

  metering::JournalOptions options;
  options.dir = config.gateway.data + "/journal";
  options.segment_bytes = config.gateway.journal.segment_bytes;
  options.sync_always = config.gateway.journal.sync_always;
  options.sync_window_ms = config.gateway.journal.sync_window_ms;
  metering::JournalError error;
  auto opened = metering::open_journal(disk_, timeline_, options, error);
  if (opened == nullptr) return "journal: " + error.segment + " record " + std::to_string(error.record) + ": " + error.why;
  journal_ = std::make_unique<WatchedJournal>(std::move(opened), oracle_, terms_.sabotage);
  if (!oracle_.reopened(*journal_, must_have)) return "journal: the disk fails";
  journal_->on_released([this] {
    if (!serving_) return;
    for (auto& rig : rigs_) rig->wake_if_waiting();
  });

  std::vector<metering::OpenRequest> open;
  if (const auto code = metering::open_requests(*journal_, open)) return "journal: " + code.message();
  metering::Lsn recovered = 0;
  for (const auto& request : open) recovered = journal_->append(metering::recover(request, timeline_.wall_ms()));
  ledger::LedgerOptions ledger_options;
  ledger_options.path = config.store_path;
  ledger_options.vfs = terms_.vfs;
  ledger_options.batch_requests_max = terms_.batch_max;
  ledger_options.command_ms_max = 2'000;
  ledger_options.wait = [this] {
    if (!journal_->pump()) timeline_.pass(20 * ms);
  };
  ledger_ = ledger::Ledger::open(ledger_options, timeline_, *journal_, why);
  if (ledger_ == nullptr) return "store: " + why;
  const std::int64_t now = timeline_.wall_ms();
  if (const auto problem = ledger_->publish(config, now)) return "publish: " + problem->path + ": " + problem->why;
  for (const auto& tenant : config.tenants) {
    const auto posting = ledger_->opening(tenant.id, tenant.balance, now);
    if (posting != ledger::Posting::posted && posting != ledger::Posting::repeated) return "opening balance: " + ledger_->failure();
  }
  while (journal_->pump() || ledger_->post_once()) {
  }
  if (!ledger_->await(recovered)) return "store: the recovered requests could not be posted: " + ledger_->failure();
  const std::int64_t since = now - 24 * 3'600'000;
  const auto code = journal_->read(0, [&](metering::Lsn, const metering::Record& record) {
    const auto* const final = std::get_if<metering::Final>(&record);
    if (final != nullptr && !final->admit.idempotency.empty() && final->admit.wall_ms > since && final->counts.total() > 0)
      idempotency_->restore(final->admit.idempotency, final->admit.body_hash, final->admit.id, final->admit.wall_ms);
    return true;
  });
  if (code) return "journal: " + code.message();

  auto live = std::make_shared<api::Live>();
  live->config = terms_.config;
  live->tenants = tenancy::TenantBook::make(config.tenants, nullptr);
  live->terms = std::make_shared<exchange::Terms>(exchange::Terms{config.gateway.deadlines, config.gateway.limits, config.gateway.continuations, routing::Rules(config)});
  for (const auto& model : config.models) live->contexts.emplace(model.id, model.context);
  for (const auto& [id, tenant] : live->tenants->all()) {
    tenant->set_balance(ledger_->tenant_balance(id));
    oracle_.balance_at_start(id, tenant->view().balance);
  }
  ledger_->on_moved([this, book = live->tenants](const std::string& tenant, money::Amount change) {
    book->tenant(tenant)->credit(change);
    oracle_.credited(tenant, change);
  });
  fleet_.configure(config, sites_->states());
  hub_ = std::make_unique<tunnel::Hub>(fleet_, *sites_, timeline_, std::vector<std::string>{terms_.sites}, 1u << 20);
  doors_ = std::make_unique<NoDoors>();
  services_ = std::unique_ptr<api::Services>(new api::Services{.clock = timeline_,
                                                               .registry = registry_,
                                                               .idempotency = *idempotency_,
                                                               .doors = *doors_,
                                                               .run_admin = [](std::function<void()>) { return false; },
                                                               .book = [this] { return ledger_->book(); },
                                                               .reload_state = [] { return std::string(); },
                                                               .live = {},
                                                               .readiness = api::Readiness::ready});
  services_->live.store(live);
  for (unsigned i = 0; i < terms_.workers; ++i) rigs_.push_back(std::make_unique<Rig>(*this, i));
  serving_ = true;
  net_.listen(terms_.customers, life_, terms_.customers_weather, [this](std::unique_ptr<PipeEnd> stream, const std::string&) {
    rigs_[rng_.below(rigs_.size())]->accept(std::move(stream));
  });
  // The handshake would have proved the site: here the dialler's name is taken for it.
  net_.listen(terms_.sites, life_, terms_.sites_weather, [this](std::unique_ptr<PipeEnd> stream, const std::string& from) {
    net::TlsPeer peer;
    peer.site = from;
    peer.serial = "serial-" + from;
    hub_->adopt(rigs_[rng_.below(rigs_.size())]->turns(), std::move(stream), peer);
  });
  return {};
}

void Gateway::die(bool silent) {
  life_->end();
  serving_ = false;
  net_.bury(*life_, silent);
}

// gateway/app's Gateway::drain, and what follows it.
void Gateway::terminate(std::function<void()> down) {
  services_->readiness.store(api::Readiness::draining);
  for (auto& rig : rigs_) rig->drain();
  const auto end = [this, down] {
    hub_->drain();
    life_->after(100 * ms, [this, down] {
      while (journal_->pump()) {
      }
      while (!journal_->failed() && ledger_->post_once()) {
      }
      down();
    });
  };
  // Asks again and again: open answers first, then the grace ends, then the end.
  const std::int64_t grace_ns = timeline_.mono_ns() + terms_.config->gateway.deadlines.drain_ms * ms;
  auto ask = std::make_shared<std::function<void(bool)>>();
  *ask = [this, grace_ns, end, weak = std::weak_ptr(ask)](bool expired) {
    const auto again = weak.lock();
    const std::int64_t now = timeline_.mono_ns();
    if (figures_->open.value() == 0 || now > grace_ns + 5 * second) return end();
    if (!expired && now > grace_ns) {
      for (auto& rig : rigs_) rig->drain_expired();
      expired = true;
    }
    life_->after(20 * ms, [again, expired] { (*again)(expired); });
  };
  (*ask)(false);
}

void Gateway::turn() {
  if (!serving_ || journal_->failed()) return;
  const bool lagging = journal_->last() > journal_->released() || journal_->durable() < journal_->released();
  if (lagging && !pump_asked_) {
    pump_asked_ = true;
    const bool hiccup = rng_.below(200) == 0;
    const auto takes = static_cast<std::int64_t>(rng_.below(static_cast<std::uint64_t>(hiccup ? 400 * ms : terms_.sync_ns_max)));
    life_->after(takes, [this] { pump(); });
  }
  if (journal_->durable() > ledger_->posted() && !post_asked_) {
    post_asked_ = true;
    life_->after(static_cast<std::int64_t>(100 + rng_.below(300)) * ms, [this] { post(); });
  }
}

void Gateway::pump() {
  pump_asked_ = false;
  journal_->pump();
  journal_->prepare();
}

void Gateway::post() {
  post_asked_ = false;
  ledger_->post_once();
  // Segments go whose records are posted and older than any request can be open.
  const std::int64_t keep_ns = terms_.config->gateway.deadlines.total_ms * ms + 3 * second, now = timeline_.mono_ns();
  marks_.emplace_back(now, journal_->last());
  metering::Lsn old = 0;
  while (now - marks_.front().first >= keep_ns) {
    old = marks_.front().second;
    marks_.pop_front();
  }
  if (old > 0) journal_->trim(std::min(old, ledger_->posted()));
}

// As the administrative door does it, and a bookkeeper who asks until there is an answer.
void Gateway::topup(const std::string& tenant, const std::string& id, money::Amount amount) {
  switch (ledger_->topup(tenant, id, amount, timeline_.wall_ms())) {
    case ledger::Posting::posted:
    case ledger::Posting::repeated:
      break;
    case ledger::Posting::conflict:
      oracle_.violated("top-up", id + " conflicts with itself");
      break;
    case ledger::Posting::failed:
      life_->after(500 * ms, [this, tenant, id, amount] { topup(tenant, id, amount); });
      break;
  }
}

// As a reload publishes: what is refused changes nothing.
std::string Gateway::publish(const config::ConfigSnapshot& next) {
  const auto problem = ledger_->publish(next, timeline_.wall_ms());
  return problem ? problem->path + ": " + problem->why : std::string();
}

void Gateway::close_site(const std::string& site) { hub_->close_site(site, "the site is not let in any more"); }

bool Gateway::quiet() const {
  return figures_->open.value() == 0 && journal_->durable() == journal_->last() && ledger_->posted() >= journal_->money();
}

std::string Gateway::unrest() const {
  return std::to_string(figures_->open.value()) + " requests open, journal at " + std::to_string(journal_->last()) + ", released " +
         std::to_string(journal_->released()) + ", durable " + std::to_string(journal_->durable()) + ", posted " +
         std::to_string(ledger_->posted()) + (ledger_->failure().empty() ? "" : ", " + ledger_->failure());
}

std::string Gateway::leftovers() const {
  for (const auto& [id, tenant] : tenants().all())
    if (tenant->view().balance != ledger_->tenant_balance(id)) return id + " may spend " + tenant->view().balance.text() + ", the ledger says " + ledger_->tenant_balance(id).text();

  if (held_bytes_ != 0) return std::to_string(held_bytes_) + " held bytes";
  for (const auto& [model, offers] : fleet_.snapshot()->by_model)
    for (const auto& offer : offers)
      if (const auto n = offer->load->in_flight.load(); n != 0) return offer->id + " has " + std::to_string(n) + " attempts in flight";
  for (const auto& rig : rigs_) {
    if (rig->waiters().waiting()) return "someone waits for the journal";
    const auto figures = rig->pool().figures();
    if (figures.open > figures.idle + 2) return std::to_string(figures.open) + " pooled connections, " + std::to_string(figures.idle) + " idle";
  }
  return {};
}

}  // namespace trib::sim

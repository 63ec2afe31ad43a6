#include "gateway/app/gateway.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <iostream>

#include "gateway/api/api.h"
#include "gateway/app/auditor.h"
#include "gateway/app/prober.h"
#include "gateway/app/reconciler.h"
#include "gateway/app/rig.h"

namespace trib::app {
namespace {


int fail(int code, const std::string& why) {
  std::cerr << why << std::endl;
  return code;
}

// A thread that runs one task after another; what it cannot take is dropped at the end.
class TaskThread {
 public:
  TaskThread() : thread_([this] {
    name_background_thread("admin");
    run();
  }) {}
  ~TaskThread() { stop(); }
  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    if (thread_.joinable()) thread_.join();
  }
  bool add(std::function<void()> task) {
    {
      const std::lock_guard lock(mutex_);
      if (stopping_ || tasks_.size() >= tasks_max) return false;
      tasks_.push_back(std::move(task));
    }
    wake_.notify_one();
    return true;
  }

 private:
  static constexpr std::size_t tasks_max = 1000;
  void run() {
    while (true) {
      std::function<void()> task;
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [&] { return stopping_ || !tasks_.empty(); });
        if (stopping_) return;
        task = std::move(tasks_.front());
        tasks_.pop_front();
      }
      task();
    }
  }
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> tasks_;
  bool stopping_ = false;
  std::thread thread_;
};

// The journal's writer, who makes its room ready, and the ledger's poster, each on a thread.
class Engines {
 public:
  explicit Engines(metering::Journal& journal) : journal_(journal) {
    writer_ = std::thread([this] {
      name_thread("journal");
      while (!stop_.load()) {
        journal_.pump();
        journal_.wait(20);
      }
      while (journal_.pump()) {
      }
    });
    room_ = std::thread([this] {
      name_background_thread("journal-room");
      while (!stop_.load()) {
        const bool more = journal_.prepare();
        std::unique_lock lock(mutex_);
        stopped_.wait_for(lock, std::chrono::milliseconds(more ? room_ms : look_ms), [this] { return stop_.load(); });
      }
    });
  }
  // `backed_up`: the furthest LSN that a backup of the store covers.
  void start_posting(ledger::Ledger& ledger, metering::TrimRule rule, std::function<metering::Lsn()> backed_up) {
    poster_ = std::thread([this, &ledger, rule = std::move(rule), backed_up = std::move(backed_up)]() mutable {
      name_background_thread("poster");
      std::string told;
      while (!stop_.load()) {
        const std::int64_t now_ms = system_clock().mono_ns() / 1'000'000;
        if (rule.due(now_ms)) {
          rule.note(now_ms, journal_.last());
          const metering::Lsn posted = ledger.posted(), covered = backed_up();
          if (const auto keep_from = rule.keep_from(posted, covered); keep_from > 0) trim(keep_from, rule.uncovered(posted, covered));
        }
        const bool did = ledger.post_once();
        const std::string failure = ledger.failure();
        if (failure != told) {
          if (!failure.empty()) telemetry::log(telemetry::Level::error, "posting_failed", {{"why", failure}});
          told = failure;
        }
        // A full batch is followed at once; a small one waits for company, as posting is by the batch.
        if (did && ledger.posted() + batch_records < journal_.durable()) continue;
        std::unique_lock lock(mutex_);
        stopped_.wait_for(lock, std::chrono::milliseconds(failure.empty() ? batch_ms : 1000), [this] { return stop_.load(); });
      }
    });
  }
  void trim(metering::Lsn keep_from, bool uncovered) {
    const metering::Lsn first = journal_.first();
    if (const auto ec = journal_.trim(keep_from))
      telemetry::log(telemetry::Level::warning, "journal_trim_failed", {{"why", ec.message()}});
    if (uncovered && journal_.first() > first && !std::exchange(told_uncovered_, true))
      telemetry::log(telemetry::Level::warning, "journal_trimmed_without_backup",
                     {{"why", "records older than journal.keep went that no backup covers: run tributary backup more often than that"}});
  }
  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stop_.store(true);
    }
    stopped_.notify_all();
    if (poster_.joinable()) poster_.join();
    if (room_.joinable()) room_.join();
    if (writer_.joinable()) writer_.join();
  }
  ~Engines() { stop(); }

  static constexpr std::uint64_t batch_records = 30'000;  // of the journal: about those of a full batch of requests

 private:
  static constexpr std::int64_t batch_ms = 200;
  static constexpr std::int64_t room_ms = 4, look_ms = 100;  // between pieces of room, so that they do not fill the disk's queue
  metering::Journal& journal_;
  bool told_uncovered_ = false;  // the poster's thread only
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::condition_variable stopped_;
  std::thread writer_, room_, poster_;
};

std::shared_ptr<api::Live> make_live(std::shared_ptr<const config::ConfigSnapshot> config, const api::Live* before) {
  auto live = std::make_shared<api::Live>();
  live->tenants = tenancy::TenantBook::make(config->tenants, before == nullptr ? nullptr : before->tenants.get());
  auto terms = std::make_shared<exchange::Terms>();
  terms->routing = routing::Rules(*config);
  terms->deadlines = config->gateway.deadlines;
  terms->limits = config->gateway.limits;
  terms->continuations = config->gateway.continuations;
  live->terms = std::move(terms);
  for (const auto& model : config->models) live->contexts.emplace(model.id, model.context);
  if (!config->gateway.admin_token.empty()) live->admin_token = sha256(config->gateway.admin_token);
  live->config = std::move(config);
  return live;
}

// The whole process, in the order in which it comes up; it goes down in the reverse.
class Gateway {
 public:
  int run(const std::string& file);

 private:
  int open(const std::string& file);
  int open_ledger();
  int open_doors();
  std::string open_audit();
  void checkpoints_grew();
  int listen();
  void announce();
  void note_lag();
  void serve_signals();
  void reload();
  void drain();
  std::string publish(const config::ConfigSnapshot& config, const config::ConfigSnapshot* before);
  void watch(const config::ConfigSnapshot& config);
  bool restore_tenants(const tenancy::TenantBook& book, const tenancy::TenantBook* before, std::string& why);

  std::shared_ptr<const config::ConfigSnapshot> config_;
  telemetry::Registry registry_;
  std::unique_ptr<exchange::Figures> figures_;
  fleet::Fleet fleet_;
  std::unique_ptr<fleet::SiteRegistry> sites_;
  std::unique_ptr<fleet::Enrolment> enrolment_;
  std::optional<settlement::SigningKey> signing_;
  std::unique_ptr<metering::Journal> journal_;
  std::unique_ptr<Engines> engines_;
  std::unique_ptr<ledger::Ledger> ledger_;
  std::unique_ptr<ledger::CheckpointBook> checkpoints_;
  std::unique_ptr<ledger::ReceiptIntake> receipts_;
  std::unique_ptr<Auditor> auditor_;
  std::unique_ptr<Reconciler> reconciler_;
  std::unique_ptr<api::IdempotencyTable> idempotency_;
  std::unique_ptr<api::Admin> admin_;
  std::unique_ptr<api::Services> services_;
  std::unique_ptr<tunnel::Hub> hub_;
  std::unique_ptr<Shared> shared_;
  std::vector<std::unique_ptr<Rig>> rigs_;
  std::atomic<bool> rigs_ready_{false};
  std::atomic<bool> journal_failed_{false};
  std::unique_ptr<Prober> prober_;
  std::unique_ptr<TaskThread> admin_thread_;
  std::mutex reload_mutex_;
  std::string reload_state_;
};

std::map<std::string, std::string> contracts_of(const config::ConfigSnapshot& config) {  // by site
  std::map<std::string, std::string> out;
  for (const auto& site : config.sites) out.emplace(site.id, site.contract);
  return out;
}

// host:port where agents reach the gateway. A port 0 stands for the one that was taken.
std::vector<std::string> site_hosts(const config::GatewayConfig& config, std::uint16_t port) {
  auto addresses = config.sites.reached_at;
  if (addresses.empty()) addresses.push_back(config.sites.listen);
  std::vector<std::string> out;
  for (auto& address : addresses) {
    if (address.port == 0) address.port = port;
    out.push_back(address.text());
  }
  return out;
}

int Gateway::open(const std::string& file) {
  config_ = config::load_gateway(file, [](const char* name) -> const char* { return std::getenv(name); });
  const auto& gateway = config_->gateway;
  auto& disk = system_disk();
  if (const auto ec = disk.make_dirs(gateway.data))
    return fail(1, file + ": gateway.data: " + gateway.data + ": " + ec.message() + "; name a folder that can be written");
  if (!lock_data(gateway.data))
    return fail(1, file + ": gateway.data: " + gateway.data + " is in use by another gateway; stop it, or name another folder");
  figures_ = std::make_unique<exchange::Figures>(registry_);
  std::string why;
  sites_ = std::make_unique<fleet::SiteRegistry>(disk, gateway.data + "/sites.json");
  if (!sites_->open(why)) return fail(1, why);
  enrolment_ = fleet::Enrolment::open(disk, gateway.data, *sites_, system_clock(), why);
  if (enrolment_ == nullptr) return fail(1, why);
  signing_ = settlement::SigningKey::open(disk, gateway.data + "/export.key", why);
  if (!signing_) return fail(1, why);
  idempotency_ = std::make_unique<api::IdempotencyTable>(
      api::IdempotencyTable::Bounds{gateway.limits.idempotent_answer_bytes, gateway.limits.idempotent_total_bytes});

  metering::JournalOptions options;
  options.dir = gateway.data + "/journal";
  options.segment_bytes = gateway.journal.segment_bytes;
  options.sync_always = gateway.journal.sync_always;
  options.sync_window_ms = gateway.journal.sync_window_ms;
  auto& syncs = registry_.histogram("tributary_journal_sync_seconds", "What a sync of the journal's records took.", {}, telemetry::Histogram::fine_bounds_us);
  auto& met = registry_.histogram("tributary_journal_record_sync_seconds", "What the sync took that made a record durable, once a record.", {},
                                  telemetry::Histogram::fine_bounds_us);
  options.on_sync = [&syncs, &met](std::int64_t ns, std::uint64_t records) {
    syncs.observe_ns(ns);
    met.observe_ns(ns, records);
  };
  metering::JournalError error;
  journal_ = metering::open_journal(disk, system_clock(), options, error);
  if (journal_ == nullptr)
    return fail(1, "journal: " + error.segment + " at byte " + std::to_string(error.offset) + ", record " +
                       std::to_string(error.record) + ": " + error.why);
  journal_->on_released([this] {
    if (const auto ec = journal_->failed(); ec && !journal_failed_.exchange(true)) {
      telemetry::log(telemetry::Level::error, "journal_failed",
                     {{"why", ec.message()}, {"then", "no request is admitted; the process ends, and a restart recovers"}});
      ::kill(::getpid(), SIGTERM);
    }
    if (rigs_ready_.load())
      for (auto& rig : rigs_) rig->wake_if_waiting();
  });
  return open_ledger();
}

int Gateway::open_ledger() {
  // What was open when the last process ended is ended now, from the journal alone.
  std::vector<metering::OpenRequest> open;
  if (const auto ec = metering::open_requests(*journal_, open)) return fail(1, "journal: " + ec.message());
  engines_ = std::make_unique<Engines>(*journal_);
  std::string why;
  ledger::LedgerOptions options;
  options.path = config_->store_path;
  options.ahead_from = Engines::batch_records;
  if (const auto slash = options.path.rfind('/'); !ledger::is_postgres(options.path) && slash != std::string::npos && slash > 0)
    system_disk().make_dirs(options.path.substr(0, slash));
  if (!ledger::is_postgres(options.path) && !lock_file(options.path + ".lock"))  // there the poster's own lock holds others off
    return fail(1, config_->file + ": store.url: " + options.path + " is in use by another gateway; stop it, or name another store");
  ledger_ = ledger::Ledger::open(options, system_clock(), *journal_, why);
  if (ledger_ == nullptr) return fail(1, "store: " + why);
  // Under the contracts that they pinned, which are posted.
  while (ledger_->post_once()) {
  }
  const auto book = ledger_->book();
  metering::Lsn recovered = 0;
  for (const auto& request : open) {
    const auto* const contract = request.attempts.empty() ? nullptr
                                 : book->contract(request.attempts.back().contract, request.attempts.back().contract_version);
    const bool bill_broken = contract == nullptr || contract->policies.on_break != config::OnBreak::nothing;
    recovered = journal_->append(metering::recover(request, system_clock().wall_ms(), bill_broken));
  }
  if (!open.empty())
    telemetry::log(telemetry::Level::warning, "recovered", {{"requests", static_cast<std::int64_t>(open.size())}});
  if (why = publish(*config_, nullptr); !why.empty()) return fail(2, why);
  while (ledger_->post_once()) {
  }
  // Balances are read below: what was just recovered must be in them.
  if (!ledger_->await(recovered))
    return fail(1, "store: the recovered requests could not be posted: " + ledger_->failure());
  constexpr std::int64_t keys_ms = 24 * 3'600'000;  // how long an idempotency key belongs to its request
  const std::int64_t since = system_clock().wall_ms() - keys_ms;
  const auto ec = journal_->read(0, [&](metering::Lsn, const metering::Record& record) {
    const auto* const final = std::get_if<metering::Final>(&record);
    if (final != nullptr && !final->admit.idempotency.empty() && final->admit.wall_ms > since && final->counts.total() > 0)
      idempotency_->restore(final->admit.idempotency, final->admit.body_hash, final->admit.id, final->admit.wall_ms);
    return true;
  });
  if (ec) return fail(1, "journal: " + ec.message());
  const auto& gateway = config_->gateway;
  if (why = open_audit(); !why.empty()) return fail(1, why);
  receipts_ = ledger::ReceiptIntake::open(*ledger_, *journal_, system_clock(), why);
  if (receipts_ == nullptr) return fail(1, "store: " + why);
  engines_->start_posting(*ledger_, metering::TrimRule(gateway.journal.keep_ms, gateway.deadlines.total_ms + 60'000, keys_ms),
                          [this] { return auditor_->backed_up(); });
  return open_doors();
}

// Checkpoints and backups; empty, or why the checkpoints and the ledger do not go together.
std::string Gateway::open_audit() {
  std::string why;
  const std::string& data = config_->gateway.data;
  const std::string path = data + "/" + checkpoints_name;
  checkpoints_ = ledger::CheckpointBook::open(system_disk(), path, *signing_, why);
  if (checkpoints_ == nullptr) return why;
  if (why = checkpoints_->contradicts(*ledger_); !why.empty())
    return why + ". Put back the newer store and journal; or move the file away, and every site will report that the ledger went back";
  if (checkpoints_->key_changed())
    telemetry::log(telemetry::Level::warning, "checkpoint_key_changed",
                   {{"why", "export.key is another than the one of the last checkpoint: sites that pinned that one refuse what comes"}});
  auditor_ = std::make_unique<Auditor>(*ledger_, *checkpoints_, data + "/" + backup_name, registry_);
  reconciler_ = std::make_unique<Reconciler>(*ledger_, registry_);
  return {};
}

// Told in the log, and to every site that has dialled in.
void Gateway::checkpoints_grew() {
  const auto last = checkpoints_->last();
  telemetry::log(telemetry::Level::info, "checkpoint_signed",
                 {{"number", static_cast<std::int64_t>(last->number)}, {"batch", static_cast<std::int64_t>(last->batch_to)},
                  {"head", to_hex(last->head)}});
  hub_->checkpoints_grew();
}

// Prices, contracts, opening balances and the sites' contracts of a configuration; empty, or one line for the operator. The store is asked for what
// `before`, whose own are published, does not have: a reload must do while it is away.
std::string Gateway::publish(const config::ConfigSnapshot& config, const config::ConfigSnapshot* before) {
  const std::int64_t now = system_clock().wall_ms();
  const auto changed = [&](const std::string& tenant) {
    return config.file + ": tenants." + tenant + ".balance: another opening balance was posted before; "
           "put it back and use a top-up for what changes";
  };
  const auto is_posted = [&](const config::TenantConfig& tenant) {
    return before != nullptr && std::any_of(before->tenants.begin(), before->tenants.end(),
                                            [&](const auto& one) { return one.id == tenant.id && one.balance == tenant.balance; });
  };
  // All of it or nothing: what could be refused is looked at before anything is published.
  for (const auto& tenant : config.tenants) {
    if (is_posted(tenant)) continue;
    const auto posted = ledger_->opening_balance(tenant.id);
    if (posted && !tenant.balance.zero() && *posted != tenant.balance) return changed(tenant.id);
  }
  if (const auto problem = ledger_->publish(config, now))
    return config.file + ": " + problem->path + ": " + problem->why;
  for (const auto& tenant : config.tenants) {
    if (tenant.balance.zero() || is_posted(tenant)) continue;
    switch (ledger_->opening(tenant.id, tenant.balance, now)) {
      case ledger::Posting::posted:
      case ledger::Posting::repeated:
        break;
      case ledger::Posting::conflict:
        return changed(tenant.id);
      case ledger::Posting::failed:
        return config.file + ": tenants." + tenant.id + ".balance: the opening balance could not be posted: " + ledger_->failure();
    }
  }
  const auto contracts = contracts_of(config);
  if (before != nullptr && contracts == contracts_of(*before)) return {};
  if (const auto why = settlement::assign(*ledger_, contracts, now); !why.empty()) return config.file + ": sites: " + why + ": " + ledger_->failure();
  return {};
}

// Balances and what was spent, from the store, of tenants that this process has not known before.
bool Gateway::restore_tenants(const tenancy::TenantBook& book, const tenancy::TenantBook* before, std::string& why) {
  const auto is_new = [&](const std::string& id) { return before == nullptr || before->ever(id) == nullptr; };
  if (std::none_of(book.all().begin(), book.all().end(), [&](const auto& one) { return is_new(one.first); })) return true;
  const auto reader = ledger_->reader(why);
  if (reader == nullptr) return false;
  for (const auto& [id, tenant] : book.all()) {
    if (!is_new(id)) continue;
    tenant->set_balance(reader->stands(ledger::customer_account(id)) + reader->stands(ledger::receivable_account(id)));
  }
  const auto month = ledger::period_of(system_clock().wall_ms());
  for (const auto& spent : reader->spent_since(ledger::period_begin_ms(month))) {
    const auto tenant = book.tenant(spent.tenant);
    if (tenant != nullptr && is_new(spent.tenant)) tenant->spent_before(spent.key, spent.wall_ms, spent.amount);
  }
  why = reader->error();
  return why.empty();
}

int Gateway::open_doors() {
  const auto& gateway = config_->gateway;
  auto live = make_live(config_, nullptr);
  std::string why;
  if (!restore_tenants(*live->tenants, nullptr, why)) return fail(1, "store: " + why);
  ledger_->on_moved([this](const std::string& id, money::Amount change) {
    if (services_ == nullptr) return;
    const auto live_now = services_->live.load();
    if (const auto tenant = live_now ? live_now->tenants->ever(id) : nullptr) tenant->credit(change);
  });
  fleet_.configure(*config_, sites_->states());
  for (const auto& [site, record] : sites_->all()) fleet_.set_check_words(site, record.check_words);
  hub_ = std::make_unique<tunnel::Hub>(fleet_, *sites_, system_clock(), site_hosts(gateway, gateway.sites.listen.port), 64u << 20);
  hub_->set_checkpoints([this](std::uint64_t from) {
    tunnel::CheckpointPage page;
    const auto last = checkpoints_->last();
    page.last = last ? last->number : 0;
    for (const auto& one : checkpoints_->from(from, tunnel::checkpoints_per_page)) page.checkpoints.push_back(ledger::to_json(one));
    return page;
  });
  hub_->set_receipts({[this](const std::string& site, std::string_view root) { return receipts_->take(site, root).why; },
                      [this](const std::string& site) {
                        const auto held = receipts_->held(site);
                        return tunnel::Hub::ReceiptSink::Held{held.upto, held.settled};
                      }});
  admin_ = std::make_unique<api::Admin>(api::AdminParts{
      .clock = system_clock(),
      .ledger = *ledger_,
      .journal = *journal_,
      .fleet = fleet_,
      .registry = *sites_,
      .enrolment = *enrolment_,
      .signing = *signing_,
      .checkpoints = *checkpoints_,
      .receipts = *receipts_,
      .checkpoints_grew = [this] { checkpoints_grew(); },
      .backup = *auditor_,
      .live = [this] { return services_->live.load(); },
      .site_hosts = [this] { return site_hosts(config_->gateway, rigs_.front()->sites_port()); },
      .close_tunnels = [this](const std::string& site) { hub_->close_site(site, "the site is not let in any more"); }});
  admin_thread_ = std::make_unique<TaskThread>();
  services_ = std::unique_ptr<api::Services>(new api::Services{
      .clock = system_clock(),
      .registry = registry_,
      .idempotency = *idempotency_,
      .doors = *admin_,
      .run_admin = [this](std::function<void()> task) { return admin_thread_->add(std::move(task)); },
      .book = [this] { return ledger_->book(); },
      .reload_state = [this] {
        const std::lock_guard lock(reload_mutex_);
        return reload_state_;
      },
      .live = {},
      .readiness = api::Readiness::starting});
  services_->live.store(live);

  shared_ = std::unique_ptr<Shared>(new Shared{.clock = system_clock(), .journal = *journal_, .fleet = fleet_,
                                               .figures = *figures_, .registry = registry_,
                                               .line = config_->routing.line, .config = config_->gateway,
                                               .customers_tls = nullptr, .sites_tls = nullptr});
  shared_->services = services_.get();
  shared_->hub = hub_.get();
  std::vector<std::string> names;
  for (auto host : site_hosts(gateway, 0)) {
    host.resize(host.rfind(':'));
    if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
    names.push_back(host);
  }
  const auto door = enrolment_->door(names);
  if (!door) return fail(1, "gateway.sites: the certificate of the sites' door could not be made");
  net::TlsServerOptions sites_tls;
  sites_tls.certificate_pem = door->certificate_pem;
  sites_tls.key_pem = door->key_pem;
  sites_tls.alpn = {"http/1.1"};
  sites_tls.agent_ca_pem = enrolment_->ca_pem();
  shared_->sites_tls = net::TlsContext::server(sites_tls, why);
  if (shared_->sites_tls == nullptr) return fail(1, "gateway.sites: " + why);
  if (gateway.tls) {
    net::TlsServerOptions tls;
    tls.alpn = {"http/1.1"};
    if (const auto ec = read_file(system_disk(), gateway.tls->certificate, tls.certificate_pem, 1u << 20))
      return fail(2, config_->file + ": gateway.tls.certificate: " + gateway.tls->certificate + ": " + ec.message());
    if (const auto ec = read_file(system_disk(), gateway.tls->key, tls.key_pem, 1u << 20))
      return fail(2, config_->file + ": gateway.tls.key: " + gateway.tls->key + ": " + ec.message());
    shared_->customers_tls = net::TlsContext::server(tls, why);
    if (shared_->customers_tls == nullptr) return fail(2, config_->file + ": gateway.tls: " + why);
  }
  const unsigned workers = gateway.workers != 0 ? gateway.workers : std::max(1u, std::thread::hardware_concurrency());
  for (unsigned i = 0; i < workers; ++i) rigs_.push_back(std::make_unique<Rig>(i, *shared_));
  prober_ = std::make_unique<Prober>(rigs_.front()->worker(), rigs_.front()->pool(), fleet_);
  return listen();
}

// With SO_REUSEPORT a second gateway could share a port unnoticed: a plain bind tells first.
std::string port_taken(const config::Address& address) {
  if (address.port == 0) return {};
  boost::asio::io_context io;
  boost::asio::ip::tcp::acceptor probe(io);
  boost::system::error_code ec;
  const auto host = boost::asio::ip::make_address(address.host, ec);
  if (ec) return {};
  const boost::asio::ip::tcp::endpoint at(host, address.port);
  probe.open(at.protocol(), ec);
  if (!ec) probe.set_option(boost::asio::socket_base::reuse_address(true), ec);
  if (!ec) probe.bind(at, ec);
  return ec ? ec.message() : std::string();
}

int Gateway::listen() {
  const auto& gateway = config_->gateway;
  const auto taken = [&](const char* key, const config::Address& address, const std::string& why) {
    return fail(2, config_->file + ": gateway." + key + ": cannot listen on " + address.text() + ": " + why +
                       "; stop what uses the port, or name another");
  };
  if (const auto why = port_taken(gateway.listen); !why.empty()) return taken("listen", gateway.listen, why);
  if (const auto why = port_taken(gateway.sites.listen); !why.empty()) return taken("sites.listen", gateway.sites.listen, why);
  std::uint16_t customers = gateway.listen.port, sites = gateway.sites.listen.port;
  for (auto& rig : rigs_) {
    if (const auto why = rig->listen_customers(gateway.listen.host, customers); !why.empty())
      return taken("listen", gateway.listen, why);
    if (const auto why = rig->listen_sites(gateway.sites.listen.host, sites); !why.empty())
      return taken("sites.listen", gateway.sites.listen, why);
    customers = rig->customers_port();
    sites = rig->sites_port();
  }
  return 0;
}

void Gateway::watch(const config::ConfigSnapshot& config) {
  auto copy = std::make_shared<config::ConfigSnapshot>(config);
  rigs_.front()->worker().post([this, copy] { prober_->configure(*copy); });
}

void Gateway::announce() {
  registry_.sampled_gauge("tributary_journal_lag_records", "Records appended and not yet released.", {},
                          [this] { return static_cast<std::int64_t>(journal_->last() - journal_->released()); });
  registry_.sampled_gauge("tributary_journal_failed", "1 when the journal takes no more records.", {},
                          [this] { return journal_->failed() ? 1 : 0; });
  registry_.sampled_gauge("tributary_poster_lag_records", "Durable records that the ledger has not posted or passed over.", {},
                          [this] { return static_cast<std::int64_t>(journal_->durable() - std::min(ledger_->scanned(), journal_->durable())); });
  const auto of_tenants = [this](auto&& figure) {
    std::int64_t sum = 0;
    for (const auto& [id, tenant] : services_->live.load()->tenants->known()) sum += figure(tenant->view());
    return sum;
  };
  registry_.sampled_gauge("tributary_holds_open", "Holds on customers' balances: one a request that has been admitted and has not ended.", {},
                          [of_tenants] { return of_tenants([](const tenancy::Tenant::View& v) { return std::int64_t{v.in_flight}; }); });
  registry_.sampled_gauge("tributary_holds_micro_cny", "Their sum in millionths of a CNY, floored tenant by tenant.", {},
                          [of_tenants] { return of_tenants([](const tenancy::Tenant::View& v) { return v.held.mu(); }); });
  registry_.sampled_gauge("tributary_ledger_behind", "1 while requests are refused because the store has not taken store.backlog records.", {},
                          [this] { return services_->readiness.load() == api::Readiness::behind ? 1 : 0; });
  registry_.sampled_gauge("tributary_checkpoints_refused", "Answers of sites that a checkpoint contradicts what they hold.", {},
                          [this] { return static_cast<std::int64_t>(hub_->checkpoints_refused()); });
  registry_.sampled_gauge("tributary_receipts_taken", "Receipts of sites taken into the journal since the start.", {},
                          [this] { return static_cast<std::int64_t>(receipts_->taken()); });
  registry_.sampled_gauge("tributary_receipts_refused", "Signed roots of receipts that contradict what is held, since the start.", {},
                          [this] { return static_cast<std::int64_t>(receipts_->refused()); });
  registry_.sampled_gauge("tributary_tunnels_open", "Live tunnels of sites that dialled in.", {},
                          [this] { return static_cast<std::int64_t>(hub_->open()); });
  registry_.sampled_gauge("tributary_connections_open", "Customers' connections.", {},
                          [this] { return static_cast<std::int64_t>(shared_->connections.load()); });
  registry_.sampled_gauge("tributary_held_bytes", "Bytes of unary answers held for checking.", {},
                          [this] { return shared_->held_bytes.load(); });
  if (config_->gateway.admin_token.empty())
    telemetry::log(telemetry::Level::warning, "admin_doors_shut",
                   {{"why", config_->gateway.admin_token_env + " is not set: every admin door answers 401"}});
  services_->readiness.store(api::Readiness::ready);
  auto customers = config_->gateway.listen;
  customers.port = rigs_.front()->customers_port();
  auto sites = config_->gateway.sites.listen;
  sites.port = rigs_.front()->sites_port();
  std::cout << "ready customers=" << (config_->gateway.tls ? "https://" : "http://") << customers.text()
            << " sites=https://" << sites.text() << std::endl;
}

// The journal holds what the store has not taken, and the disk has an end: admission stops before it does. Not seen by the
// poster, which waits for a store that says nothing.
void Gateway::note_lag() {
  const metering::Lsn scanned = ledger_->scanned(), durable = journal_->durable();
  const std::uint64_t records = durable - std::min(scanned, durable);
  const auto shown = services_->readiness.load();
  const auto backlog = services_->live.load()->config->store_backlog;
  auto from = api::Readiness::ready, to = api::Readiness::behind;
  if (shown == from && records > backlog) {
    if (services_->readiness.compare_exchange_strong(from, to))
      telemetry::log(telemetry::Level::warning, "ledger_behind",
                     {{"records", static_cast<std::int64_t>(records)}, {"why", "the store has not taken store.backlog records: requests are refused"}});
  } else if (shown == to && records <= backlog / 2) {
    if (services_->readiness.compare_exchange_strong(to, from))
      telemetry::log(telemetry::Level::info, "ledger_caught_up", {{"records", static_cast<std::int64_t>(records)}});
  }
}

void Gateway::serve_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int s : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, s);
  constexpr timespec turn{0, 200'000'000};
  while (true) {
    note_lag();
    const int got = sigtimedwait(&set, nullptr, &turn);
    if (got < 0) continue;
    if (got != SIGHUP) return;
    reload();
  }
}

void Gateway::reload() {
  std::string why;
  std::shared_ptr<const config::ConfigSnapshot> next;
  std::shared_ptr<api::Live> live;
  const auto before = services_->live.load();
  try {
    next = config::load_gateway(config_->file, [](const char* name) -> const char* { return std::getenv(name); });
    why = publish(*next, before->config.get());
  } catch (const config::ConfigError& error) {
    why = error.what();
  }
  if (why.empty()) {
    live = make_live(next, before.get());
    if (!restore_tenants(*live->tenants, before->tenants.get(), why)) why = "store: " + why;
  }
  {
    const std::lock_guard lock(reload_mutex_);
    reload_state_ = why;
  }
  if (!why.empty()) {
    telemetry::log(telemetry::Level::error, "reload_refused", {{"why", why}});
    return;
  }
  std::string only_at_start;
  for (const std::string& key : api::keys_of_start(*config_, *next)) only_at_start += (only_at_start.empty() ? "" : ", ") + key;
  if (!only_at_start.empty())
    telemetry::log(telemetry::Level::warning, "reload_needs_restart", {{"keys", only_at_start}});
  fleet_.configure(*next, sites_->states());
  services_->live.store(live);
  watch(*next);
  telemetry::log(telemetry::Level::info, "reloaded", {{"file", next->file}});
}

void Gateway::drain() {
  services_->readiness.store(api::Readiness::draining);
  telemetry::log(telemetry::Level::info, "draining", {{"open", figures_->open.value()}});
  for (auto& rig : rigs_) rig->drain();
  const auto wait_for_none = [&](std::int64_t until_ns) {
    while (figures_->open.value() > 0 && system_clock().mono_ns() < until_ns) ::usleep(20'000);
  };
  const std::int64_t grace_ns = config_->gateway.deadlines.drain_ms * 1'000'000;
  wait_for_none(system_clock().mono_ns() + grace_ns);
  if (figures_->open.value() > 0) {
    for (auto& rig : rigs_) rig->drain_expired();
    wait_for_none(system_clock().mono_ns() + 5'000'000'000);
  }
  ::usleep(50'000);  // the last bytes are with the kernel
  hub_->drain();
  ::usleep(100'000);  // and the agents have heard
}

int Gateway::run(const std::string& file) {
  sigset_t set;
  sigemptyset(&set);
  for (const int s : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, s);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);  // before any thread: all inherit it
  ::signal(SIGPIPE, SIG_IGN);
  ::umask(077);  // ledger, journal and keys are the owner's alone
  int code = 0;
  try {
    code = open(file);
  } catch (const config::ConfigError& error) {
    return fail(2, error.what());
  }
  if (code == 0) {
    rigs_ready_.store(true);
    for (auto& rig : rigs_) rig->start();
    watch(*config_);
    // Engines that answer at once are there when the first request comes; a dead one delays nobody long.
    for (int i = 0; i < 100 && !prober_->first_round_done(); ++i) ::usleep(10'000);
    announce();
    auditor_->start(config_->audit.checkpoint_ms, [this] { checkpoints_grew(); });
    reconciler_->start(config_->grace_days, [this] { return fleet_.dialling_in(); });
    serve_signals();
    drain();
    if (journal_failed_.load()) code = 1;
  }
  rigs_ready_.store(false);
  for (auto& rig : rigs_) rig->stop();
  for (auto& rig : rigs_) rig->join();
  if (admin_thread_ != nullptr) admin_thread_->stop();
  if (auditor_ != nullptr) auditor_->stop();
  if (reconciler_ != nullptr) reconciler_->stop();
  if (hub_ != nullptr) hub_->clear();
  prober_.reset();
  if (engines_ != nullptr) engines_->stop();  // the journal's thread wakes the rigs: it ends before they go
  rigs_.clear();
  if (ledger_ != nullptr && code == 0) {  // after a failure the restart does it
    while (ledger_->post_once()) {
    }
    while (journal_->pump()) {  // the last SEALs; the writer has ended
    }
    std::string why;
    if (checkpoints_ != nullptr && !checkpoints_->make(*ledger_, system_clock().wall_ms(), why))
      telemetry::log(telemetry::Level::error, "checkpoint_failed", {{"why", why}});
  }
  return code;
}

}  // namespace

bool lock_data(const std::string& dir) { return lock_file(dir + "/lock"); }

bool lock_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  return fd >= 0 && ::flock(fd, LOCK_EX | LOCK_NB) == 0;  // held until the process ends
}

int run_gateway(const std::string& config_file) {
  Gateway gateway;
  return gateway.run(config_file);
}

}  // namespace trib::app

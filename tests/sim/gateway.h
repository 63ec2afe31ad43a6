// The gateway of the simulated world: the rooms of the product put together as gateway/app puts them
// together, with virtual loops for workers, the world's network for sockets and its disk for files.
// Several lives follow one another on the same disk.
#pragma once
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "gateway/api/api.h"
#include "gateway/exchange/exchange.h"
#include "gateway/net/net.h"
#include "gateway/tunnel/tunnel.h"
#include "tests/sim/net.h"
#include "tests/sim/oracle.h"
#include "tests/support/mem_disk.h"

namespace trib::sim {

enum class Sabotage : std::uint8_t;

struct GatewayTerms {
  std::shared_ptr<const config::ConfigSnapshot> config;
  std::string customers = "gateway:8080", sites = "gateway:8443";
  std::string vfs;
  unsigned workers = 2;
  Weather customers_weather, sites_weather;
  std::int64_t sync_ns_max = 3 * ms;  // how long the writer's turn takes
  std::size_t batch_max = 10'000;
  Sabotage sabotage{};
};

// A rule that the world breaks on purpose, to see that its checkers find it.
enum class Sabotage : std::uint8_t { none, bill_more, second_final, lose_final, early_release };

// A Journal that tells the oracle what goes in and what is released.
class WatchedJournal final : public metering::Journal {
 public:
  WatchedJournal(std::unique_ptr<metering::Journal> inner, Oracle& oracle, Sabotage sabotage)
      : inner_(std::move(inner)), oracle_(oracle), sabotage_(sabotage) {}
  metering::Lsn append(metering::RecordRef given) override {
    metering::Record record = given.copy();
    if (auto* const final = std::get_if<metering::Final>(&record); final != nullptr && sabotage_ != Sabotage::none) {
      if (sabotage_ == Sabotage::lose_final) return inner_->last();
      if (sabotage_ == Sabotage::second_final) oracle_.appended(inner_->append(record), record);
      if (sabotage_ == Sabotage::bill_more && final->outcome == metering::Outcome::completed) ++final->counts.output;
    }
    const auto lsn = inner_->append(record);
    if (lsn != 0) oracle_.appended(lsn, record);
    if (std::holds_alternative<metering::Final>(record) || std::holds_alternative<metering::Command>(record)) money_ = lsn;
    return lsn;
  }
  metering::Lsn released() const override { return sabotage_ == Sabotage::early_release ? inner_->last() : inner_->released(); }
  metering::Lsn durable() const override { return inner_->durable(); }
  std::error_code failed() const override { return inner_->failed(); }
  void on_released(std::function<void()> wake) override {
    inner_->on_released([this, wake = std::move(wake)] {
      oracle_.released(inner_->released());
      if (inner_->failed()) oracle_.journal_failed();
      wake();
    });
  }
  bool help() override {
    const bool done = inner_->help();
    oracle_.released(inner_->released());
    if (inner_->failed()) oracle_.journal_failed();
    return done;
  }
  bool pump() override { return inner_->pump(); }
  void wait(std::int64_t) override {}
  std::error_code read(metering::Lsn from, const Visit& visit) override { return inner_->read(from, visit); }
  Sha256 hash_at(metering::Lsn lsn) override { return inner_->hash_at(lsn); }
  metering::Lsn first() const override { return inner_->first(); }
  metering::Lsn last() const override { return inner_->last(); }
  std::error_code trim(metering::Lsn keep_from) override { return inner_->trim(keep_from); }

  metering::Lsn money() const { return money_; }  // the last record that the ledger posts

 private:
  metering::Lsn money_ = 0;
  std::unique_ptr<metering::Journal> inner_;
  Oracle& oracle_;
  const Sabotage sabotage_;
};

// One life. After its death only the destructor may be called.
class Gateway {
 public:
  Gateway(Timeline& timeline, Net& net, Rng& rng, test::MemDisk& disk, Oracle& oracle, GatewayTerms terms);
  ~Gateway();

  // Empty: it serves. Else why not; the life is over then. `must_have`: the journal's promise so far.
  std::string start(metering::Lsn must_have);
  void die(bool silent);  // at once; the disk is the caller's to kill first
  // SIGTERM: drains, then `down`. A clean end unless the disk fails meanwhile.
  void terminate(std::function<void()> down);

  void turn();  // after each event: asks for the writer's and the poster's turns where they are due
  void topup(const std::string& tenant, const std::string& id, money::Amount amount);
  std::string publish(const config::ConfigSnapshot& next);  // empty: published
  void close_site(const std::string& site);
  bool quiet() const;      // nothing open, all durable and posted
  std::string unrest() const;     // why it is not quiet
  std::string leftovers() const;  // what should be gone when all is quiet; empty: nothing
  // What the journal has promised in this life; after a power cut only what it called durable counts.
  metering::Lsn promise(bool power) const { return journal_ == nullptr ? 0 : power ? journal_->durable() : journal_->released(); }
  metering::Journal& journal() { return *journal_; }
  ledger::Ledger& ledger() { return *ledger_; }
  const tenancy::TenantBook& tenants() const { return *services_->live.load()->tenants; }
  std::string ledger_path() const { return terms_.config->store_path; }

 private:
  class Rig;
  class NoDoors;
  void pump();
  void post();
  bool pump_all();

  Timeline& timeline_;
  Net& net_;
  Rng& rng_;
  test::MemDisk& disk_;
  Oracle& oracle_;
  const GatewayTerms terms_;
  std::shared_ptr<Life> life_;
  telemetry::Registry registry_;
  std::unique_ptr<exchange::Figures> figures_;
  fleet::Fleet fleet_;
  std::unique_ptr<fleet::SiteRegistry> sites_;
  std::unique_ptr<WatchedJournal> journal_;
  std::unique_ptr<ledger::Ledger> ledger_;
  std::unique_ptr<api::IdempotencyTable> idempotency_;
  std::unique_ptr<NoDoors> doors_;
  std::unique_ptr<api::Services> services_;
  std::unique_ptr<tunnel::Hub> hub_;
  std::vector<std::unique_ptr<Rig>> rigs_;
  std::int64_t held_bytes_ = 0;
  std::deque<std::pair<std::int64_t, metering::Lsn>> marks_;  // when, and the newest record then
  bool pump_asked_ = false, post_asked_ = false, serving_ = false;
};

}  // namespace trib::sim

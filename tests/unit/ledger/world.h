// A store in a folder of its own, with a journal, ready to be killed and opened again.
#pragma once
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>

#include "gateway/ledger/ledger.h"
#include "tests/catch.h"
#include "tests/support/postgres.h"
#include "tests/unit/ledger/fake_journal.h"
#include "tests/unit/ledger/samples.h"

namespace trib::test {

class TempDir {
 public:
  TempDir() {
    static int count = 0;
    // Memory where there is some: these tests kill processes, not power.
    const std::filesystem::path memory = "/dev/shm";
    std::error_code ignored;
    const auto base = std::filesystem::is_directory(memory, ignored) ? memory : std::filesystem::temp_directory_path();
    path_ = base / ("trib-ledger-" + std::to_string(getpid()) + "-" + std::to_string(++count));
    std::filesystem::create_directories(path_);
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  std::string file(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

constexpr std::int64_t nov_2026 = 1'793'462'400'000;  // 2026-11-01T00:00:00+08:00
constexpr std::int64_t noon = nov_2026 + 23 * 86'400'000LL + 43'200'000;

// Model "m" and contract "c" as in the golden vectors, from November 2026; contract "d" without a vendor.
inline config::ConfigSnapshot golden_config() {
  config::ConfigSnapshot out;
  config::ModelConfig model;
  model.id = "m";
  config::PriceConfig price;
  price.from_ms = nov_2026;
  price.input = price.cache_write = money::Price::pico_per_unit(2'000'000);
  price.cached_input = money::Price::pico_per_unit(333'333);
  price.output = price.reasoning = money::Price::pico_per_unit(8'000'001);
  model.prices = {price};
  out.models = {model};
  config::ContractConfig c;
  c.id = "c";
  c.from_ms = nov_2026;
  c.shares = {285'000, 650'000, 50'000, 15'000};
  c.referrer_party = "lianmeng";
  config::ContractConfig d;
  d.id = "d";
  d.from_ms = nov_2026;
  d.shares = {300'000, 700'000, 0, 0};
  out.contracts = {c, d};
  return out;
}

struct World {
  TempDir dir;
  FakeJournal journal;
  std::unique_ptr<ledger::Ledger> ledger;
  std::size_t batch_max = 10'000;
  std::uint64_t ahead_from = Postgres::wanted() ? 1 : 0;  // a thread that rates ahead; the suite on SQLite does without

  // Of the store: a file, or a database of its own where the tests run on PostgreSQL.
  enum On { as_wanted, on_file };
  explicit World(On where = as_wanted) : database(where == as_wanted && Postgres::wanted() ? Postgres::instance().make_database() : std::string()) {}
  std::string database;
  std::string address;  // instead of its own, where a test brings a server or stands between
  std::string path() const {
    if (!address.empty()) return address;
    return database.empty() ? dir.file("ledger.db") : Postgres::instance().gateway_url(database);
  }
  // For a test that does what the gateway's role may not.
  std::string owner_path() const { return database.empty() ? path() : Postgres::instance().owner_url(database); }
  void lose_store() {
    ledger.reset();
    if (!database.empty()) database = Postgres::instance().make_database();
    for (const char* ending : {"", "-wal", "-shm"}) std::filesystem::remove(dir.file("ledger.db") + ending);
  }
  std::string try_open() {
    ledger.reset();
    ledger::LedgerOptions options;
    options.path = path();
    options.batch_requests_max = batch_max;
    options.ahead_from = ahead_from;
    options.command_ms_max = 50;
    std::string why;
    ledger = ledger::Ledger::open(options, system_clock(), journal, why);
    return why;
  }
  void open() {
    const std::string why = try_open();
    INFO(why);
    REQUIRE(ledger);
  }
  void start() {  // open, publish
    open();
    const auto problem = ledger->publish(golden_config(), noon);
    INFO((problem ? problem->path + ": " + problem->why : ""));
    REQUIRE_FALSE(problem);
  }
  void post_all() {
    while (ledger->post_once()) {
    }
    REQUIRE(ledger->failure() == "");
  }
};

// A random billed, voided or quarantined request.
inline metering::Final random_final(Rng& rng, std::int64_t wall_ms) {
  metering::TokenCounts counts{rng.below(3000), rng.below(1000), rng.below(10), 1 + rng.below(900), rng.below(50)};
  const std::uint64_t kind = rng.below(20);
  if (kind == 0) counts = {};
  metering::Final out = request({static_cast<std::uint64_t>(wall_ms) << 16, rng.next()}, wall_ms, counts);
  out.admit.tenant = rng.below(3) == 0 ? "acme" : "bolt";
  if (kind == 1) out.admit.price_version = 7;
  const std::uint64_t attempts = 1 + rng.below(3);
  for (std::uint64_t i = 0; i < attempts; ++i) {
    const bool last = i + 1 == attempts;
    add_attempt(out, rng.below(2) ? "dc-one" : "cafe-one", rng.below(4) ? "nvidia" : "",
                last || rng.below(2) ? rng.below(600) + (last ? 1 : 0) : 0, last ? "none" : "reset", rng.below(3) ? "c" : "d");
  }
  if (rng.below(2)) out.results.back().claimed = counts;
  return out;
}

}  // namespace trib::test

// How fast the poster turns released FINALs into the ledger: batches of 10,000 with everything on
// (rating, splitting, leaves, chain, synchronous commits), and what a request costs on the disk.
//
//   ledger_bench DIR [requests, default 1000000] [tenants, default 100] [--postgres]
//
// On SQLite, or with --postgres on a private PostgreSQL in DIR (fsync on); beside it what one row a commit does
// on the same engine, what the same rows cost it in the same batches without hashes and books, and whether the
// speed stays as the rows grow. DIR is created and what it holds of a journal and a ledger is deleted. Prints one
// line a measurement.
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "gateway/ledger/ledger.h"
#include "gateway/ledger/schema.h"
#include "gateway/ledger/tables.h"
#include "tests/support/postgres.h"

using namespace trib;

namespace {

using Steady = std::chrono::steady_clock;

double ms_since(Steady::time_point begin) {
  return std::chrono::duration<double, std::milli>(Steady::now() - begin).count();
}

// What this process or thread has used of the processors: other work on the machine does not count.
double cpu_ms(clockid_t clock) {
  timespec used{};
  clock_gettime(clock, &used);
  return static_cast<double>(used.tv_sec) * 1e3 + static_cast<double>(used.tv_nsec) / 1e6;
}

constexpr std::uint64_t backlog = 50'000;  // requests that wait when the posting begins
constexpr std::int64_t begin_ms = 1'793'462'400'000;  // 2026-11-01 in Shanghai

config::ConfigSnapshot make_config() {
  config::ConfigSnapshot out;
  config::ModelConfig model;
  model.id = "smollm2-135m";
  config::PriceConfig price;
  price.from_ms = begin_ms;
  price.input = price.cache_write = money::Price::pico_per_unit(500'000);
  price.cached_input = money::Price::pico_per_unit(100'000);
  price.output = price.reasoning = money::Price::pico_per_unit(2'000'000);
  model.prices = {price};
  out.models = {model};
  config::ContractConfig contract;
  contract.id = "standard";
  contract.from_ms = begin_ms;
  contract.shares = {285'000, 650'000, 50'000, 15'000};
  contract.referrer_party = "partner";
  out.contracts = {contract};
  return out;
}

metering::Final make_final(std::uint64_t i, std::uint64_t tenants, Rng& rng) {
  metering::Final out;
  const std::int64_t wall_ms = begin_ms + static_cast<std::int64_t>(i / 20);
  out.admit.id = mint_request_id(wall_ms, 0, rng);
  out.admit.wall_ms = wall_ms;
  out.admit.tenant = "tenant-" + std::to_string(rng.below(tenants));
  out.admit.model = "smollm2-135m";
  out.admit.price_version = 1;
  out.admit.operation = "chat";
  out.admit.hold = money::Amount::pico(1'000'000'000'000'000'000);  // no overruns
  out.wall_ms = wall_ms + 800;
  out.outcome = metering::Outcome::completed;
  out.status = 200;
  out.counts.input = rng.below(2000);
  out.counts.output = 1 + rng.below(500);
  out.source = metering::CountSource::claimed;
  metering::Attempt attempt;
  attempt.id = out.admit.id;
  attempt.n = 1;
  attempt.wall_ms = wall_ms;
  attempt.site = rng.below(2) ? "dc-one" : "cafe-one";
  attempt.engine = "127.0.0.1:9001";
  attempt.vendor = "nvidia";
  attempt.contract = "standard";
  attempt.contract_version = 1;
  metering::AttemptResult result;
  result.n = 1;
  result.fault = result.side = "none";
  result.delivered = result.pieces = out.counts.output;
  result.bytes = out.bytes_delivered = out.counts.output * 4;
  result.claimed = out.counts;
  out.attempts = {attempt};
  out.results = {result};
  return out;
}

std::uint64_t size_of(const std::string& path) {
  std::error_code ec;
  const auto size = std::filesystem::file_size(path, ec);
  return ec ? 0 : size;
}

struct Options {
  std::string dir;
  bool postgres = false;
  std::uint64_t requests = 1'000'000, tenants = 100;
};

// A place for the ledger and one for the comparison, on the same engine with the same promise.
struct Stores {
  std::unique_ptr<test::Postgres> server;
  std::string ledger, plain, alone;
  explicit Stores(const Options& options) {
    if (options.postgres) {
      std::filesystem::remove_all(options.dir + "/postgres");
      server = std::make_unique<test::Postgres>(std::filesystem::absolute(options.dir + "/postgres").string(), true);
      const std::string database = server->make_database();
      ledger = server->gateway_url(database);
      plain = server->owner_url(database);
      alone = server->gateway_url(server->make_database());
      return;
    }
    ledger = options.dir + "/ledger.db";
    plain = options.dir + "/plain.db";
    alone = options.dir + "/alone.db";
    for (const char* suffix : {"", "-wal", "-shm"}) {
      std::filesystem::remove(ledger + suffix);
      std::filesystem::remove(plain + suffix);
      std::filesystem::remove(alone + suffix);
    }
  }
};

// One row of a request's size a commit: what a ledger without batches does.
bool row_a_commit(const std::string& address) {
  constexpr int rows = 3'000;
  ledger::Connection db;
  std::string why;
  if (!db.open(address, {}, ledger::Connection::Mode::write, why) || !db.become_writer(1, why) ||
      !db.run(ledger::tables_text(db.engine(), "CREATE TABLE plain(id INTEGER PRIMARY KEY, body BLOB NOT NULL)").c_str())) {
    std::fprintf(stderr, "plain: %s %s\n", why.c_str(), db.error().c_str());
    return false;
  }
  ledger::Statement insert = db.prepare("INSERT INTO plain(id, body) VALUES(?, ?)");
  const std::string body(400, 'x');
  const auto begin = Steady::now();
  for (int i = 0; i < rows; ++i) {
    if (db.begin() && insert.reset().bind(i).blob(body).done() && db.commit()) continue;
    std::fprintf(stderr, "plain: %s\n", db.error().c_str());
    return false;
  }
  std::printf("row a commit  %.0f rows/s\n", rows / ms_since(begin) * 1000);
  return true;
}

// The engine's own part: rows that the poster has just written, in its batches, and nothing else.
class RowsAlone {
 public:
  bool open(const std::string& from, const std::string& to) {
    std::string why;
    const bool fine = from_.open(from, {}, ledger::Connection::Mode::read, why) && to_.open(to, {}, ledger::Connection::Mode::write, why) &&
                      to_.become_writer(shard, why) && ledger::ensure_schema(to_, why) && inserts_.prepare(to_);
    inserts_.in_bulk = true;
    return fine || failed(why);
  }

  // The last `batches` up to that record.
  bool copy(metering::Lsn posted, std::size_t batches) {
    ledger::Statement select = from_.prepare("SELECT " + ledger::usage_columns + " FROM usage WHERE place <= ? ORDER BY place DESC LIMIT ?");
    select.reset().bind(ledger::place_of(0, posted)).bind(static_cast<std::int64_t>(batches * batch_rows));
    std::vector<ledger::UsageRow> rows;
    while (select.row()) ledger::read(select, rows.emplace_back());
    std::reverse(rows.begin(), rows.end());
    double part_ms = 0;
    for (std::size_t at = 0; at < rows.size(); at += batch_rows) {
      const std::size_t end = std::min(at + batch_rows, rows.size());
      const auto begin = Steady::now();
      bool fine = to_.begin();
      for (std::size_t n = at; fine && n < end; ++n) fine = inserts_.put(rows[n], shard);
      if (!fine || !to_.commit()) return failed({});
      took_ms_ += ms_since(begin);
      part_ms += ms_since(begin);
    }
    rows_ += rows.size();
    last_ = static_cast<double>(rows.size()) / part_ms * 1000;
    return true;
  }

  double last() const { return last_; }
  double rate() const { return static_cast<double>(rows_) / took_ms_ * 1000; }

 private:
  static constexpr std::uint16_t shard = 2;
  static constexpr std::size_t batch_rows = 10'000;
  bool failed(const std::string& why) const { return std::fprintf(stderr, "rows alone: %s %s\n", why.c_str(), to_.error().c_str()), false; }

  ledger::Connection from_, to_;
  ledger::Inserts inserts_;
  std::size_t rows_ = 0;
  double took_ms_ = 0, last_ = 0;
};

// The mean of the later half over that of the earlier: 1 where nothing slows down as the rows grow.
double later_half(const std::vector<double>& values) {
  const auto half = static_cast<std::ptrdiff_t>(values.size() / 2);
  const double earlier = std::accumulate(values.begin(), values.begin() + half, 0.0), later = std::accumulate(values.end() - half, values.end(), 0.0);
  return earlier > 0 ? later / earlier : 1;
}

int run(const Options& wanted) {
  std::filesystem::remove_all(wanted.dir + "/journal");
  std::filesystem::create_directories(wanted.dir);
  const Stores stores(wanted);
  std::printf("store         %s, every commit synced\n", wanted.postgres ? "PostgreSQL" : "SQLite");
  if (!row_a_commit(stores.plain)) return 1;
  metering::JournalOptions journal_options;
  journal_options.dir = wanted.dir + "/journal";
  metering::JournalError error;
  const auto journal = metering::open_journal(system_disk(), system_clock(), journal_options, error);
  if (!journal) return std::fprintf(stderr, "journal: %s\n", error.why.c_str()), 1;
  ledger::LedgerOptions options;
  options.path = stores.ledger;
  options.ahead_from = 1;
  options.wait = [&] { journal->pump(); };
  std::string why;
  const auto ledger = ledger::Ledger::open(options, system_clock(), *journal, why);
  if (!ledger) return std::fprintf(stderr, "ledger: %s\n", why.c_str()), 1;
  if (const auto problem = ledger->publish(make_config(), begin_ms)) return std::fprintf(stderr, "%s\n", problem->why.c_str()), 1;

  RowsAlone alone;
  if (!alone.open(stores.ledger, stores.alone)) return 1;

  SeededRng rng(1);
  std::vector<double> batch_ms, part_rates, part_ratios;
  double posting_ms = 0, cpu_all_ms = 0, cpu_here_ms = 0, part_ms = 0;
  std::uint64_t made = 0, part_from = 0;
  const std::uint64_t part = std::max<std::uint64_t>(wanted.requests / 10, 10'000);
  while (made < wanted.requests) {
    const std::uint64_t ends = std::min(made + backlog, wanted.requests);
    while (made < ends) {
      if (journal->append(make_final(made++, wanted.tenants, rng)) == 0) return std::fprintf(stderr, "the journal is full\n"), 1;
    }
    while (journal->pump()) {
    }
    const double all_begin = cpu_ms(CLOCK_PROCESS_CPUTIME_ID);
    std::thread([&] {  // as in the gateway: its writes go out in pieces
      name_background_thread("poster");
      auto begin = Steady::now();
      while (ledger->post_once()) {
        batch_ms.push_back(ms_since(begin));
        posting_ms += batch_ms.back();
        part_ms += batch_ms.back();
        begin = Steady::now();
      }
      cpu_here_ms += cpu_ms(CLOCK_THREAD_CPUTIME_ID);
    }).join();
    if (!ledger->failure().empty()) return std::fprintf(stderr, "post: %s\n", ledger->failure().c_str()), 1;
    cpu_all_ms += cpu_ms(CLOCK_PROCESS_CPUTIME_ID) - all_begin;
    if (made - part_from < part && made < wanted.requests) continue;
    part_rates.push_back(static_cast<double>(made - part_from) / part_ms * 1000);
    if (!alone.copy(ledger->posted(), 5)) return 1;  // in the same minute, since a machine's speed drifts
    part_ratios.push_back(part_rates.back() / alone.last());
    std::printf("rows          %9llu  %.0f requests/s, %.2f of the rows alone\n", static_cast<unsigned long long>(made), part_rates.back(), part_ratios.back());
    std::fflush(stdout);
    part_ms = 0;
    part_from = made;
    journal->trim(ledger->posted());  // so that the disk holds the rows, not the requests twice
  }
  std::sort(batch_ms.begin(), batch_ms.end());
  const auto at = [&](std::size_t percent) { return batch_ms[std::min(batch_ms.size() - 1, batch_ms.size() * percent / 100)]; };
  std::printf("posted        %llu requests in batches of 10000, %.0f requests/s, %.2f us CPU each writing and %.2f rating\n",
              static_cast<unsigned long long>(made), static_cast<double>(made) / posting_ms * 1000,
              cpu_here_ms * 1000 / static_cast<double>(made), (cpu_all_ms - cpu_here_ms) * 1000 / static_cast<double>(made));
  std::printf("rows alone    %.0f rows/s in such batches, without hashes and books\n", alone.rate());
  std::printf("ratio         %.2f of the rows alone\n", static_cast<double>(made) / posting_ms * 1000 / alone.rate());
  std::printf("flat          the slowest tenth has %.2f of the first one's speed; the last half %.2f of the first half's ratio\n",
              *std::min_element(part_rates.begin(), part_rates.end()) / part_rates.front(), later_half(part_ratios));
  std::printf("batch         p50 %.1f ms  p99 %.1f ms  max %.1f ms\n", at(50), at(99), batch_ms.back());
  if (!wanted.postgres)
    std::printf("store         %.0f bytes a request\n", static_cast<double>(size_of(stores.ledger)) / static_cast<double>(made));
  auto begin = Steady::now();
  const bool zero = ledger->trial_balance().sum.zero();
  std::printf("trial balance %.2f ms, sum %s\n", ms_since(begin), zero ? "0" : "NOT 0");
  begin = Steady::now();
  const auto verdict = ledger::verify(options.path, "", 0, journal.get());
  std::printf("verify        %.0f requests/s: %s %s\n", static_cast<double>(verdict.requests) / ms_since(begin) * 1000,
              verdict.ok ? "sound" : verdict.place.c_str(), verdict.why.c_str());
  return zero && verdict.ok ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  int words = 0;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--postgres") options.postgres = true;
    else if (words == 0) ++words, options.dir = word;
    else if (words == 1) ++words, options.requests = std::strtoull(argv[i], nullptr, 10);
    else ++words, options.tenants = std::max<std::uint64_t>(std::strtoull(argv[i], nullptr, 10), 1);
  }
  if (words == 0 || words > 3 || options.requests == 0)
    return std::fprintf(stderr, "usage: ledger_bench DIR [requests] [tenants] [--postgres]\n"), 2;
  return run(options);
}

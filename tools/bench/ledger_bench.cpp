// How fast the poster turns released FINALs into the ledger: batches of 10,000 with everything on
// (rating, splitting, leaves, chain, synchronous commits), and what a request costs on the disk.
//
//   ledger_bench DIR [requests, default 1000000] [tenants, default 100]
//
// DIR is created and what it holds of a journal and a ledger is deleted. Prints one line a measurement.
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "gateway/ledger/ledger.h"

using namespace trib;

namespace {

using Steady = std::chrono::steady_clock;

double ms_since(Steady::time_point begin) {
  return std::chrono::duration<double, std::milli>(Steady::now() - begin).count();
}

// What this thread has used of a processor: other work on the machine does not count.
double cpu_ms() {
  timespec used{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return static_cast<double>(used.tv_sec) * 1e3 + static_cast<double>(used.tv_nsec) / 1e6;
}

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

int run(const std::string& dir, std::uint64_t requests, std::uint64_t tenants) {
  std::filesystem::remove_all(dir + "/journal");
  for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(dir + "/ledger.db" + suffix);
  std::filesystem::create_directories(dir);
  metering::JournalOptions journal_options;
  journal_options.dir = dir + "/journal";
  metering::JournalError error;
  const auto journal = metering::open_journal(system_disk(), system_clock(), journal_options, error);
  if (!journal) return std::fprintf(stderr, "journal: %s\n", error.why.c_str()), 1;
  ledger::LedgerOptions options;
  options.path = dir + "/ledger.db";
  options.wait = [&] { journal->pump(); };
  std::string why;
  const auto ledger = ledger::Ledger::open(options, system_clock(), *journal, why);
  if (!ledger) return std::fprintf(stderr, "ledger: %s\n", why.c_str()), 1;
  if (const auto problem = ledger->publish(make_config(), begin_ms)) return std::fprintf(stderr, "%s\n", problem->why.c_str()), 1;

  SeededRng rng(1);
  std::vector<double> batch_ms;
  double posting_ms = 0, posting_cpu_ms = 0;
  std::uint64_t made = 0;
  while (made < requests) {
    for (int i = 0; i < 10'000; ++i) {
      if (journal->append(make_final(made++, tenants, rng)) == 0) return std::fprintf(stderr, "the journal is full\n"), 1;
    }
    while (journal->pump()) {
    }
    const auto begin = Steady::now();
    const double cpu_begin = cpu_ms();
    if (!ledger->post_once()) return std::fprintf(stderr, "post: %s\n", ledger->failure().c_str()), 1;
    batch_ms.push_back(ms_since(begin));
    posting_ms += batch_ms.back();
    posting_cpu_ms += cpu_ms() - cpu_begin;
  }
  std::sort(batch_ms.begin(), batch_ms.end());
  const auto at = [&](std::size_t percent) { return batch_ms[std::min(batch_ms.size() - 1, batch_ms.size() * percent / 100)]; };
  std::printf("posted        %llu requests in batches of 10000, %.0f requests/s, %.2f us CPU each\n",
              static_cast<unsigned long long>(made), static_cast<double>(made) / posting_ms * 1000,
              posting_cpu_ms * 1000 / static_cast<double>(made));
  std::printf("batch         p50 %.1f ms  p99 %.1f ms  max %.1f ms\n", at(50), at(99), batch_ms.back());
  std::printf("store         %.0f bytes a request\n",
              static_cast<double>(size_of(options.path)) / static_cast<double>(made));
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
  if (argc < 2) return std::fprintf(stderr, "usage: ledger_bench DIR [requests] [tenants]\n"), 2;
  const auto number = [&](int i, std::uint64_t otherwise) { return argc > i ? std::strtoull(argv[i], nullptr, 10) : otherwise; };
  return run(argv[1], number(2, 1'000'000), std::max<std::uint64_t>(number(3, 100), 1));
}

// The crash matrix: a scripted life over the real journal and the real SQLite on a disk in memory, broken
// at every operation of either, in every way. After the next start the books are sound and nothing that
// was acknowledged is missing.
#include <cstdio>
#include <map>
#include <set>

#include "tests/unit/ledger/crash_world.h"

using namespace trib;
using namespace trib::ledger;
using test::ManualClock;
using test::MemDisk;
using test::noon;
using test::Process;
using test::Site;

namespace {

constexpr std::uint64_t requests = 7;
const money::Amount topup_amount = *money::Amount::parse("3.5");

struct Told {  // what somebody was told
  std::set<std::uint64_t> finals;  // the last byte left
  std::set<std::string> topups;
};

metering::Final final_number(std::uint64_t n) {
  SeededRng rng(n);
  auto out = test::random_final(rng, noon + static_cast<std::int64_t>(n));
  out.admit.id = {static_cast<std::uint64_t>(noon) << 16, n};
  for (auto& attempt : out.attempts) attempt.id = out.admit.id;
  out.admit.price_version = 1;
  if (n % 3 == 0) out.admit.hold = money::Amount::pico(1'000);  // costs more than it held
  return out;
}

// Goes on after errors as the gateway would: what fails is asked again or answered with an error.
void live(MemDisk& disk, ManualClock& clock, const std::string& vfs, Told& told) {
  Process process(disk, clock, vfs);
  if (!process.ledger || process.ledger->publish(test::golden_config(), noon)) return;
  auto& journal = *process.journal;
  for (std::uint64_t n = 1; n <= requests; ++n) {
    const auto final = final_number(n);
    journal.append(final.admit);
    for (const auto& attempt : final.attempts) journal.append(attempt);
    if (n % 2 == 0) journal.append(metering::Progress{final.admit.id, 1, final.admit.wall_ms, 2, 8});
    journal.pump();
    if (n == 4) continue;  // is still running when all ends
    const auto lsn = journal.append(final);
    if (n == 5) journal.append(final);  // delivered twice
    journal.pump();
    if (lsn != 0 && !journal.failed() && journal.released() >= lsn) told.finals.insert(n);
    if (n % 3 == 0) process.ledger->post_once();
    if (n % 3 == 1) {
      const std::string id = "t" + std::to_string(n);
      const auto posting = process.ledger->topup("acme", id, topup_amount, noon);
      if (posting == Posting::posted || posting == Posting::repeated) told.topups.insert(id);
    }
  }
  if (!journal.failed()) process.ledger->post_once();
}

struct BooksRead {
  std::map<std::uint64_t, RequestRow> rows;
  money::Amount acme;
  std::map<std::string, money::Amount> accounts;
};

BooksRead read_book(Process& process) {
  BooksRead out;
  std::string why;
  const auto reader = process.ledger->reader(why);
  INFO(why);
  REQUIRE(reader);
  reader->usage(202611, [&](const RequestRow& row) {
    REQUIRE(out.rows.emplace(row.row.id.lo, row).second);
    return true;
  });
  for (const auto& row : reader->trial_balance().accounts) out.accounts[row.account] = row.debit - row.credit;
  out.acme = process.ledger->tenant_balance("acme");
  return out;
}

// Starts again on a sound disk; invariants 1 to 11.
void check(MemDisk& disk, ManualClock& clock, const std::string& vfs, const Told& told, const BooksRead& undisturbed) {
  std::uint64_t last = 0;
  for (int start = 0; start < 2; ++start) {  // the second start changes nothing
    Process process(disk, clock, vfs);
    INFO(process.why);
    REQUIRE(process.ledger);
    REQUIRE_FALSE(process.ledger->publish(test::golden_config(), noon));
    process.post_all();
    REQUIRE(process.ledger->failure() == "");
    const Verdict verdict = verify("var/ledger.db", vfs, 0, process.journal.get());
    INFO(verdict.place << ": " << verdict.why);
    REQUIRE(verdict.ok);
    REQUIRE(process.ledger->trial_balance().sum.zero());
    BooksRead book = read_book(process);
    for (const std::uint64_t n : told.finals) {
      INFO("request " << n);
      REQUIRE(book.rows.contains(n));
      REQUIRE(book.rows.at(n).row.outcome != metering::Outcome::recovered);
    }
    // Every ADMIT has come to exactly one end; nothing has one that was not admitted.
    std::set<std::uint64_t> admitted;
    REQUIRE_FALSE(process.journal->read(0, [&](metering::Lsn, const metering::Record& record) {
      if (const auto* const admit = std::get_if<metering::Admit>(&record)) admitted.insert(admit->id.lo);
      return true;
    }));
    REQUIRE(admitted.size() == book.rows.size());
    money::Amount charged;
    for (const auto& [n, row] : book.rows) {
      REQUIRE(admitted.contains(n));
      if (row.row.tenant == "acme" && row.row.gross) charged += *row.row.gross;
      if (row.row.outcome == metering::Outcome::recovered) continue;
      const RequestRow& twin = undisturbed.rows.at(n);
      REQUIRE(row.row.state == twin.row.state);
      REQUIRE(row.row.gross == twin.row.gross);
      REQUIRE(row.parts == twin.parts);
      REQUIRE(row.row.content_hash == twin.row.content_hash);
    }
    // Top-ups: the caller asks until there is an answer; each happens once.
    std::size_t topups = 0;
    for (const char* id : {"t1", "t4", "t7"}) {
      const auto posting = process.ledger->topup("acme", id, topup_amount, noon);
      REQUIRE((posting == Posting::posted || posting == Posting::repeated));
      if (told.topups.contains(id) || start > 0) REQUIRE(posting == Posting::repeated);
      ++topups;
    }
    money::Amount paid;
    for (std::size_t i = 0; i < topups; ++i) paid += topup_amount;
    REQUIRE(process.ledger->tenant_balance("acme") == paid - charged);
    if (start == 1) REQUIRE(process.journal->last() == last);
    last = process.journal->last();
    process.post_all();
    last = process.journal->last();
  }
}

}  // namespace

TEST_CASE("invariants 11 and 12: journal and SQLite broken at every operation, in every way: nothing acknowledged is lost, every ADMIT ends once",
          "[invariant]") {
  BooksRead undisturbed;
  std::uint64_t operations = 0;
  {
    Site site(1);
    Told told;
    live(site.disk, site.clock, site.vfs.name(), told);
    operations = site.disk.operations();
    REQUIRE(told.finals.size() == requests - 1);
    REQUIRE(told.topups.size() == 2);  // the fourth goes on to the next request
    Process process(site.disk, site.clock, site.vfs.name());
    REQUIRE(process.ledger);
    undisturbed = read_book(process);
    REQUIRE(undisturbed.rows.size() == requests);
    REQUIRE(undisturbed.rows.at(4).row.outcome == metering::Outcome::recovered);
  }
  std::uint64_t runs = 0;
  for (const auto& [way, what] : test::ways) {
    for (std::uint64_t k = 1; k <= operations; ++k) {
      if (!test::meets(way, k)) continue;
      Site site(k);
      Told told;
      test::break_at(site.disk, way, k);
      live(site.disk, site.clock, site.vfs.name(), told);
      test::end_of(site.disk, way, k);
      INFO(what << " at operation " << k << " of " << operations);
      check(site.disk, site.clock, site.vfs.name(), told, undisturbed);
      ++runs;
    }
  }
  std::printf("crash matrix: %llu operations, %llu runs\n", static_cast<unsigned long long>(operations), static_cast<unsigned long long>(runs));
}

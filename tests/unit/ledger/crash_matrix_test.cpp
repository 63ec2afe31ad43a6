// The crash matrix: a scripted life over the real journal and the real SQLite on a disk in memory, broken
// at every operation of either, in every way. After the next start the books are sound and nothing that
// was acknowledged is missing.
#include <cstdio>
#include <cstdlib>
#include <map>
#include <set>

#include "tests/support/disk_vfs.h"
#include "tests/support/mem_disk.h"
#include "tests/unit/ledger/world.h"

using namespace trib;
using namespace trib::ledger;
using test::MemDisk;
using test::noon;

namespace {

constexpr std::uint64_t requests = 7;
const money::Amount topup_amount = *money::Amount::parse("3.5");

class ManualClock final : public Clock {
 public:
  std::int64_t mono_ns() const override { return ns_; }
  std::int64_t wall_ms() const override { return noon + ns_ / 1'000'000; }
  void forward_ms(std::int64_t ms) { ns_ += ms * 1'000'000; }

 private:
  std::int64_t ns_ = 1;
};

struct Told {  // what somebody was told
  std::set<std::uint64_t> finals;  // the last byte left
  std::set<std::string> topups;
};

// A process: journal and ledger as the gateway opens them, on a disk that may break.
struct Process {
  ManualClock& clock;
  std::unique_ptr<metering::Journal> journal;
  std::unique_ptr<Ledger> ledger;
  std::string why;

  Process(MemDisk& disk, ManualClock& clock_in, const std::string& vfs) : clock(clock_in) {
    if (disk.make_dirs("var")) return;
    metering::JournalOptions options;
    options.dir = "var/journal";
    options.segment_bytes = 4096;
    metering::JournalError error;
    journal = metering::open_journal(disk, clock, options, error);
    if (!journal) {
      why = "journal: " + error.why;
      return;
    }
    std::vector<metering::OpenRequest> open;
    if (metering::open_requests(*journal, open)) return;
    LedgerOptions of_ledger;
    of_ledger.path = "var/ledger.db";
    of_ledger.vfs = vfs;
    of_ledger.batch_requests_max = 3;
    of_ledger.command_ms_max = 50;
    of_ledger.wait = [this] {
      journal->pump();
      clock.forward_ms(10);
    };
    ledger = Ledger::open(of_ledger, clock, *journal, why);
    if (!ledger) return;
    for (const auto& request : open) journal->append(metering::recover(request, noon + 60'000));
    post_all();
  }
  void post_all() {
    do {
      while (journal->pump()) {
      }
    } while (ledger->post_once());
  }
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
      const UsageRow& twin = undisturbed.rows.at(n).row;
      REQUIRE(row.row.state == twin.state);
      REQUIRE(row.row.gross == twin.gross);
      REQUIRE(row.row.parts == twin.parts);
      REQUIRE(row.row.content_hash == twin.content_hash);
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

enum class Way { power, kill, io_error, full_once, full };

constexpr std::pair<Way, const char*> ways[] = {
    {Way::power, "the power is cut"}, {Way::kill, "kill -9"}, {Way::io_error, "EIO once"}, {Way::full_once, "ENOSPC once"}, {Way::full, "ENOSPC for good"}};

struct Site {  // a disk with its VFS
  MemDisk disk;
  ManualClock clock;
  test::DiskVfs vfs;
  static inline int count = 0;
  explicit Site(std::uint64_t seed) : disk(seed), vfs("matrix-" + std::to_string(++count), disk, clock, seed) {}
};

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
  // In the fast tests each operation meets a power cut and one of the others; TRIBUTARY_WHOLE: all of them.
  const bool whole = std::getenv("TRIBUTARY_WHOLE") != nullptr;
  std::uint64_t runs = 0;
  for (const auto& [way, what] : ways) {
    for (std::uint64_t k = 1; k <= operations; ++k) {
      if (!whole && way != Way::power && static_cast<std::uint64_t>(way) != 1 + k % 4) continue;
      Site site(k);
      Told told;
      switch (way) {
        case Way::power: site.disk.cut_power_at(k); break;
        case Way::kill: site.disk.fail_from(k, std::errc::io_error); break;
        case Way::io_error: site.disk.fail_at(k, std::errc::io_error); break;
        case Way::full_once: site.disk.fail_at(k, std::errc::no_space_on_device); break;
        case Way::full: site.disk.fail_from(k, std::errc::no_space_on_device); break;
      }
      live(site.disk, site.clock, site.vfs.name(), told);
      // A killed process leaves what the kernel has; after the others the power goes too, every second time.
      way == Way::power || (way != Way::kill && k % 2 == 0) ? site.disk.crash() : site.disk.kill();
      INFO(what << " at operation " << k << " of " << operations);
      check(site.disk, site.clock, site.vfs.name(), told, undisturbed);
      ++runs;
    }
  }
  std::printf("crash matrix: %llu operations, %llu runs\n", static_cast<unsigned long long>(operations), static_cast<unsigned long long>(runs));
}

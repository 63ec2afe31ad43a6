// Over the real journal and the real disk: a process killed anywhere loses nothing and doubles nothing.
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "tests/unit/ledger/world.h"

using namespace trib;
using namespace trib::ledger;
using test::noon;

namespace {

struct Real {
  std::unique_ptr<metering::Journal> journal;
  std::unique_ptr<Ledger> ledger;
  std::string why;

  Real(const std::string& dir, std::size_t batch_max) {
    metering::JournalOptions options;
    options.dir = dir + "/journal";
    options.segment_bytes = 256u << 10;
    metering::JournalError error;
    journal = metering::open_journal(system_disk(), system_clock(), options, error);
    if (!journal) {
      why = error.why;
      return;
    }
    LedgerOptions ledger_options;
    ledger_options.path = dir + "/ledger.db";
    ledger_options.batch_requests_max = batch_max;
    ledger_options.wait = [this] { journal->pump(); };
    ledger = Ledger::open(ledger_options, system_clock(), *journal, why);
  }
  void post_all() {
    do {
      while (journal->pump()) {
      }
    } while (ledger->post_once());
  }
};

// Works until it is killed; every life continues where the journal ends.
[[noreturn]] void live(const std::string& dir, std::uint64_t seed) {
  SeededRng rng(seed);
  Real real(dir, 1 + rng.below(20));
  if (!real.ledger || real.ledger->publish(test::golden_config(), noon)) _exit(3);
  for (std::int64_t i = 0;; ++i) {
    const auto final = test::random_final(rng, noon + i);
    real.journal->append(final.admit);
    real.journal->append(final);
    if (rng.below(3) == 0) real.journal->append(final);
    if (rng.below(8) == 0) real.journal->pump();
    if (rng.below(8) == 0) real.ledger->post_once();
    if (rng.below(50) == 0) real.ledger->topup("acme", std::to_string(seed) + "-" + std::to_string(i), money::Amount::pico(7), noon);
  }
}

}  // namespace

TEST_CASE("kill -9 at any time: journal, rows, balances and seals agree afterwards", "[sqlite]") {
  test::TempDir dir;
  const std::string path = dir.file("data");
  std::filesystem::create_directories(path);
  SeededRng rng(11);
  std::uint64_t requests = 0;
  // Where starting takes longer than a life, lives grow until something has been posted.
  for (std::uint64_t life = 1; life <= 12 || (requests == 0 && life <= 100); ++life) {
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) live(path, life);
    usleep(static_cast<useconds_t>((8'000 + rng.below(30'000)) * (1 + life / 12)));  // tidy: allow sleep (the moment of a kill is what is drawn)
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    REQUIRE(WIFSIGNALED(status));

    Real real(path, 10'000);
    INFO(real.why);
    REQUIRE(real.ledger);
    real.post_all();
    REQUIRE(real.ledger->failure() == "");
    const Verdict verdict = verify(path + "/ledger.db", "", 0, real.journal.get());
    INFO(verdict.place << ": " << verdict.why);
    REQUIRE(verdict.ok);
    REQUIRE(real.ledger->trial_balance().sum.zero());
    REQUIRE(verdict.requests >= requests);
    requests = verdict.requests;
  }
  CHECK(requests > 0);
}

TEST_CASE("the real journal gives a lost store back, batch for batch", "[sqlite]") {
  test::TempDir dir;
  const std::string path = dir.file("data");
  std::filesystem::create_directories(path);
  Sha256 head{};
  std::uint64_t batches = 0;
  {
    Real real(path, 7);
    REQUIRE(real.ledger);
    REQUIRE_FALSE(real.ledger->publish(test::golden_config(), noon));
    REQUIRE(real.ledger->topup("acme", "t", money::Amount::pico(9), noon) == Posting::posted);
    SeededRng rng(12);
    for (int i = 0; i < 50; ++i) real.journal->append(test::random_final(rng, noon + i));
    real.post_all();
    const Verdict verdict = verify(path + "/ledger.db", "", 0, real.journal.get());
    REQUIRE(verdict.ok);
    head = verdict.head;
    batches = verdict.batches;
    CHECK(batches > 7);
  }
  for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(path + "/ledger.db" + suffix);
  Real real(path, 10'000);
  INFO(real.why);
  REQUIRE(real.ledger);
  real.post_all();
  const Verdict verdict = verify(path + "/ledger.db", "", 0, real.journal.get());
  CHECK(verdict.ok);
  CHECK(verdict.head == head);
  CHECK(verdict.batches == batches);
}

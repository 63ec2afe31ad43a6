// Faults of the disk at every operation. Whatever happens: no record that was released (with a
// window: that was durable) is missing afterwards, none is half there, none is another.
#include <set>

#include "tests/catch.h"
#include "tests/support/mem_disk.h"
#include "tests/unit/metering/sample.h"

using namespace trib;
using namespace trib::metering;
using namespace trib::metering::test;
using trib::test::MemDisk;

namespace {

JournalOptions options_of(bool sync_always) {
  JournalOptions options;
  options.dir = "var/journal";
  options.segment_bytes = 1024;
  options.sync_always = sync_always;
  options.sync_window_ms = 3;
  return options;
}

struct Life {
  std::vector<Record> appended;  // [i] has LSN i + 1
  Lsn released = 0, durable = 0;
  Lsn trimmed_to = 0;
};

Record record_number(Lsn lsn) {
  switch (lsn % 4) {
    case 0:
      return final_of(lsn);
    case 1:
      return admit(lsn);
    case 2:
      return attempt(lsn, 1);
    default:
      return progress(lsn, 1, lsn, lsn * 3);
  }
}

// Opens, appends in lots of one to four, trims once. Goes on after errors as the gateway would.
void live(MemDisk& disk, ManualClock& clock, bool sync_always, std::uint64_t seed, Life& life) {
  JournalError error;
  auto journal = open_journal(disk, clock, options_of(sync_always), error);
  if (!journal) {
    disk.kill();
    return;
  }
  SeededRng rng(seed);
  while (life.appended.size() < 24 && !journal->failed()) {
    for (std::uint64_t lot = 1 + rng.below(4); lot > 0; --lot) {
      const Record record = record_number(life.appended.size() + 1);
      REQUIRE(journal->append(record) == life.appended.size() + 1);
      life.appended.push_back(record);
    }
    clock.forward_ms(static_cast<std::int64_t>(rng.below(3)));
    journal->pump();
    for (auto pieces = rng.below(3); pieces > 0; --pieces) journal->prepare();  // none, its room, or zeros as well
    life.released = journal->released();
    life.durable = journal->durable();
    REQUIRE(life.durable <= life.released);
    if (life.trimmed_to == 0 && life.durable > 12) {
      life.trimmed_to = 10;
      (void)journal->trim(10);
    }
  }
  // The process ends here without a farewell.
  disk.kill();
}

// Opens again on a sound disk and compares.
void check(MemDisk& disk, ManualClock& clock, bool sync_always, const Life& life, Lsn promised) {
  auto journal = must_open(disk, clock, options_of(sync_always));
  const Lsn first = journal->first();
  REQUIRE((first == 1 || first <= life.trimmed_to));
  REQUIRE(journal->last() >= promised);
  REQUIRE(journal->last() <= life.appended.size());
  const auto records = records_of(*journal);
  REQUIRE(records.size() == journal->last() - first + 1);
  for (std::size_t i = 0; i < records.size(); ++i)
    REQUIRE((records[i] == life.appended[first - 1 + i]));
  // And it works on.
  const Lsn next = journal->append(command("next"));
  REQUIRE(next == first + records.size());
  REQUIRE(journal->pump());
  disk.crash();
  journal = must_open(disk, clock, options_of(sync_always));
  REQUIRE(journal->last() >= (sync_always ? next : promised));
}

std::uint64_t operations_of_a_life(bool sync_always, std::uint64_t seed) {
  MemDisk disk(seed);
  ManualClock clock;
  Life life;
  live(disk, clock, sync_always, seed, life);
  return disk.operations();
}

}  // namespace

TEST_CASE("the power is cut at every operation of the disk") {
  for (const bool sync_always : {true, false}) {
    for (std::uint64_t seed = 1; seed <= 25; ++seed) {
      const std::uint64_t operations = operations_of_a_life(sync_always, seed);
      REQUIRE(operations > 40);
      for (std::uint64_t k = 1; k <= operations + 1; ++k) {
        MemDisk disk(seed * 1000 + k);
        ManualClock clock;
        Life life;
        disk.cut_power_at(k);
        live(disk, clock, sync_always, seed, life);
        disk.crash();
        INFO("sync_always " << sync_always << ", seed " << seed << ", operation " << k);
        check(disk, clock, sync_always, life, sync_always ? life.released : life.durable);
      }
    }
  }
}

TEST_CASE("every operation of the disk fails once, and the process ends") {
  for (const auto code : {std::errc::io_error, std::errc::no_space_on_device}) {
    for (const bool sync_always : {true, false}) {
      for (std::uint64_t seed = 1; seed <= 6; ++seed) {
        const std::uint64_t operations = operations_of_a_life(sync_always, seed);
        for (std::uint64_t k = 1; k <= operations; ++k) {
          MemDisk disk(seed * 1000 + k);
          ManualClock clock;
          Life life;
          disk.fail_at(k, code);
          live(disk, clock, sync_always, seed, life);
          INFO("sync_always " << sync_always << ", seed " << seed << ", operation " << k);
          // A killed process keeps what the kernel has; then the power may go too.
          if (k % 2 == 0) {
            check(disk, clock, sync_always, life, life.released);
          } else {
            disk.crash();
            check(disk, clock, sync_always, life, sync_always ? life.released : life.durable);
          }
        }
      }
    }
  }
}

TEST_CASE("the disk dies for good at every operation") {
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    const std::uint64_t operations = operations_of_a_life(true, seed);
    for (std::uint64_t k = 1; k <= operations; ++k) {
      MemDisk disk(seed * 1000 + k);
      ManualClock clock;
      Life life;
      disk.fail_from(k, std::errc::no_space_on_device);
      live(disk, clock, true, seed, life);
      INFO("seed " << seed << ", operation " << k);
      check(disk, clock, true, life, life.released);
    }
  }
}

TEST_CASE("the power is cut while the start repairs a torn tail, and again") {
  std::uint64_t torn = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    MemDisk disk(seed);
    ManualClock clock;
    Life life;
    disk.cut_power_at(30 + seed % 30);
    live(disk, clock, false, seed, life);
    disk.crash();
    for (std::uint64_t k = 1; k <= 12; ++k) {
      disk.cut_power_at(disk.operations() + k);
      JournalError error;
      torn += open_journal(disk, clock, options_of(false), error) == nullptr ? 1 : 0;
      disk.crash();
    }
    INFO("seed " << seed);
    check(disk, clock, false, life, life.durable);
  }
  CHECK(torn > 100);  // most of those starts were cut short
}

TEST_CASE("the same seed gives the same disk") {
  const auto state = [](std::uint64_t seed) {
    MemDisk disk(seed);
    ManualClock clock;
    Life life;
    disk.cut_power_at(45);
    live(disk, clock, false, 3, life);
    disk.crash();
    std::string all;
    for (const auto& name : disk.names("var/journal"))
      all += name + disk.content("var/journal/" + name);
    return to_hex(sha256(all));
  };
  CHECK(state(7) == state(7));
  std::set<std::string> different;
  for (std::uint64_t seed = 0; seed < 10; ++seed) different.insert(state(seed));
  CHECK(different.size() > 1);
}

TEST_CASE("a trim that failed, tried again, leaves no hole behind a power cut") {
  for (std::uint64_t at = 1; at <= 8; ++at) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
      INFO("operation " << at << " of the trim fails, seed " << seed);
      MemDisk disk(seed);
      ManualClock clock;
      JournalOptions options;
      options.dir = "var/journal";
      options.segment_bytes = 4096;
      Lsn last = 0;
      {
        JournalError error;
        auto journal = open_journal(disk, clock, options, error);
        REQUIRE(journal != nullptr);
        for (std::uint64_t i = 1; i <= 100; ++i) {
          last = journal->append(admit(i));
          REQUIRE(last != 0);
          journal->pump();
        }
        REQUIRE(disk.names("var/journal").size() > 4);
        disk.fail_at(disk.operations() + at, std::errc::io_error);
        (void)journal->trim(last - 20);
        disk.fail_at(0, {});
        (void)journal->trim(last - 10);
        disk.crash();
      }
      JournalError error;
      const auto again = open_journal(disk, clock, options, error);
      INFO(error.why);
      REQUIRE(again != nullptr);
      CHECK(again->last() == last);
    }
  }
}

// The journal in calm weather: order, groups, windows, segments, reading and trimming.
#include <thread>

#include "tests/catch.h"
#include "tests/support/mem_disk.h"
#include "tests/unit/metering/sample.h"

using namespace trib;
using namespace trib::metering;
using namespace trib::metering::test;
using trib::test::MemDisk;

namespace {

JournalOptions small(std::uint64_t segment_bytes = 4096) {
  JournalOptions options;
  options.dir = "var/journal";
  options.segment_bytes = segment_bytes;
  return options;
}

void drain(Journal& journal) {
  while (journal.pump()) {
  }
}

}  // namespace

TEST_CASE("a new journal is empty and what is pumped comes back after a reopen") {
  MemDisk disk(1);
  ManualClock clock;
  SeededRng rng(7);
  std::vector<Record> written;
  {
    auto journal = must_open(disk, clock, small());
    CHECK(journal->first() == 1);
    CHECK(journal->last() == 0);
    CHECK(journal->released() == 0);
    CHECK_FALSE(journal->pump());
    for (Lsn i = 1; i <= 300; ++i) {
      written.push_back(random_record(rng));
      REQUIRE(journal->append(written.back()) == i);
      if (i % 7 == 0) {
        CHECK(journal->pump());
        CHECK(journal->released() == i);
        CHECK(journal->durable() == i);
      }
    }
    drain(*journal);
    CHECK(records_of(*journal) == written);
  }
  CHECK(disk.names("var/journal").size() > 10);
  auto journal = must_open(disk, clock, small());
  CHECK(journal->last() == 300);
  CHECK(journal->durable() == 300);
  CHECK(records_of(*journal) == written);
  CHECK(journal->append(admit(1)) == 301);
}

// What a crash left open, from the journal alone, and the FINAL that ends it.
#include "tests/catch.h"
#include "tests/support/mem_disk.h"
#include "tests/unit/metering/sample.h"

using namespace trib;
using namespace trib::metering;
using namespace trib::metering::test;
using trib::test::MemDisk;

namespace {

struct World {
  MemDisk disk{1};
  ManualClock clock;
  JournalOptions options;
  std::unique_ptr<Journal> journal;
  explicit World(const std::vector<Record>& records) {
    options.dir = "journal";
    options.segment_bytes = 1024;
    journal = must_open(disk, clock, options);
    for (const auto& record : records) journal->append(record);
    while (journal->pump()) {
    }
  }
};

}  // namespace

TEST_CASE("an ADMIT without a FINAL is open, in order of admission, with its last marks") {
  World world({admit(1), admit(2), attempt(2, 1), progress(2, 1, 32, 100), admit(3), attempt(1, 1),
               progress(2, 1, 64, 220), attempt(2, 2), progress(2, 2, 10, 40), final_of(1),
               command("x"), Seal{1, 5, {}}, admit(4), attempt(4, 1)});
  const auto open = open_requests(*world.journal);
  REQUIRE(open.size() == 3);
  CHECK(open[0].admit == admit(2));
  CHECK(open[0].attempts == std::vector<Attempt>{attempt(2, 1), attempt(2, 2)});
  CHECK(open[0].marks == std::vector<Progress>{progress(2, 1, 64, 220), progress(2, 2, 10, 40)});
  CHECK(open[1].admit == admit(3));
  CHECK(open[1].attempts.empty());
  CHECK(open[2].admit == admit(4));
  REQUIRE(open[2].marks.size() == 1);  // no mark yet: one of zero, so that lists stay parallel
  CHECK(open[2].marks[0].n == 1);
  CHECK(open[2].marks[0].pieces == 0);
}

TEST_CASE("a second ADMIT of one id does not change the first") {
  Admit other = admit(1);
  other.hold = money::Amount::pico(1);
  World world({admit(1), other});
  const auto open = open_requests(*world.journal);
  REQUIRE(open.size() == 1);
  CHECK(open[0].admit == admit(1));
}

TEST_CASE("records of a request whose ADMIT is not kept are passed over") {
  World world({attempt(9, 1), progress(9, 1, 5, 5), final_of(9), admit(1)});
  CHECK(open_requests(*world.journal).size() == 1);
}

TEST_CASE("recovery bills what the marks say was delivered, output alone, and voids the rest") {
  struct Row {
    const char* what;
    std::vector<Attempt> attempts;
    std::vector<Progress> marks;
    std::uint64_t output, bytes;
    CountSource source;
    std::uint16_t status;
  };
  const std::vector<Row> rows = {
      {"never dispatched", {}, {}, 0, 0, CountSource::none, 0},
      {"dispatched, nothing came",
       {attempt(1, 1)},
       {progress(1, 1, 0, 0)},
       0,
       0,
       CountSource::none,
       0},
      {"cut in mid-stream",
       {attempt(1, 1)},
       {progress(1, 1, 64, 300)},
       64,
       300,
       CountSource::estimate,
       200},
      {"rescued once, then cut",
       {attempt(1, 1), attempt(1, 2)},
       {progress(1, 1, 64, 300), progress(1, 2, 32, 90)},
       96,
       390,
       CountSource::estimate,
       200},
      {"the first brought nothing",
       {attempt(1, 1), attempt(1, 2)},
       {progress(1, 1, 0, 0), progress(1, 2, 32, 90)},
       32,
       90,
       CountSource::estimate,
       200},
  };
  for (const Row& row : rows) {
    INFO(row.what);
    const OpenRequest open{admit(1), row.attempts, row.marks};
    const std::int64_t now = admit(1).wall_ms + 60'000;
    const Final end = recover(open, now);
    CHECK(end.outcome == Outcome::recovered);
    CHECK(end.admit == admit(1));
    CHECK(end.wall_ms == now);
    CHECK(end.counts == TokenCounts{0, 0, 0, row.output, 0});
    CHECK(end.source == row.source);
    CHECK(end.bytes_delivered == row.bytes);
    CHECK(end.status == row.status);
    CHECK(end.attempts == row.attempts);
    REQUIRE(end.results.size() == row.attempts.size());
    std::uint64_t delivered = 0;
    for (std::size_t i = 0; i < end.results.size(); ++i) {
      CHECK(end.results[i].n == row.attempts[i].n);
      CHECK(end.results[i].side == name(Side::gateway));
      CHECK(end.results[i].fault == name(FaultKind::internal));
      CHECK_FALSE(end.results[i].claimed);
      delivered += end.results[i].delivered;
    }
    CHECK(delivered == end.counts.output);
  }
}

TEST_CASE("where the contract bills nothing of what broke off, recovery voids it and keeps what was seen") {
  const OpenRequest open{admit(1), {attempt(1, 1)}, {progress(1, 1, 64, 300)}};
  const Final end = recover(open, admit(1).wall_ms + 1, false);
  CHECK(end.outcome == Outcome::recovered);
  CHECK(end.counts.total() == 0);
  CHECK(end.source == CountSource::none);
  CHECK(end.results.at(0).pieces == 64);
  CHECK(end.results.at(0).delivered == 0);
}

TEST_CASE("a recovered FINAL is not dated before what it ends, though the clock stepped back") {
  const OpenRequest open{admit(1), {attempt(1, 1)}, {progress(1, 1, 3, 9)}};
  CHECK(recover(open, 5).wall_ms == progress(1, 1, 3, 9).wall_ms);
  CHECK(recover({admit(1), {}, {}}, 5).wall_ms == admit(1).wall_ms);
}

TEST_CASE("after recovery nothing is open, through another crash too") {
  World world({admit(1), attempt(1, 1), progress(1, 1, 7, 20), admit(2), admit(3)});
  for (const auto& request : open_requests(*world.journal)) {
    world.journal->append(recover(request, world.clock.wall_ms()));
  }
  while (world.journal->pump()) {
  }
  CHECK(open_requests(*world.journal).empty());
  world.disk.crash();
  world.journal = must_open(world.disk, world.clock, world.options);
  CHECK(open_requests(*world.journal).empty());
}

TEST_CASE("a disk that fails while open requests are read is an error, not half an answer") {
  World world({admit(1), admit(2)});
  std::vector<OpenRequest> open;
  world.disk.fail_at(world.disk.operations() + 2, std::errc::io_error);
  CHECK(open_requests(*world.journal, open) == std::errc::io_error);
}

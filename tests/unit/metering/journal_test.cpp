// The journal in calm weather: order, groups, windows, segments, reading and trimming.
#include <unistd.h>

#include <atomic>
#include <numeric>
#include <thread>

#include "gateway/metering/segment.h"
#include "gateway/metering/spare.h"
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
    CHECK((records_of(*journal) == written));
  }
  CHECK(disk.names("var/journal").size() > 10);
  auto journal = must_open(disk, clock, small());
  CHECK(journal->last() == 300);
  CHECK(journal->durable() == 300);
  CHECK((records_of(*journal) == written));
  CHECK(journal->append(admit(1)) == 301);
}

TEST_CASE("one sync covers all that queued") {
  MemDisk disk(1);
  ManualClock clock;
  auto journal = must_open(disk, clock, small(1u << 20));
  const auto before = disk.counts();
  for (std::uint64_t i = 0; i < 1000; ++i) REQUIRE(journal->append(progress(i, 1, i, i)) != 0);
  CHECK(journal->released() == 0);
  REQUIRE(journal->pump());
  CHECK(journal->released() == 1000);
  CHECK(disk.counts().writes - before.writes == 2);  // the records, and zeros for those to come
  CHECK(disk.counts().data_syncs - before.data_syncs == 1);
  CHECK_FALSE(journal->pump());
  CHECK(disk.counts().data_syncs - before.data_syncs == 1);
}

TEST_CASE("each sync tells how many records it made durable") {
  MemDisk disk(1);
  ManualClock clock;
  std::vector<std::uint64_t> told;
  JournalOptions options = small();
  options.on_sync = [&](std::int64_t, std::uint64_t records) { told.push_back(records); };
  const auto append = [](Journal& journal, std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) REQUIRE(journal.append(progress(i, 1, i, i)) != 0);
  };
  SECTION("with sync always") {
    const auto journal = must_open(disk, clock, options);
    append(*journal, 3);
    drain(*journal);
    append(*journal, 1);
    drain(*journal);
    CHECK(told == std::vector<std::uint64_t>{3, 1});
    append(*journal, 1000);  // more than a segment holds: what is written before the next is synced before it
    drain(*journal);
    CHECK(told.size() > 3);
    CHECK(std::accumulate(told.begin(), told.end(), std::uint64_t{0}) == 1004);
  }
  SECTION("with a window") {
    options.sync_always = false;
    const auto journal = must_open(disk, clock, options);
    append(*journal, 3);
    drain(*journal);
    append(*journal, 4);
    drain(*journal);
    CHECK(told.empty());
    clock.forward_ms(options.sync_window_ms);
    drain(*journal);
    CHECK(told == std::vector<std::uint64_t>{7});
  }
}

TEST_CASE("who helps never writes into the room that is being made ready") {
  MemDisk disk(1);
  ManualClock clock;
  auto options = small(1u << 20);
  options.sync_always = false;
  options.sync_window_ms = 5;
  auto journal = must_open(disk, clock, options);
  std::uint64_t appended = 0, helped = 0;
  // Between a write of zeros and its end the lock is free: whoever helps then is turned away or stays before it.
  disk.on_write([&](std::uint64_t offset, std::string_view bytes) {
    if (bytes.size() < 4096 || bytes.find_first_not_of('\0') != std::string_view::npos || offset == 0) return;
    for (int i = 0; i < 3; ++i) journal->append(progress(++appended, 1, 1, 1));
    helped += journal->help() ? 1 : 0;
  });
  for (int i = 0; i < 2000; ++i) {
    journal->append(progress(++appended, 1, 1, 1));
    journal->help();
    if (i % 10 == 0) {
      clock.forward_ms(6);
      journal->pump();
    }
  }
  disk.on_write({});
  CHECK(helped > 0);
  drain(*journal);
  CHECK(records_of(*must_open(disk, clock, options)).size() == appended);
}

TEST_CASE("the writer wakes who waits, once for a group, after the release") {
  MemDisk disk(1);
  ManualClock clock;
  auto journal = must_open(disk, clock, small());
  std::vector<Lsn> seen;
  journal->on_released([&] { seen.push_back(journal->released()); });
  journal->append(admit(1));
  journal->append(admit(2));
  CHECK(seen.empty());
  journal->pump();
  CHECK(seen == std::vector<Lsn>{2});
  journal->append(admit(3));
  journal.reset();  // writes it, but the one who waits may be gone by now
  CHECK(seen == std::vector<Lsn>{2});
  CHECK(must_open(disk, clock, small())->last() == 3);
}

TEST_CASE("with a window records are released at once and synced when it ends") {
  MemDisk disk(3);
  ManualClock clock;
  JournalOptions options = small(1u << 20);
  options.sync_always = false;
  options.sync_window_ms = 5;
  auto journal = must_open(disk, clock, options);
  int wakes = 0;
  journal->on_released([&] { ++wakes; });
  const auto syncs = [&, before = disk.counts().data_syncs] {
    return disk.counts().data_syncs - before;
  };

  journal->append(admit(1));
  CHECK(journal->pump());
  CHECK(journal->released() == 1);
  CHECK(journal->durable() == 0);
  CHECK(wakes == 1);
  clock.forward_ms(3);
  journal->append(admit(2));  // younger, but goes with the first one's sync
  CHECK(journal->pump());
  CHECK(journal->released() == 2);
  CHECK_FALSE(journal->pump());
  CHECK(syncs() == 0);
  clock.forward_ms(2);
  journal->wait(60'000);  // returns: the window is over
  CHECK(journal->pump());
  CHECK(syncs() == 1);
  CHECK(journal->durable() == 2);
  CHECK(wakes == 3);
  clock.forward_ms(50);
  CHECK_FALSE(journal->pump());
  CHECK(syncs() == 1);

  SECTION("steady traffic does not put the sync off") {
    for (int ms = 0; ms < 100; ++ms) {
      journal->append(admit(3));
      journal->pump();
      clock.forward_ms(1);
    }
    CHECK(syncs() >= 15);
    CHECK(journal->released() - journal->durable() <= 6);
  }
  SECTION("a clean end leaves nothing to the kernel") {
    journal->append(admit(3));
    journal->pump();
    journal.reset();
    disk.crash();
    CHECK(must_open(disk, clock, options)->last() == 3);
  }
  SECTION("a killed process loses nothing that was released") {
    journal->append(admit(3));
    journal->pump();
    disk.kill();
    journal.reset();
    journal = must_open(disk, clock, options);
    CHECK(journal->durable() == 3);
    disk.crash();
    journal.reset();
    CHECK(must_open(disk, clock, options)->last() == 3);  // opening made it durable
  }
}

TEST_CASE("a power cut loses at most what the window had not synced") {
  ManualClock clock;
  JournalOptions options = small(1u << 20);
  options.sync_always = false;
  bool lost = false, kept = false;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    MemDisk disk(seed);
    auto journal = must_open(disk, clock, options);
    journal->append(admit(1));
    journal->pump();
    clock.forward_ms(5);
    journal->pump();
    REQUIRE(journal->durable() == 1);
    for (std::uint64_t n = 2; n <= 5; ++n) {
      journal->append(admit(n));
      journal->pump();
    }
    disk.crash();
    journal.reset();
    journal = must_open(disk, clock, options);
    const auto records = records_of(*journal);
    REQUIRE(records.size() >= 1);
    REQUIRE(records.size() <= 5);
    for (std::size_t i = 0; i < records.size(); ++i) REQUIRE((records[i] == Record(admit(i + 1))));
    lost = lost || records.size() < 5;
    kept = kept || records.size() > 1;
  }
  CHECK(lost);
  CHECK(kept);
}

TEST_CASE("a full queue refuses until the writer has taken it") {
  MemDisk disk(1);
  ManualClock clock;
  JournalOptions options = small();
  options.queue_bytes_max = 1000;
  auto journal = must_open(disk, clock, options);
  Lsn last = 0;
  while (const Lsn lsn = journal->append(admit(1))) last = lsn;
  CHECK(last >= 3);
  CHECK(journal->last() == last);
  journal->pump();
  CHECK(journal->append(admit(1)) == last + 1);
}

TEST_CASE("a record that breaks a bound is refused and takes no number") {
  MemDisk disk(1);
  ManualClock clock;
  auto journal = must_open(disk, clock, small());
  Admit bad = admit(1);
  bad.tenant.assign(70'000, 'x');
  CHECK(journal->append(bad) == 0);
  CHECK(journal->append(admit(1)) == 1);
  CHECK_FALSE(journal->failed());
}

TEST_CASE("a record larger than a segment gets a segment of its size") {
  MemDisk disk(1);
  ManualClock clock;
  const std::vector<Record> records = {admit(1), command(std::string(20'000, 'c')), admit(2)};
  {
    auto journal = must_open(disk, clock, small());
    for (const auto& record : records) journal->append(record);
    drain(*journal);
    CHECK((records_of(*journal) == records));
  }
  CHECK((records_of(*must_open(disk, clock, small())) == records));
}

TEST_CASE("a segment that was made ready takes records without another change of the file") {
  MemDisk disk(1);
  ManualClock clock;
  const std::uint64_t segment_bytes = 2 * Spare::piece_bytes + 1000;
  auto journal = must_open(disk, clock, small(segment_bytes));
  CHECK_FALSE(journal->prepare());  // not before a quarter of the first is written
  const std::string body(8000, 'b');
  std::uint64_t pieces_wanted = 0, zeroed = 0;
  SECTION("all of it") { pieces_wanted = 4, zeroed = segment_bytes; }
  SECTION("a part, and the rest as it is written") { pieces_wanted = 2, zeroed = Spare::piece_bytes; }
  SECTION("its room alone") { pieces_wanted = 1; }
  std::uint64_t pieces = 0, records = 0;
  while (pieces == 0) {  // a quarter of the first segment
    journal->append(command(body));
    journal->pump();
    ++records;
    if (journal->prepare()) ++pieces;
  }
  while (pieces < pieces_wanted && journal->prepare()) ++pieces;
  REQUIRE(pieces == pieces_wanted);
  if (pieces == 4) CHECK_FALSE(journal->prepare());
  CHECK(disk.content("var/journal/" + std::string(spare_name)).size() == segment_bytes);
  const auto allocations = disk.counts().allocations;
  const auto second = [&] {
    const auto names = disk.names("var/journal");
    return names.size() == 2 && names.at(1).ends_with(".seg");
  };
  while (!second()) {
    journal->append(command(body));
    journal->pump();
    ++records;
  }
  // What is written now: its records, and zeros only behind those that were written beside.
  std::uint64_t zeros_from = UINT64_MAX;
  disk.on_write([&](std::uint64_t offset, std::string_view bytes) {
    if (bytes.find_first_not_of('\0') == std::string_view::npos) zeros_from = std::min(zeros_from, offset);
  });
  for (std::uint64_t left = segment_bytes / (body.size() + 200) - 4; left > 0; --left, ++records) {
    journal->append(command(body));
    journal->pump();
  }
  CHECK(second());
  CHECK(disk.counts().allocations == allocations);
  if (zeroed == segment_bytes) CHECK(zeros_from == UINT64_MAX);
  if (zeroed == Spare::piece_bytes) CHECK(zeros_from == Spare::piece_bytes);
  if (zeroed == 0) CHECK(zeros_from < Spare::piece_bytes / 2);
  CHECK(records_of(*must_open(disk, clock, small(segment_bytes))).size() == records);
}

TEST_CASE("segments are made ready on another thread while records are written") {
  MemDisk disk(1);
  ManualClock clock;
  const std::uint64_t segment_bytes = 3 * Spare::piece_bytes + 1000;
  auto journal = must_open(disk, clock, small(segment_bytes));
  std::atomic<bool> done{false};
  std::thread room([&] {
    while (!done.load()) {
      if (!journal->prepare()) std::this_thread::yield();
    }
  });
  const std::string body(3000, 'b');
  std::uint64_t records = 0;
  while (disk.names("var/journal").size() < 8) {
    for (int i = 0; i < 3; ++i, ++records) journal->append(command(body));
    journal->pump();
  }
  done.store(true);
  room.join();
  REQUIRE_FALSE(journal->failed());
  CHECK(records_of(*journal).size() == records);
  journal.reset();
  CHECK(records_of(*must_open(disk, clock, small(segment_bytes))).size() == records);
}

TEST_CASE("a segment is made when it is needed, where nobody made it ready") {
  MemDisk disk(1);
  ManualClock clock;
  auto journal = must_open(disk, clock, small());
  for (std::uint64_t i = 0; i < 200; ++i) journal->append(progress(i, 1, i, i));
  drain(*journal);
  CHECK(disk.names("var/journal").size() > 3);
  CHECK(records_of(*must_open(disk, clock, small())).size() == 200);
}

TEST_CASE("the chain's hash is SHA-256 of the hash before and the record's bytes") {
  MemDisk disk(1);
  ManualClock clock;
  SeededRng rng(3);
  auto journal = must_open(disk, clock, small());
  std::vector<Sha256> expected = {Sha256{}};
  for (int i = 0; i < 60; ++i) {
    const Record record = random_record(rng);
    journal->append(record);
    const auto& before = expected.back();
    expected.push_back(
        sha256({reinterpret_cast<const char*>(before.data()), before.size()}, encode(record)));
  }
  CHECK(journal->hash_at(1) == Sha256{});  // not released yet
  drain(*journal);
  for (Lsn lsn = 0; lsn <= 60; ++lsn) REQUIRE(journal->hash_at(lsn) == expected[lsn]);
  CHECK(journal->hash_at(61) == Sha256{});
  journal.reset();
  journal = must_open(disk, clock, small());
  for (Lsn lsn = 0; lsn <= 60; ++lsn) REQUIRE(journal->hash_at(lsn) == expected[lsn]);
}

TEST_CASE("with sync always the writer comes when somebody waits, and soon by itself when nobody does") {
  MemDisk disk(1);
  ManualClock clock;
  auto journal = must_open(disk, clock, small());
  std::thread writer([&] {
    while (journal->released() < 2) {
      journal->wait(3'600'000);
      journal->pump();
    }
  });
  REQUIRE(journal->append(admit(1)) == 1);  // nobody helps, and it still goes out
  while (journal->released() < 1) std::this_thread::yield();
  REQUIRE(journal->append(admit(2)) == 2);
  CHECK_FALSE(journal->help());  // its writer has to come
  writer.join();
  CHECK(journal->durable() == 2);
}

TEST_CASE("reading starts anywhere, stops when told and goes on from there") {
  MemDisk disk(1);
  ManualClock clock;
  auto journal = must_open(disk, clock, small(300'000));  // several marks a segment
  const std::string body(400, 'b');
  for (std::uint64_t i = 1; i <= 3000; ++i)
    journal->append(Command{std::to_string(i), "k", 1, body});
  drain(*journal);
  SeededRng rng(9);
  for (int round = 0; round < 200; ++round) {
    Lsn expected = 1 + rng.below(3000);
    std::uint64_t left = 1 + rng.below(40);
    if (round % 3 == 1) expected = 2999;
    REQUIRE_FALSE(journal->read(expected, [&](Lsn lsn, const Record& record) {
      REQUIRE(lsn == expected);
      REQUIRE(std::get<Command>(record).id == std::to_string(lsn));
      ++expected;
      return --left > 0;
    }));
  }
  std::uint64_t seen = 0;
  for (Lsn from = 1; from <= 3000;) {  // as the poster does
    std::uint64_t batch = 0;
    REQUIRE_FALSE(journal->read(from, [&](Lsn lsn, const Record&) {
      REQUIRE(lsn == from);
      ++from;
      ++seen;
      return ++batch < 100;
    }));
  }
  CHECK(seen == 3000);
  CHECK_FALSE(journal->read(3001, [](Lsn, const Record&) { return true; }));
}

TEST_CASE("a reader sees only what is released") {
  MemDisk disk(1);
  ManualClock clock;
  auto journal = must_open(disk, clock, small());
  journal->append(admit(1));
  CHECK(records_of(*journal).empty());
  journal->pump();
  journal->append(admit(2));
  CHECK((records_of(*journal).size() == 1));
}

TEST_CASE("a visitor may append") {
  MemDisk disk(1);
  ManualClock clock;
  auto journal = must_open(disk, clock, small());
  journal->append(admit(1));
  journal->pump();
  REQUIRE_FALSE(journal->read(1, [&](Lsn lsn, const Record&) {
    journal->append(Seal{lsn, lsn, {}});
    journal->pump();
    return true;
  }));
  CHECK(journal->released() == 2);
}

TEST_CASE("trim deletes whole segments before the record to keep and no more") {
  MemDisk disk(1);
  ManualClock clock;
  auto journal = must_open(disk, clock, small());
  for (std::uint64_t i = 1; i <= 200; ++i) journal->append(admit(i));
  drain(*journal);
  const auto all = records_of(*journal);
  const auto files = disk.names("var/journal").size();
  CHECK_FALSE(journal->trim(1));
  CHECK(disk.names("var/journal").size() == files);

  REQUIRE_FALSE(journal->trim(120));
  const Lsn first = journal->first();
  CHECK(first > 1);
  CHECK(first <= 120);
  CHECK((records_of(*journal) ==
         std::vector<Record>(all.begin() + static_cast<long>(first) - 1, all.end())));
  CHECK(journal->read(first - 1, [](Lsn, const Record&) { return true; }) ==
        std::errc::result_out_of_range);
  CHECK(journal->hash_at(first - 1) != Sha256{});  // the next batch's header needs it
  CHECK(journal->hash_at(first - 2) == Sha256{});
  CHECK_FALSE(journal->trim(120));  // again: nothing

  journal.reset();
  journal = must_open(disk, clock, small());
  CHECK(journal->first() == first);
  CHECK(journal->last() == 200);
  REQUIRE_FALSE(journal->trim(100'000));  // the newest segment stays
  CHECK(journal->first() <= 201);
  CHECK(disk.names("var/journal").size() <= 2);
  CHECK(journal->append(admit(201)) == 201);
  drain(*journal);
  CHECK(must_open(disk, clock, small())->last() == 201);
}

TEST_CASE("a disk that is full or broken fails the journal for good, and releases nothing more") {
  MemDisk disk(1);
  ManualClock clock;
  auto journal = must_open(disk, clock, small());
  journal->append(admit(1));
  journal->pump();
  int wakes = 0;
  journal->on_released([&] { ++wakes; });
  journal->append(admit(2));
  std::error_code expected;
  SECTION("no room for the write") {
    disk.full(true);
    expected = std::make_error_code(std::errc::no_space_on_device);
  }
  SECTION("the write fails") {
    disk.fail_at(disk.operations() + 1, std::errc::io_error);
    expected = std::make_error_code(std::errc::io_error);
  }
  SECTION("the sync fails") {
    disk.fail_at(disk.operations() + 2, std::errc::io_error);
    expected = std::make_error_code(std::errc::io_error);
  }
  CHECK(journal->pump());
  CHECK(wakes == 1);  // who waits must hear of it
  CHECK(journal->failed() == expected);
  CHECK(journal->released() == 1);
  disk.full(false);
  CHECK(journal->append(admit(3)) == 0);
  CHECK_FALSE(journal->pump());
  CHECK(journal->released() == 1);
  CHECK((records_of(*journal).size() == 1));
}

TEST_CASE("a disk too full for the next segment fails only when that one is needed") {
  MemDisk disk(1);
  ManualClock clock;
  auto journal = must_open(disk, clock, small());
  const std::uint64_t fit = (4096 - 64) / (52 + encode(admit(1)).size());  // into the first segment
  std::uint64_t refusals = 0;
  for (std::uint64_t i = 1; i <= fit; ++i) {
    journal->append(admit(i));
    journal->pump();
    const auto before = disk.operations();
    disk.full(true);
    CHECK_FALSE(journal->prepare());
    disk.full(false);
    refusals += disk.operations() > before ? 1 : 0;
    REQUIRE(journal->released() == i);
  }
  CHECK(refusals == 1);  // not tried again with every record
  journal->append(admit(fit + 1));
  SECTION("there is room again by then") {
    journal->pump();
    CHECK(journal->released() == fit + 1);
  }
  SECTION("there is still none") {
    disk.full(true);
    journal->pump();
    CHECK(journal->failed() == std::errc::no_space_on_device);
    CHECK(journal->released() == fit);
    CHECK(disk.names("var/journal") == std::vector<std::string>{"journal-0000000000000001.seg"});
  }
}

TEST_CASE(
    "many threads: numbers are unique and dense, each thread's order is kept, releases only grow") {
  MemDisk disk(1);
  ManualClock clock;
  JournalOptions options = small(1u << 20);
  auto journal = must_open(disk, clock, options);
  constexpr std::uint64_t threads = 4, each = 5000;
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> wakes{0};
  journal->on_released([&] { ++wakes; });
  std::thread writer([&] {
    while (!stop || journal->released() < journal->last()) {
      if (!journal->pump()) journal->wait(1);
    }
  });
  bool monotone = true, ordered_reads = true;
  std::thread observer([&] {
    Lsn seen = 0, read = 0;
    while (seen < threads * each) {
      const Lsn durable = journal->durable();
      const Lsn released = journal->released();
      monotone = monotone && released >= seen && durable <= released;
      seen = released;
      if (journal->read(read + 1, [&](Lsn lsn, const Record&) {
            ordered_reads = ordered_reads && lsn == ++read;
            return lsn % 500 != 0;
          })) {
        ordered_reads = false;
      }
      std::this_thread::yield();
    }
  });
  std::vector<std::vector<Lsn>> got(threads);
  std::vector<std::thread> workers;
  for (std::uint64_t t = 0; t < threads; ++t) {
    workers.emplace_back([&, t] {
      for (std::uint64_t i = 0; i < each; ++i)
        got[t].push_back(journal->append(progress(t, 1, i, 0)));
    });
  }
  for (auto& worker : workers) worker.join();
  observer.join();
  stop = true;
  writer.join();
  CHECK(monotone);
  CHECK(ordered_reads);
  CHECK(wakes > 0);
  const auto records = records_of(*journal);
  REQUIRE(records.size() == threads * each);
  std::size_t in_place = 0;
  for (std::uint64_t t = 0; t < threads; ++t) {
    for (std::uint64_t i = 0; i < each; ++i) {
      const Lsn lsn = got[t][i];
      REQUIRE((lsn >= 1 && lsn <= records.size()));
      REQUIRE((i == 0 || lsn > got[t][i - 1]));
      in_place += records[lsn - 1] == Record(progress(t, 1, i, 0)) ? 1 : 0;
    }
  }
  CHECK(in_place == threads * each);  // so no number was given twice
}

TEST_CASE("the real file system holds a journal as the one in memory does") {
  const std::string dir = "journal-test-" + std::to_string(system_rng().next());
  ManualClock clock;
  JournalOptions options = small();
  options.dir = dir;
  std::vector<Record> written;
  SeededRng rng(2);
  {
    auto journal = must_open(system_disk(), clock, options);
    for (int i = 0; i < 40; ++i) {
      written.push_back(random_record(rng));
      journal->append(written.back());
      if (i % 5 == 0) journal->pump();
    }
  }
  auto journal = must_open(system_disk(), clock, options);
  CHECK((records_of(*journal) == written));
  CHECK_FALSE(journal->trim(20));
  CHECK(journal->first() > 1);
  journal.reset();
  std::vector<std::string> names;
  REQUIRE_FALSE(system_disk().list(dir, names));
  for (const auto& file : names) CHECK_FALSE(system_disk().remove(dir + "/" + file));
  ::rmdir(dir.c_str());
}

// What holds of every engine: two stores that were told the same hold the same, and a store moves from one
// to the other. On PostgreSQL these compare the engines; on SQLite alone, two files.
#include <thread>

#include "gateway/ledger/copy.h"
#include "tests/unit/ledger/engines.h"

using namespace trib;
using namespace trib::ledger;
using test::noon;
using test::append_some;
using test::require_same;
using test::rows_of;
using test::World;

TEST_CASE("invariant 33: SQLite and PostgreSQL give identical rows and seals for the same journal", "[invariant]") {
  for (const std::uint64_t seed : {1, 2, 3}) {
    CAPTURE(seed);
    SeededRng rng(seed);
    World here;
    World file(World::on_file);
    here.batch_max = file.batch_max = 1 + rng.below(60);
    here.start();
    append_some(here.journal, rng, 400);
    here.post_all();
    file.journal.records = here.journal.records;
    file.open();
    file.post_all();
    require_same(here.path(), file.path());
    const Verdict one = verify(here.path(), "", 0, &here.journal), other = verify(file.path(), "", 0, &file.journal);
    INFO(one.place << ": " << one.why);
    REQUIRE(one.ok);
    REQUIRE(other.ok);
    CHECK(one.head == other.head);
    CHECK(one.requests > 300);
    std::string why;
    const auto reader = here.ledger->reader(why), second = file.ledger->reader(why);
    for (const Period period : {202611, 202612, 202701}) CHECK(reader->seal(period) == second->seal(period));
  }
}

TEST_CASE("rating ahead on a thread of its own gives the same rows and seals") {
  const std::uint64_t seed = GENERATE(4, 5, 6);
  CAPTURE(seed);
  SeededRng rng(seed);
  World here, ahead;
  here.ahead_from = 0;
  ahead.ahead_from = GENERATE(1, 800);  // each batch, and those that are not small
  here.batch_max = ahead.batch_max = 1 + rng.below(3000);  // more than runs ahead, and less
  here.start();
  append_some(here.journal, rng, 1000);
  for (int i = 0; i < 2500; ++i) here.journal.append(test::random_final(rng, noon + i));  // each once
  ahead.journal.records = here.journal.records;  // without the SEALs that are to come, so that a batch is begun before the last one ends
  here.post_all();
  ahead.open();
  SECTION("without trouble") { ahead.post_all(); }
  SECTION("where a batch fails after the next one was begun") {
    Connection db;
    std::string why;
    REQUIRE(db.open(ahead.owner_path(), "", Connection::Mode::write, why));
    REQUIRE(db.run(refusal_text(db.engine(), "fault", "batch", "NEW.id % 3 = 0", "fault").c_str()));
    while (ahead.ledger->post_once()) {
    }
    REQUIRE(ahead.ledger->failure().find("fault") != std::string::npos);
    REQUIRE(db.run((std::string("DROP TRIGGER fault") + (db.engine() == Engine::postgres ? " ON batch" : "")).c_str()));
    ahead.post_all();
  }
  SECTION("in the background, whose writes go out in pieces") {
    std::thread([&] {
      name_background_thread("poster");
      while (ahead.ledger->post_once()) {
      }
    }).join();
    REQUIRE(ahead.ledger->failure().empty());
  }
  SECTION("where it is closed and opened between") {
    for (int batches = 1; ahead.ledger->post_once(); ++batches)
      if (batches % 2 == 0) ahead.open();
    REQUIRE(ahead.ledger->failure().empty());
  }
  require_same(here.path(), ahead.path());
}

TEST_CASE("a store is copied to another engine and back, and goes on there") {
  SeededRng rng(4);
  World here;
  here.batch_max = 37;
  here.start();
  append_some(here.journal, rng, 400);
  here.post_all();
  const std::string file = here.dir.file("copy.db");
  std::string why;
  std::uint64_t told = 0;
  REQUIRE(copy_store(here.path(), file, [&](std::uint64_t done, std::uint64_t all) {
    told = all;
    return done <= all;
  }, why));
  CHECK(told > 1000);
  require_same(here.path(), file);
  CHECK_FALSE(copy_store(here.path(), file, {}, why));
  CHECK(why.find("not empty") != std::string::npos);

  const auto before = rows_of(here.path());
  here.lose_store();
  REQUIRE(copy_store(file, here.path(), {}, why));
  CHECK(rows_of(here.path()) == before);
  here.open();
  here.journal.append(test::random_final(rng, noon));
  CHECK(here.ledger->post_once());
  const Verdict verdict = verify(here.path(), "", 0, &here.journal);
  INFO(verdict.place << ": " << verdict.why);
  CHECK(verdict.ok);
}

TEST_CASE("a backup is a file, whichever engine the store is on, and every command reads it") {
  SeededRng rng(5);
  World here;
  here.start();
  append_some(here.journal, rng, 400);
  here.post_all();
  BackupOptions options;
  options.store = here.path();
  options.dir = here.dir.file("backup");
  std::string why;
  const auto made = make_backup(system_disk(), options, noon, why);
  INFO(why);
  REQUIRE(made);
  CHECK(made->lsn == here.ledger->posted());
  CHECK(check_backup(system_disk(), options.dir, why) == made);
  require_same(here.path(), options.dir + "/" + backup_store_name);
  CHECK(verify(options.dir + "/" + backup_store_name, "", 0, &here.journal).head == made->head);
}

TEST_CASE("a command that no engine can keep as text is refused before the journal") {
  World world;
  world.start();
  const auto before = world.journal.last();
  for (const std::string& text : {std::string("a\0b", 3), std::string("\xff"), std::string("\xed\xa0\x80")}) {
    CHECK(world.ledger->submit({"id" + text, "note", noon, ""}) == Posting::failed);
    CHECK(world.ledger->submit({"id", "note", noon, text}) == Posting::failed);
  }
  CHECK(world.journal.last() == before);
}

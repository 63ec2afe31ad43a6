// What holds of every engine: two stores that were told the same hold the same, and a store moves from one
// to the other. On PostgreSQL these compare the engines; on SQLite alone, two files.
#include <map>

#include "gateway/ledger/copy.h"
#include "gateway/ledger/schema.h"
#include "tests/unit/ledger/world.h"

using namespace trib;
using namespace trib::ledger;
using test::noon;
using test::World;

namespace {

std::string hex(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    out += "0123456789abcdef"[static_cast<unsigned char>(c) >> 4];
    out += "0123456789abcdef"[static_cast<unsigned char>(c) & 15];
  }
  return out;
}

// Every row of every table, its values as bytes: integers big-endian in binary are told apart by their column.
std::map<std::string, std::vector<std::string>> rows_of(const std::string& address) {
  std::map<std::string, std::vector<std::string>> out;
  Connection db;
  std::string why;
  REQUIRE(db.open(address, "", Connection::Mode::read, why));
  for (const std::string& table : store_tables()) {
    std::vector<std::string> names, types;
    Statement columns = db.prepare(columns_text(db.engine(), table));
    while (columns.row()) {
      names.emplace_back(columns.text());
      types.emplace_back(columns.text());
    }
    REQUIRE_FALSE(names.empty());
    std::string list;
    for (const std::string& name : names) list += (list.empty() ? "" : ", ") + name;
    // The generated columns, too.
    if (table == "usage") list += ", shard, lsn";
    Statement select = db.prepare("SELECT " + list + " FROM " + table, Rows::many);
    auto& rows = out[table];
    Statement::Step step{};
    while ((step = select.step()) == Statement::Step::row) {
      std::string row;
      const std::size_t count = names.size() + (table == "usage" ? 2 : 0);
      for (std::size_t i = 0; i < count; ++i) {
        row += i < names.size() ? names[i] + '=' : std::string("generated=");
        if (select.is_null()) {
          row += "NULL ";
          select.skip();
        } else if (i >= names.size() || types[i] == "INTEGER" || types[i] == "bigint") {
          row += std::to_string(select.integer()) + ' ';
        } else {
          row += hex(select.bytes()) + ' ';
        }
      }
      rows.push_back(row);
    }
    REQUIRE(step == Statement::Step::done);
    std::sort(rows.begin(), rows.end());
  }
  return out;
}

void require_same(const std::string& one, const std::string& other) {
  const auto left = rows_of(one), right = rows_of(other);
  for (const auto& [table, rows] : left) {
    INFO(table);
    REQUIRE(rows == right.at(table));
  }
}

// Requests, some told twice, some with another content; top-ups; a document; steps of a period.
void append_some(World& world, Rng& rng) {
  for (int i = 0; i < 400; ++i) {
    auto final = test::random_final(rng, noon + i * 20'000'000LL);  // over three months
    world.journal.append(final.admit);
    world.journal.append(final);
    if (rng.below(12) == 0) world.journal.append(final);
    if (rng.below(25) == 0) {
      ++final.counts.output;
      world.journal.append(final);
    }
    if (rng.below(20) == 0) {
      metering::Command topup{"topup:acme:" + std::to_string(i), "topup", noon + i, "{\"tenant\":\"acme\",\"amount\":\"1.5\"}"};
      world.journal.append(topup);
    }
    if (rng.below(60) == 0) world.journal.append(metering::Command{"note:" + std::to_string(i), "note", noon, "注 \\ \" \n"});
  }
}

}  // namespace

TEST_CASE("invariant 33: SQLite and PostgreSQL give identical rows and seals for the same journal", "[invariant]") {
  for (const std::uint64_t seed : {1, 2, 3}) {
    CAPTURE(seed);
    SeededRng rng(seed);
    World here;
    World file(World::on_file);
    here.batch_max = file.batch_max = 1 + rng.below(60);
    here.start();
    append_some(here, rng);
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

TEST_CASE("a store is copied to another engine and back, and goes on there") {
  SeededRng rng(4);
  World here;
  here.batch_max = 37;
  here.start();
  append_some(here, rng);
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
  append_some(here, rng);
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

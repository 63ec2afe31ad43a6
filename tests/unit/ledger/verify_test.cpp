#include "gateway/ledger/verify.h"

#include "tests/unit/ledger/world.h"

using namespace trib;
using namespace trib::ledger;
using test::noon;
using test::World;

namespace {

// Several batches with every kind of row.
void fill(World& world, std::uint64_t seed) {
  world.start();
  SeededRng rng(seed);
  std::vector<metering::Final> sent;
  for (int batch = 0; batch < 5; ++batch) {
    world.ledger->topup("acme", "t" + std::to_string(batch), *money::Amount::parse("12.5"), noon);
    for (int i = 0; i < 12; ++i) {
      sent.push_back(test::random_final(rng, noon + batch * 1000 + i));
      world.journal.append(sent.back().admit);
      world.journal.append(sent.back());
    }
    auto other = sent[rng.below(sent.size())];
    ++other.status;
    world.journal.append(other);
    world.post_all();
  }
}

struct Column {
  std::string table, name, type;
};

std::vector<Column> columns_of(Connection& db, const std::string& table) {
  std::vector<Column> out;
  Statement info = db.prepare("SELECT name, type FROM pragma_table_info('" + table + "')");
  while (info.row()) {
    const std::string name(info.text());
    out.push_back({table, name, std::string(info.text())});
  }
  return out;
}

// A change to one value of one random row; false when the store's constraints refuse it.
bool mutate(Connection& db, const Column& column, Rng& rng) {
  Statement count = db.prepare("SELECT count(*) FROM " + column.table);
  REQUIRE(count.row());
  const auto rows = static_cast<std::uint64_t>(count.integer());
  REQUIRE(rows > 0);
  count.reset();
  const std::string c = column.name;
  std::string changed;
  if (column.type == "INTEGER") {
    changed = "coalesce(" + c + ", 0) + " + std::to_string(1 + rng.below(3));
  } else if (column.type == "TEXT") {
    changed = rng.below(2) ? "coalesce(" + c + ", '') || 'x'" : "'y' || substr(" + c + ", 2)";
  } else {
    const char* flips[] = {"coalesce(%, x'') || x'00'", "substr(%, 1, length(%) - 1)", "x'a5' || substr(%, 2)", "zeroblob(length(%))"};
    changed = flips[rng.below(4)];
    for (std::size_t at; (at = changed.find('%')) != std::string::npos;) changed.replace(at, 1, c);
    changed = "CAST(" + changed + " AS BLOB)";
  }
  // The row is named by all its columns, since not every table has a rowid.
  std::string key;
  for (const auto& other : columns_of(db, column.table)) key += (key.empty() ? "" : ", ") + other.name;
  const std::string sql = "UPDATE " + column.table + " SET " + c + " = " + changed + " WHERE (" + key + ") IS (SELECT " + key +
                          " FROM " + column.table + " ORDER BY " + key + " LIMIT 1 OFFSET " + std::to_string(rng.below(rows)) +
                          ") AND " + c + " IS NOT " + changed;
  return db.run(sql.c_str()) && db.changes() == 1;
}

std::vector<std::string> drop_triggers(Connection& db) {
  std::vector<std::string> names, sql;
  {
    Statement select = db.prepare("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'");
    while (select.row()) {
      names.emplace_back(select.text());
      sql.emplace_back(select.text());
    }
  }
  for (const auto& name : names) REQUIRE(db.run(("DROP TRIGGER " + name).c_str()));
  return sql;
}

Verdict check(World& world, bool with_journal) { return verify(world.path(), "", 0, with_journal ? &world.journal : nullptr); }

}  // namespace

TEST_CASE("a sound store is sound, with and without its journal", "[sqlite]") {
  World world;
  world.open();
  CHECK(check(world, true).ok);  // an empty one too
  fill(world, 1);
  for (const bool with_journal : {false, true}) {
    const Verdict verdict = check(world, with_journal);
    INFO(verdict.place << ": " << verdict.why);
    CHECK(verdict.ok);
    CHECK(verdict.requests == 60);
    CHECK(verdict.batches > 5);
    CHECK((verdict.records > 0) == with_journal);
  }
  world.journal.kept_from = world.journal.last() / 2;
  CHECK(check(world, true).ok);  // older records have gone
}

TEST_CASE("any change to any sealed value is found, and its batch is named", "[sqlite]") {
  World world;
  fill(world, 2);
  world.ledger.reset();
  const std::string pristine = world.dir.file("pristine.db");
  {
    Connection db;
    std::string why;
    REQUIRE(db.open(world.path(), "", Connection::Mode::write, why));
    REQUIRE(db.run(("VACUUM INTO '" + pristine + "'").c_str()));
  }
  SeededRng rng(4);
  std::string why;
  for (const char* table : {"usage", "command", "quarantine", "transfer", "leg", "quantity", "batch"}) {
    Connection listing;
    REQUIRE(listing.open(pristine, "", Connection::Mode::read, why));
    for (const auto& column : columns_of(listing, table)) {
      int changed = 0;
      for (int round = 0; round < (changed == 0 ? 60 : 6) && changed < 2; ++round) {  // a number in a key is mostly taken
        const std::string path = world.dir.file("tampered.db");
        std::filesystem::copy_file(pristine, path, std::filesystem::copy_options::overwrite_existing);
        {
          Connection db;
          REQUIRE(db.open(path, "", Connection::Mode::write, why));
          REQUIRE(db.run("PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY; PRAGMA ignore_check_constraints = ON"));
          const auto triggers = drop_triggers(db);
          if (!mutate(db, column, rng)) continue;
          for (const auto& sql : triggers) REQUIRE(db.run(sql.c_str()));
        }
        ++changed;
        const Verdict verdict = verify(path, "", 0, nullptr);
        INFO(table << "." << column.name << " -> " << verdict.place << ": " << verdict.why);
        REQUIRE_FALSE(verdict.ok);
        REQUIRE(verdict.place.find("batch ") != std::string::npos);
      }
      INFO(table << "." << column.name);
      CHECK(changed > 0);
    }
  }
}

TEST_CASE("a row that is added or taken away is found", "[sqlite]") {
  World world;
  fill(world, 3);
  world.ledger.reset();
  Connection db;
  std::string why;
  REQUIRE(db.open(world.path(), "", Connection::Mode::write, why));
  const auto triggers = drop_triggers(db);
  CHECK(check(world, false).place == "schema");
  for (const auto& sql : triggers) REQUIRE(db.run(sql.c_str()));
  const char* changes[] = {
      "DELETE FROM usage WHERE lsn = (SELECT max(lsn) FROM usage)",
      "DELETE FROM usage WHERE batch = (SELECT max(batch) FROM usage)",
      "DELETE FROM batch WHERE id = (SELECT max(id) FROM batch)",
      "DELETE FROM batch WHERE id = 3",
      "DELETE FROM transfer WHERE id = (SELECT max(id) FROM transfer)",
      "DELETE FROM leg WHERE account = 'A100'",
      "DELETE FROM command WHERE kind = 'topup'",
      "DELETE FROM quarantine",
      "DELETE FROM balance WHERE account = 'R300'",
      "DELETE FROM site_total",
      "DELETE FROM quantity WHERE account = 'Q900/consumed'",
      "DELETE FROM quantity",
      "DELETE FROM quantity_total WHERE account = 'Q900/produced'",
      "UPDATE quantity_total SET tokens_output = tokens_output + 1 WHERE account = 'Q900/waste/failed'",
      "INSERT INTO quantity SELECT shard, 999, 1, 1, 'x', 'x', 'x', 1, 1, 1, 1, 1, 1, leaf FROM quantity LIMIT 1",
      "DELETE FROM rated",
      "DELETE FROM price_book WHERE unit = 'output'",
      "UPDATE price_book SET pico = pico + 1 WHERE unit = 'output'",
      "UPDATE contract_version SET weights = 'platform=1000000'",
      "UPDATE balance SET credit_mu = credit_mu + 1 WHERE account = 'L210/dc-one'",
      "UPDATE site_total SET requests = requests + 1",
      "UPDATE rated SET last_ms = 0",
      "UPDATE cursor SET lsn = lsn + 1",
      "INSERT INTO leg VALUES(0, 99, 1, 'A100', 1, 0)",
      "INSERT INTO balance VALUES('L200/ghost', 0, 202611, 0, 0, 5, 0)",
      "INSERT INTO command SELECT shard, 'ghost', 999, 999, kind, wall_ms, body, result, leaf FROM command LIMIT 1",
  };
  for (const char* change : changes) {
    INFO(change);
    const std::string copy = world.dir.file("copy.db");
    std::filesystem::remove(copy);
    REQUIRE(db.run(("VACUUM INTO '" + copy + "'").c_str()));
    {
      Connection tampered;
      REQUIRE(tampered.open(copy, "", Connection::Mode::write, why));
      drop_triggers(tampered);
      REQUIRE(tampered.run(change));
      REQUIRE(tampered.changes() > 0);
      for (const auto& sql : triggers) REQUIRE(tampered.run(sql.c_str()));
    }
    const Verdict verdict = verify(copy, "", 0, nullptr);
    CHECK_FALSE(verdict.ok);
    CHECK_FALSE(verdict.place.empty());
  }
  CHECK(check(world, true).ok);
}

TEST_CASE("a store whose seals were all made anew is given away by the journal", "[sqlite]") {
  World world;
  fill(world, 5);
  // The same requests under another price, posted into a new store: sound in itself.
  World forged;
  auto config = test::golden_config();
  config.models[0].prices[0].output = money::Price::pico_per_unit(1);
  forged.open();
  REQUIRE_FALSE(forged.ledger->publish(config, noon));
  for (const auto& record : world.journal.records) {
    if (std::holds_alternative<metering::Final>(record)) forged.journal.append(record);
  }
  forged.post_all();
  CHECK(check(forged, true).ok);
  const Verdict verdict = verify(forged.path(), "", 0, &world.journal);
  CHECK_FALSE(verdict.ok);
}

TEST_CASE("a record that the store never saw, and a row that the journal never saw", "[sqlite]") {
  World world;
  fill(world, 6);
  SECTION("the journal's record was exchanged") {
    for (auto& record : world.journal.records) {
      if (auto* final = std::get_if<metering::Final>(&record)) {
        ++final->bytes_delivered;
        break;
      }
    }
    CHECK(check(world, true).place.find("journal, record") == 0);
  }
  SECTION("a SEAL was exchanged") {
    for (auto& record : world.journal.records) {
      if (auto* seal = std::get_if<metering::Seal>(&record)) {
        seal->chain[3] ^= 1;
        break;
      }
    }
    CHECK(check(world, true).place.find("journal, record") == 0);
  }
}

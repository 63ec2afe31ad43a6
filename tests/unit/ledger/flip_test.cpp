// Invariant 30: any byte of any sealed row that is flipped is found, and located to table, batch and row.
#include <sqlite3.h>

#include <map>

#include "gateway/ledger/verify.h"
#include "tests/unit/ledger/world.h"

using namespace trib;
using namespace trib::ledger;
using test::noon;
using test::World;

namespace {

struct Value {
  std::string name, type;  // INTEGER, TEXT, BLOB
  bool null = false;
  std::int64_t number = 0;
  std::string bytes;
};
using Row = std::vector<Value>;

// A sealed table: what is unique to a row of it, and how verify names one.
struct Sealed {
  const char* name;
  std::vector<std::string> key;
  std::function<std::string(const Row&)> row;
};

const Value& at(const Row& row, std::string_view name) {
  for (const Value& value : row)
    if (value.name == name) return value;
  FAIL("no column " << name);
  return row.front();
}
std::string number(const Row& row, std::string_view name) {
  return std::to_string(static_cast<std::uint64_t>(at(row, name).number));
}

const std::vector<Sealed>& sealed_tables() {
  static const std::vector<Sealed> out = {
      {"usage", {"place"}, [](const Row& r) { return "request " + to_hex(at(r, "request_id").bytes); }},
      {"command", {"shard", "id"}, [](const Row& r) { return "command " + at(r, "id").bytes; }},
      {"quarantine", {"shard", "lsn"}, [](const Row& r) { return "record " + number(r, "lsn"); }},
      {"transfer", {"shard", "id"}, [](const Row& r) { return "transfer " + number(r, "id"); }},
      {"leg", {"shard", "transfer_id", "n"}, [](const Row& r) { return "transfer " + number(r, "transfer_id"); }},
      {"quantity", {"shard", "batch", "n"}, [](const Row& r) { return "row " + number(r, "n"); }},
      {"batch", {"shard", "id"}, [](const Row& r) { return "batch " + number(r, "id"); }},
  };
  return out;
}

class Tamper {
 public:
  explicit Tamper(const std::string& path) : path_(path) {
    std::string why;
    REQUIRE(db_.open(path, "", Connection::Mode::write, why));
    REQUIRE(db_.run("PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY; PRAGMA ignore_check_constraints = ON"));
    REQUIRE(sqlite3_db_config(db_.raw(), SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr) == SQLITE_OK);
  }

  std::vector<Row> rows(const Sealed& table) {
    Row shape;
    std::string columns;
    Statement info = db_.prepare(std::string("SELECT name, type FROM pragma_table_info('") + table.name + "')");
    while (info.row()) {
      Value& value = shape.emplace_back();
      value.name = info.text();
      value.type = info.text();
      columns += (columns.empty() ? "" : ", ") + value.name;
    }
    std::vector<Row> out;
    Statement select = db_.prepare("SELECT " + columns + " FROM " + table.name);
    while (select.row()) {
      Row row = shape;
      for (Value& value : row) {
        value.null = select.is_null();
        if (value.null) select.skip();
        else if (value.type == "INTEGER") value.number = select.integer();
        else value.bytes = select.bytes();
      }
      out.push_back(row);
    }
    return out;
  }

  // False: the store's own constraints refuse it.
  bool set(const Sealed& table, const Row& row, const Value& to) {
    std::string where;
    for (const auto& key : table.key) where += (where.empty() ? "" : " AND ") + key + " = ?";
    Statement update = db_.prepare(std::string("UPDATE ") + table.name + " SET " + to.name + " = ? WHERE " + where);
    update.reset();
    bind(update, to);
    for (const auto& key : table.key) bind(update, at(row, key));
    return update.done() && db_.changes() == 1;
  }

  Verdict verdict() { return verify(path_, "", 0, nullptr); }

 private:
  static void bind(Statement& statement, const Value& value) {
    if (value.null) statement.null();
    else if (value.type == "INTEGER") statement.bind(value.number);
    else if (value.type == "TEXT") statement.bind(std::string_view(value.bytes));
    else statement.blob(std::string_view(value.bytes));
  }
  const std::string path_;
  Connection db_;
};

std::vector<Value> flips(const Value& from, Rng& rng) {
  std::vector<Value> out;
  const auto changed = [&](auto change) {
    Value to = from;
    to.null = false;
    change(to);
    out.push_back(std::move(to));
  };
  if (from.null) {
    changed([&](Value& to) { to.bytes = "x"; });
    return out;
  }
  if (from.type == "INTEGER") {
    for (unsigned byte = 0; byte < 8; ++byte)
      changed([&](Value& to) { to.number ^= static_cast<std::int64_t>(1ull << (8 * byte + rng.below(8))); });
    changed([](Value& to) { to.number ^= INT64_MIN; });  // where the order of rows changes as well
    return out;
  }
  for (std::size_t i = 0; i < from.bytes.size(); ++i)
    changed([&](Value& to) { to.bytes[i] = static_cast<char>(static_cast<unsigned char>(to.bytes[i]) ^ (1u << rng.below(8))); });
  return out;
}

// Few rows, every kind of them.
void fill(World& world) {
  world.start();
  world.ledger->topup("acme", "t", *money::Amount::parse("12.5"), noon);
  auto billed = test::request({noon, 1}, noon, {100, 20, 0, 30, 0});
  test::add_attempt(billed, "dc-one", "nvidia", 30);
  auto unpriced = test::request({noon, 2}, noon, {1, 0, 0, 1, 0});
  unpriced.admit.price_version = 9;
  test::add_attempt(unpriced, "dc-one", "", 1);
  for (const auto& final : {billed, unpriced}) {
    world.journal.append(final.admit);
    world.journal.append(final);
  }
  world.post_all();
  REQUIRE(verify(world.path(), "", 0, &world.journal).ok);
}

}  // namespace

TEST_CASE("invariant 30: every flipped byte of every sealed row is found and located to table, batch and row", "[sqlite]") {
  World world;
  fill(world);
  world.ledger.reset();
  Tamper tamper(world.path());
  SeededRng rng(30);
  std::map<std::string, std::uint64_t> done;
  for (const Sealed& table : sealed_tables()) {
    for (const Row& row : tamper.rows(table)) {
      for (const Value& column : row) {
        for (const Value& flipped : flips(column, rng)) {
          if (!tamper.set(table, row, flipped)) continue;
          const Verdict verdict = tamper.verdict();
          Row now = row;
          for (Value& value : now)
            if (value.name == flipped.name) value = flipped;
          REQUIRE(tamper.set(table, now, column));
          INFO(table.name << "." << column.name << " -> " << verdict.place << ": " << verdict.why);
          REQUIRE_FALSE(verdict.ok);
          const std::string in = table.name == std::string("leg") ? "transfer" : table.name;
          REQUIRE(verdict.place.find("table " + in + ", batch ") == 0);
          // By the name it had, or by the one it has now.
          const bool named = verdict.place.ends_with(table.row(row)) || verdict.place.ends_with(table.row(now));
          REQUIRE(named);
          ++done[table.name];
        }
      }
    }
  }
  for (const Sealed& table : sealed_tables()) CHECK(done[table.name] > 100);
  CHECK(tamper.verdict().ok);
}

// Rows that are not where they say: named before the batch is said to be wrong as a whole.
#include <algorithm>

#include "gateway/ledger/check.h"

namespace trib::ledger {
namespace {

// A table whose rows say their batch and their place within it.
struct Place {
  const char* table;
  const char* row;   // what verify calls one
  const char* name;  // the column that names one: a text, a request's id, or a number
  const char* order; // the column that lies within the batch's bounds
};
constexpr Place places[] = {
    {"usage", "request", "request_id", "lsn"},
    {"command", "command", "id", "lsn"},
    {"quarantine", "record", "lsn", "lsn"},
    {"transfer", "transfer", "id", "id"},
};

// As the rows are read elsewhere, whatever was made of it.
std::string number(Statement& from) { return std::to_string(static_cast<std::uint64_t>(from.integer())); }

}  // namespace

bool Check::misplaced(const std::string& table, const BatchRow& row) {
  for (const Place& place : places) {
    if (table != place.table) continue;
    Statement select = db_.prepare(std::string("SELECT ") + place.name + " FROM " + table + " WHERE (batch = ?) <> (shard = ? AND " + place.order +
                                   " BETWEEN ? AND ?) LIMIT 1");
    const bool by_id = table == "transfer";
    const std::uint64_t first = by_id ? row.id * transfers_of_batch : row.from_lsn;
    const std::uint64_t last = by_id ? first + transfers_of_batch - 1 : row.to_lsn;
    select.reset().bind(static_cast<std::int64_t>(row.id)).bind(shard_);
    select.bind(static_cast<std::int64_t>(first)).bind(static_cast<std::int64_t>(last));
    if (!select.row()) continue;
    return elsewhere(table, row.id, table == "usage" ? id_of_bytes(select.bytes()).text() : table == "command" ? std::string(select.text()) : number(select));
  }
  return false;
}

bool Check::elsewhere(const std::string& table, std::uint64_t batch, const std::string& name) {
  const auto* const place = std::find_if(std::begin(places), std::end(places), [&](const Place& one) { return table == one.table; });
  return fail(in_batch(place->table, batch) + ", " + place->row + " " + name,
              "the row is not where it was written: its batch, its LSN and its shard do not go together");
}

bool Check::in_place() {
  const std::string sought[][2] = {
      {"transfer", "SELECT batch, id FROM transfer WHERE shard = ? AND id / " + std::to_string(transfers_of_batch) + " <> batch ORDER BY id"},
      {"quarantine", "SELECT quarantine.batch, lsn FROM quarantine JOIN batch ON batch.shard = quarantine.shard AND batch.id = quarantine.batch "
                     "WHERE quarantine.shard = ? AND lsn NOT BETWEEN from_lsn AND to_lsn ORDER BY lsn"}};
  for (const auto& [table, sql] : sought) {
    Statement select = db_.prepare(sql + " LIMIT 1");
    const Statement::Step step = select.reset().bind(shard_).step();
    if (step == Statement::Step::done) continue;
    if (step == Statement::Step::failed) return ended(step, table.c_str());
    const auto batch = select.number<std::uint64_t>();
    return elsewhere(table, batch, number(select));
  }
  return true;
}

}  // namespace trib::ledger

// Rows that are not where they say: named before the batch is said to be wrong as a whole.
#include "gateway/ledger/check.h"

namespace trib::ledger {
namespace {

// A table whose rows say their batch and their place within it.
struct Place {
  const char* table;
  const char* row;   // what verify calls one
  const char* name;  // the column that names one
  const char* order; // the column that lies within the batch's bounds
};
constexpr Place places[] = {
    {"usage", "request", "request_id", "lsn"},
    {"command", "command", "id", "lsn"},
    {"quarantine", "record", "CAST(lsn AS TEXT)", "lsn"},
    {"transfer", "transfer", "CAST(id AS TEXT)", "id"},
};

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
    const std::string name = table == "usage" ? id_of_bytes(select.bytes()).text() : std::string(select.text());
    return fail(in_batch(place.table, row.id) + ", " + place.row + " " + name,
                "the row is not where it was written: its batch, its LSN and its shard do not go together");
  }
  return false;
}

}  // namespace trib::ledger

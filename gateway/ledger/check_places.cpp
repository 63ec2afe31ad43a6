// Rows that are not where they say: named before the batch is said to be wrong as a whole.
#include "gateway/ledger/check.h"

namespace trib::ledger {
namespace {

// Rows of batch ?1 (LSNs ?2 to ?3, shard ?4) that lie elsewhere, and rows that lie there of another batch.
struct Place {
  const char* table;
  const char* row;  // what verify calls one
  const char* sql;  // gives its name
};
constexpr Place places[] = {
    {"usage", "request",
     "SELECT lower(hex(request_id)) FROM usage WHERE "
     "(batch = ?1) <> (place BETWEEN (?4 << 48 | ?2) AND (?4 << 48 | ?3)) LIMIT 1"},
    {"command", "command", "SELECT id FROM command WHERE (batch = ?1) <> (shard = ?4 AND lsn BETWEEN ?2 AND ?3) LIMIT 1"},
    {"quarantine", "record", "SELECT lsn FROM quarantine WHERE (batch = ?1) <> (shard = ?4 AND lsn BETWEEN ?2 AND ?3) LIMIT 1"},
    {"transfer", "transfer", "SELECT id FROM transfer WHERE (batch = ?1) <> (shard = ?4 AND id / 1000000 = ?1) LIMIT 1"},
};

}  // namespace

bool Check::misplaced(const std::string& table, const BatchRow& row) {
  for (const Place& place : places) {
    if (table != place.table) continue;
    Statement select = db_.prepare(place.sql);
    select.reset().bind(static_cast<std::int64_t>(row.id)).bind(static_cast<std::int64_t>(row.from_lsn));
    select.bind(static_cast<std::int64_t>(row.to_lsn)).bind(shard_);
    if (!select.row()) continue;
    return fail(in_batch(place.table, row.id) + ", " + place.row + " " + std::string(select.text()),
                "the row is not where it was written: its batch, its LSN and its shard do not go together");
  }
  return false;
}

}  // namespace trib::ledger

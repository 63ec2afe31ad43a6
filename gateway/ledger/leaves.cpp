#include "gateway/ledger/leaves.h"

#include "gateway/ledger/tables.h"

namespace trib::ledger {
namespace {

constexpr LeafTable tables[] = {
    {"usage", "place", true},
    {"command", "lsn", false},
    {"quarantine", "lsn", false},
    {"transfer", "id", false},
    {"quantity", "n", false},
};

}  // namespace

std::span<const LeafTable> leaf_tables() { return tables; }

bool read_leaves(Connection& db, const LeafTable& table, const BatchRow& batch, std::vector<Sha256>& out) {
  const std::string name(table.name), order = std::string(" ORDER BY ") + table.order;
  Statement select = table.by_place ? db.prepare("SELECT leaf FROM " + name + " WHERE place BETWEEN ? AND ?" + order)
                                    : db.prepare("SELECT leaf FROM " + name + " WHERE shard = ? AND batch = ?" + order);
  if (table.by_place) {
    select.reset().bind(place_of(batch.shard, batch.from_lsn)).bind(place_of(batch.shard, batch.to_lsn));
  } else {
    select.reset().bind(batch.shard).bind(static_cast<std::int64_t>(batch.id));
  }
  Statement::Step step{};
  while ((step = select.step()) == Statement::Step::row) {
    out.push_back(select.digest());
    if (select.damaged()) return false;
  }
  return step == Statement::Step::done;
}

}  // namespace trib::ledger

// What stands under a batch's Merkle root: which tables have leaves, and in which order. One list, so
// that proofs, checks and reports go through the tables that there are.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "gateway/ledger/chain.h"
#include "gateway/ledger/sql.h"

namespace trib::ledger {

struct LeafTable {
  const char* name;
  const char* order;   // of its rows under the root
  bool by_place;       // found by journal place (usage), else by the columns shard and batch
};

// In the order of their leaves.
std::span<const LeafTable> leaf_tables();

// The leaves of one table's rows in a batch, as they stand in the store. False: the store failed.
bool read_leaves(Connection& db, const LeafTable& table, const BatchRow& batch, std::vector<Sha256>& out);

}  // namespace trib::ledger

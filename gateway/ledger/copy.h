// All rows of one store into another, whichever engines they are: how a store on PostgreSQL is backed up
// into a file, a backup is put back, and a shard moves to another engine.
#pragma once
#include <cstdint>
#include <functional>
#include <string>

#include "gateway/ledger/sql.h"

namespace trib::ledger {

using CopyProgress = std::function<bool(std::uint64_t done, std::uint64_t all)>;  // rows; false: give up

// `from` is in a read transaction, so that the copy is of one moment; `to` has the tables and not one batch,
// and gets everything in one transaction. False with the reason; nothing is in `to` then.
bool copy_rows(Connection& from, Connection& to, const CopyProgress& progress, std::string& why);

// The same between two addresses, where no gateway runs on either. `to` is made ready first if it is a file.
bool copy_store(const std::string& from, const std::string& to, const CopyProgress& progress, std::string& why);

}  // namespace trib::ledger

// What a closed period holds, as one hash.
#pragma once
#include <optional>

#include "gateway/ledger/period.h"
#include "gateway/ledger/sql.h"

namespace trib::ledger {

// SHA-256 over the period's turnover by account, its totals by site and its quantities, each in order of
// its key (format version 1, the layout of bytes.h). Shards are summed. None: the store failed.
std::optional<Sha256> seal_period(Connection& db, Period period);

}  // namespace trib::ledger

// What a request's row keeps in one blob: the facts that no query asks for, its attempts and its parts. A name that
// stands elsewhere in the row is not written again, which makes the row a third smaller. The layout is in docs/audit.md,
// format 2; no two contents have the same bytes. Reading is total: any input is safe.
#pragma once
#include <string>
#include <vector>

#include "gateway/ledger/rating.h"
#include "gateway/ledger/rows.h"
#include "gateway/metering/metering.h"

namespace trib::ledger {

// An attempt as the row keeps it: what was dispatched, what came of it, what it was paid for.
struct AttemptRow {
  metering::Attempt sent;  // id and wall_ms as the record has them
  metering::AttemptResult result;
  bool rated = false;  // tokens were billed for it; the next two are zero otherwise
  metering::TokenCounts billed;
  money::Amount gross;
};

// These write row.detail; the row's facts and columns are there.
void encode_detail(UsageRow& row, const metering::Final& final, const Rated& rated);
void encode_detail(UsageRow& row, const std::vector<AttemptRow>& attempts, const std::vector<Part>& parts);

// Reads it, the facts into the row; false where it cannot be read.
bool decode_detail(UsageRow& row, std::vector<AttemptRow>& attempts, std::vector<Part>& parts);

}  // namespace trib::ledger

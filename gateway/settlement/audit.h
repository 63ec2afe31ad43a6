// The last stretch of `tributary audit verify`: from the sealed rows to the statements. Each statement that was
// kept is reckoned anew from the rows and legs of its month and must be the same to the last figure. Reads only.
#pragma once
#include <cstdint>
#include <span>
#include <string>

#include "gateway/ledger/ledger.h"

namespace trib::settlement {

struct StatementAudit {
  bool ok = false;
  std::string place;  // the first that differs: "statement 2026-11/site:dc-one, share_amount"; empty when ok
  std::string why;
  std::uint64_t statements = 0;  // checked
};
StatementAudit audit_statements(ledger::Reader& reader, const ledger::Book& book);

// All of it: ledger::verify, and where that finds nothing, the statements.
struct BooksVerdict : ledger::Verdict {
  std::uint64_t statements = 0;
};
BooksVerdict verify_books(ledger::Reader& reader, std::uint16_t shard, metering::Journal* journal, std::span<const ledger::Checkpoint> checkpoints);

}  // namespace trib::settlement

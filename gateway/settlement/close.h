// Closing a month: OPEN -> GRACE -> RECONCILED -> CLOSED -> STATED -> PAID, one state a call. A call looks
// at what the next state asks for, and either moves on or says what is missing. All that it posts has fixed
// ids, so a call that broke off is simply made again. Rules: docs/closing.md.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "gateway/ledger/ledger.h"
#include "gateway/settlement/signing.h"
#include "gateway/settlement/statement.h"
#include "gateway/settlement/turnover.h"

namespace trib::settlement {

struct CloseRules {
  std::int64_t grace_days = 3;  // after the month's end, for site receipts and disputes
  std::function<bool(const std::string& site)> dials_in;  // such a site must have signed what it served
};

struct Item {  // of the checklist
  std::string name;
  bool fine = false;
  std::string why;  // when it is not fine: what is missing, and the mend
};

struct Closing {
  ledger::Period period = 0;
  ledger::PeriodState state{};  // where it stands now, after the call
  bool moved = false;
  std::vector<Item> items;      // of the next state; those of the state that was reached when it moved
  std::vector<std::string> documents;  // ids that this call posted
  std::string error;            // the store or the journal failed
};

// The checklist of the next state, without touching anything. Any thread.
Closing look(ledger::Ledger& ledger, ledger::Period period, std::int64_t wall_ms, const CloseRules& rules, const Progress& progress);

// One state on, or what is missing. Any thread; calls exclude each other by what they post.
Closing advance(ledger::Ledger& ledger, const SigningKey& key, ledger::Period period, std::int64_t wall_ms, const CloseRules& rules,
                const Progress& progress);

// Says why something unusual is fine (a quarantined request, what waits in suspense), so that it does not
// hold up the close: `subject` as the checklist names it. Idempotent.
ledger::Posting explain(ledger::Ledger& ledger, const std::string& subject, const std::string& reason, const std::string& evidence,
                        std::int64_t wall_ms);

}  // namespace trib::settlement

// What a party is owed for a period, as its statement says it. A statement is made once, when the period is
// stated, and kept in the ledger inside the document that locks the amount (code 61); it never changes.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "gateway/ledger/ledger.h"

namespace trib::settlement {

// Amounts are signed as they move what the party is owed: a penalty is negative. So
//   opening_carry + share_amount + tier_trueup + guarantee_topup + penalties + chargebacks +
//   prior_period_adj + reserve_withheld + reserve_released = net_payable + closing_carry
// and net_payable is whole fen. share_base and what stands before it are what the share was reckoned from:
//   gross_revenue + refunds + vat_excluded + payment_fees = share_base.
struct Statement {
  std::string no;       // "2026-11/site:dc-one"
  std::uint32_t version = 1;
  ledger::Period period = 0;
  std::string party;    // "site:dc-one", "vendor:nvidia", "referrer:x"
  std::string contract; // the latest in the period; empty: none
  std::uint32_t contract_version = 0;
  money::Amount opening_carry, gross_revenue, refunds, vat_excluded, payment_fees, share_base, share_amount,
      tier_trueup, guarantee_topup, penalties, chargebacks, prior_period_adj, reserve_withheld, reserve_released,
      net_payable, closing_carry;
  std::uint64_t requests = 0, tokens_in = 0, tokens_out = 0, batch_from = 0, batch_to = 0;
  std::string seal_hash;  // of the closed period, hex
  friend bool operator==(const Statement&, const Statement&) = default;
};

// The amounts by their names, in the order of the exports' columns.
struct StatementAmount {
  const char* name;
  money::Amount Statement::*amount;
};
extern const std::vector<StatementAmount> statement_amounts;

std::string statement_text(const Statement& statement);  // canonical JSON
std::optional<Statement> read_statement(const std::string& text);
bool adds_up(const Statement& statement);  // both sums above, and whole fen

// Those that were made, in order; of one period where it is given.
std::vector<Statement> statements(ledger::Reader& reader, std::optional<ledger::Period> period = {});

}  // namespace trib::settlement

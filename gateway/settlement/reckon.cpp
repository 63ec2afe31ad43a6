#include "gateway/settlement/reckon.h"

#include <optional>

#include "gateway/settlement/amounts.h"
#include "gateway/settlement/assignment.h"

namespace trib::settlement {
namespace {

using ledger::Code;
using money::Amount;

bool has_number(const std::string& party) { return party.find(':') != std::string::npos && party.back() != ':'; }

// Credit less debit of what accrues, by party.
std::map<std::string, Amount> accrued(const ledger::TrialBalance& trial, Whose whose) {
  std::map<std::string, Amount> out;
  for (const auto& row : trial.accounts) {
    const std::string party = accruing_party(row.account, whose);
    if (!party.empty()) out[party] = row.credit - row.debit;
  }
  return out;
}

// `stands`: of its account at the end of the month; the lock of the month before lies within it. Pays whole
// fen of it, unless that is less than the least that any of its versions of the month pays out; in a month without turnover
// the version that the statement names.
void finish(Statement& statement, Amount stands, const Turnover& turnover, const ledger::Book& book) {
  std::optional<Amount> least;
  versions_of(turnover, book, statement.party, [&](const ContractKey&, const ledger::ContractVersion& contract) {
    if (!least || contract.min_payout < *least) least = contract.min_payout;
  });
  if (const auto* const last = least ? nullptr : book.contract(statement.contract, statement.contract_version)) least = last->min_payout;
  statement.share_base = statement.gross_revenue + statement.refunds + statement.vat_excluded + statement.payment_fees;
  const bool carried = stands.negative() || stands < least.value_or(Amount{}) || !has_number(statement.party);
  const Amount payable = carried ? Amount{} : stands;
  statement.net_payable = floor_fen(payable);
  statement.closing_carry = stands - statement.net_payable;
}

void fill(Statement& to, const PartyUse& use) {
  to.gross_revenue = use.gross;
  to.refunds = use.refunds;
  to.payment_fees = use.fees;
  to.vat_excluded = -use.vat;
  to.share_amount = use.share;
  to.requests = use.requests;
  to.tokens_in = use.tokens_in;
  to.tokens_out = use.tokens_out;
  to.batch_from = use.batch_from;
  to.batch_to = use.batch_to;
}

}  // namespace

std::string accruing_party(std::string_view account, Whose whose) {
  const std::string_view code = account.substr(0, account.find('/'));
  if (code == "L210" || code == "L220" || code == "L230") return ledger::party_of(account);
  if (whose == Whose::partners) return {};
  for (const char* party : {"platform", "vat", "site:", "vendor:", "referrer:"})
    if (account == ledger::party_account(party)) return party;
  return {};
}

bool of_requests(const ledger::TransferRow& transfer) {
  const bool late = static_cast<Code>(transfer.code) == Code::late_usage;
  return !late && transfer.doc_id.rfind("batch:", 0) == 0;
}

Code stands_as(ledger::Reader& reader, const ledger::TransferRow& transfer) {
  const auto original = transfer.reverses ? reader.transfer(*transfer.reverses) : std::nullopt;
  return static_cast<Code>(original ? original->code : transfer.code);
}

void book(Statement& to, Code code, std::int64_t effective_at, Amount moved, std::int64_t period_begin_ms) {
  if (code == Code::statement_lock) return;
  if (effective_at < period_begin_ms) {
    to.prior_period_adj += moved;
    if (code == Code::late_usage) to.share_amount -= moved;
    return;
  }
  switch (code) {
    case Code::tier_trueup: to.tier_trueup += moved; break;
    case Code::guarantee: to.guarantee_topup += moved; break;
    case Code::penalty:
    case Code::forfeiture:
    case Code::early_exit: to.penalties += moved; break;
    case Code::chargeback:
    case Code::clawback: to.chargebacks += moved; break;
    case Code::manual:
    case Code::closure: to.prior_period_adj += moved; break;
    case Code::reserve_withhold: to.reserve_withheld += moved; break;
    case Code::reserve_release: to.reserve_released += moved; break;
    default: to.share_amount += moved; break;  // a reversal or a new rating of the month's own requests
  }
}

std::map<std::string, Statement> reckon(ledger::Reader& reader, const ledger::Book& contracts, ledger::Period period, const Turnover& turnover,
                                        Whose whose) {
  const auto stands = accrued(reader.trial_balance_after(period), whose);
  auto opening = accrued(reader.trial_balance_after(ledger::previous_period(period)), whose);
  std::string seal;
  for (const auto& row : reader.periods())
    if (row.period == period) seal = row.seal;
  std::map<std::string, const ledger::ContractVersion*> earned_by;  // the version by which a party earned last, before this month
  for (const Statement& one : statements(reader)) {
    if (one.period >= period) continue;
    opening[one.party] = one.closing_carry;
    if (!one.contract.empty()) earned_by[one.party] = contracts.contract(one.contract, one.contract_version);
  }
  const Assignments assignments(reader);
  std::map<std::string, Statement> out;
  for (const auto& [party, amount] : stands) {
    Statement& made = out[party];
    made.no = has_number(party) ? ledger::period_text(period) + "/" + party : std::string();
    made.period = period;
    made.party = party;
    made.seal_hash = seal;
    const auto* terms = has_number(party) ? assignments.terms_of(turnover, contracts, party, period) : nullptr;
    if (const auto earlier = earned_by.find(party); terms == nullptr && earlier != earned_by.end()) terms = earlier->second;
    if (terms != nullptr) {
      made.contract = terms->contract;
      made.contract_version = terms->version;
    }
    const auto use = turnover.parties.find(party);
    if (use != turnover.parties.end()) fill(made, use->second);
    made.opening_carry = opening[party];
  }
  const std::int64_t begin_ms = ledger::period_begin_ms(period);
  reader.adjustments(period, [&](const ledger::TransferRow& transfer) {
    if (of_requests(transfer)) return true;
    const Code as = stands_as(reader, transfer);
    for (const auto& leg : transfer.legs) {
      const std::string party = accruing_party(leg.account, whose);
      if (!party.empty()) book(out[party], as, transfer.effective_at, -leg.amount, begin_ms);
    }
    return true;
  });
  for (auto& [party, made] : out) finish(made, stands.at(party), turnover, contracts);
  return out;
}

bool shows_gross(const Turnover& turnover, const ledger::Book& contracts, const std::string& party) {
  std::size_t all = 0, shown = 0;
  versions_of(turnover, contracts, party, [&](const ContractKey&, const ledger::ContractVersion& contract) {
    ++all;
    shown += contract.policies.show_gross ? 1 : 0;
  });
  return all > 0 && all == shown;
}

Amount paid(ledger::Reader& reader, const Statement& statement) {
  Amount out;
  if (statement.no.empty()) return out;
  const std::string account = ledger::stated_account(statement.party);
  reader.transfers_of(statement.no, [&](const ledger::TransferRow& transfer) {
    if (static_cast<Code>(transfer.code) == Code::statement_lock) return true;
    for (const auto& leg : transfer.legs)
      if (leg.account == account) out += leg.amount;
    return true;
  });
  return out;
}

}  // namespace trib::settlement

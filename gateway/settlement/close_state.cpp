// The parties' statements, from their accounts.
#include "gateway/settlement/amounts.h"
#include "gateway/settlement/close_call.h"

namespace trib::settlement {
namespace {

// What a transfer that is no request's moved on the party's account, in its column.
void add(Statement& to, ledger::Reader& reader, const ledger::TransferRow& transfer, Amount moved, std::int64_t begin_ms) {
  auto code = static_cast<Code>(transfer.code);
  if (transfer.reverses) {  // it stands where its original does
    const auto original = reader.transfer(*transfer.reverses);
    if (original) code = static_cast<Code>(original->code);
  }
  if (code == Code::statement_lock) return;
  if (transfer.effective_at < begin_ms) {
    to.prior_period_adj += moved;
    if (code == Code::late_usage) to.share_amount -= moved;  // its requests are among the month's
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

// Credit less debit of what accrues, by party.
PartyAmounts accrued(const ledger::TrialBalance& trial) {
  PartyAmounts out;
  for (const auto& row : trial.accounts)
    if (accrues(row.account)) out[ledger::party_of(row.account)] = row.credit - row.debit;
  return out;
}

}  // namespace

std::map<std::string, Statement> Call::make_statements() {
  const PartyAmounts stands = accrued(reader_->trial_balance_after(period_));
  PartyAmounts opening = accrued(reader_->trial_balance_after(ledger::previous_period(period_)));
  for (const Statement& one : statements(*reader_))
    if (one.period < period_) opening[one.party] = one.closing_carry;
  const std::string seal = row_of(period_).seal;
  std::map<std::string, Statement> out;
  for (const auto& [party, amount] : stands) {
    Statement& made = out[party];
    made.no = ledger::period_text(period_) + "/" + party;
    made.period = period_;
    made.party = party;
    made.seal_hash = seal;
    if (const ContractKey* const latest = latest_of(party)) {
      made.contract = latest->contract;
      made.contract_version = latest->version;
    }
    const PartyUse& use = turnover_.parties[party];
    made.gross_revenue = use.gross;
    made.refunds = use.refunds;
    made.payment_fees = use.fees;
    made.vat_excluded = -use.vat;
    made.share_amount = use.share;
    made.requests = use.requests;
    made.tokens_in = use.tokens_in;
    made.tokens_out = use.tokens_out;
    made.batch_from = use.batch_from;
    made.batch_to = use.batch_to;
    made.opening_carry = opening[party];
  }
  const std::int64_t begin_ms = ledger::period_begin_ms(period_);
  reader_->adjustments(period_, [&](const ledger::TransferRow& transfer) {
    for (const auto& leg : transfer.legs)
      if (accrues(leg.account)) add(out[ledger::party_of(leg.account)], *reader_, transfer, -leg.amount, begin_ms);
    return true;
  });
  for (auto& [party, made] : out) finish(made, stands.at(party));
  return out;
}

// `stands`: of its account at the end of the month; the lock of the month before lies within it. Pays whole
// fen of it, unless that is less than the least that any of its versions of the month pays out.
void Call::finish(Statement& statement, Amount stands) const {
  std::optional<Amount> least;
  versions_of(statement.party, [&](const ContractKey&, const ledger::ContractVersion& contract) {
    if (!least || contract.min_payout < *least) least = contract.min_payout;
  });
  statement.share_base = statement.gross_revenue + statement.refunds + statement.vat_excluded + statement.payment_fees;
  const Amount payable = stands.negative() || stands < least.value_or(Amount{}) ? Amount{} : stands;
  statement.net_payable = floor_fen(payable);
  statement.closing_carry = stands - statement.net_payable;
}

}  // namespace trib::settlement

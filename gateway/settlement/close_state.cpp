// A party's statement, from its account.
#include "gateway/settlement/close_call.h"

namespace trib::settlement {
namespace {

constexpr money::int128 pico_per_fen = 10'000'000'000;

}  // namespace

Amount Call::opening_carry(const std::string& party, const std::string& account) {
  std::optional<Amount> carried;
  for (const Statement& one : statements(*reader_)) {
    if (one.party == party && one.period < period_) carried = one.closing_carry;
  }
  if (carried) return *carried;
  for (const auto& row : reader_->trial_balance_after(ledger::previous_period(period_)).accounts)
    if (row.account == account) return row.credit - row.debit;
  return {};
}

// The least that any of its versions of the month pays out.
Amount Call::min_payout(const std::string& party) const {
  std::optional<Amount> least;
  for (const auto& [key, use] : turnover_.contracts) {
    const auto* const contract = use.parts.contains(party) ? book_->contract(key.contract, key.version) : nullptr;
    if (contract != nullptr && (!least || contract->min_payout < *least)) least = contract->min_payout;
  }
  return least.value_or(Amount{});
}

std::optional<Statement> Call::statement(const std::string& party) {
  const std::string account = ledger::party_account(party);
  Statement out;
  out.no = ledger::period_text(period_) + "/" + party;
  out.period = period_;
  out.party = party;
  for (const auto& row : reader_->periods())
    if (row.period == period_) out.seal_hash = row.seal;
  const PartyUse& use = turnover_.parties[party];
  out.gross_revenue = use.gross;
  out.vat_excluded = -use.vat;
  out.requests = use.requests;
  out.tokens_in = use.tokens_in;
  out.tokens_out = use.tokens_out;
  out.batch_from = use.batch_from;
  out.batch_to = use.batch_to;
  std::int64_t latest = INT64_MIN;
  for (const auto& [key, contract_use] : turnover_.contracts) {
    const auto* const contract = contract_use.parts.contains(party) ? book_->contract(key.contract, key.version) : nullptr;
    if (contract == nullptr || contract->from_ms <= latest) continue;
    latest = contract->from_ms;
    out.contract = key.contract;
    out.contract_version = key.version;
  }
  out.share_amount = use.share;
  out.opening_carry = opening_carry(party, account);
  const std::int64_t begin = ledger::period_begin_ms(period_);
  reader_->adjustments(period_, [&](const ledger::TransferRow& transfer) {
    Amount moved;
    for (const auto& leg : transfer.legs)
      if (leg.account == account) moved -= leg.amount;
    const auto code = static_cast<Code>(transfer.code);
    if (moved.zero() || code == Code::statement_lock) return true;
    if (transfer.effective_at < begin) {
      out.prior_period_adj += moved;
      if (code == Code::late_usage) out.share_amount -= moved;  // its requests are among the month's
      return true;
    }
    switch (code) {
      case Code::tier_trueup: out.tier_trueup += moved; break;
      case Code::guarantee: out.guarantee_topup += moved; break;
      case Code::penalty:
      case Code::forfeiture:
      case Code::early_exit: out.penalties += moved; break;
      case Code::chargeback:
      case Code::clawback: out.chargebacks += moved; break;
      case Code::reserve_withhold: out.reserve_withheld += moved; break;
      case Code::reserve_release: out.reserve_released += moved; break;
      default: out.share_amount += moved; break;  // a reversal or a new rating of the month's own requests
    }
    return true;
  });
  out.share_base = out.gross_revenue + out.refunds + out.vat_excluded + out.payment_fees;
  Amount stands;  // at the end of the month; the lock of the one before lies within it
  for (const auto& row : reader_->trial_balance_after(period_).accounts)
    if (row.account == account) stands = row.credit - row.debit;
  Amount payable = stands;
  if (payable.negative() || payable < min_payout(party)) payable = {};
  out.net_payable = Amount::pico(payable.pico() / pico_per_fen * pico_per_fen);
  out.closing_carry = stands - out.net_payable;
  if (!adds_up(out)) return std::nullopt;
  return out;
}

}  // namespace trib::settlement

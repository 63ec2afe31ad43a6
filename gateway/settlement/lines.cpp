#include "gateway/settlement/lines.h"

#include <algorithm>
#include <set>

namespace trib::settlement {
namespace {

using money::Amount;

// What lines have of a statement and sum to its: amounts but for the carries, the pay and the fees, which the close
// lays on the whole month.
bool summed(const StatementAmount& one) {
  return one.amount != &Statement::opening_carry && one.amount != &Statement::payment_fees && one.amount != &Statement::share_base && one.amount != &Statement::net_payable && one.amount != &Statement::closing_carry;
}

Amount moved(const Statement& s) {
  return s.share_amount + s.tier_trueup + s.guarantee_topup + s.penalties + s.chargebacks + s.prior_period_adj + s.reserve_withheld + s.reserve_released;
}

}  // namespace

void Lines::add(const ledger::RequestRow& request, const ledger::Book& book) {
  const ledger::UsageRow& row = request.row;
  std::set<LineKey> seen;
  for (const ledger::Part& part : request.parts) {
    if (!reader_.empty() && part.party != reader_) continue;
    const auto attempt = std::find_if(request.attempts.begin(), request.attempts.end(),
                                      [&](const ledger::AttemptRow& a) { return a.sent.n == part.attempt; });
    if (attempt == request.attempts.end()) continue;  // the turnover's check tells
    const bool may_see_site = reader_.empty() || part.party == "site:" + attempt->sent.site;
    LineKey key{part.party,        ledger::day_text(row.final_ms), row.model,            may_see_site ? attempt->sent.site : "",
                row.price_version, part.contract,                  part.contract_version};
    Statement& line = lines_[key];
    line.gross_revenue += attempt->gross;
    const auto* const contract = book.contract(part.contract, part.contract_version);
    if (net_of_vat(contract) && part.party != "vat") {
      for (const ledger::Part& other : request.parts)
        if (other.attempt == part.attempt && other.party == "vat") line.vat_excluded -= other.amount;
    }
    (row.final_ms < period_begin_ms_ ? line.prior_period_adj : line.share_amount) += part.amount;
    line.tokens_in += attempt->billed.input + attempt->billed.cached_input + attempt->billed.cache_write;
    line.tokens_out += attempt->billed.output + attempt->billed.reasoning;
    if (line.batch_from == 0) line.batch_from = row.batch;
    line.batch_to = row.batch;
    if (seen.insert(std::move(key)).second) ++line.requests;
  }
}

Statement& Lines::of_documents(const std::string& party, std::int64_t effective_at) {
  return lines_[{party, ledger::day_text(effective_at), {}, {}, 0, {}, 0}];
}

void Lines::add(const ledger::Document& document, const Attached& attached, const ledger::Book& book) {
  if (document.transfers.empty()) return;
  Turnover change;
  settlement::add(document, attached, book, change);
  for (const auto& [party, use] : change.parties) {
    if (!reader_.empty() && party != reader_) continue;
    Statement& line = of_documents(party, document.transfers.front().effective_at);
    line.gross_revenue += use.gross;
    line.refunds += use.refunds;
    line.vat_excluded -= use.vat;
  }
}

void Lines::add(const ledger::TransferRow& adjustment, ledger::Code as) {
  if (of_requests(adjustment) || adjustment.code == static_cast<std::uint16_t>(ledger::Code::late_usage)) return;
  for (const ledger::Leg& leg : adjustment.legs) {
    const std::string party = accruing_party(leg.account, Whose::everybody);
    if (party.empty() || (!reader_.empty() && party != reader_)) continue;
    Statement moves;
    book(moves, as, adjustment.effective_at, -leg.amount, period_begin_ms_);
    if (moved(moves).zero()) continue;  // a statement's lock
    Statement& line = of_documents(party, adjustment.effective_at);
    for (const auto& one : statement_amounts) line.*(one.amount) += moves.*(one.amount);
    if (line.batch_from == 0) line.batch_from = adjustment.batch;
    line.batch_to = adjustment.batch;
  }
}

std::string Lines::differs(const std::map<std::string, Statement>& statements) const {
  std::map<std::string, Statement> sums;
  for (const auto& [key, line] : lines_) {
    Statement& sum = sums[key.party];
    for (const auto& one : statement_amounts) sum.*(one.amount) += line.*(one.amount);
  }
  for (const auto& [party, statement] : statements) {
    Statement& sum = sums[party];
    for (const auto& one : statement_amounts) {
      const Amount said = statement.*(one.amount), found = sum.*(one.amount);
      if (summed(one) && said != found) return std::string(one.name) + " of " + party + " is " + said.text() + ", its lines sum to " + found.text();
    }
    sums.erase(party);
  }
  if (!sums.empty()) return sums.begin()->first + " has lines and no account";
  return {};
}

std::vector<std::pair<LineKey, Statement>> Lines::running(const Statement& statement, ledger::Period period) const {
  std::vector<std::pair<LineKey, Statement>> out;
  Amount carry = statement.opening_carry;
  const auto put = [&](const LineKey& key, Statement line) {
    line.no = statement.no;
    line.version = statement.version;
    line.period = statement.period;
    line.party = statement.party;
    line.seal_hash = statement.seal_hash;
    line.share_base = line.gross_revenue + line.refunds + line.vat_excluded + line.payment_fees;
    line.opening_carry = carry;
    carry = line.closing_carry = carry + moved(line) - line.net_payable;
    out.emplace_back(key, std::move(line));
  };
  for (auto at = lines_.lower_bound({statement.party, {}, {}, {}, 0, {}, 0}); at != lines_.end() && at->first.party == statement.party; ++at)
    put(at->first, at->second);
  if (!statement.net_payable.zero() || !statement.payment_fees.zero() || out.empty()) {
    Statement pay;
    pay.net_payable = statement.net_payable;
    pay.payment_fees = statement.payment_fees;
    put({statement.party, ledger::day_text(ledger::period_end_ms(period) - 1), {}, {}, 0, {}, 0}, pay);
  }
  return out;
}

}  // namespace trib::settlement

#include "gateway/settlement/turnover.h"

#include <algorithm>
#include <set>

namespace trib::settlement {
namespace {

using money::Amount;

constexpr std::uint64_t told_every = 65'536;

}  // namespace

bool net_of_vat(const ledger::ContractVersion* contract) { return contract != nullptr && contract->base == config::ShareBase::net_of_vat; }

ContractKey key_of(const ledger::AttemptRow& attempt, const ledger::Part& part, const ledger::ContractVersion* contract, std::int64_t admit_ms) {
  return {attempt.sent.site, part.contract, part.contract_version,
          contract == nullptr || ledger::referrer_shares(*contract, attempt.sent.site, admit_ms)};
}

void add(ContractUse& to, const ledger::ContractVersion* contract, const std::string& party, Amount amount, bool shared) {
  to.gross += amount;
  to.parts[party] += amount;
  const bool vat = party == "vat";
  if (!shared || (vat && net_of_vat(contract))) return;
  to.base += amount;
  to.divided[vat ? "platform" : party] += amount;
}

void add(const ledger::RequestRow& request, const ledger::Book& book, Turnover& out) {
  const ledger::UsageRow& row = request.row;
  ++out.requests;
  out.quarantined += row.state == ledger::State::quarantined ? 1 : 0;
  out.charged += row.gross.value_or(Amount{});
  std::set<std::string_view> seen;
  for (const ledger::Part& part : request.parts) {
    const auto attempt = std::find_if(request.attempts.begin(), request.attempts.end(),
                                      [&](const ledger::AttemptRow& a) { return a.sent.n == part.attempt; });
    if (attempt == request.attempts.end()) continue;  // differs() tells
    const auto* const contract = book.contract(part.contract, part.contract_version);
    if (!attempt->sent.vendor.empty()) out.vendors[attempt->sent.site] = attempt->sent.vendor;
    ContractUse& use = out.contracts[key_of(*attempt, part, contract, row.admit_ms)];
    add(use, contract, part.party, part.amount, attempt->rated);
    if (row.source == metering::CountSource::estimate && part.party == "site:" + attempt->sent.site) {
      use.estimated += part.amount;
      out.estimated_from_ms = std::min(out.estimated_from_ms, ledger::minted_ms(row.id));
    }
    PartyUse& party = out.parties[part.party];
    party.share += part.amount;
    party.gross += attempt->gross;
    if (net_of_vat(contract) && part.party != "vat") {
      for (const ledger::Part& other : request.parts)
        if (other.attempt == part.attempt && other.party == "vat") party.vat += other.amount;
    }
    party.tokens_in += attempt->billed.input + attempt->billed.cached_input + attempt->billed.cache_write;
    party.tokens_out += attempt->billed.output + attempt->billed.reasoning;
    if (seen.insert(part.party).second) ++party.requests;
    if (party.batch_from == 0) party.batch_from = row.batch;
    party.batch_to = row.batch;
  }
}

const ledger::ContractVersion* latest_of(const Turnover& turnover, const ledger::Book& book, const std::string& party) {
  const ledger::ContractVersion* out = nullptr;
  versions_of(turnover, book, party, [&](const ContractKey&, const ledger::ContractVersion& contract) {
    if (out == nullptr || contract.from_ms > out->from_ms) out = &contract;
  });
  return out;
}

bool read_turnover(ledger::Reader& reader, const ledger::Book& book, ledger::Period period, Turnover& out, const Progress& progress) {
  return reader.usage(period, [&](const ledger::RequestRow& request) {
    add(request, book, out);
    if (progress && out.requests % told_every == 0) progress("requests", out.requests);
    return true;
  });
}

std::string differs(ledger::Reader& reader, ledger::Period period, const Turnover& turnover) {
  std::map<std::string, Amount> legs;  // credit - debit, by account, of requests alone
  for (const auto& row : reader.trial_balance(period).accounts) legs[row.account] = row.credit_total - row.debit_total;
  reader.adjustments(period, [&](const ledger::TransferRow& transfer) {
    if (transfer.code == static_cast<std::uint16_t>(ledger::Code::late_usage)) return true;  // requests, too
    if (transfer.doc_id.rfind("batch:", 0) == 0) return true;                                // parts of unknown parties
    for (const ledger::Leg& leg : transfer.legs) legs[leg.account] += leg.amount;
    return true;
  });
  Amount charged;
  for (const auto& [account, amount] : legs)
    if (account.rfind("L200/", 0) == 0) charged -= amount;
  if (charged != turnover.charged) return "customers' accounts moved by " + charged.text() + ", the requests say " + turnover.charged.text();
  for (const auto& [party, use] : turnover.parties) legs[ledger::party_account(party)] -= use.share;
  for (const auto& [account, amount] : legs) {
    if (amount.zero() || account.rfind("L200/", 0) == 0) continue;
    return "account " + account + " and the requests differ by " + amount.text();
  }
  return {};
}

}  // namespace trib::settlement

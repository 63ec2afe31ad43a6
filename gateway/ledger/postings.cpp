#include "gateway/ledger/postings.h"

#include <algorithm>

#include "gateway/ledger/period.h"

namespace trib::ledger {
namespace {

const std::string& site_of(const metering::Final& final, std::uint16_t attempt) {
  const auto found = std::find_if(final.attempts.begin(), final.attempts.end(),
                                  [&](const metering::Attempt& a) { return a.n == attempt; });
  TRIB_ASSERT(found != final.attempts.end());
  return found->site;
}

}  // namespace

void Postings::add_sum(OfPeriod& period, Code code, const std::string& who, money::Amount amount) {
  if (amount.zero()) return;
  const auto at = std::find(codes.begin(), codes.end(), code) - codes.begin();
  period.sums[static_cast<std::size_t>(at)].add(who, amount);
}

SiteUse& Postings::use_of(const std::string& site, std::int32_t period) {
  if (last_site_ == nullptr || last_site_->first.second != period || last_site_->first.first != site)
    last_site_ = &*sites.try_emplace({site, period}).first;
  return last_site_->second;
}

void Postings::charge(const UsageRow& row, const metering::Final& final, const Rated& rated) {
  OfPeriod& period = periods_[row.period];
  // What was not held is a transfer of its own, beside the charge or the late usage.
  const money::Amount overrun = rated.gross > final.admit.hold ? rated.gross - final.admit.hold : money::Amount{};
  add_sum(period, Code::overrun, row.tenant, overrun);
  period.overrun_at = overrun.zero() ? period.overrun_at : std::max(period.overrun_at, row.final_ms);
  if (row.period == period_of(row.final_ms)) {
    period.effective_at = std::max(period.effective_at, row.final_ms);
    add_sum(period, Code::usage_charge, row.tenant, rated.gross - overrun);
    for (const Part& part : rated.parts) {
      const Code code = share_code(part.party);
      if (code == Code::usage_charge) {
        period.vat += part.amount;
      } else {
        add_sum(period, code, part.party, part.amount);
      }
    }
  } else {
    period.late_at = std::max(period.late_at, row.final_ms);
    period.late[customer_account(row.tenant)] += rated.gross - overrun;
    period.late[std::string(account_clearing)] += overrun;
    for (const Part& part : rated.parts) period.late[party_account(part.party)] -= part.amount;
  }

  const std::string* counted = nullptr;  // several attempts of one site are one request of it
  for (const AttemptShare& share : rated.shares) {
    const std::string& site = site_of(final, share.attempt);
    SiteUse& use = use_of(site, row.period);
    if (!counted || *counted != site) ++use.requests;
    counted = &site;
    add_counts(use.counts, share.counts);
    use.gross += share.gross;
  }
}

void Postings::topup(const Topup& topup, std::string_view doc_id, std::int64_t wall_ms, Period period) {
  moved[topup.tenant] += topup.amount;
  TransferRow& row = documents_.emplace_back();
  row.code = static_cast<std::uint16_t>(Code::topup);
  row.reason = reason(Code::topup);
  row.period = period;
  row.effective_at = wall_ms;
  row.doc_id = doc_id;
  row.legs = {{std::string(account_bank), topup.amount}, {customer_account(topup.tenant), -topup.amount}};
}

void Postings::document(const DocumentTransfer& transfer, std::string_view document_id) {
  TransferRow& row = documents_.emplace_back();
  row.code = static_cast<std::uint16_t>(transfer.code);
  row.reason = reason(transfer.code);
  row.period = transfer.period;
  row.effective_at = transfer.effective_at;
  row.doc_id = transfer.doc.empty() ? document_id : std::string_view(transfer.doc);
  row.reverses = transfer.reverses;
  row.legs = transfer.legs;
  for (const Leg& leg : row.legs)
    if (const auto tenant = tenant_of(leg.account); !tenant.empty()) moved[tenant] -= leg.amount;
}

TransferRow& Postings::begin(Code code, std::int32_t period, std::int64_t effective_at) {
  TransferRow& row = transfers.emplace_back();
  row.code = static_cast<std::uint16_t>(code);
  row.reason = reason(code);
  row.period = period;
  row.effective_at = effective_at;
  return row;
}

// A charge debits customers against the clearing account, and VAT where it holds some; a share debits it
// back to the parties. Negative sums, of a platform that paid more than it took, are debits of the party.
void Postings::add_usage(std::int32_t period, const OfPeriod& sums) {
  for (std::size_t i = 0; i < codes.size(); ++i) {
    if (sums.sums[i].of.empty()) continue;
    const bool is_charge = codes[i] == Code::usage_charge || codes[i] == Code::overrun;
    TransferRow& row = begin(codes[i], period, codes[i] == Code::overrun ? sums.overrun_at : sums.effective_at);
    money::Amount whole;
    for (const auto& [who, amount] : sums.sums[i].of) {
      row.legs.push_back({is_charge ? customer_account(who) : party_account(who), is_charge ? amount : -amount});
      whole += amount;
    }
    if (codes[i] == Code::usage_charge && !sums.vat.zero()) {
      row.legs.push_back({std::string(account_vat), -sums.vat});
      whole -= sums.vat;
    }
    row.legs.push_back({std::string(account_clearing), is_charge ? -whole : whole});
    std::sort(row.legs.begin(), row.legs.end(), [](const Leg& a, const Leg& b) { return a.account < b.account; });
  }
}

void Postings::add_late(std::int32_t period, const OfPeriod& sums) {
  TransferRow row;
  for (const auto& [account, amount] : sums.late)
    if (!amount.zero()) row.legs.push_back({account, amount});
  if (row.legs.empty()) return;
  begin(Code::late_usage, period, sums.late_at).legs = std::move(row.legs);
}

void Postings::finish(std::uint16_t shard, std::uint64_t batch, std::int64_t booked_at) {
  for (const auto& [period, sums] : periods_) {
    add_usage(period, sums);
    add_late(period, sums);
  }
  const std::string doc_id = "batch:" + std::to_string(shard) + ":" + std::to_string(batch);
  for (TransferRow& row : transfers) row.doc_id = doc_id;
  std::move(documents_.begin(), documents_.end(), std::back_inserter(transfers));
  TRIB_ASSERT(transfers.size() < transfers_of_batch);
  for (std::size_t i = 0; i < transfers.size(); ++i) {
    TransferRow& row = transfers[i];
    row.id = batch * transfers_of_batch + i;
    row.batch = batch;
    row.booked_at = booked_at;
    money::Amount sum;
    for (const Leg& leg : row.legs) {
      Turnover& balance = balances[{leg.account, row.period}];
      const money::Amount magnitude = leg.amount.negative() ? -leg.amount : leg.amount;
      (leg.amount.negative() ? balance.credit : balance.debit) += magnitude;
      (leg.amount.negative() ? total.credit : total.debit) += magnitude;
      sum += leg.amount;
    }
    TRIB_ASSERT(sum.zero());
    legs += row.legs.size();
    row.leaf = leaf_of(row, shard);
  }
  for (const auto& [key, balance] : balances) {
    if (key.first == account_clearing) TRIB_ASSERT(balance.debit == balance.credit);
  }
}

}  // namespace trib::ledger

#include "gateway/settlement/trueup.h"

#include <algorithm>

#include "gateway/settlement/amounts.h"

namespace trib::settlement {
namespace {

using money::Amount;

void split(const VersionBase& version, const config::Shares& shares, Amount amount, PartyAmounts& out) {
  std::vector<std::string> parties;
  std::vector<std::uint32_t> weights;
  const auto add = [&](std::string party, std::uint32_t ppm) {
    if (ppm == 0) return;
    parties.push_back(std::move(party));
    weights.push_back(ppm);
  };
  add("platform", shares.platform + (version.referred ? 0 : shares.referrer));
  add("site:" + version.site, shares.site);
  add("vendor:" + version.vendor, shares.vendor);
  add("referrer:" + version.contract->referrer_party, version.referred ? shares.referrer : 0);
  const auto parts = money::split(amount, weights, 0);
  for (std::size_t i = 0; i < parties.size(); ++i) out[parties[i]] += parts[i];
}

}  // namespace

PartyAmounts rate_tiers(const std::vector<VersionBase>& versions) {
  PartyAmounts out;
  Amount total;
  for (const VersionBase& version : versions)
    if (version.base > Amount{}) total += version.base;
  for (const VersionBase& version : versions) {
    if (version.base.zero() || version.base.negative()) continue;
    const auto& tiers = version.contract->tiers;
    if (tiers.mode == config::Tiers::Mode::whole) {
      const config::Shares* shares = &version.contract->shares;
      for (const auto& step : tiers.steps)
        if (total > step.over) shares = &step.shares;
      split(version, *shares, version.base, out);
      continue;
    }
    // Of the whole turnover up to a step's edge this version has its part; what lies between two edges has
    // the lower one's shares.
    Amount from;
    for (std::size_t s = 0; s <= tiers.steps.size(); ++s) {
      const Amount edge = s < tiers.steps.size() ? std::min(total, tiers.steps[s].over) : total;
      const Amount to = part_of(version.base, edge, total).whole;
      if (to > from) split(version, s == 0 ? version.contract->shares : tiers.steps[s - 1].shares, to - from, out);
      from = std::max(from, to);
    }
  }
  return out;
}

std::map<ContractKey, PartyAmounts> share_fees(Turnover& turnover, const ledger::Book& book) {
  std::map<ContractKey, PartyAmounts> out;
  const bool back = turnover.fees.negative();  // more came back than was paid
  const Amount fees = back ? -turnover.fees : turnover.fees;
  std::vector<Amount> weights;
  Amount charged;
  for (const auto& [key, use] : turnover.contracts) {
    weights.push_back(std::max(use.gross, Amount{}));
    charged += weights.back();
  }
  if (fees.zero() || charged.zero()) return out;
  const auto on_contract = apportion(fees, weights);
  std::size_t at = 0;
  for (auto& [key, use] : turnover.contracts) {
    const Amount lies = on_contract[at++];
    const auto* const contract = book.contract(key.contract, key.version);
    if (contract == nullptr || contract->base != config::ShareBase::net_of_fees || lies.zero()) continue;
    std::vector<Amount> held;
    for (const auto& [party, amount] : use.parts) held.push_back(amount);
    const auto shares = apportion(lies, held);
    std::size_t n = 0;
    for (auto& [party, amount] : use.parts) {
      const Amount share = back ? -shares[n] : shares[n];
      ++n;
      turnover.parties[party].fees -= back ? -lies : lies;
      use.base -= share;
      use.divided[party == "vat" ? "platform" : party] -= share;
      if (party == "vat") continue;
      amount -= share;
      if (!share.zero()) out[key][party] = share;
    }
  }
  return out;
}

PartyAmounts trueup(const PartyAmounts& scratch, const PartyAmounts& booked) {
  PartyAmounts out = scratch;
  for (const auto& [party, amount] : booked) out[party] -= amount;
  std::erase_if(out, [](const auto& one) { return one.second.zero(); });
  return out;
}

Amount withheld(Amount amount, std::uint32_t ppm) {
  if (amount.zero() || amount.negative()) return {};
  return Amount::pico(amount.pico() / money::ppm_whole * ppm + amount.pico() % money::ppm_whole * ppm / money::ppm_whole);
}

Amount guarantee_due(const ledger::ContractVersion& contract, ledger::Period period, std::int64_t from_ms, std::int64_t to_ms) {
  const std::int64_t begin = ledger::period_begin_ms(period), end = ledger::period_end_ms(period);
  const std::int64_t from = std::max({begin, contract.from_ms, from_ms}), to = std::min({end, contract.to_ms.value_or(end), to_ms});
  if (to <= from || contract.guarantee.zero()) return {};
  return Amount::pico(contract.guarantee.pico() * ((to - from) / 1000) / ((end - begin) / 1000));
}

}  // namespace trib::settlement

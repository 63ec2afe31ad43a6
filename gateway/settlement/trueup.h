// What a month's end adds to the requests' parts: tier true-up, guarantee, reserve. Pure; the close posts it.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "gateway/settlement/turnover.h"

namespace trib::settlement {

using PartyAmounts = std::map<std::string, money::Amount>;  // by party

// The parts that the tiers of a contract give from scratch, for all that one site was paid for under it in
// one period. `graduated`: each slice of the turnover has the shares of its step, and each version of the
// contract rates its own part of it: up to an edge of the steps, floor(edge * its base / the whole base).
// `whole`: the shares of the step that was passed, for everything. Splits by largest remainder, rotation 0.
struct VersionBase {
  const ledger::ContractVersion* contract = nullptr;
  std::string site, vendor;  // vendor: empty when unknown
  money::Amount base;
  bool referred = true;  // else the referrer's weight is the platform's
};
PartyAmounts rate_tiers(const std::vector<VersionBase>& versions);

// From scratch less what was booked, by party; zeros left out. It sums to zero.
PartyAmounts trueup(const PartyAmounts& scratch, const PartyAmounts& booked);

// The period's payment fees (Turnover::fees) lie on everything that was charged in it. Who shares net of them
// bears his part of what lies on his contract, which is taken off parts and base; the rest stays with the
// platform. What each party bears by contract, the platform too, VAT never; and PartyUse::fees is filled in.
std::map<ContractKey, PartyAmounts> share_fees(Turnover& turnover, const ledger::Book& book);

// floor(amount * ppm / 1,000,000), zero for what is not positive.
money::Amount withheld(money::Amount amount, std::uint32_t ppm);

// The guarantee for the days of the period on which the version was in force, of those from `from_ms` to before `to_ms`; floored
// to pico.
money::Amount guarantee_due(const ledger::ContractVersion& contract, ledger::Period period, std::int64_t from_ms = INT64_MIN, std::int64_t to_ms = INT64_MAX);

}  // namespace trib::settlement

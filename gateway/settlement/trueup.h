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
};
PartyAmounts rate_tiers(const std::vector<VersionBase>& versions);

// From scratch less what was booked, by party; zeros left out. It sums to zero.
PartyAmounts trueup(const PartyAmounts& scratch, const PartyAmounts& booked);

// floor(amount * ppm / 1,000,000), zero for what is not positive.
money::Amount withheld(money::Amount amount, std::uint32_t ppm);

// The guarantee for the days of the period on which the contract's versions were in force, floored to pico.
money::Amount guarantee_due(const ledger::ContractVersion& contract, ledger::Period period);

}  // namespace trib::settlement

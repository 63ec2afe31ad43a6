// What the close adds to the requests' parts before the seal.
#include <algorithm>
#include <cstdlib>

#include "gateway/settlement/close_call.h"
#include "gateway/settlement/trueup.h"

namespace trib::settlement {

ledger::DocumentTransfer Call::transfer(Code code, std::vector<ledger::Leg> legs) const {
  ledger::DocumentTransfer out;
  out.code = code;
  out.period = period_;
  out.effective_at = ledger::period_end_ms(period_) - 1;
  std::sort(legs.begin(), legs.end(), [](const auto& a, const auto& b) { return a.account < b.account; });
  out.legs = std::move(legs);
  return out;
}

void Call::add_trueups() {
  std::map<std::pair<std::string, std::string>, std::vector<VersionBase>> groups;  // by site and contract id
  std::map<std::pair<std::string, std::string>, PartyAmounts> booked;
  for (const auto& [key, use] : turnover_.contracts) {
    const auto* const contract = book_->contract(key.contract, key.version);
    if (contract == nullptr) continue;
    const auto group = std::pair(key.site, key.contract);
    VersionBase version{contract, key.site, {}, use.base};
    for (const auto& [party, amount] : use.parts) {
      if (party == "vat") continue;
      if (party.rfind("vendor:", 0) == 0) version.vendor = party.substr(7);
      booked[group][party] += amount;
    }
    groups[group].push_back(version);
  }
  for (const auto& [group, versions] : groups) {
    if (std::all_of(versions.begin(), versions.end(), [](const VersionBase& v) { return v.contract->tiers.steps.empty(); })) continue;
    const PartyAmounts change = trueup(rate_tiers(versions), booked[group]);
    if (change.empty()) continue;
    std::vector<ledger::Leg> legs;
    for (const auto& [party, amount] : change) {
      legs.push_back({ledger::party_account(party), -amount});
      adjusted_[party] += amount;
    }
    Document document{.kind = "tier_trueup", .evidence = {}, .transfers = {transfer(Code::tier_trueup, std::move(legs))}, .expect = {}, .floors = {}, .attach = {}};
    plan("trueup:" + ledger::period_text(period_) + ":" + group.first + ":" + group.second, std::move(document));
  }
}

// The site's pay under a contract, true-up included, falls short of what was guaranteed.
void Call::add_guarantees() {
  std::map<std::pair<std::string, std::string>, Amount> earned;
  std::map<std::pair<std::string, std::string>, Amount> due;
  for (const auto& [key, use] : turnover_.contracts) {
    const auto group = std::pair(key.site, key.contract);
    const auto share = use.parts.find("site:" + key.site);
    if (share != use.parts.end()) earned[group] += share->second;
    if (due.contains(group)) continue;
    const auto versions = book_->contracts.find(key.contract);
    for (const auto& version : versions->second) due[group] += guarantee_due(version, period_);
  }
  for (const auto& [group, amount] : due) {
    const std::string party = "site:" + group.first;
    Amount pay = earned[group];
    if (const auto id = "trueup:" + ledger::period_text(period_) + ":" + group.first + ":" + group.second; true) {
      for (const auto& [planned, document] : planned_)
        if (planned == id)
          for (const auto& leg : document.transfers[0].legs)
            if (leg.account == ledger::party_account(party)) pay -= leg.amount;
    }
    if (amount <= pay) continue;
    const Amount shortfall = amount - pay;
    adjusted_[party] += shortfall;
    Document document{.kind = "guarantee", .evidence = {}, .transfers = {transfer(Code::guarantee, {{std::string(ledger::account_guarantee), shortfall}, {ledger::party_account(party), -shortfall}})}, .expect = {}, .floors = {}, .attach = {}};
    plan("guarantee:" + ledger::period_text(period_) + ":" + group.first + ":" + group.second, std::move(document));
  }
}

// A part of what was earned waits. What one version withholds is released after its own days, so each
// number of days has a transfer of its own.
void Call::add_reserves() {
  std::map<std::string, std::map<std::uint32_t, Amount>> reserve;  // by party and days
  for (const auto& [key, use] : turnover_.contracts) {
    const auto* const contract = book_->contract(key.contract, key.version);
    if (contract == nullptr) continue;
    for (const auto& [party, amount] : use.parts) {
      if (party == "platform" || party == "vat" || party.back() == ':') continue;
      reserve[party][contract->holdback.days] += withheld(amount, contract->holdback.ppm);
    }
  }
  // The adjustments of this close by the terms of the party's latest version.
  for (const auto& [party, amount] : adjusted_) {
    if (party == "platform" || party.back() == ':') continue;
    const ledger::ContractVersion* latest = nullptr;
    for (const auto& [key, use] : turnover_.contracts) {
      const auto* const contract = use.parts.contains(party) ? book_->contract(key.contract, key.version) : nullptr;
      if (contract != nullptr && (latest == nullptr || contract->from_ms > latest->from_ms)) latest = contract;
    }
    if (latest != nullptr) reserve[party][latest->holdback.days] += withheld(amount, latest->holdback.ppm);
  }
  for (const auto& [party, by_days] : reserve) {
    Document document{.kind = "reserve", .evidence = {}, .transfers = {}, .expect = {}, .floors = {}, .attach = {}};
    for (const auto& [days, amount] : by_days) {
      if (amount.zero()) continue;
      auto one = transfer(Code::reserve_withhold, {{ledger::party_account(party), amount}, {ledger::reserve_account(party), -amount}});
      one.doc = "reserve:" + ledger::period_text(period_) + ":" + party + ":" + std::to_string(days);
      document.transfers.push_back(std::move(one));
    }
    if (!document.transfers.empty()) plan("reserve:" + ledger::period_text(period_) + ":" + party, std::move(document));
  }
}

// What was withheld and whose days are over by the end of this month, as far as the reserve still has it.
void Call::add_releases() {
  std::map<std::string, Amount> left;  // of each reserve
  struct Due {
    std::string id, party;
    Amount amount;
  };
  std::vector<Due> due;
  reader_->commands("document", [&](const ledger::CommandRow& row) {
    const auto document = ledger::read_document(row.body);
    if (!document || document->kind != "reserve") return true;
    for (const auto& one : document->transfers) {
      if (one.doc.rfind("reserve:", 0) != 0 || one.legs.size() != 2) continue;
      const std::string rest = one.doc.substr(8);
      const auto colon = rest.rfind(':');
      const auto days = std::strtoll(rest.c_str() + colon + 1, nullptr, 10);
      if (ledger::period_end_ms(one.period) + days * ledger::day_ms > ledger::period_end_ms(period_)) continue;
      const std::string id = "release:" + rest;
      if (reader_->command(id)) continue;
      const auto& leg = one.legs[0].amount.negative() ? one.legs[0] : one.legs[1];
      due.push_back({id, ledger::party_of(leg.account), -leg.amount});
    }
    return true;
  });
  for (const Due& one : due) {
    const std::string account = ledger::reserve_account(one.party);
    if (!left.contains(account)) left[account] = reader_->stands(account);
    const Amount amount = std::min(one.amount, left[account]);
    if (amount.zero() || amount.negative()) continue;
    left[account] -= amount;
    Document document{.kind = "release", .evidence = {}, .transfers = {transfer(Code::reserve_release, {{account, amount}, {ledger::party_account(one.party), -amount}})}, .expect = {}, .floors = {}, .attach = {}};
    plan(one.id, std::move(document));
  }
}

}  // namespace trib::settlement

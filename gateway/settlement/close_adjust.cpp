// What the close adds to the requests' parts before the seal.
#include <algorithm>
#include <cstdlib>

#include "gateway/settlement/amounts.h"
#include "gateway/settlement/close_call.h"
#include "gateway/settlement/meters.h"

namespace trib::settlement {
namespace {

constexpr std::uint32_t estimate_days = 30;  // how long an unconfirmed estimate waits at least

}  // namespace

ledger::DocumentTransfer Call::transfer(Code code, std::vector<ledger::Leg> legs) const {
  ledger::DocumentTransfer out;
  out.code = code;
  out.period = period_;
  out.effective_at = ledger::period_end_ms(period_) - 1;
  std::sort(legs.begin(), legs.end(), [](const auto& a, const auto& b) { return a.account < b.account; });
  out.legs = std::move(legs);
  return out;
}

std::string Call::id(std::string_view kind, const std::string& rest) const {
  return std::string(kind) + ":" + ledger::period_text(period_) + ":" + rest;
}

void Call::add_fees() {
  for (const auto& [key, shares] : share_fees(turnover_, *book_)) {
    std::map<std::string, Amount> sums;  // by account
    for (const auto& [party, share] : shares) {
      if (party == "platform") continue;  // its part is on E420 already
      sums[ledger::party_account(party)] += share;
      sums[std::string(ledger::account_fees)] -= share;
    }
    std::vector<ledger::Leg> legs;
    for (const auto& [account, amount] : sums)
      if (!amount.zero()) legs.push_back({account, amount});
    if (!legs.empty())
      plan(id("fee_share", key.site + ":" + key.contract + ":" + std::to_string(key.version) + (key.referred ? "" : ":unreferred")),
           document_of(std::string(kind_fee_share), transfer(Code::reprice, std::move(legs))));
  }
}

void Call::add_trueups() {
  std::map<Group, std::vector<VersionBase>> groups;
  std::map<Group, PartyAmounts> booked;
  for (const auto& [key, use] : turnover_.contracts) {
    const auto* const contract = book_->contract(key.contract, key.version);
    if (contract == nullptr) continue;
    if (use.base <= Amount{}) continue;  // reversals of other months outweigh it: it stays as it is booked
    const Group group(key.site, key.contract);
    // A step may share with a vendor that the contract's own shares leave out.
    const auto vendor = turnover_.vendors.find(key.site);
    VersionBase version{contract, key.site, vendor == turnover_.vendors.end() ? std::string() : vendor->second, use.base, key.referred};
    for (const auto& [party, amount] : use.divided) {
      if (version.vendor.empty() && party.rfind("vendor:", 0) == 0) version.vendor = party.substr(7);
      booked[group][party] += amount;
    }
    groups[group].push_back(version);
  }
  for (const auto& [group, versions] : groups) {
    if (std::all_of(versions.begin(), versions.end(), [](const VersionBase& v) { return v.contract->tiers.steps.empty(); })) continue;
    PartyAmounts change = trueup(rate_tiers(versions), booked[group]);
    if (change.empty()) continue;
    std::vector<ledger::Leg> legs;
    for (const auto& [party, amount] : change) {
      legs.push_back({ledger::party_account(party), -amount});
      adjusted_[party] += amount;
    }
    trueups_[group] = std::move(change);
    plan(id("trueup", group.first + ":" + group.second), document_of("tier_trueup", transfer(Code::tier_trueup, std::move(legs))));
  }
}

// The site's pay under a contract, true-up included, falls short of what was guaranteed; of a site that nobody asked, too.
void Call::add_guarantees() {
  std::map<Group, Amount> earned, due;
  for (const Group& group : assignments_->in(period_)) due[group];
  for (const auto& [key, use] : turnover_.contracts) {
    const Group group(key.site, key.contract);
    const auto share = use.parts.find("site:" + key.site);
    if (share != use.parts.end()) earned[group] += share->second;
    due[group];
  }
  for (auto& [group, amount] : due) {
    amount = assignments_->guarantee(*book_, group.first, group.second, period_);
    const std::string party = "site:" + group.first;
    const Amount pay = earned[group] + trueups_[group][party];
    if (amount.zero() || amount <= pay) continue;  // without one, what late reversals leave below zero is the site's
    const Amount shortfall = amount - pay;
    adjusted_[party] += shortfall;
    plan(id("guarantee", group.first + ":" + group.second),
         document_of("guarantee", transfer(Code::guarantee, {{std::string(ledger::account_guarantee), shortfall},
                                                             {ledger::party_account(party), -shortfall}})));
  }
}

// What the sites' own receipts, or a person, say of the requests whose counts are estimates.
bool Call::find_confirmed() {
  const auto subject = [&](const std::string& site) { return "estimates:" + site + ":" + ledger::period_text(period_); };
  std::map<std::string, Amount> waiting;  // by site
  bool any_signs = false;
  for (const auto& [key, use] : turnover_.contracts)
    any_signs |= use.estimated > Amount{} && rules_.dials_in && rules_.dials_in(key.site);
  if (any_signs) {
    auto question = meter_question(turnover_.estimated_from_ms);
    question.judged = [&](const ledger::RequestRow& request, const ledger::AttemptRow& attempt, bool confirmed) {
      if (!confirmed || request.row.period != period_ || request.row.source != metering::CountSource::estimate) return;
      for (const ledger::Part& part : request.parts)
        if (part.attempt == attempt.sent.n && part.party == "site:" + attempt.sent.site)
          confirmed_[key_of(attempt, part, book_->contract(part.contract, part.contract_version), request.row.admit_ms)] += part.amount;
    };
    const auto found = compare_days(*reader_, question);
    out_.error = found.error;
  }
  for (const auto& [key, use] : turnover_.contracts) {
    if (use.estimated.zero()) continue;
    if (explained(subject(key.site))) confirmed_[key] = use.estimated;
    waiting[key.site] += unconfirmed(key, use);
  }
  for (const auto& [site, amount] : waiting) {
    if (!amount.zero())
      out_.items.push_back({"estimated counts of " + site, true,
                            "CNY " + amount.text() + " of its part rest on them and wait in its reserve; where its records confirm them, before this step: "
                            "tributary period explain " + subject(site) + " --reason TEXT --evidence DOC"});
  }
  return out_.error.empty();
}

// At most what the site still has of the month under that version.
Amount Call::unconfirmed(const ContractKey& key, const ContractUse& use) const {
  const auto confirmed = confirmed_.find(key);
  const auto earned = use.parts.find("site:" + key.site);
  if (earned == use.parts.end()) return {};
  const Amount open = use.estimated - (confirmed == confirmed_.end() ? Amount{} : confirmed->second);
  return std::max(Amount{}, std::min(open, earned->second));
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
      const Amount waits = party == "site:" + key.site ? unconfirmed(key, use) : Amount{};
      reserve[party][contract->holdback.days] += withheld(amount - waits, contract->holdback.ppm);
      reserve[party][std::max(contract->holdback.days, estimate_days)] += waits;
    }
  }
  // The adjustments of this close by the terms of the party's latest version.
  for (const auto& [party, amount] : adjusted_) {
    if (party == "platform" || party.back() == ':') continue;
    const auto* const contract = assignments_->terms_of(turnover_, *book_, party, period_);
    if (contract != nullptr) reserve[party][contract->holdback.days] += withheld(amount, contract->holdback.ppm);
  }
  for (const auto& [party, by_days] : reserve) {
    Document document;
    document.kind = "reserve";
    for (const auto& [days, amount] : by_days) {
      if (amount.zero()) continue;
      auto one = transfer(Code::reserve_withhold, {{ledger::party_account(party), amount}, {ledger::reserve_account(party), -amount}});
      one.doc = id("reserve", party + ":" + std::to_string(days));
      document.transfers.push_back(std::move(one));
    }
    if (!document.transfers.empty()) plan(id("reserve", party), std::move(document));
  }
}

// What was withheld and whose days are over by the end of this month, as far as the reserve still has it: without what
// this close withholds, also where a call before this one has posted that already.
void Call::add_releases() {
  std::map<std::string, Amount> left, anew;  // by reserve: what it has, what this close has withheld
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
      const auto& leg = one.legs[0].amount.negative() ? one.legs[0] : one.legs[1];
      if (one.period >= period_) {
        anew[leg.account] -= leg.amount;
        continue;
      }
      const std::string rest = one.doc.substr(8);
      const auto colon = rest.rfind(':');
      const auto days = std::strtoll(rest.c_str() + colon + 1, nullptr, 10);
      if (ledger::period_end_ms(one.period) + days * ledger::day_ms > ledger::period_end_ms(period_)) continue;
      const std::string id = "release:" + rest;
      if (reader_->command(id)) continue;
      due.push_back({id, ledger::party_of(leg.account), -leg.amount});
    }
    return true;
  });
  for (const Due& one : due) {
    const std::string account = ledger::reserve_account(one.party);
    if (!left.contains(account)) left[account] = reader_->stands(account) - anew[account];
    const Amount amount = std::min(one.amount, left[account]);
    if (amount.zero() || amount.negative()) continue;
    left[account] -= amount;
    plan(one.id, document_of("release", transfer(Code::reserve_release, {{account, amount}, {ledger::party_account(one.party), -amount}})));
  }
}

}  // namespace trib::settlement

// Books with finance's desk in front of them.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "gateway/settlement/desk.h"
#include "tests/unit/settlement/books.h"

namespace trib::test {

using settlement::Entry;
using Result = settlement::Entry::Result;

struct Desk : Books {
  explicit Desk(const std::function<void(config::ConfigSnapshot&)>& change = [](config::ConfigSnapshot&) {}) : Books(change) {
    must("set", {{"name", "goodwill_budget"}, {"value", "100"}, {"id", "1"}}, noon);
  }

  Entry ask(const std::string& what, std::map<std::string, std::string> args, std::int64_t wall_ms = noon + ledger::day_ms) {
    return settlement::enter(*ledger, {what, std::move(args)}, wall_ms);
  }
  Entry must(const std::string& what, std::map<std::string, std::string> args, std::int64_t wall_ms = noon + ledger::day_ms) {
    Entry out = ask(what, std::move(args), wall_ms);
    INFO(what << ": " << out.why);
    REQUIRE(out.result == Result::posted);
    return out;
  }
  std::string why(const std::string& what, std::map<std::string, std::string> args, std::int64_t wall_ms = noon + ledger::day_ms) {
    const Entry out = ask(what, std::move(args), wall_ms);
    CHECK(out.result != Result::posted);
    return out.why;
  }
  std::map<std::string, std::string> accounts() {
    std::map<std::string, std::string> out;
    for (const auto& row : ledger->trial_balance().accounts)
      if (const Amount net = row.credit - row.debit; !net.zero()) out[row.account] = net.text();
    return out;
  }
  std::map<std::string, ledger::Quantity> quantities() {
    std::map<std::string, ledger::Quantity> out;
    for (const auto& row : ledger->quantities())
      if (row.amount != ledger::Quantity{}) out[row.account + " " + row.site + " " + row.model] = row.amount;
    return out;
  }
  std::vector<ledger::RequestRow> billed(Period period = november) {
    std::vector<ledger::RequestRow> out;
    read()->usage(period, [&](const ledger::RequestRow& row) {
      if (row.row.state == ledger::State::billed) out.push_back(row);
      return true;
    });
    return out;
  }
  // All that is the party's or is owed by it.
  Amount worth(const std::string& party) {
    if (party == "platform" || party == "vat") return stands(ledger::party_account(party));
    return stands(ledger::party_account(party)) + stands(ledger::reserve_account(party)) + stands(ledger::stated_account(party)) + stands(ledger::clawback_account(party));
  }
  void guarded() {
    for (const auto& row : ledger->trial_balance().accounts) {
      INFO(row.account);
      if (ledger::account_kind(row.account)->not_below_zero) CHECK_FALSE((row.credit - row.debit).negative());
    }
    CHECK(ledger->trial_balance().sum.zero());
  }
};

inline std::string text_of(const ledger::RequestRow& row) { return row.row.id.text(); }

inline void vat_inside(config::ConfigSnapshot& config) {
  config.models[0].prices[0].tax = config::PriceTax{6, true};
  config.contracts[1].base = config::ShareBase::net_of_vat;
}

inline void vat_and_reserve(config::ConfigSnapshot& config) {
  vat_inside(config);
  for (auto& contract : config.contracts) contract.holdback = {100'000, 180};
}

inline std::map<std::string, Amount> parts_of(const ledger::RequestRow& row) {
  std::map<std::string, Amount> out;
  for (const auto& part : row.parts) out[part.party] += part.amount;
  return out;
}

// "43 A100" and so on: each leg of its transfers, debit positive.
inline std::map<std::string, std::string> legs_of(const Entry& entry) {
  std::map<std::string, Amount> sums;
  for (const auto& transfer : entry.document.transfers)
    for (const auto& leg : transfer.legs) sums[std::to_string(static_cast<int>(transfer.code)) + " " + leg.account] += leg.amount;
  std::map<std::string, std::string> out;
  for (const auto& [name, amount] : sums) out[name] = amount.text();
  return out;
}
using Legs = std::map<std::string, std::string>;

}  // namespace trib::test

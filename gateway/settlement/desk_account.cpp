// Orders about customers' accounts, the bank, suspense, and whole transfers.
#include <algorithm>
#include <charconv>
#include <set>

#include "gateway/settlement/desk_call.h"

namespace trib::settlement {

Entry DeskCall::refund() {
  const std::string id = own_id("refund:" + arg("tenant") + ":" + arg("id"));
  const std::string account = ledger::customer_account(arg("tenant"));
  known_account(account);
  const Amount back = amount("amount");
  if (back != floor_fen(back)) wrong("\"amount\" must be in whole fen");
  Draft made = draft("refund", booking(ledger::period_of(wall_ms_)));
  made.document.floors.push_back({account, 0, {}});
  DocumentTransfer& legs = transfer(made, Code::cash_refund, wall_ms_);
  add_leg(legs, account, back);
  add_leg(legs, std::string(ledger::account_bank), -back);
  return post(id, std::move(made));
}

Entry DeskCall::payment() {
  const std::string id = own_id("payment:" + arg("tenant") + ":" + arg("id"));
  const std::string account = ledger::receivable_account(arg("tenant"));
  known_account(account);
  const Amount paid = amount("amount"), owed = -stands(account);
  if (paid > owed) refused(arg("tenant") + " owes " + owed.text() + " of what was invoiced; book what is above it as a top-up");
  Draft made = draft("payment", booking(ledger::period_of(wall_ms_)));
  made.document.expect.push_back({account, 0, -owed});
  DocumentTransfer& legs = transfer(made, Code::topup, wall_ms_);
  add_leg(legs, std::string(ledger::account_bank), paid);
  add_leg(legs, account, -paid);
  return post(id, std::move(made));
}

Entry DeskCall::fee() {
  const std::string id = own_id("fee:" + arg("id"));
  const std::int64_t when = at();
  const Amount paid = amount("amount");
  Draft made = draft(kind_fee, booking(ledger::period_of(when)));
  DocumentTransfer& legs = transfer(made, Code::fee, when);
  add_leg(legs, std::string(ledger::account_fees), paid);
  add_leg(legs, std::string(ledger::account_bank), -paid);
  return post(id, std::move(made));
}

Entry DeskCall::suspense() {
  const std::string id = own_id("suspense:" + arg("id"));
  const std::string &from = arg("from"), &to = arg("to");
  if (from.rfind("L250/", 0) != 0 || from == ledger::account_disputed)
    wrong("\"from\" is an account of suspense, such as L250/vendor; a dispute is resolved: tributary ledger resolve REQUEST customer|supplier");
  known_account(from);
  if (ledger::account_kind(to) == nullptr || to == ledger::account_clearing || to.rfind("L250/", 0) == 0) wrong("\"to\" must be another account, such as L220/nvidia");
  const Amount moved = amount("amount");
  Draft made = draft("suspense", booking(ledger::period_of(wall_ms_)));
  made.document.floors.push_back({from, 0, {}});
  DocumentTransfer& legs = transfer(made, Code::suspense, wall_ms_);
  add_leg(legs, from, moved);
  add_leg(legs, to, -moved);
  return post(id, std::move(made));
}

Entry DeskCall::close_account() {
  const std::string& account = arg("account");
  const std::string id = own_id("close:" + account + ":" + arg("id"));
  if (account.rfind("L2", 0) != 0 || account.find('/') == std::string::npos || account.rfind("L250", 0) == 0) wrong("only a customer's or a party's account is closed, such as L200/acme");
  known_account(account);
  const Amount left = stands(account);
  if (left.zero()) refused(account + " is empty; there is nothing to close");
  const Amount magnitude = left.negative() ? -left : left;
  if (magnitude > Amount::pico(pico_per_fen)) refused(account + " stands at " + left.text() + ", more than a fen; pay it out, or collect it, first");
  Draft made = draft("closure", booking(ledger::period_of(wall_ms_)));
  made.document.expect.push_back({account, 0, left});
  DocumentTransfer& legs = transfer(made, Code::closure, wall_ms_);
  add_leg(legs, account, left);
  add_leg(legs, std::string(ledger::account_rounding), -left);
  return post(id, std::move(made));
}

Entry DeskCall::set() {
  const std::string &name = arg("name"), &value = arg("value");
  if (name != set_goodwill_budget && name != set_item_code) wrong("\"name\" is goodwill_budget or item_code");
  if (name == set_item_code && (value.size() != 19 || value.find_first_not_of("0123456789") != std::string::npos)) wrong("\"value\" must be 19 digits");
  const auto budget = Amount::parse(value);
  if (name == set_goodwill_budget && (!budget || budget->negative())) wrong("\"value\" must be a decimal string in CNY, such as \"500.00\"");
  const std::string prefix = "setting:" + name;
  chain(prefix);
  Draft made = draft(kind_setting, booking(ledger::period_of(wall_ms_)));
  made.attached.facts["name"] = name;
  made.attached.facts["value"] = value;
  return post(next_id(prefix), std::move(made));
}

// legs: "ACCOUNT=AMOUNT,ACCOUNT=AMOUNT", debit positive.
Entry DeskCall::manual() {
  const std::string id = own_id("manual:" + arg("id"));
  const std::string& hash = arg("evidence");
  if (hash.size() != 64 || hash.find_first_not_of("0123456789abcdef") != std::string::npos) wrong("\"evidence\" must be the SHA-256 of the document that shows it, 64 hex digits");
  if (arg("made_by") == arg("approved_by")) refused("a manual entry needs two persons");
  const std::int64_t when = at();
  Draft made = draft("manual", booking(ledger::period_of(when)));
  made.attached.facts["made_by"] = arg("made_by");
  made.attached.facts["approved_by"] = arg("approved_by");
  DocumentTransfer& legs = transfer(made, Code::manual, when);
  std::string_view rest = arg("legs");
  while (!rest.empty()) {
    const auto comma = rest.find(',');
    const std::string_view one = rest.substr(0, comma);
    const auto equals = one.rfind('=');
    const auto leg = equals == std::string_view::npos ? std::nullopt : Amount::parse(one.substr(equals + 1));
    if (!leg) wrong("\"legs\" is ACCOUNT=AMOUNT,ACCOUNT=AMOUNT..., debit positive");
    const std::string account(one.substr(0, equals));
    if (account == ledger::account_clearing) wrong("C150 clears requests alone");
    add_leg(legs, account, *leg);
    rest.remove_prefix(comma == std::string_view::npos ? rest.size() : comma + 1);
  }
  return post(id, std::move(made));
}

// What other orders undo, or the close has made, is not undone by itself.
Entry DeskCall::reverse_transfer() {
  std::uint64_t number = 0;
  const std::string& text = arg("transfer");
  const auto [end_at, ec] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (ec != std::errc{} || end_at != text.data() + text.size()) wrong("a transfer is its number, as exports and proofs show it");
  const std::string id = own_id("reverse_transfer:" + text);
  const auto found = reader_->transfer(number);
  sound();
  if (!found) wrong("there is no transfer " + text);
  static const std::set<Code> whole{Code::penalty, Code::forfeiture, Code::early_exit, Code::topup, Code::cash_refund, Code::fee, Code::goodwill, Code::closure, Code::manual};
  const bool of_request = RequestId::parse(found->doc_id).has_value();
  const bool from_suspense = found->code == static_cast<std::uint16_t>(Code::suspense) && found->doc_id.rfind("suspense:", 0) == 0;
  if (of_request || !(whole.contains(static_cast<Code>(found->code)) || from_suspense)) {
    refused("a transfer of code " + std::to_string(found->code) + " (" + found->reason + ") is not reversed by itself; " +
            (of_request ? "reverse its request: tributary ledger reverse " + found->doc_id : std::string("post what corrects it")));
  }
  for (const Leg& leg : found->legs) {
    if (leg.account.rfind("L200/", 0) != 0) continue;
    const std::string topup = "topup:" + ledger::tenant_of(leg.account) + ":";
    const bool is_topup = found->doc_id.rfind(topup, 0) == 0, is_opening = found->doc_id == "opening:" + ledger::tenant_of(leg.account);
    if (!is_topup && !is_opening) continue;
    const std::string payment = is_topup ? found->doc_id.substr(topup.size()) : "opening";
    for (const Link& link : payments(ledger::tenant_of(leg.account)).links)
      if (link.attached.facts.at("payment") == payment) refused("the top-up was charged back: " + link.row.id);
  }
  Draft made = draft(kind_reversal, booking(found->period));
  DocumentTransfer& legs = transfer(made, Code::reversal, found->effective_at, found->doc_id);
  legs.reverses = number;
  for (const Leg& leg : found->legs) {
    legs.legs.push_back({leg.account, -leg.amount});
    if (leg.account.rfind("L200/", 0) == 0 && leg.amount.negative()) made.document.floors.push_back({leg.account, 0, {}});
  }
  made.attached.facts["code"] = std::to_string(found->code);
  return post(id, std::move(made));
}

}  // namespace trib::settlement

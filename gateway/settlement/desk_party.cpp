// Orders about suppliers: what is paid to them, and what they lose.
#include <algorithm>
#include <charconv>

#include "gateway/settlement/assignment.h"
#include "gateway/settlement/desk_call.h"
#include "gateway/settlement/statement.h"

namespace trib::settlement {
namespace {

// "site:dc-one": of a party that is paid.
bool is_party(const std::string& party) {
  for (const std::string_view kind : {"site:", "vendor:", "referrer:"})
    if (party.rfind(kind, 0) == 0 && party.size() > kind.size()) return true;
  return false;
}

constexpr const char* party_words = "a party is site:ID, vendor:ID or referrer:ID";

// Credit - debit of the stated account under a statement's number: what of it is still owed.
Amount open_of(ledger::Reader& reader, const std::string& no, const std::string& account) {
  Amount out;
  reader.transfers_of(no, [&](const ledger::TransferRow& transfer) {
    for (const Leg& leg : transfer.legs)
      if (leg.account == account) out -= leg.amount;
    return true;
  });
  return out;
}

}  // namespace

Entry DeskCall::payout() {
  const std::string& no = arg("statement");
  const std::string id = own_id("payout:" + no + ":" + (arg("id").empty() ? "1" : arg("id")));
  std::optional<Statement> statement;
  for (auto& one : statements(*reader_, ledger::parse_period(no.substr(0, no.find('/')))))
    if (one.no == no) statement = std::move(one);
  sound();
  if (!statement) wrong("there is no statement " + no + "; tributary statement list");
  const std::string account = ledger::stated_account(statement->party);
  const Amount open = open_of(*reader_, no, account);
  sound();
  if (open.zero()) refused("nothing is owed of statement " + no + (statement->net_payable.zero() ? "; it carries everything" : "; it is paid"));
  const Amount paid = amount_if("amount").value_or(open);
  if (paid > open) refused("only " + open.text() + " of statement " + no + " is still owed");
  if (paid != floor_fen(paid)) wrong("\"amount\" must be in whole fen");
  Draft made = draft("payout", booking(ledger::period_of(wall_ms_)));
  made.attached.facts["statement"] = no;
  made.document.expect.push_back({account, 0, stands(account)});
  DocumentTransfer& legs = transfer(made, Code::payout, wall_ms_, no);
  add_leg(legs, account, paid);
  add_leg(legs, std::string(ledger::account_bank), -paid);
  return post(id, std::move(made));
}

// `payout` is the document's id, as `payout` told it. Whole, and once.
Entry DeskCall::payout_returned() {
  const std::string& payout = arg("payout");
  const std::string id = own_id("payout_returned:" + payout);
  const auto row = reader_->command(payout);
  const auto document = row && row->result == "applied" ? ledger::read_document(row->body) : std::nullopt;
  const auto attached = document && document->kind == "payout" ? read_attached(document->attach) : std::nullopt;
  sound();
  if (!attached) wrong("there is no payout " + payout + "; its id is what tributary ledger payout printed");
  Draft made = draft("payout_returned", booking(ledger::period_of(wall_ms_)));
  made.attached.facts["statement"] = attached->facts.at("statement");
  made.attached.facts["payout"] = payout;
  DocumentTransfer& legs = transfer(made, Code::payout_returned, wall_ms_, attached->facts.at("statement"));
  for (const Leg& leg : document->transfers[0].legs) add_leg(legs, leg.account, -leg.amount);
  return post(id, std::move(made));
}

Entry DeskCall::penalty() {
  const std::string &contract_id = arg("contract"), &site = arg("site"), &cause = arg("cause"), &text = arg("measured_ppm");
  std::uint32_t measured = 0;
  const auto [end_at, ec] = std::from_chars(text.data(), text.data() + text.size(), measured);
  if (ec != std::errc{} || end_at != text.data() + text.size() || measured > money::ppm_whole) wrong("\"measured_ppm\" must be parts per million, 0 to 1000000");
  const std::int64_t when = at();
  const Period month = ledger::period_of(when);
  const std::string prefix = "penalty:" + ledger::period_text(month) + ":" + contract_id + ":" + site + ":" + cause;
  Amount before;
  for (const Link& link : chain(prefix)) {
    for (const Leg& leg : link.document.transfers.at(0).legs)
      if (!leg.amount.negative()) before += leg.amount;
  }
  const auto* const contract = book_->contract_at(contract_id, when);
  if (contract == nullptr) wrong("contract \"" + contract_id + "\" was not in force at " + ledger::time_text(when));
  // Of several steps for one cause, that of the lowest bound that the measure is below.
  const config::Penalty* due = nullptr;
  for (const auto& one : contract->penalties)
    if (one.cause == cause && measured < one.below_ppm && (due == nullptr || one.below_ppm < due->below_ppm)) due = &one;
  if (due == nullptr) refused("contract " + contract_id + " asks for no penalty for " + cause + " at " + text + " ppm");
  const std::string account = ledger::party_account("site:" + site);
  known_account(account);
  const Amount left = std::max(due->cap - before, Amount{});
  if (left.zero()) refused("the penalties of " + site + " for " + cause + " in " + ledger::period_text(month) + " have reached their cap of " + due->cap.text());
  const Amount taken = std::min(due->amount, left);
  Draft made = draft(kind_penalty, booking(month));
  made.attached.facts["contract"] = contract_id + ":" + std::to_string(contract->version);
  made.attached.facts["measured_ppm"] = text;
  DocumentTransfer& legs = transfer(made, Code::penalty, when);
  add_leg(legs, account, taken);
  add_leg(legs, std::string(ledger::account_platform), -taken);
  return post(next_id(prefix), std::move(made));
}

// What a month has brought a site of its guarantee: its parts under the contract, with what documents changed of them. Of a
// month that is closed nothing is missing.
Amount DeskCall::earned_towards(const ledger::ContractVersion& contract, const std::string& site, Period month) {
  if (booking(month) != month) return contract.guarantee;
  Turnover turnover;
  read_turnover(*reader_, *book_, month, turnover, {});
  add_booked(*reader_, *book_, month, turnover);
  sound();
  Amount out;
  for (const auto& [key, use] : turnover.contracts) {
    const auto part = use.parts.find("site:" + site);
    if (key.site == site && key.contract == contract.contract && part != use.parts.end()) out += part->second;
  }
  return out;
}

Entry DeskCall::early_exit() {
  const std::string &contract_id = arg("contract"), &site = arg("site"), &by = arg("by");
  const std::int64_t when = at();
  if (by != "site" && by != "platform") wrong("\"by\" is site or platform: who leaves");
  const auto* const contract = book_->contract_at(contract_id, when);
  if (contract == nullptr) wrong("contract \"" + contract_id + "\" was not in force at " + ledger::time_text(when));
  const std::string id = own_id("early_exit:" + contract_id + ":" + std::to_string(contract->version) + ":" + site, true);
  if (!contract->early_exit) refused("leaving contract " + contract_id + " costs nothing");
  const auto agreed = contract->early_exit->by;
  if (agreed != config::EarlyExit::By::either && (agreed == config::EarlyExit::By::site) != (by == "site")) refused("contract " + contract_id + " asks nothing of the " + by + " for leaving");
  const std::string account = ledger::party_account("site:" + site);
  known_account(account);
  if (Assignments(*reader_).has_left(site, contract_id)) refused(site + " has left contract " + contract_id + " already; what remained of its guarantee was in that price");
  ledger::RiskFacts facts{*book_, {}, {{site, contract_id}}, {}, when, ledger::previous_period(booking(ledger::period_of(when)))};
  facts.accrued[site] = earned_towards(*contract, site, ledger::period_of(when));
  std::optional<Amount> cost;
  for (const auto& risk : ledger::contract_risks(facts))
    if (risk.contract == contract && risk.site == site) cost = risk.early_exit_cost;
  if (!cost) refused("what remains of contract " + contract_id + " is not known: its term is open");
  if (cost->zero()) refused("nothing remains of the guarantee of contract " + contract_id);
  Draft made = draft("early_exit", booking(ledger::period_of(when)));
  DocumentTransfer& legs = transfer(made, Code::early_exit, when);
  const Amount owed_by_site = by == "site" ? *cost : -*cost;
  add_leg(legs, account, owed_by_site);
  add_leg(legs, std::string(by == "site" ? ledger::account_platform : ledger::account_guarantee), -owed_by_site);
  return post(id, std::move(made));
}

Entry DeskCall::forfeit() {
  const std::string &party = arg("party"), &from = arg("from");
  if (!is_party(party)) wrong(party_words);
  if (from != "reserve" && from != "payable") wrong("\"from\" is reserve or payable");
  const std::string id = own_id("forfeit:" + party + ":" + arg("id"));
  const std::string account = from == "reserve" ? ledger::reserve_account(party) : ledger::party_account(party);
  known_account(account);
  const Amount lost = amount("amount");
  Draft made = draft("forfeiture", booking(ledger::period_of(wall_ms_)));
  made.document.floors.push_back({account, 0, {}});
  DocumentTransfer& legs = transfer(made, Code::forfeiture, wall_ms_);
  add_leg(legs, account, lost);
  add_leg(legs, std::string(ledger::account_platform), -lost);
  return post(id, std::move(made));
}

Entry DeskCall::clawback() {
  const std::string &party = arg("party"), &by = arg("by");
  if (!is_party(party)) wrong(party_words);
  if (by != "payable" && by != "bank") wrong("\"by\" is payable (netted) or bank (paid in)");
  const std::string id = own_id("clawback:" + party + ":" + arg("id"));
  const std::string debt = ledger::clawback_account(party);
  known_account(debt);
  const Amount owed = -stands(debt), paid = amount("amount");
  if (paid > owed) refused(party + " owes " + owed.text() + " only");
  Draft made = draft("clawback", booking(ledger::period_of(wall_ms_)));
  made.document.expect.push_back({debt, 0, -owed});
  DocumentTransfer& legs = transfer(made, Code::clawback, wall_ms_);
  const std::string from = by == "payable" ? ledger::party_account(party) : std::string(ledger::account_bank);
  if (by == "payable") made.document.floors.push_back({from, 0, {}});
  add_leg(legs, from, paid);
  add_leg(legs, debt, -paid);
  return post(id, std::move(made));
}

}  // namespace trib::settlement

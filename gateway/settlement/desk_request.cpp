// Orders about one request: its documents are a chain, "request:ID:1", "request:ID:2"...
#include <algorithm>

#include "gateway/settlement/desk_call.h"

namespace trib::settlement {
namespace {

Amount sum(const std::vector<Part>& parts) {
  Amount out;
  for (const Part& part : parts) out += part.amount;
  return out;
}

const ledger::AttemptRow& attempt_of(const Sale& sale, std::uint16_t n) {
  const auto& attempts = sale.request.attempts;
  const auto found = std::find_if(attempts.begin(), attempts.end(), [&](const auto& a) { return a.sent.n == n; });
  TRIB_ASSERT(found != attempts.end());
  return *found;
}

// A site's or another partner's, with a name.
bool has_accounts(const std::string& party) { return party != "platform" && party != "vat" && party.back() != ':'; }

}  // namespace

std::vector<Part> portion(std::vector<Part> parts, Amount amount) {
  std::vector<Amount> weights;
  for (const Part& part : parts) weights.push_back(part.amount);
  const auto shares = apportion(amount, weights);
  for (std::size_t i = 0; i < parts.size(); ++i) parts[i].amount = shares[i];
  return parts;
}

Sale DeskCall::sale(const std::string& text) {
  const auto id = RequestId::parse(text);
  if (!id) wrong("a request id is 32 lower-case hex digits, as x-request-id gives it");
  auto request = reader_->request(*id);
  sound();
  if (!request) wrong("no request " + text + " is in the ledger");
  if (request->row.state != ledger::State::billed) refused("request " + text + " was not charged: it is " + std::string(name(request->row.state)));
  return sale(std::move(*request), chain("request:" + text));
}

Sale DeskCall::sale(ledger::RequestRow request, const std::vector<Link>& own) {
  Sale out;
  out.request = std::move(request);
  const std::string text = out.request.row.id.text();
  out.chain = "request:" + text;
  std::vector<const Link*> documents;
  for (const Link& link : own) documents.push_back(&link);
  const Payments& of_tenant = payments(out.request.row.tenant);
  if (const auto found = of_tenant.by_request.find(text); found != of_tenant.by_request.end())
    for (const std::size_t i : found->second) documents.push_back(&of_tenant.links[i]);
  out.documents = !documents.empty();
  out.left = parts_now(out.request, documents, out.price_version);
  bool all = false;  // taken back with a payment
  for (const Link* const link : documents) {
    const std::string& kind = link->document.kind;
    const auto& whole = link->attached.requests;
    all = all || std::find(whole.begin(), whole.end(), text) != whole.end();
    const auto part_of = link->attached.facts.find("part_of");
    const bool its_parts = link->row.id.rfind(out.chain + ":", 0) == 0 || (part_of != link->attached.facts.end() && part_of->second == text);
    if (kind == kind_dispute) out.disputed = true;
    if (kind == kind_upheld || kind == kind_rejected) out.disputed = false;
    if (kind == kind_goodwill) out.credited = true;
    if (!its_parts || (kind != kind_reversal && kind != kind_upheld && kind != kind_chargeback)) continue;
    for (const Part& gone : link->attached.parts) {
      const auto part = std::find_if(out.left.begin(), out.left.end(), [&](const Part& p) { return p.attempt == gone.attempt && p.party == gone.party; });
      if (part == out.left.end()) end(Entry::Result::failed, "command " + link->row.id + " names a part that " + text + " has not");
      part->amount -= gone.amount;
    }
  }
  for (Part& part : out.left)
    if (all) part.amount = {};
  out.gross = sum(out.left);
  if (out.gross.zero()) out.disputed = false;
  return out;
}

void DeskCall::add_supply(Draft& draft, const Sale& sale, const std::vector<Part>& parts) {
  for (SupplyChange& change : supply_of(sale.request, parts, *book_, true)) draft.attached.supply.push_back(std::move(change));
}

void DeskCall::add_customer(Draft& draft, const Sale& sale, const std::vector<Part>& parts) {
  CustomerChange change{sale.request.row.tenant, sale.request.row.model, sale.price_version, {}, {}};
  for (const Part& part : parts) {
    change.gross -= part.amount;
    if (part.party == "vat") change.vat -= part.amount;
  }
  draft.attached.customers.push_back(std::move(change));
}

// Every party gives back its part.
void DeskCall::take(Draft& draft, const Sale& sale, const std::vector<Part>& parts, DocumentTransfer& transfer) {
  for (const Part& part : parts) add_leg(transfer, ledger::party_account(part.party), part.amount);
  add_supply(draft, sale, parts);
}

void DeskCall::give_back_quantities(Draft& draft, const Sale& sale) {
  ledger::UsageRow row = sale.request.row;
  row.period = draft.attached.period;
  ledger::Quantities booked;
  booked.add(row, sale.request.attempts);
  for (auto& move : booked.moves()) {
    for (std::int64_t& n : move.amount) n = -n;
    draft.document.quantities.push_back(std::move(move));
  }
}

Entry DeskCall::reverse() {
  const Sale sold = sale(arg("request"));
  const std::string id = sold.request.row.id.text();
  if (sold.disputed) refused(id + " is in dispute; end that: tributary ledger resolve " + id + " customer");
  if (sold.credited) refused("goodwill was given for " + id + "; it cannot be reversed as well");
  if (sold.gross.zero()) refused("nothing is left of the charge of " + id + "; it was reversed or charged back");
  const Amount back = amount_if("amount").value_or(sold.gross);
  if (back > sold.gross) refused("only " + sold.gross.text() + " is left of the charge of " + id);
  const std::vector<Part> parts = back < sold.gross ? portion(sold.left, back) : sold.left;
  Draft made = draft(kind_reversal, booking(sold.request.row.period));
  made.attached.parts = parts;
  DocumentTransfer& legs = transfer(made, Code::reversal, sold.request.row.final_ms, id);
  take(made, sold, parts, legs);
  add_leg(legs, ledger::customer_account(sold.request.row.tenant), -back);
  add_customer(made, sold, parts);
  if (back == sold.gross) give_back_quantities(made, sold);
  return post(next_id(sold.chain), std::move(made));
}

Entry DeskCall::dispute() {
  const Sale sold = sale(arg("request"));
  const std::string id = sold.request.row.id.text();
  if (sold.disputed) refused(id + " is in dispute already");
  if (sold.credited) refused("goodwill was given for " + id + "; it cannot be disputed as well");
  if (sold.gross.zero()) refused("nothing is left of the charge of " + id);
  Draft made = draft(kind_dispute, booking(sold.request.row.period));
  DocumentTransfer& legs = transfer(made, Code::suspense, sold.request.row.final_ms, id);
  take(made, sold, sold.left, legs);
  add_leg(legs, std::string(ledger::account_disputed), -sold.gross);
  return post(next_id(sold.chain), std::move(made));
}

Entry DeskCall::resolve() {
  const Sale sold = sale(arg("request"));
  const std::string id = sold.request.row.id.text();
  const std::string& winner = arg("for");
  if (winner != "customer" && winner != "supplier") wrong("\"for\" is customer or supplier");
  if (!sold.disputed) refused(id + " is not in dispute");
  const bool upheld = winner == "customer";
  Draft made = draft(upheld ? kind_upheld : kind_rejected, booking(sold.request.row.period));
  DocumentTransfer& legs = transfer(made, upheld ? Code::reversal : Code::suspense, sold.request.row.final_ms, id);
  add_leg(legs, std::string(ledger::account_disputed), sold.gross);
  if (upheld) {
    made.attached.parts = sold.left;
    add_leg(legs, ledger::customer_account(sold.request.row.tenant), -sold.gross);
    add_customer(made, sold, sold.left);
    give_back_quantities(made, sold);
  } else {
    std::vector<Part> back = sold.left;
    for (Part& part : back) part.amount = -part.amount;
    take(made, sold, back, legs);
  }
  return post(next_id(sold.chain), std::move(made));
}

Amount& DeskCall::left_on(const std::string& account) {
  const auto [left, fresh] = left_.try_emplace(account);
  if (fresh) left->second = stands(account);
  return left->second;
}

void DeskCall::collect(Draft& draft, const std::string& party, Amount due, DocumentTransfer& from_party, DocumentTransfer& as_debt) {
  const auto take_from = [&](const std::string& account) {
    Amount& left = left_on(account);
    const Amount amount = std::min(due, std::max(left, Amount{}));
    if (amount.zero()) return;
    left -= amount;
    due -= amount;
    add_leg(from_party, account, amount);
    const auto guarded = [&](const ledger::Stands& floor) { return floor.account == account; };
    if (std::none_of(draft.document.floors.begin(), draft.document.floors.end(), guarded)) draft.document.floors.push_back({account, 0, {}});
  };
  if (due.negative()) {  // it bore a part of what was sold: that comes back to it
    add_leg(from_party, ledger::party_account(party), due);
    left_on(ledger::party_account(party)) -= due;
    return;
  }
  take_from(ledger::reserve_account(party));
  take_from(ledger::party_account(party));
  if (!due.zero()) add_leg(as_debt, ledger::clawback_account(party), due);
}

void DeskCall::charge_back(Draft& draft, const Sale& sold, const std::vector<Part>& parts, std::map<std::string, Amount>& due, DocumentTransfer& from) {
  add_customer(draft, sold, parts);
  if (sold.disputed) {
    add_leg(from, std::string(ledger::account_disputed), sum(parts));
    return;
  }
  std::vector<Part> by_split;
  for (const Part& part : parts) {
    const auto* const contract = book_->contract(part.contract, part.contract_version);
    const auto rule = contract == nullptr ? config::Chargeback::by_split : contract->chargeback;
    if (rule == config::Chargeback::by_split) by_split.push_back(part);
    const bool own = rule == config::Chargeback::by_split || part.party == "vat";
    due[own ? part.party : rule == config::Chargeback::platform ? "platform" : "site:" + attempt_of(sold, part.attempt).sent.site] += part.amount;
  }
  add_supply(draft, sold, by_split);
}

void DeskCall::collect_all(Draft& draft, const std::map<std::string, Amount>& due, DocumentTransfer& from, DocumentTransfer& debt) {
  for (const auto& [party, amount] : due) {
    if (amount.zero()) continue;
    if (has_accounts(party)) collect(draft, party, amount, from, debt);
    else add_leg(from, ledger::party_account(party), amount);
  }
  for (DocumentTransfer* const one : {&from, &debt}) {
    Amount whole;
    for (const Leg& leg : one->legs) whole += leg.amount;
    add_leg(*one, std::string(ledger::account_bank), -whole);
  }
}

Entry DeskCall::chargeback() {
  const Sale sold = sale(arg("request"));
  const std::string id = sold.request.row.id.text();
  if (sold.credited) refused("goodwill was given for " + id + "; it cannot be charged back as well");
  if (sold.gross.zero()) refused("nothing is left of the charge of " + id + "; it was reversed or charged back");
  const Amount cost = amount_if("cost").value_or(Amount{});
  Draft made = draft(kind_chargeback, booking(sold.request.row.period));
  made.attached.parts = sold.left;
  const std::int64_t when = sold.request.row.final_ms;
  DocumentTransfer& from = transfer(made, Code::chargeback, when, id);
  DocumentTransfer& debt = transfer(made, Code::clawback, when, id);
  DocumentTransfer& fee = transfer(made, Code::fee, when, id);
  std::map<std::string, Amount> due;  // by party
  charge_back(made, sold, sold.left, due, from);
  if (!cost.zero()) {
    const auto& attempts = sold.request.attempts;
    const auto last = std::find_if(attempts.rbegin(), attempts.rend(), [](const auto& a) { return a.rated; });  // that served
    TRIB_ASSERT(last != attempts.rend());
    const auto* const contract = book_->contract(last->sent.contract, last->sent.contract_version);
    const auto rule = contract == nullptr ? config::ChargebackCost::platform : contract->chargeback_cost;
    Amount borne;  // by others than the platform
    if (rule == config::ChargebackCost::site) {
      due["site:" + last->sent.site] += cost;
      borne = cost;
    } else if (rule == config::ChargebackCost::by_split) {
      std::vector<Amount> weights;
      std::vector<std::string> parties;
      for (const Part& part : sold.left) {
        if (part.party == "vat" || part.amount.negative()) continue;
        parties.push_back(part.party);
        weights.push_back(part.amount);
      }
      const bool nobody = std::all_of(weights.begin(), weights.end(), [](Amount weight) { return weight.zero(); });
      const auto shares = nobody ? std::vector<Amount>{} : apportion(cost, weights);
      for (std::size_t i = 0; i < shares.size(); ++i) {
        if (!has_accounts(parties[i])) continue;
        due[parties[i]] += shares[i];
        borne += shares[i];
      }
    }
    add_leg(fee, std::string(ledger::account_fees), cost - borne);
    add_leg(fee, std::string(ledger::account_bank), borne - cost);
  }
  collect_all(made, due, from, debt);
  return post(next_id(sold.chain), std::move(made));
}

Entry DeskCall::goodwill() {
  const Amount given = amount("amount");
  const std::string& tenant = arg("tenant");
  const bool about = !arg("request").empty();
  std::string id;
  std::optional<Sale> sold;
  if (about) {
    sold = sale(arg("request"));
    id = next_id(sold->chain);
    const std::string text = sold->request.row.id.text();
    if (sold->request.row.tenant != tenant) wrong("request " + text + " is not one of " + tenant);
    if (next_[sold->chain] != 1 || sold->documents) refused("there are documents about " + text + " already; goodwill stands alone");
    if (given > sold->gross) refused("the charge of " + text + " was " + sold->gross.text() + " only");
  } else {
    id = own_id("goodwill:" + arg("id"));
  }
  known_account(ledger::customer_account(tenant));
  const Period period = booking(ledger::period_of(wall_ms_));
  const std::string expense(ledger::account_goodwill);
  const Amount spent = -stands(expense, period), budget = Amount::parse(setting(*reader_, set_goodwill_budget)).value_or(Amount{});
  if (spent + given > budget) {
    refused("the goodwill of " + ledger::period_text(period) + " would be " + (spent + given).text() + ", above the budget of " +
            budget.text() + "; more is allowed by: tributary ledger set goodwill_budget AMOUNT --id ID");
  }
  Draft made = draft(kind_goodwill, period);
  made.document.expect.push_back({expense, period, -spent});
  DocumentTransfer& credit = transfer(made, Code::goodwill, wall_ms_, about ? sold->request.row.id.text() : std::string());
  add_leg(credit, expense, given);
  add_leg(credit, ledger::customer_account(tenant), -given);
  if (about) {  // who shares net of refunds bears his part of it
    DocumentTransfer& share = transfer(made, Code::reprice, sold->request.row.final_ms, sold->request.row.id.text());
    std::vector<Part> borne;
    for (Part& part : portion(sold->left, given)) {
      const auto* const contract = book_->contract(part.contract, part.contract_version);
      if (contract == nullptr || contract->base != config::ShareBase::net_of_refunds) continue;
      if (part.party == "vat") part.party = "platform";  // which bears it of the price, too
      borne.push_back(part);
      if (part.party == "platform") continue;  // it has the expense already
      add_leg(share, ledger::party_account(part.party), part.amount);
      add_leg(share, expense, -part.amount);
    }
    add_supply(made, *sold, borne);
    made.attached.parts = borne;
  }
  return post(id, std::move(made));
}

}  // namespace trib::settlement

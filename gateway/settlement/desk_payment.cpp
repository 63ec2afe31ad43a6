// What a customer's bank took back of a payment: first out of his balance, then of his newest requests. A chain of
// documents for each customer, "chargeback:TENANT:1", "chargeback:TENANT:2"...; one order makes as many as it needs.
#include <algorithm>

#include "gateway/settlement/desk_call.h"

namespace trib::settlement {
namespace {

constexpr std::size_t requests_of_document = 1'000, requests_of_order = 100'000;

std::string fact(const Link& link, const char* name) {
  const auto found = link.attached.facts.find(name);
  return found == link.attached.facts.end() ? std::string() : found->second;
}

struct Charged {
  std::int64_t final_ms = 0;
  RequestId id;
};

bool newer(const Charged& a, const Charged& b) {
  return a.final_ms != b.final_ms ? a.final_ms > b.final_ms : b.id < a.id;
}

void sum_up(Attached& attached) {
  SupplySum supply;
  supply.add(attached.supply);
  attached.supply = supply.take();
  std::map<std::tuple<std::string, std::string, std::uint32_t>, CustomerChange> customers;
  for (const CustomerChange& one : attached.customers) {
    CustomerChange& sum = customers.try_emplace({one.tenant, one.model, one.price_version}, CustomerChange{one.tenant, one.model, one.price_version, {}, {}}).first->second;
    sum.gross += one.gross;
    sum.vat += one.vat;
  }
  attached.customers.clear();
  for (auto& [key, sum] : customers) attached.customers.push_back(std::move(sum));
}

}  // namespace

const DeskCall::Payments& DeskCall::payments(const std::string& tenant) {
  const auto [known, fresh] = payments_.try_emplace(tenant);
  Payments& out = known->second;
  if (!fresh) return out;
  out.links = links("chargeback:" + tenant, out.next);
  for (std::size_t i = 0; i < out.links.size(); ++i) {
    for (const std::string& request : out.links[i].attached.requests) out.by_request[request].push_back(i);
    if (const std::string request = fact(out.links[i], "part_of"); !request.empty()) out.by_request[request].push_back(i);
  }
  return out;
}

Amount DeskCall::paid_by(const std::string& tenant, const std::string& payment) {
  bool found = false;
  Amount out;
  const auto look = [&](const std::string& document) {
    reader_->transfers_of(document, [&](const ledger::TransferRow& one) {
      for (const Leg& leg : one.legs) {
        found = found || leg.account == ledger::customer_account(tenant);
        if (leg.account == ledger::account_bank) out += leg.amount;
      }
      return true;
    });
    sound();
  };
  look("topup:" + tenant + ":" + payment);
  if (!found && payment == "opening") look("opening:" + tenant);
  if (!found) {
    std::uint64_t invoiced = 0;
    reader_->transfers_of("payment:" + tenant + ":" + payment, [&](const ledger::TransferRow& one) {
      invoiced = one.id;
      return true;
    });
    sound();
    if (invoiced != 0)
      refused("payment " + payment + " of " + tenant + " paid an invoice, which he owes again once it is undone: tributary ledger reverse-transfer " + std::to_string(invoiced));
    wrong("there is no top-up " + payment + " of " + tenant + "; a payment is known by the id that its top-up was given, an opening balance by `opening`");
  }
  if (out.zero()) refused("the top-up " + payment + " of " + tenant + " was reversed");
  return out;
}

Entry DeskCall::chargeback_payment() {
  const std::string &tenant = arg("tenant"), &payment = arg("payment");
  Amount open = paid_by(tenant, payment), done;  // by this order, when it broke off
  Entry repeated;
  for (const Link& link : payments(tenant).links) {
    const bool own = link.attached.asked == asked_;
    if (!own && same_id(link)) end_other_order(link);
    if (fact(link, "payment") != payment) continue;
    const Amount took = Amount::parse(fact(link, "amount")).value_or(Amount{});
    (own ? done : open) += own ? took : -took;
    if (!own) continue;
    repeated.id = link.row.id;
    auto& transfers = repeated.document.transfers;
    transfers.insert(transfers.end(), link.document.transfers.begin(), link.document.transfers.end());
    repeated.document.kind = link.document.kind;
    repeated.document.attach = link.document.attach;
  }
  const Amount target = amount_if("amount").value_or(open);
  if (target.zero()) refused("nothing is left of the payment " + payment + "; it was charged back");
  if (target > open) refused("only " + open.text() + " is left of the payment " + payment + " of " + tenant);
  if (done == target) {
    repeated.result = Entry::Result::repeated;
    return repeated;
  }
  const std::string account = ledger::customer_account(tenant), reference = "chargeback:" + tenant + ":" + payment + (arg("id").empty() ? "" : ":" + arg("id"));
  const Amount balance = std::min({target - done, std::max(stands(account), Amount{}), std::max(order_.available.value_or(target), Amount{})});
  std::vector<Draft> drafts;
  if (!balance.zero()) drafts.push_back(from_balance(account, reference, balance));
  Amount rest = target - done - balance;
  from_requests(tenant, reference, rest, drafts);
  if (!rest.zero()) {
    refused("of the payment " + payment + " only " + (target - rest).text() + " can be charged back: " + balance.text() + " of the balance, the rest of requests; make it with --amount " +
            (target - rest).text() + ", and decide who bears what is above it: tributary ledger manual");
  }
  return post_chain("chargeback:" + tenant, payments(tenant).next, std::move(drafts));
}

DeskCall::Draft DeskCall::from_balance(const std::string& account, const std::string& reference, Amount amount) {
  Draft out = draft(kind_chargeback, booking(ledger::period_of(wall_ms_)));
  out.document.floors.push_back({account, 0, {}});
  out.attached.facts["amount"] = amount.text();
  DocumentTransfer& legs = transfer(out, Code::chargeback, wall_ms_, reference);
  add_leg(legs, account, amount);
  add_leg(legs, std::string(ledger::account_bank), -amount);
  return out;
}

// Newest first, by the month in which they ended: a request is booked in that one or in a later one.
void DeskCall::from_requests(const std::string& tenant, const std::string& reference, Amount& rest, std::vector<Draft>& out) {
  std::int64_t first_ms = wall_ms_;
  for (const auto& [model, versions] : book_->prices)
    if (!versions.empty()) first_ms = std::min(first_ms, versions.front().from_ms);
  std::map<Period, std::vector<Charged>> ended;
  for (Period period = ledger::period_of(wall_ms_); !rest.zero() && period >= ledger::period_of(first_ms); period = ledger::previous_period(period)) {
    reader_->usage(period, [&](const ledger::RequestRow& request) {
      const ledger::UsageRow& row = request.row;
      if (row.tenant == tenant && row.state == ledger::State::billed) ended[ledger::period_of(row.final_ms)].push_back({row.final_ms, row.id});
      return true;
    });
    sound();
    auto month = ended.extract(period);
    if (month.empty()) continue;
    std::vector<RequestId> requests;
    std::sort(month.mapped().begin(), month.mapped().end(), newer);
    for (const Charged& one : month.mapped()) requests.push_back(one.id);
    from_month(requests, reference, rest, out);
  }
}

void DeskCall::from_month(const std::vector<RequestId>& requests, const std::string& reference, Amount& rest, std::vector<Draft>& out) {
  std::optional<Draft> made;
  std::map<std::string, Amount> due;  // by party
  Amount before = rest;
  std::size_t count = 0;
  const auto finish = [&] {
    if (!made) return;
    auto& transfers = made->document.transfers;
    collect_all(*made, due, transfers[0], transfers[1]);
    made->attached.facts["amount"] = (before - rest).text();
    sum_up(made->attached);
    if (made->attached.supply.size() > attached_list_max) refused("too many suppliers for one document; charge back a smaller --amount first");
    out.push_back(std::move(*made));
    made.reset();
    due.clear();
    before = rest;
    count = 0;
  };
  for (const RequestId& id : requests) {
    if (rest.zero()) break;
    std::uint32_t next = 0;
    auto request = reader_->request(id);
    sound();
    if (!request) end(Entry::Result::failed, "request " + id.text() + " cannot be read");
    const Sale sold = sale(std::move(*request), links("request:" + id.text(), next));
    if (sold.credited || sold.gross.zero()) continue;
    if (!made) {
      made = draft(kind_chargeback, booking(sold.request.row.period));
      for (const Code code : {Code::chargeback, Code::clawback}) transfer(*made, code, sold.request.row.final_ms, reference);
    }
    const bool whole = sold.gross <= rest;
    const std::vector<Part> parts = whole ? sold.left : portion(sold.left, rest);
    charge_back(*made, sold, parts, due, made->document.transfers[0]);
    rest -= whole ? sold.gross : rest;
    if (whole) {
      made->attached.requests.push_back(id.text());
    } else {
      made->attached.facts["part_of"] = id.text();
      made->attached.parts = parts;
    }
    if (++charged_back_ > requests_of_order) refused("more than 100000 requests are to be charged back; charge back a smaller --amount first, then the rest with another --id");
    if (++count == requests_of_document) finish();
  }
  finish();
}

// One after the other. An order that breaks off between two is made again and goes on with what is left.
Entry DeskCall::post_chain(const std::string& prefix, std::uint32_t number, std::vector<Draft> drafts) {
  Entry out;
  for (Draft& one : drafts) {
    one.attached.facts["payment"] = arg("payment");
    Entry made = post(prefix + ":" + std::to_string(number++), std::move(one));
    if (made.result != Entry::Result::posted) {
      made.why += "; " + std::to_string(&one - drafts.data()) + " of " + std::to_string(drafts.size()) + " documents are posted, the same order again goes on";
      return made;
    }
    auto& transfers = made.document.transfers;
    transfers.insert(transfers.begin(), out.document.transfers.begin(), out.document.transfers.end());
    out = std::move(made);
  }
  return out;
}

}  // namespace trib::settlement

// What all orders share: their forms, their ids, the periods they are booked in, and their posting.
#include "gateway/settlement/desk.h"

#include <algorithm>

#include "gateway/base/json_writer.h"
#include "gateway/settlement/desk_call.h"

namespace trib::settlement {

struct Action {
  Form form;
  Entry (DeskCall::*run)();

  static const std::vector<Action>& all() {
    static const std::vector<Action> out = {
        {{"reverse", {"request"}, {"amount", "id", "reason", "evidence"}, "a request's charge, whole or in part (30)"}, &DeskCall::reverse},
        {{"reverse-transfer", {"transfer"}, {"reason", "evidence"}, "a whole transfer of a document (30)"}, &DeskCall::reverse_transfer},
        {{"reprice", {"model", "from", "to", "version"}, {"tenant", "id", "reason", "evidence"}, "a time's requests by another published price (32)"}, &DeskCall::reprice},
        {{"dispute", {"request", "reason", "evidence"}, {"id"}, "a request's amount into suspense (35)"}, &DeskCall::dispute},
        {{"resolve", {"request", "for"}, {"id", "reason", "evidence"}, "its dispute, for the customer (30) or the supplier (35)"}, &DeskCall::resolve},
        {{"chargeback", {"request", "evidence"}, {"cost", "id", "reason"}, "what a customer's bank took back for a request (43, 44)"}, &DeskCall::chargeback},
        {{"chargeback-payment", {"tenant", "payment", "evidence"}, {"amount", "id", "reason"}, "what a customer's bank took back of a top-up (43, 44)"}, &DeskCall::chargeback_payment},
        {{"clawback", {"party", "amount", "by", "id"}, {"reason", "evidence"}, "a party's debt (A120) out of its payable, or paid (44)"}, &DeskCall::clawback},
        {{"refund", {"tenant", "amount", "id"}, {"reason", "evidence"}, "a customer's balance back to him (51)"}, &DeskCall::refund},
        {{"payment", {"tenant", "amount", "id"}, {"evidence"}, "a customer's payment of what was invoiced (50)"}, &DeskCall::payment},
        {{"goodwill", {"tenant", "amount", "id"}, {"request", "reason", "evidence"}, "credit to a customer, within the budget (55)"}, &DeskCall::goodwill},
        {{"fee", {"amount", "id"}, {"at", "reason", "evidence"}, "a payment provider's fee (54)"}, &DeskCall::fee},
        {{"payout", {"statement"}, {"amount", "id", "evidence"}, "of a stated amount to its party (52)"}, &DeskCall::payout},
        {{"payout-returned", {"payout"}, {"reason", "evidence"}, "a payout that came back (53)"}, &DeskCall::payout_returned},
        {{"penalty", {"contract", "site", "cause", "measured_ppm", "evidence", "id"}, {"at", "reason"}, "by the contract's schedule, within its cap (40)"}, &DeskCall::penalty},
        {{"early-exit", {"contract", "site", "by", "evidence"}, {"at", "reason"}, "the price of leaving a contract (46)"}, &DeskCall::early_exit},
        {{"forfeit", {"party", "amount", "from", "evidence", "id"}, {"reason"}, "what a party loses of its reserve or payable (45)"}, &DeskCall::forfeit},
        {{"suspense", {"from", "to", "amount", "reason", "evidence", "id"}, {}, "what waits in suspense to where it belongs (35)"}, &DeskCall::suspense},
        {{"close-account", {"account", "id"}, {"reason", "evidence"}, "at most a fen that is left on it (63)"}, &DeskCall::close_account},
        {{"set", {"name", "value", "id"}, {"reason", "evidence"}, "goodwill_budget (CNY a month) or item_code (19 digits)"}, &DeskCall::set},
        {{"manual", {"legs", "made_by", "approved_by", "evidence", "id"}, {"at", "reason"}, "any legs, by two persons (70)"}, &DeskCall::manual},
    };
    return out;
  }
};

const std::vector<Form>& desk_forms() {
  static const std::vector<Form> out = [] {
    std::vector<Form> forms;
    for (const Action& action : Action::all()) forms.push_back(action.form);
    return forms;
  }();
  return out;
}

bool is_order(std::string_view what) {
  const auto& forms = desk_forms();
  return std::any_of(forms.begin(), forms.end(), [&](const Form& form) { return form.what == what; });
}

std::string setting(ledger::Reader& reader, std::string_view name) {
  std::string out;
  for (std::uint32_t n = 1;; ++n) {
    const auto row = reader.command("setting:" + std::string(name) + ":" + std::to_string(n));
    if (!row) return out;
    const auto document = row->result == "applied" ? ledger::read_document(row->body) : std::nullopt;
    const auto attached = document ? read_attached(document->attach) : std::nullopt;
    if (attached) out = attached->facts.at("value");
  }
}

std::map<std::string, Amount> Entry::moved() const {
  std::map<std::string, Amount> out;
  if (result != Result::posted) return out;
  const std::string customers = ledger::customer_account("");
  for (const auto& transfer : document.transfers)
    for (const auto& leg : transfer.legs)
      if (leg.account.rfind(customers, 0) == 0) out[leg.account.substr(customers.size())] -= leg.amount;
  return out;
}

Entry enter(ledger::Ledger& ledger, const Order& order, std::int64_t wall_ms) {
  while (ledger.post_once()) {  // what an earlier call left in the journal is seen
  }
  return DeskCall(ledger, order, wall_ms).run();
}

DeskCall::DeskCall(ledger::Ledger& ledger, const Order& order, std::int64_t wall_ms)
    : ledger_(ledger), order_(order), wall_ms_(wall_ms), book_(ledger.book()) {
  json::Writer asked;
  asked.open('{').text("order", order.what);
  for (const auto& [name, value] : order.args)
    if (!value.empty()) asked.text(name, value);
  asked_ = asked.close('}').take();
}

Entry DeskCall::run() {
  try {
    const auto& actions = Action::all();
    const auto action = std::find_if(actions.begin(), actions.end(), [&](const Action& a) { return a.form.what == order_.what; });
    if (action == actions.end()) wrong("there is no order \"" + order_.what + "\"");
    const Form& form = action->form;
    constexpr std::size_t arg_bytes_max = 4096;
    for (const auto& [name, value] : order_.args) {
      const auto in = [&](const auto& list) { return std::find(list.begin(), list.end(), name) != list.end(); };
      if (!in(form.required) && !in(form.optional)) wrong(order_.what + " does not take \"" + name + "\"");
      if (value.size() > arg_bytes_max) wrong("\"" + name + "\" is longer than 4096 bytes");
    }
    for (const auto name : form.required)
      if (arg(std::string(name)).empty()) wrong(order_.what + " needs \"" + std::string(name) + "\"");
    reader_ = ledger_.reader(why_);
    if (!reader_ || !reader_->begin()) end(Entry::Result::failed, "the store cannot be read: " + why_);
    Entry out = (this->*action->run)();
    return out;
  } catch (Ended& ended) {
    return std::move(ended.entry);
  }
}

void DeskCall::end(Entry::Result result, std::string why) {
  Entry out;
  out.result = result;
  out.why = std::move(why);
  throw Ended{std::move(out)};
}

void DeskCall::sound() {
  if (!reader_->error().empty()) end(Entry::Result::failed, reader_->error());
}

const std::string& DeskCall::arg(const std::string& name) const {
  static const std::string none;
  const auto found = order_.args.find(name);
  return found == order_.args.end() ? none : found->second;
}

Amount DeskCall::amount(const std::string& name) {
  const auto out = Amount::parse(arg(name));
  if (!out || out->zero() || out->negative()) wrong("\"" + name + "\" must be a decimal string in CNY above zero, such as \"12.50\"");
  return *out;
}

std::int64_t DeskCall::at() {
  if (arg("at").empty()) return wall_ms_;
  const auto out = config::parse_date(arg("at"));
  if (!out) wrong("\"at\" must be a date or a time, such as 2026-11-24 or 2026-11-24T12:00:00+08:00");
  if (*out > wall_ms_) wrong("\"at\" has not come yet");
  return *out;
}

Period DeskCall::booking(Period period) {
  if (const auto known = booked_in_.find(period); known != booked_in_.end()) return known->second;
  ledger::Periods periods;
  for (const auto& row : reader_->periods()) {
    if (row.state >= ledger::PeriodState::closed) periods.closed_through = std::max(periods.closed_through, row.period);
    periods.rows[row.period] = row;
  }
  sound();
  const Period out = periods.booking(period);
  const auto row = periods.rows.find(out);
  if (row != periods.rows.end() && row->second.state == ledger::PeriodState::reconciled) {
    const std::string text = ledger::period_text(out);
    refused(text + " is being closed; finish that first: tributary period close " + text + " (this is then booked in the month after)");
  }
  return booked_in_[period] = out;
}

Amount DeskCall::stands(const std::string& account, Period period) {
  const Amount out = reader_->stands(account, period);
  sound();
  return out;
}

void DeskCall::known_account(const std::string& account) {
  if (ledger::account_kind(account) == nullptr) wrong("there is no account \"" + account + "\"");
  if (!trial_) trial_ = reader_->trial_balance();
  sound();
  const auto& rows = trial_->accounts;
  if (std::none_of(rows.begin(), rows.end(), [&](const auto& row) { return row.account == account; }))
    wrong("nothing was ever booked on " + account + "; tributary trial-balance lists the accounts");
}

std::vector<Link> DeskCall::links(const std::string& prefix, std::uint32_t& next) {
  std::vector<Link> out;
  for (next = 1;; ++next) {
    auto row = reader_->command(prefix + ":" + std::to_string(next));
    if (!row) break;
    if (row->result != "applied") continue;
    auto document = ledger::read_document(row->body);
    auto attached = document ? read_attached(document->attach) : std::nullopt;
    if (!attached) end(Entry::Result::failed, "command " + row->id + " cannot be read");
    out.emplace_back(Link{std::move(*row), std::move(*document), std::move(*attached)});
  }
  sound();
  return out;
}

void DeskCall::end_repeated(Link& link) {
  Entry entry;
  entry.result = Entry::Result::repeated;
  entry.id = link.row.id;
  entry.document = std::move(link.document);
  throw Ended{std::move(entry)};
}

void DeskCall::end_other_order(const Link& link) {
  end(Entry::Result::conflict, "the id \"" + arg("id") + "\" stands for another order, " + link.row.id + "; give this one an id of its own");
}

bool DeskCall::same_id(const Link& link) const {
  const auto named = link.attached.facts.find("id");
  return !arg("id").empty() && named != link.attached.facts.end() && named->second == arg("id");
}

std::vector<Link> DeskCall::chain(const std::string& prefix) {
  auto out = links(prefix, next_[prefix]);
  for (Link& link : out) {
    if (link.attached.asked == asked_) end_repeated(link);
    if (same_id(link)) end_other_order(link);
  }
  return out;
}

std::string DeskCall::next_id(const std::string& prefix) { return prefix + ":" + std::to_string(next_.at(prefix)); }

std::string DeskCall::own_id(const std::string& prefix, bool may_repeat) {
  std::string id = prefix;
  for (int n = 2;; ++n) {
    const auto row = reader_->command(id);
    if (!row) break;
    if (row->result == "applied") {
      auto document = ledger::read_document(row->body);
      const auto attached = document ? read_attached(document->attach) : std::nullopt;
      const bool same = attached && attached->asked == asked_;
      if (!same && !may_repeat) end(Entry::Result::conflict, "the id of " + prefix + " stands for another order; give this one an id of its own");
      if (same) {
        Entry entry;
        entry.result = Entry::Result::repeated;
        entry.id = id;
        entry.document = std::move(*document);
        throw Ended{std::move(entry)};
      }
    }
    id = prefix + "#" + std::to_string(n);
  }
  sound();
  return id;
}

DeskCall::Draft DeskCall::draft(std::string_view kind, Period period) {
  Draft out;
  out.document.kind = kind;
  out.document.evidence = arg("evidence");
  out.document.transfers.reserve(4);
  out.attached.asked = asked_;
  out.attached.period = period;
  for (const char* fact : {"id", "reason"})
    if (!arg(fact).empty()) out.attached.facts[fact] = arg(fact);
  return out;
}

DocumentTransfer& DeskCall::transfer(Draft& draft, Code code, std::int64_t effective_at, std::string doc) {
  TRIB_ASSERT(draft.document.transfers.size() < 4);  // callers keep references
  DocumentTransfer& out = draft.document.transfers.emplace_back();
  out.code = code;
  out.period = draft.attached.period;
  out.effective_at = effective_at;
  out.doc = std::move(doc);
  return out;
}

void add_leg(DocumentTransfer& transfer, const std::string& account, Amount debit) {
  const auto found = std::find_if(transfer.legs.begin(), transfer.legs.end(), [&](const Leg& leg) { return leg.account == account; });
  if (found == transfer.legs.end()) {
    transfer.legs.push_back({account, debit});
  } else {
    found->amount += debit;
  }
}

Entry DeskCall::post(const std::string& id, Draft draft) {
  sound();  // what it was reckoned from
  auto& transfers = draft.document.transfers;
  for (auto& one : transfers) {
    std::erase_if(one.legs, [](const Leg& leg) { return leg.amount.zero(); });
    if (!one.reverses) std::sort(one.legs.begin(), one.legs.end(), [](const Leg& a, const Leg& b) { return a.account < b.account; });
  }
  std::erase_if(transfers, [](const DocumentTransfer& one) { return one.legs.empty(); });
  if (transfers.empty() && draft.document.kind != kind_setting) refused("no money would move");
  draft.document.attach = attached_text(draft.attached);
  if (auto why = ledger::refuse(draft.document); !why.empty()) refused(why);
  reader_->end();
  Entry out;
  out.id = id;
  out.document = std::move(draft.document);
  switch (ledger_.post(id, out.document, wall_ms_)) {
    case ledger::Posting::posted: out.result = Entry::Result::posted; return out;
    case ledger::Posting::repeated: out.result = Entry::Result::repeated; return out;
    case ledger::Posting::conflict: out.result = Entry::Result::failed; break;  // another call took this number
    case ledger::Posting::failed: out.result = Entry::Result::failed; break;
  }
  out.why = ledger_.refusal(id);
  if (!out.why.empty()) out.result = Entry::Result::refused;
  else out.why = "it is not known to be durable; send the same order again";
  return out;
}

}  // namespace trib::settlement

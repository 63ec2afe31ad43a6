#include "gateway/ledger/documents.h"

#include <algorithm>
#include <array>
#include <tuple>

#include "gateway/base/json.h"
#include "gateway/base/json_writer.h"
#include "gateway/ledger/amount_json.h"

namespace trib::ledger {
namespace {

constexpr std::array state_names{"open", "grace", "reconciled", "closed", "stated", "paid"};

void write_stands(json::Writer& out, std::string_view key, const std::vector<Stands>& list) {
  if (list.empty()) return;
  out.key(key).open('[');
  for (const Stands& one : list) out.open('[').text(one.account).integer(one.period).text(one.amount.text()).close(']');
  out.close(']');
}

bool read_period(json::Cursor& cursor, Period& out) {
  std::int64_t value = 0;
  if (!cursor.read_integer(value) || value < 0 || value > 999912) return false;
  out = static_cast<Period>(value);
  return true;
}

bool read_stands(json::Cursor& cursor, std::vector<Stands>& out) {
  if (!cursor.enter_array()) return false;
  while (cursor.next_element()) {
    Stands one;
    if (out.size() == document_legs_max || !cursor.enter_array()) return false;
    if (!cursor.next_element() || !cursor.read_string(one.account)) return false;
    if (!cursor.next_element() || !read_period(cursor, one.period)) return false;
    if (!cursor.next_element() || !read_amount(cursor, one.amount) || cursor.next_element()) return false;
    out.push_back(std::move(one));
  }
  return cursor.ok();
}

void write_quantities(json::Writer& out, const std::vector<QuantityMove>& list) {
  if (list.empty()) return;
  out.key("quantities").open('[');
  for (const QuantityMove& one : list) {
    out.open('[').integer(one.period).text(one.site).text(one.model).text(name(one.account));
    for (const std::int64_t n : one.amount) out.integer(n);
    out.close(']');
  }
  out.close(']');
}

bool read_quantity(json::Cursor& cursor, QuantityMove& out) {
  std::string account;
  if (!cursor.enter_array() || !cursor.next_element() || !read_period(cursor, out.period)) return false;
  for (std::string* text : {&out.site, &out.model, &account})
    if (!cursor.next_element() || !cursor.read_string(*text)) return false;
  const auto known = parse_quantity_account(account);
  if (!known) return false;
  out.account = *known;
  for (std::int64_t& n : out.amount)
    if (!cursor.next_element() || !cursor.read_integer(n)) return false;
  return !cursor.next_element() && cursor.ok();
}

bool read_quantities(json::Cursor& cursor, std::vector<QuantityMove>& out) {
  if (!cursor.enter_array()) return false;
  while (cursor.next_element())
    if (out.size() == document_quantities_max || !read_quantity(cursor, out.emplace_back())) return false;
  return cursor.ok();
}

std::string refuse(const std::vector<QuantityMove>& quantities) {
  constexpr std::int64_t end = 100'000'000'000'000;  // so that sums fit
  std::map<std::tuple<Period, std::string, std::string>, Quantity> sums;
  for (const QuantityMove& one : quantities) {
    if (one.site.empty() || one.model.empty()) return "a quantity without its site or model";
    for (const std::int64_t n : one.amount)
      if (n <= -end || n >= end) return "a quantity out of bounds";
    add(sums[{one.period, one.site, one.model}], one.amount);
  }
  for (const auto& [key, sum] : sums)
    if (sum != Quantity{}) return "the quantities of site " + std::get<1>(key) + " do not sum to 0";
  return {};
}

bool read_legs(json::Cursor& cursor, std::vector<Leg>& out) {
  if (!cursor.enter_array()) return false;
  while (cursor.next_element()) {
    Leg leg;
    if (out.size() == document_legs_max || !cursor.enter_array()) return false;
    if (!cursor.next_element() || !cursor.read_string(leg.account)) return false;
    if (!cursor.next_element() || !read_amount(cursor, leg.amount) || cursor.next_element()) return false;
    out.push_back(std::move(leg));
  }
  return cursor.ok();
}

bool read_transfer(json::Cursor& cursor, DocumentTransfer& out) {
  if (!cursor.enter_object()) return false;
  std::string_view key;
  std::int64_t value = 0;
  while (cursor.next_key(key)) {
    bool fine = false;
    if (key == "code") {
      fine = cursor.read_integer(value) && value > 0 && value < 100;
      out.code = static_cast<Code>(value);
    } else if (key == "period") {
      fine = read_period(cursor, out.period);
    } else if (key == "effective_at") {
      fine = cursor.read_integer(out.effective_at);
    } else if (key == "doc") {
      fine = cursor.read_string(out.doc);
    } else if (key == "reverses") {
      fine = cursor.read_integer(value) && value >= 0;
      out.reverses = static_cast<std::uint64_t>(value);
    } else if (key == "legs") {
      fine = read_legs(cursor, out.legs);
    }
    if (!fine) return false;
  }
  return cursor.ok();
}

std::string refuse(const DocumentTransfer& transfer) {
  const std::string place = "a transfer of code " + std::to_string(static_cast<int>(transfer.code));
  if (reason(transfer.code).empty()) return place + ": there is no such code";
  if (transfer.code >= Code::usage_charge && transfer.code <= Code::overrun) return place + ": requests post it, not documents";
  if (transfer.legs.size() < 2) return place + ": it needs two legs";
  money::Amount sum;
  for (const Leg& leg : transfer.legs) {
    if (account_kind(leg.account) == nullptr) return place + ": there is no account \"" + leg.account + "\"";
    if (leg.amount.zero()) return place + ": a leg of nothing to " + leg.account;
    sum += leg.amount;
  }
  if (!sum.zero()) return place + ": its legs sum to " + sum.text() + ", not to 0";
  return {};
}

}  // namespace

std::string_view name(PeriodState state) { return state_names[static_cast<std::size_t>(state)]; }

std::optional<PeriodState> parse_period_state(std::string_view text) {
  for (std::size_t i = 0; i < state_names.size(); ++i)
    if (text == state_names[i]) return static_cast<PeriodState>(i);
  return std::nullopt;
}

std::string document_terms(const Document& document) {
  json::Writer out;
  out.open('{').key("document").text(document.kind);
  if (!document.evidence.empty()) out.key("evidence").text(document.evidence);
  out.key("transfers").open('[');
  for (const DocumentTransfer& transfer : document.transfers) {
    out.open('{').key("code").integer(static_cast<std::int64_t>(transfer.code));
    out.key("period").integer(transfer.period).key("effective_at").integer(transfer.effective_at);
    if (!transfer.doc.empty()) out.key("doc").text(transfer.doc);
    if (transfer.reverses) out.key("reverses").integer(static_cast<std::int64_t>(*transfer.reverses));
    out.key("legs").open('[');
    for (const Leg& leg : transfer.legs) out.open('[').text(leg.account).text(leg.amount.text()).close(']');
    out.close(']').close('}');
  }
  out.close(']');
  write_quantities(out, document.quantities);
  write_stands(out, "expect", document.expect);
  write_stands(out, "floors", document.floors);
  if (!document.attach.empty()) out.key("attach").text(document.attach);
  return out.close('}').take();
}

std::optional<Document> read_document(const std::string& terms) {
  json::Cursor cursor(terms, {.depth = 6, .unique_keys = true});
  Document out;
  if (!cursor.enter_object()) return std::nullopt;
  std::string_view key;
  while (cursor.next_key(key)) {
    bool fine = false;
    if (key == "document") {
      fine = cursor.read_string(out.kind);
    } else if (key == "evidence") {
      fine = cursor.read_string(out.evidence);
    } else if (key == "transfers") {
      fine = cursor.enter_array();
      while (fine && cursor.next_element()) {
        fine = out.transfers.size() < document_transfers_max && read_transfer(cursor, out.transfers.emplace_back());
      }
    } else if (key == "quantities") {
      fine = read_quantities(cursor, out.quantities);
    } else if (key == "expect") {
      fine = read_stands(cursor, out.expect);
    } else if (key == "floors") {
      fine = read_stands(cursor, out.floors);
    } else if (key == "attach") {
      fine = cursor.read_string(out.attach);
    }
    if (!fine) return std::nullopt;
  }
  if (!cursor.finish()) return std::nullopt;
  return out;
}

std::string refuse(const Document& document) {
  if (document.kind.empty()) return "it does not say what it is";
  if (document.transfers.empty() && document.attach.empty()) return "there is nothing in it";
  for (const DocumentTransfer& transfer : document.transfers) {
    if (auto why = refuse(transfer); !why.empty()) return why;
    if (transfer.code == Code::manual && document.evidence.empty()) return "a manual entry needs its document's hash as evidence";
  }
  return refuse(document.quantities);
}

std::string take_step(Periods& periods, const PeriodStep& step, std::int64_t wall_ms) {
  PeriodRow row;
  if (const auto found = periods.rows.find(step.period); found != periods.rows.end()) row = found->second;
  row.period = step.period;
  const std::string text = "period " + period_text(step.period);
  if (static_cast<int>(step.to) != static_cast<int>(row.state) + 1)
    return text + " is " + std::string(name(row.state)) + " and cannot become " + std::string(name(step.to));
  if (wall_ms < period_end_ms(step.period)) return text + " is still running";
  row.state = step.to;
  switch (step.to) {
    case PeriodState::open: return "a period opens by itself";
    case PeriodState::grace: row.grace_ms = wall_ms; break;
    case PeriodState::reconciled: row.reconciled_ms = wall_ms; break;
    case PeriodState::closed:
      for (const auto& [period, other] : periods.rows)
        if (period < step.period && other.state < PeriodState::closed) return "period " + period_text(period) + " is not closed yet";
      row.closed_ms = wall_ms;
      row.seal = step.seal;
      row.signature = step.signature;
      periods.closed_through = std::max(periods.closed_through, step.period);
      break;
    case PeriodState::stated: row.stated_ms = wall_ms; break;
    case PeriodState::paid: row.paid_ms = wall_ms; break;
  }
  periods.rows[step.period] = std::move(row);
  return {};
}

std::string period_terms(const PeriodStep& step) {
  json::Writer out;
  out.open('{').key("period").integer(step.period).key("to").text(name(step.to));
  if (!step.seal.empty()) out.key("seal").text(step.seal);
  if (!step.signature.empty()) out.key("signature").text(step.signature);
  return out.close('}').take();
}

std::optional<PeriodStep> read_period_step(const std::string& terms) {
  json::Cursor cursor(terms, {.depth = 2, .unique_keys = true});
  PeriodStep out;
  bool to = false;
  if (!cursor.enter_object()) return std::nullopt;
  std::string_view key;
  std::string text;
  while (cursor.next_key(key)) {
    bool fine = false;
    if (key == "period") {
      fine = read_period(cursor, out.period);
    } else if (key == "to") {
      const auto state = cursor.read_string(text) ? parse_period_state(text) : std::nullopt;
      fine = to = state.has_value();
      if (state) out.to = *state;
    } else if (key == "seal") {
      fine = cursor.read_string(out.seal);
    } else if (key == "signature") {
      fine = cursor.read_string(out.signature);
    }
    if (!fine) return std::nullopt;
  }
  if (!cursor.finish() || !to || out.period == 0) return std::nullopt;
  return out;
}

}  // namespace trib::ledger

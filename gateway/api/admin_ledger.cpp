// Finance's desk: orders by name, the documents they made, and invoices.
#include <algorithm>
#include <charconv>

#include "gateway/api/admin.h"
#include "gateway/api/admin_answer.h"
#include "gateway/settlement/settlement.h"

namespace trib::api {
namespace {

namespace bj = boost::json;
using settlement::Entry;

bj::array legs_json(const ledger::Document& document) {
  bj::array out;
  for (const auto& transfer : document.transfers)
    for (const auto& leg : transfer.legs)
      out.push_back(bj::object{{"code", static_cast<int>(transfer.code)}, {"period", ledger::period_text(transfer.period)}, {"account", leg.account}, {"amount", leg.amount.text()}});
  return out;
}

bj::object entry_json(const Entry& entry) {
  bj::object facts;
  if (const auto attached = settlement::read_attached(entry.document.attach))
    for (const auto& [name, value] : attached->facts) facts[name] = value;
  return {{"id", entry.id}, {"kind", entry.document.kind}, {"repeated", entry.result == Entry::Result::repeated}, {"legs", legs_json(entry.document)}, {"facts", std::move(facts)}};
}

Answer refusal(const Entry& entry) {
  switch (entry.result) {
    case Entry::Result::wrong: return error(400, entry.why);
    case Entry::Result::refused: return error(409, entry.why, "refused");
    case Entry::Result::conflict: return error(409, entry.why, "conflict");
    default: return error(503, entry.why, "ledger_unavailable");
  }
}

bool fine(const Entry& entry) { return entry.result == Entry::Result::posted || entry.result == Entry::Result::repeated; }

bj::object invoice_json(const settlement::Invoice& one) {
  bj::array lines, carried;
  for (const auto& line : one.carried)
    carried.push_back(bj::object{{"model", line.model}, {"price_version", line.price_version}, {"charged", line.charged.text()}});
  for (const auto& line : one.lines) {
    lines.push_back(bj::object{{"model", line.model}, {"price_version", line.price_version}, {"tax_percent", line.tax_percent}, {"tax_inclusive", line.tax_inclusive},
                               {"charged", line.charged.text()}, {"amount", line.amount.text()}, {"net", line.net.text()}, {"tax", line.tax.text()},
                               {"requests", line.requests}, {"tokens_in", line.tokens_in}, {"tokens_out", line.tokens_out}});
  }
  return {{"no", one.no}, {"version", one.version}, {"period", ledger::period_text(one.period)}, {"tenant", one.tenant}, {"currency", "CNY"},
          {"item_code", one.item_code}, {"opening_carry", one.opening_carry.text()}, {"charged", one.charged.text()}, {"amount", one.amount.text()},
          {"net", one.net.text()}, {"tax", one.tax.text()}, {"closing_carry", one.closing_carry.text()}, {"vat_accrued", one.vat_accrued.text()},
          {"receivable", one.receivable.text()}, {"made_at", ledger::time_text(one.made_ms)}, {"seal_hash", one.seal_hash}, {"lines", std::move(lines)}, {"carried", std::move(carried)}};
}

}  // namespace

// The live figures of customers have followed already: the ledger tells them what it posts.
void Admin::moved(const Entry& entry) {
  telemetry::log(telemetry::Level::info, "ledger_document", {{"id", entry.id}, {"kind", entry.document.kind}});
}

// What running requests do not hold of a customer's balance, at most what an order asks for; none: he has no live account.
// It is set aside while the order is posted.
std::optional<money::Amount> Admin::set_aside_free(const settlement::Order& order, std::optional<tenancy::Hold>& aside) {
  const auto tenant_id = order.args.find("tenant"), asked = order.args.find("amount");
  const auto tenant = tenant_id == order.args.end() ? nullptr : parts_.live()->tenants->tenant(tenant_id->second);
  if (!tenant) return std::nullopt;
  const auto most = asked == order.args.end() ? std::nullopt : money::Amount::parse(asked->second);
  constexpr int tries = 8;  // requests may take their holds meanwhile
  for (int i = 0; i < tries && !aside; ++i) {
    const auto view = tenant->view();
    const money::Amount free = std::max(view.balance - view.held, money::Amount{});
    const money::Amount wanted = most && !most->negative() ? std::min(free, *most) : free;
    aside = tenant->set_aside(wanted);
    if (aside) return wanted;
  }
  return money::Amount{};
}

// What a refund, or the reversal of a top-up, takes of a customer's balance; none: this order takes nothing that is known before.
std::optional<Admin::Taken> Admin::taken_of(const settlement::Order& order) {
  const auto arg = [&](const char* name) {
    const auto found = order.args.find(name);
    return found == order.args.end() ? std::string() : found->second;
  };
  if (order.what == "refund") {
    const auto amount = money::Amount::parse(arg("amount"));
    if (!amount || amount->negative()) return std::nullopt;
    return Taken{arg("tenant"), *amount, "refund:" + arg("tenant") + ":" + arg("id")};
  }
  if (order.what != "reverse-transfer") return std::nullopt;
  std::uint64_t number = 0;
  const std::string text = arg("transfer");
  std::from_chars(text.data(), text.data() + text.size(), number);
  std::string why;
  const auto reader = parts_.ledger.reader(why);
  const auto found = reader ? reader->transfer(number) : std::nullopt;
  if (!found) return std::nullopt;
  for (const auto& leg : found->legs)
    if (leg.amount.negative() && leg.account.rfind("L200/", 0) == 0) return Taken{ledger::tenant_of(leg.account), -leg.amount, "reverse_transfer:" + text};
  return std::nullopt;
}

Answer Admin::order(const std::string& what, const AdminRequest& request) {
  boost::system::error_code ec;
  const auto body = bj::parse(request.body.empty() ? "{}" : request.body, ec);
  if (ec || !body.is_object()) return error(400, "The body is a JSON object of texts: GET /admin/v1/ledger/orders says which.");
  settlement::Order order{what, {}};
  for (const auto& [key, value] : body.get_object()) {
    if (!value.is_string()) return error(400, "`" + std::string(key) + "` must be a text; amounts are decimal strings in CNY.");
    order.args[std::string(key)] = std::string(value.get_string());
  }
  // What an order takes of a balance leaves what running requests hold, and is set aside while it is posted.
  std::optional<tenancy::Hold> aside;
  if (const auto taken = taken_of(order)) {
    const auto tenant = parts_.live()->tenants->tenant(taken->tenant);
    if (tenant) aside = tenant->set_aside(taken->amount);
    if (tenant && !aside) {
      const auto view = tenant->view();
      std::string why;
      const auto reader = parts_.ledger.reader(why);
      const bool repeated = reader && reader->command(taken->command).has_value();
      if (!repeated) return error(409, "Of the balance only " + (view.balance - view.held).text() + " is available; running requests hold the rest.", "refused");
    }
  }
  if (what == "chargeback-payment") order.available = set_aside_free(order, aside);
  const auto entry = settlement::enter(parts_.ledger, order, parts_.clock.wall_ms());
  if (!fine(entry)) return refusal(entry);
  if (entry.result == Entry::Result::posted) moved(entry);
  return ok(entry_json(entry), entry.result == Entry::Result::posted ? 201 : 200);
}

Answer Admin::orders() {
  bj::array out;
  for (const auto& form : settlement::desk_forms()) {
    bj::array required, optional;
    for (const auto name : form.required) required.emplace_back(name);
    for (const auto name : form.optional) optional.emplace_back(name);
    out.push_back(bj::object{{"order", form.what}, {"required", std::move(required)}, {"optional", std::move(optional)}, {"says", form.says}});
  }
  return ok(out);
}

// Of one month or, without, of the current one: what was posted.
Answer Admin::documents(const std::string& query) {
  const auto asked = read_query(query);
  const auto period_asked = asked.find("period");
  const auto period = period_asked == asked.end() ? ledger::period_of(parts_.clock.wall_ms()) : ledger::parse_period(period_asked->second).value_or(0);
  if (period == 0) return error(400, "A period is written as YYYY-MM.");
  std::string why;
  const auto reader = parts_.ledger.reader(why);
  if (reader == nullptr) return unreadable(why);
  bj::array out;
  settlement::desk_documents(*reader, [&](const ledger::CommandRow& row, const ledger::Document& document, const settlement::Attached& attached) {
    if (attached.period != period) return true;
    bj::object facts;
    for (const auto& [name, value] : attached.facts) facts[name] = value;
    out.push_back(bj::object{{"id", row.id}, {"kind", document.kind}, {"at", ledger::time_text(row.wall_ms)}, {"period", ledger::period_text(attached.period)},
                             {"evidence", text_or_null(document.evidence)}, {"facts", std::move(facts)}, {"legs", legs_json(document)}});
    return true;
  });
  return ok(out);
}

// Of one month, in the order of their numbers, a page at a time.
Answer Admin::transfers(const std::string& query) {
  constexpr std::uint64_t page = 100, page_max = 1000;
  auto asked = read_query(query);
  const auto period = asked.contains("period") ? ledger::parse_period(asked["period"]).value_or(0) : ledger::period_of(parts_.clock.wall_ms());
  if (period == 0) return error(400, "A period is written as YYYY-MM.");
  const auto number = [&](const char* name, std::uint64_t without) -> std::optional<std::uint64_t> {
    const auto found = asked.find(name);
    if (found == asked.end()) return without;
    std::uint64_t out = 0;
    const auto [end, ec] = std::from_chars(found->second.data(), found->second.data() + found->second.size(), out);
    return ec == std::errc{} && end == found->second.data() + found->second.size() ? std::optional(out) : std::nullopt;
  };
  const auto after = number("after", 0), limit = number("limit", page);
  if (!after) return error(400, "`after` is a transfer's number, the `next` of the page before.");
  if (!limit || *limit == 0 || *limit > page_max) return error(400, "`limit` is 1 to " + std::to_string(page_max) + ".");
  const std::string account = asked.contains("account") ? asked["account"] : std::string();
  std::string why;
  const auto reader = parts_.ledger.reader(why);
  if (reader == nullptr) return unreadable(why);
  bj::array out;
  bj::value next = nullptr;
  reader->transfers(period, [&](const ledger::TransferRow& row) {
    if (row.id <= *after) return true;
    if (!account.empty() && std::none_of(row.legs.begin(), row.legs.end(), [&](const auto& leg) { return leg.account == account; })) return true;
    if (out.size() == *limit) {
      next = out.back().at("id");
      return false;
    }
    bj::array legs;
    for (const auto& leg : row.legs) legs.push_back(bj::object{{"account", leg.account}, {"amount", leg.amount.text()}});
    out.push_back(bj::object{{"id", row.id}, {"code", row.code}, {"reason", row.reason}, {"document", row.doc_id}, {"batch", row.batch},
                             {"effective_at", ledger::time_text(row.effective_at)}, {"booked_at", ledger::time_text(row.booked_at)},
                             {"reverses", row.reverses ? bj::value(*row.reverses) : bj::value(nullptr)}, {"legs", std::move(legs)}});
    return true;
  });
  return ok(bj::object{{"period", ledger::period_text(period)}, {"transfers", std::move(out)}, {"next", std::move(next)}});
}

Answer Admin::make_invoices(const std::string& text) {
  const auto period = ledger::parse_period(text);
  if (!period) return error(400, "A period is written as YYYY-MM.");
  bj::array made, missing;
  for (const auto& entry : settlement::make_invoices(parts_.ledger, *period, parts_.clock.wall_ms())) {
    if (entry.id.empty()) return refusal(entry);  // none can be made
    if (entry.result == Entry::Result::posted) moved(entry);
    if (fine(entry)) made.emplace_back(entry.id);
    else missing.push_back(bj::object{{"id", entry.id}, {"why", entry.why}});
  }
  return ok(bj::object{{"period", text}, {"made", std::move(made)}, {"missing", std::move(missing)}});
}

Answer Admin::invoices(const std::string& query) {
  const auto asked = read_query(query);
  std::optional<ledger::Period> period;
  if (const auto found = asked.find("period"); found != asked.end()) {
    period = ledger::parse_period(found->second);
    if (!period) return error(400, "A period is written as YYYY-MM.");
  }
  std::string why;
  const auto reader = parts_.ledger.reader(why);
  if (reader == nullptr) return unreadable(why);
  bj::array out;
  for (const auto& one : settlement::invoices(*reader, period)) out.push_back(invoice_json(one));
  return ok(out);
}

// A number is "PERIOD/TENANT", two parts of the path.
Answer Admin::invoice(const std::string& period, const std::string& tenant) {
  std::string why;
  const auto reader = parts_.ledger.reader(why);
  if (reader == nullptr) return unreadable(why);
  for (const auto& one : settlement::invoices(*reader, ledger::parse_period(period)))
    if (one.no == period + "/" + tenant) return ok(invoice_json(one));
  return error(404, "There is no invoice " + period + "/" + tenant + "; GET /admin/v1/invoices lists those that were made.", "invoice_not_found");
}

}  // namespace trib::api

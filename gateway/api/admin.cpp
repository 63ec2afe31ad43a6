#include "gateway/api/admin.h"

#include <boost/json.hpp>
#include <set>

#include "gateway/api/admin_answer.h"

namespace trib::api {
namespace {

namespace bj = boost::json;

// What of the record a trial has shown; the rest is the dialect's table.
std::string probed(const fleet::Capabilities& can) {
  std::string out;
  for (const auto& [what, is] : {std::pair("usage", can.usage_probed), std::pair("continuation", can.continue_probed), std::pair("length", can.length_probed)})
    if (is) out += (out.empty() ? "" : " ") + std::string(what);
  return out;
}

std::vector<std::string> split_path(std::string_view path) {
  std::vector<std::string> out;
  while (!path.empty()) {
    const auto slash = path.find('/');
    if (slash != 0) out.emplace_back(path.substr(0, slash));
    if (slash == std::string_view::npos) break;
    path.remove_prefix(slash + 1);
  }
  return out;
}

bj::value counts_json(const metering::TokenCounts& counts) {
  return bj::object{{"input", counts.input},     {"cached_input", counts.cached_input}, {"cache_write", counts.cache_write},
                    {"output", counts.output},   {"reasoning", counts.reasoning}};
}

}  // namespace

// What an answer is made of may have come from any reader, at any point of its walk: where one of them has failed
// meanwhile the answer is not told. What was to be done, and is, stays told.
Answer Admin::admin(const AdminRequest& request) {
  const auto times = parts_.ledger.unread().times;
  Answer out = answer(request);
  const auto unread = parts_.ledger.unread();
  const bool reads = request.method == "GET" || request.path.starts_with("/admin/v1/reports/");
  const bool told = reads ? unread.times == times : unread.times == times || out.status < 400 || out.status == 503;
  return told ? out : unreadable(unread.why);
}

Answer Admin::answer(const AdminRequest& request) {
  const auto parts = split_path(std::string_view(request.path).substr(std::string_view("/admin/v1/").size()));
  const bool get = request.method == "GET";
  const bool post = request.method == "POST";
  const auto is = [&](std::size_t n, const char* first, const char* third = nullptr) {
    return parts.size() == n && parts[0] == first && (third == nullptr || parts[2] == third);
  };
  if (get && is(2, "requests")) return request_life(parts[1]);
  if (get && is(1, "sites")) return sites();
  if (post && is(3, "sites")) return site_action(parts[1], parts[2], request);
  if (get && is(1, "devices")) return devices();
  if (get && is(1, "offers")) return offers();
  if (get && is(1, "tenants")) return tenants();
  if (get && is(2, "tenants")) return tenant(parts[1]);
  if (post && is(3, "tenants", "topups")) return topup(parts[1], request);
  if (get && is(1, "prices")) return prices();
  if (get && is(1, "contracts")) return contracts();
  if (post && is(1, "prices")) return publish_price(request);
  if (post && is(1, "contracts")) return publish_contract(request);
  if (get && is(1, "contract-risk")) return contract_risk();
  if (get && is(1, "indexes")) return indexes();
  if (post && is(1, "indexes")) return set_index(request);
  if (get && is(2, "ledger") && parts[1] == "trial-balance") return trial_balance();
  if (get && is(2, "ledger") && parts[1] == "balances") return balances();
  if (get && is(2, "ledger") && parts[1] == "orders") return orders();
  if (get && is(2, "ledger") && parts[1] == "documents") return documents(request.query);
  if (get && is(2, "ledger") && parts[1] == "transfers") return transfers(request.query);
  if (post && is(2, "ledger") && settlement::is_order(parts[1])) return order(parts[1], request);
  if (get && is(1, "invoices")) return invoices(request.query);
  if (get && is(3, "invoices")) return invoice(parts[1], parts[2]);
  if (post && is(2, "invoices")) return make_invoices(parts[1]);
  if (get && is(1, "periods")) return periods();
  if (get && is(2, "periods")) return period(parts[1], false);
  if (post && is(3, "periods", "close")) return period(parts[1], true);
  if (post && is(2, "periods") && parts[1] == "explain") return explain(request);
  if (get && is(1, "reports")) return reports("", request);
  if ((get || post) && is(2, "reports")) return reports(parts[1], request);
  if (get && is(1, "statements")) return statements(request.query);
  if (get && is(3, "statements")) return statement(parts[1], parts[2], request.query);
  if (get && is(2, "exports")) return export_period(parts[1], request.query);
  if (!parts.empty() && parts[0] == "audit") return audit(parts, request);
  if (is(1, "backup")) return backup(request);
  static const std::vector<std::string> doors = {"requests", "sites", "devices", "offers", "tenants", "prices",
                                                 "contracts", "contract-risk", "indexes", "ledger", "periods", "statements", "invoices", "exports", "reports"};
  const bool known = !parts.empty() && std::find(doors.begin(), doors.end(), parts[0]) != doors.end();
  if (known && !get && !post) return error(405, request.path + " takes GET or POST only.", "method_not_allowed");
  if (known && post && parts[0] != "sites" && parts[0] != "tenants" && parts[0] != "periods" && parts[0] != "reports")
    return error(405, request.path + " takes GET only.", "method_not_allowed");
  return error(404, "There is no such administrative door: " + request.method + " " + request.path, "unknown_url");
}

Answer Admin::enrol(const AdminRequest& request) {
  std::string address = request.peer;
  if (const auto colon = address.rfind(':'); colon != std::string::npos) address.resize(colon);
  const auto reply = parts_.enrolment.enrol(request.body, address);
  if (reply.status == 201) {
    const auto record = parts_.registry.find(reply.site);
    if (record) parts_.fleet.set_state(reply.site, record->state);
    parts_.fleet.set_check_words(reply.site, reply.check_words);
    telemetry::log(telemetry::Level::info, "site_enrolled", {{"site", reply.site}});
  }
  return {reply.status, reply.json};
}

Answer Admin::request_life(const std::string& text) {
  const auto id = RequestId::parse(text);
  if (!id) return error(400, "A request id is 32 lower-case hex digits, as x-request-id gives it.");
  while (parts_.ledger.post_once()) {
  }
  const auto found = parts_.ledger.request(*id);
  if (!found) return error(404, "No request with this id is in the ledger.", "request_not_found");
  const auto& row = found->row;
  bj::object sums;
  std::map<std::string, money::Amount> by_party;
  for (const auto& part : found->parts) by_party[part.party] += part.amount;
  for (const auto& [party, amount] : by_party) sums[party] = amount.text();
  bj::array attempts;
  std::uint32_t contract_version = 0;
  std::string contract;
  for (const auto& attempt : found->attempts) {
    contract = attempt.sent.contract;
    contract_version = attempt.sent.contract_version;
    bj::object item{{"n", attempt.sent.n},
                    {"site", attempt.sent.site},
                    {"seat", text_or_null(attempt.sent.seat)},
                    {"device", text_or_null(attempt.sent.device)},
                    {"engine", text_or_null(attempt.sent.engine)},
                    {"vendor", text_or_null(attempt.sent.vendor)},
                    {"contract", attempt.sent.contract},
                    {"contract_version", attempt.sent.contract_version},
                    {"dispatched_at", ledger::time_text(attempt.sent.wall_ms)},
                    {"fault", attempt.result.fault == "none" ? bj::value(nullptr) : bj::value(attempt.result.fault)},
                    {"side", attempt.result.side == "none" ? bj::value(nullptr) : bj::value(attempt.result.side)},
                    {"delivered", attempt.result.delivered},
                    {"pieces", attempt.result.pieces},
                    {"bytes", attempt.result.bytes},
                    {"claimed", attempt.result.claimed ? counts_json(*attempt.result.claimed) : bj::value(nullptr)},
                    {"charge", attempt.gross.text()}};
    attempts.push_back(std::move(item));
  }
  return ok(bj::object{{"id", text},
                       {"tenant", row.tenant},
                       {"model", row.model},
                       {"operation", row.operation},
                       {"outcome", metering::name(row.outcome)},
                       {"status", row.status},
                       {"tokens", counts_json(row.counts)},
                       {"source", metering::name(row.source)},
                       {"bytes_delivered", row.bytes_delivered},
                       {"charge", row.gross ? bj::value(row.gross->text()) : bj::value(nullptr)},
                       {"parts", std::move(sums)},
                       {"attempts", std::move(attempts)},
                       {"price_version", row.price_version},
                       {"contract", text_or_null(contract)},
                       {"contract_version", contract_version},
                       {"period", ledger::period_text(row.period)},
                       {"admitted_at", ledger::time_text(row.admit_ms)},
                       {"ended_at", ledger::time_text(row.final_ms)},
                       {"state", ledger::name(row.state)},
                       {"quarantine", text_or_null(found->quarantine)},
                       {"proof", bj::object{{"lsn", row.lsn}, {"batch", row.batch}, {"leaf", to_hex(row.leaf)}}}});
}

Answer Admin::sites() {
  bj::array out;
  for (const auto& site : parts_.fleet.sites()) {
    bj::array served;
    std::uint64_t in_flight = 0, capacity = 0;
    std::set<const fleet::OfferLoad*> counted;  // models of one engine share its slots
    for (const auto& offer : site.offers) {
      served.push_back(bj::value(offer->model));
      if (!counted.insert(offer->load.get()).second) continue;
      in_flight += offer->load->in_flight.load(std::memory_order_relaxed);
      capacity += offer->capacity;
    }
    const auto record = parts_.registry.find(site.id);
    out.push_back(bj::object{{"id", site.id},
                             {"kind", config::name(site.kind)},
                             {"vendor", text_or_null(site.vendor)},
                             {"contract", site.contract},
                             {"state", fleet::name(site.state)},
                             {"dials_in", !site.dialled},
                             {"connected", site.connected},
                             {"check_words", text_or_null(site.check_words)},
                             {"agent_version", text_or_null(record ? record->agent_version : std::string())},
                             {"models", std::move(served)},
                             {"in_flight", in_flight},
                             {"capacity", capacity},
                             {"devices", site.devices.size()}});
  }
  return ok(out);
}

Answer Admin::site_action(const std::string& site, const std::string& action, const AdminRequest& request) {
  const auto view = parts_.fleet.site(site);
  if (!view) return error(404, "There is no site `" + site + "` in the configuration.", "site_not_found");
  if (view->dialled) return error(400, "The site `" + site + "` is dialled by the gateway; only sites whose agent dials in are invited and approved.");
  const std::int64_t now_ms = parts_.clock.wall_ms();
  std::string why;
  if (action == "receipts-key") return receipts_key(site, request);
  if (action == "invite") {
    fleet::InviteTerms terms;
    terms.site = site;
    terms.kind = config::name(view->kind);
    terms.hosts = parts_.site_hosts();
    const auto invite = parts_.enrolment.invite(terms, why);
    if (invite.token.empty()) return error(400, why);
    return ok(bj::object{{"token", invite.token}, {"expires_at", ledger::time_text(invite.expires_ms)}});
  }
  std::string reason;
  boost::system::error_code ec;
  if (const auto body = bj::parse(request.body.empty() ? "{}" : request.body, ec); !ec && body.is_object()) {
    if (const auto* const said = body.get_object().if_contains("reason"); said != nullptr && said->is_string())
      reason = said->get_string().c_str();
  }
  if (action == "approve") why = parts_.registry.approve(site, now_ms);
  else if (action == "suspend") why = parts_.registry.suspend(site, reason);
  else if (action == "revoke") why = parts_.registry.revoke(site, reason);
  else return error(404, "A site can be invited, approved, suspended or revoked.", "unknown_url");
  if (!why.empty()) return error(409, why, "site_state");
  const auto record = parts_.registry.find(site);
  if (record) parts_.fleet.set_state(site, record->state);
  if (action != "approve") parts_.close_tunnels(site);
  telemetry::log(telemetry::Level::info, "site_state", {{"site", site}, {"action", action}});
  return ok(bj::object{{"id", site}, {"state", record ? fleet::name(record->state) : "invited"}});
}

Answer Admin::devices() {
  bj::array out;
  for (const auto& site : parts_.fleet.sites()) {
    for (const auto& device : site.devices) {
      out.push_back(bj::object{{"site", site.id},
                               {"key", device.key},
                               {"vendor", device.vendor},
                               {"name", device.name},
                               {"memory_bytes", device.memory_bytes},
                               {"driver", text_or_null(device.driver)},
                               {"plugin", text_or_null(device.plugin)},
                               {"state", "declared"}});
    }
  }
  return ok(out);
}

Answer Admin::offers() {
  bj::array out;
  const auto figure = [](const std::atomic<std::int64_t>& value) {
    const auto n = value.load(std::memory_order_relaxed);
    return n == fleet::OfferFigures::neutral ? bj::value(nullptr) : bj::value(n);
  };
  const auto leaves = [&](std::int64_t at_ns) {
    if (at_ns == 0) return bj::value(nullptr);
    return bj::value(ledger::time_text(parts_.clock.wall_ms() + (at_ns - parts_.clock.mono_ns()) / 1'000'000));
  };
  for (const auto& site : parts_.fleet.sites()) {
    for (const auto& offer : site.offers) {
      out.push_back(bj::object{{"id", offer->id},
                               {"site", offer->site},
                               {"model", offer->model},
                               {"engine_model", offer->engine_model},
                               {"engine", text_or_null(offer->can.engine)},
                               {"engine_version", text_or_null(offer->can.version)},
                               {"dialect", offer->can.dialect},
                               {"seat", text_or_null(offer->seat)},
                               {"device", text_or_null(offer->device)},
                               {"vendor", text_or_null(offer->vendor)},
                               {"goes_on", fleet::words_of(offer->ways_left(parts_.clock.mono_ns()))},
                               {"probed", probed(offer->can)},
                               {"error_shape", fleet::name(offer->can.error_shape)},
                               {"capacity", offer->capacity},
                               {"in_flight", offer->load->in_flight.load(std::memory_order_relaxed)},
                               {"engine_load", bj::object{{"running", figure(offer->figures->running)},
                                                          {"waiting", figure(offer->figures->waiting)},
                                                          {"kv_use_ppm", figure(offer->figures->kv_use_ppm)}}},
                               {"until", leaves(offer->pace->leaves_ns.load(std::memory_order_relaxed))}});
    }
  }
  return ok(out);
}

Answer Admin::topup(const std::string& tenant, const AdminRequest& request) {
  const auto known = parts_.live()->tenants->tenant(tenant);
  if (known == nullptr) return error(404, "There is no tenant `" + tenant + "`.", "tenant_not_found");
  boost::system::error_code ec;
  const auto body = bj::parse(request.body, ec);
  const auto* const object = ec ? nullptr : body.if_object();
  const auto* const id = object == nullptr ? nullptr : object->if_contains("id");
  const auto* const amount_text = object == nullptr ? nullptr : object->if_contains("amount");
  if (id == nullptr || !id->is_string() || id->get_string().empty() || id->get_string().size() > 128 ||
      amount_text == nullptr || !amount_text->is_string())
    return error(400, "Send {\"id\": \"…\", \"amount\": \"100.00\"}: a text that names this top-up, and a decimal string in CNY.");
  const auto amount = money::Amount::parse(amount_text->get_string().c_str());
  if (!amount || amount->negative() || amount->zero())
    return error(400, "`amount` must be a decimal string in CNY above zero, such as \"100.00\".");
  switch (parts_.ledger.topup(tenant, id->get_string().c_str(), *amount, parts_.clock.wall_ms())) {
    case ledger::Posting::posted:
    case ledger::Posting::repeated:
      break;
    case ledger::Posting::conflict:
      return error(409, "A top-up with this id was made with another amount; nothing changed.", "topup_conflict");
    case ledger::Posting::failed:
      return error(503, "The top-up could not be made durable. Send it again with the same id.", "ledger_unavailable");
  }
  return ok(bj::object{{"id", id->get_string()}, {"amount", amount->text()}, {"balance", known->view().balance.text()}});
}

Answer Admin::trial_balance() {
  while (parts_.ledger.post_once()) {
  }
  const auto trial = parts_.ledger.trial_balance();
  bj::array accounts;
  for (const auto& row : trial.accounts)
    accounts.push_back(bj::object{{"account", row.account}, {"debit", row.debit.text()}, {"credit", row.credit.text()}});
  bj::array quantities;
  ledger::Quantity whole{};
  for (const auto& row : parts_.ledger.quantities()) {
    ledger::add(whole, row.amount);
    bj::object& out = quantities.emplace_back(bj::object{{"account", row.account}, {"site", row.site}, {"model", row.model}}).as_object();
    for (std::size_t i = 0; i < ledger::quantity_classes; ++i) out[ledger::quantity_class_names[i]] = row.amount[i];
  }
  bj::object quantity_sum;
  for (std::size_t i = 0; i < ledger::quantity_classes; ++i) quantity_sum[ledger::quantity_class_names[i]] = whole[i];
  return ok(bj::object{{"accounts", std::move(accounts)},
                       {"sum", trial.sum.text()},
                       {"quantities", std::move(quantities)},
                       {"quantity_sum", std::move(quantity_sum)}});
}

Answer Admin::balances() {
  while (parts_.ledger.post_once()) {
  }
  bj::array out;
  for (const auto& row : parts_.ledger.trial_balance().accounts)
    out.push_back(bj::object{{"account", row.account}, {"balance", (row.credit - row.debit).text()}});
  return ok(out);
}

}  // namespace trib::api

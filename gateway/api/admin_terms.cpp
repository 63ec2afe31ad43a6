// Prices, contracts and market indexes: what holds, and what holds from a date on.
#include <algorithm>

#include "gateway/api/admin.h"
#include "gateway/api/admin_answer.h"

namespace trib::api {
namespace {

namespace bj = boost::json;

bj::value time_or_null(std::optional<std::int64_t> ms) { return ms ? bj::value(ledger::time_text(*ms)) : bj::value(nullptr); }
bj::value amount_or_null(const std::optional<money::Amount>& amount) { return amount ? bj::value(amount->text()) : bj::value(nullptr); }

bj::value price_json(const ledger::PriceVersion& price) {
  return bj::object{{"model", price.model},
                    {"version", price.version},
                    {"from", ledger::time_text(price.from_ms)},
                    {"to", time_or_null(price.to_ms)},
                    {"input", price.input.per_million_text()},
                    {"cached_input", price.cached_input.per_million_text()},
                    {"cache_write", price.cache_write.per_million_text()},
                    {"output", price.output.per_million_text()},
                    {"reasoning", price.reasoning.per_million_text()},
                    {"tax", price.tax ? bj::value(bj::object{{"percent", price.tax->percent}, {"inclusive", price.tax->inclusive}}) : bj::value(nullptr)},
                    {"terms_hash", price.terms_hash}};
}

bj::value shares_json(const config::Shares& shares) {
  return bj::object{{"platform", shares.platform}, {"site", shares.site}, {"vendor", shares.vendor}, {"referrer", shares.referrer}};
}

bj::value early_exit_json(const std::optional<config::EarlyExit>& exit) {
  if (!exit) return nullptr;
  return bj::object{{"by", ledger::name(exit->by)}, {"ppm", exit->ppm}};
}

bj::value index_json(const std::optional<config::MarketIndex>& index) {
  if (!index) return nullptr;
  return bj::object{{"name", index->name}, {"reference", index->reference.text()}, {"alarm_ppm", index->alarm_ppm}};
}

bj::value contract_json(const ledger::ContractVersion& c) {
  return bj::object{{"id", c.contract},
                    {"version", c.version},
                    {"from", ledger::time_text(c.from_ms)},
                    {"to", time_or_null(c.to_ms)},
                    {"base", ledger::name(c.base)},
                    {"shares", shares_json(c.shares)},
                    {"referrer", text_or_null(c.referrer_party)},
                    {"referrer_until", time_or_null(c.referrer_until_ms)},
                    {"tiers", c.tiers.steps.empty() ? bj::value(nullptr) : bj::parse(ledger::tiers_json(c.tiers))},
                    {"guarantee", c.guarantee.text()},
                    {"holdback", bj::object{{"ppm", c.holdback.ppm}, {"days", c.holdback.days}}},
                    {"min_payout", c.min_payout.text()},
                    {"chargeback", ledger::name(c.chargeback)},
                    {"chargeback_cost", ledger::name(c.chargeback_cost)},
                    {"penalties", bj::parse(ledger::penalties_json(c.penalties))},
                    {"early_exit", early_exit_json(c.early_exit)},
                    {"index", index_json(c.index)},
                    {"policies", bj::parse(ledger::policies_json(c.policies))},
                    {"terms_hash", c.terms_hash}};
}

// What became of a publication, with the version that now stands.
Answer published(const ledger::Published& result, const bj::value& version) {
  switch (result.result) {
    case ledger::Publishing::published: return ok(version, 201);
    case ledger::Publishing::repeated: return ok(version);
    case ledger::Publishing::refused: return error(409, result.why, "version_conflict");
    case ledger::Publishing::failed: break;
  }
  return error(503, "The publication could not be made durable (" + result.why + "). Send it again as it is.", "ledger_unavailable");
}

template <class Version>
const Version* version_of(const std::map<std::string, std::vector<Version>>& by_id, const std::string& id, std::uint32_t version) {
  const auto found = by_id.find(id);
  return found == by_id.end() || version == 0 || version > found->second.size() ? nullptr : &found->second[version - 1];
}

bool is_json(const std::string& body) { return body.size() <= (1u << 20) && json::valid(body, {.depth = 12, .unique_keys = true}); }

}  // namespace

Answer Admin::prices() {
  bj::array out;
  const auto book = parts_.ledger.book();
  for (const auto& [model, versions] : book->prices)
    for (const auto& price : versions) out.push_back(price_json(price));
  return ok(out);
}

Answer Admin::contracts() {
  bj::array out;
  const auto book = parts_.ledger.book();
  for (const auto& [id, versions] : book->contracts)
    for (const auto& contract : versions) out.push_back(contract_json(contract));
  return ok(out);
}

Answer Admin::publish_price(const AdminRequest& request) {
  if (!is_json(request.body))
    return error(400, "Send a price as JSON: {\"model\": \"…\", \"from\": \"2026-01-01\", \"input\": \"0.50\", \"output\": \"2.00\"}; the keys are those of models[].price.");
  config::ModelPrice price;
  try {
    price = config::parse_price("body", request.body);
  } catch (const config::ConfigError& wrong) {
    return error(400, wrong.what());
  }
  const auto live = parts_.live();
  if (!live->contexts.contains(price.model)) return error(404, "There is no model `" + price.model + "` in the configuration.", "model_not_found");
  const auto result = parts_.ledger.publish(price, parts_.clock.wall_ms());
  const auto book = parts_.ledger.book();
  const auto* const version = version_of(book->prices, price.model, result.version);
  if (result.result == ledger::Publishing::published)
    telemetry::log(telemetry::Level::info, "price_published", {{"model", price.model}, {"version", static_cast<std::int64_t>(result.version)}});
  return published(result, version == nullptr ? bj::value(nullptr) : price_json(*version));
}

Answer Admin::publish_contract(const AdminRequest& request) {
  if (!is_json(request.body))
    return error(400, "Send a contract as JSON: {\"id\": \"…\", \"from\": \"2026-01-01\", \"shares\": {…}}; the keys are those of contracts[].");
  config::ContractConfig contract;
  try {
    contract = config::parse_contract("body", request.body);
  } catch (const config::ConfigError& wrong) {
    return error(400, wrong.what());
  }
  const auto live = parts_.live();
  for (const auto& site : live->config->sites) {
    if (site.contract == contract.id && site.id == contract.referrer_party)
      return error(409, "contracts." + contract.id + ".referrer: the site " + site.id + " is under this contract; nobody is paid for bringing himself.",
                   "version_conflict");
  }
  const auto result = parts_.ledger.publish(contract, parts_.clock.wall_ms());
  const auto book = parts_.ledger.book();
  const auto* const version = version_of(book->contracts, contract.id, result.version);
  if (result.result == ledger::Publishing::published)
    telemetry::log(telemetry::Level::info, "contract_published", {{"contract", contract.id}, {"version", static_cast<std::int64_t>(result.version)}});
  return published(result, version == nullptr ? bj::value(nullptr) : contract_json(*version));
}

Answer Admin::indexes() {
  bj::array out;
  for (const auto& value : parts_.ledger.index_values())
    out.push_back(bj::object{{"name", value.name}, {"at", ledger::time_text(value.at_ms)}, {"value", value.value.text()}});
  return ok(out);
}

Answer Admin::set_index(const AdminRequest& request) {
  boost::system::error_code ec;
  const auto body = bj::parse(request.body, ec);
  const auto text = [&](const char* key) -> std::string {
    const auto* const member = ec || !body.is_object() ? nullptr : body.get_object().if_contains(key);
    return member == nullptr || !member->is_string() ? std::string() : std::string(member->get_string().c_str());
  };
  const auto at_ms = config::parse_date(text("at"));
  const auto value = money::Amount::parse(text("value"));
  const std::string name = text("name");
  const bool named = !name.empty() && name.size() <= 128 && name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789._-") == std::string::npos;
  if (!named || !at_ms || !value || value->negative() || value->zero())
    return error(400, "Send {\"name\": \"h100-hour\", \"value\": \"15.00\", \"at\": \"2026-11-24\"}: an id, CNY above zero as a decimal string, and a date.");
  switch (parts_.ledger.set_index({name, *at_ms, *value}, parts_.clock.wall_ms())) {
    case ledger::Posting::posted:
    case ledger::Posting::repeated:
      break;
    case ledger::Posting::conflict:
      return error(409, "This index has another value at that time; a published one never changes, so give a later time.", "index_conflict");
    case ledger::Posting::failed:
      return error(503, "The value could not be made durable. Send it again as it is.", "ledger_unavailable");
  }
  return ok(bj::object{{"name", name}, {"at", ledger::time_text(*at_ms)}, {"value", value->text()}});
}

Answer Admin::contract_risk() {
  while (parts_.ledger.post_once()) {
  }
  const auto book = parts_.ledger.book();
  const std::int64_t now_ms = parts_.clock.wall_ms();
  ledger::RiskFacts facts{*book, parts_.ledger.index_values(), {}, {}, now_ms};
  const auto live = parts_.live();
  for (const auto& site : live->config->sites) facts.sites.emplace_back(site.id, site.contract);
  std::string why;
  const auto reader = parts_.ledger.reader(why);
  if (reader == nullptr) return unreadable(why);
  for (const auto& row : reader->trial_balance(ledger::period_of(now_ms)).accounts) {
    if (row.account.starts_with("L210/")) facts.accrued[row.account.substr(5)] = row.credit_total;
  }
  bj::array out;
  for (const auto& risk : ledger::contract_risks(facts)) {
    const auto& contract = *risk.contract;
    out.push_back(bj::object{{"contract", contract.contract},
                             {"version", contract.version},
                             {"site", text_or_null(risk.site)},
                             {"from", ledger::time_text(contract.from_ms)},
                             {"to", time_or_null(contract.to_ms)},
                             {"index", contract.index ? bj::value(contract.index->name) : bj::value(nullptr)},
                             {"reference", contract.index ? bj::value(contract.index->reference.text()) : bj::value(nullptr)},
                             {"value", risk.index ? bj::value(risk.index->value.text()) : bj::value(nullptr)},
                             {"value_at", risk.index ? time_or_null(risk.index->at_ms) : bj::value(nullptr)},
                             {"moved_ppm", risk.moved_ppm ? bj::value(*risk.moved_ppm) : bj::value(nullptr)},
                             {"alarm_ppm", contract.index ? bj::value(contract.index->alarm_ppm) : bj::value(nullptr)},
                             {"alarm", risk.alarm},
                             {"remaining_guarantee", amount_or_null(risk.remaining_guarantee)},
                             {"early_exit_cost", amount_or_null(risk.early_exit_cost)}});
  }
  return ok(out);
}

}  // namespace trib::api

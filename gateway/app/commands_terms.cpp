// price, contract and index: what holds from when on, and publishing more of it.
#include "gateway/app/commands_terms.h"

#include <iostream>

#include "gateway/app/command_line.h"
#include "gateway/base/base.h"
#include "gateway/config/config.h"
#include "gateway/ledger/ledger.h"

namespace trib::app {
namespace {

namespace bj = boost::json;

constexpr const char* price_usage = "price list | price show MODEL | price publish FILE (keys as in models[].price, and `model`)";
constexpr const char* contract_usage = "contract list | contract show ID | contract publish FILE (keys as in contracts[]) | contract risk [--json]";
constexpr const char* index_usage = "index list | index set NAME VALUE --at DATE";

// All versions of one model or contract.
int show_versions(const Call& call, const std::string& target, const char* key, const std::string& id) {
  const auto reply = ask_gateway(call, "GET", target);
  if (reply.status != 200) return failed(error_of(reply));
  bj::array found;
  const auto all = bj::parse(reply.body);
  for (const auto& item : all.as_array())
    if (item.at(key).as_string() == id) found.push_back(item);
  if (found.empty()) return failed("nothing is published of " + id);
  if (call.json()) {
    std::cout << bj::serialize(found) << '\n';
    return 0;
  }
  for (const auto& item : found) {
    std::cout << id << " version " << cell(item.at("version")) << '\n';
    print_value(item, "  ");
  }
  return 0;
}

// Nothing that is null is said.
bj::value said(const bj::value& value) {
  if (value.is_array()) {
    bj::array out;
    for (const auto& item : value.get_array()) out.push_back(said(item));
    return out;
  }
  if (!value.is_object()) return value;
  bj::object out;
  for (const auto& [key, item] : value.get_object())
    if (!item.is_null()) out[key] = said(item);
  return out;
}

std::string price_body(const config::ModelPrice& price) {
  const auto& p = price.price;
  bj::object out{{"model", price.model},
                 {"from", ledger::time_text(*p.from_ms)},
                 {"input", p.input.per_million_text()},
                 {"cached_input", p.cached_input.per_million_text()},
                 {"cache_write", p.cache_write.per_million_text()},
                 {"output", p.output.per_million_text()},
                 {"reasoning", p.reasoning.per_million_text()}};
  if (p.tax) out["tax"] = bj::object{{"percent", p.tax->percent}, {"inclusive", p.tax->inclusive}};
  return bj::serialize(out);
}

// The canonical terms, but times to the millisecond: that text has whole seconds.
std::string contract_body(const config::ContractConfig& contract) {
  auto out = said(bj::parse(ledger::whole_terms(contract.id, contract.from_ms, contract.to_ms, contract))).as_object();
  out["from"] = ledger::time_text(contract.from_ms);
  if (contract.to_ms) out["to"] = ledger::time_text(*contract.to_ms);
  if (contract.referrer_until_ms) out["referrer"].as_object()["until"] = ledger::time_text(*contract.referrer_until_ms);
  return bj::serialize(out);
}

// The file is read here, so that a mistake in it is shown with its own place.
template <class Parse, class Body>
int publish(const Call& call, const std::string& target, Parse&& parse, Body&& body_of) {
  const std::string& file = call.words[2];
  std::string text;
  if (const auto ec = read_file(system_disk(), file, text, 1u << 20)) return usage(file + ": " + ec.message());
  std::string body;
  try {
    body = body_of(parse(file, text));
  } catch (const config::ConfigError& wrong) {
    std::cerr << wrong.what() << std::endl;
    return 2;
  }
  const auto reply = ask_gateway(call, "POST", target, body);
  if (reply.status < 200 || reply.status > 299) return failed(error_of(reply));
  if (call.json()) {
    std::cout << reply.body;
    return 0;
  }
  const auto version = bj::parse(reply.body).as_object();
  std::cout << (reply.status == 201 ? "published: " : "was published already: ") << cell(version.contains("model") ? version.at("model") : version.at("id"))
            << " version " << cell(version.at("version")) << " from " << cell(version.at("from")) << '\n';
  return 0;
}

int contract_risk(const Call& call) {
  const auto reply = ask_gateway(call, "GET", "/admin/v1/contract-risk");
  if (reply.status != 200) return failed(error_of(reply));
  const auto rows = bj::parse(reply.body).as_array();
  bool alarm = false;
  for (const auto& row : rows) alarm |= row.at("alarm").as_bool();
  if (call.json()) {
    std::cout << reply.body;
  } else {
    print_table(rows, {"contract", "site", "to", "index", "reference", "value", "moved_ppm", "alarm_ppm", "alarm", "remaining_guarantee", "early_exit_cost"});
  }
  return alarm ? 1 : 0;
}

}  // namespace

int price_command(const Call& call) {
  const std::string what = call.words.size() > 1 ? call.words[1] : "list";
  if (what == "list" && call.words.size() <= 2)
    return show(call, "GET", "/admin/v1/prices", {"model", "version", "from", "to", "input", "cached_input", "output", "tax"});
  if (call.words.size() != 3) return takes(price_usage);
  if (what == "show") return show_versions(call, "/admin/v1/prices", "model", call.words[2]);
  if (what == "publish") return publish(call, "/admin/v1/prices", config::parse_price, price_body);
  return takes(price_usage);
}

int contract_command(const Call& call) {
  const std::string what = call.words.size() > 1 ? call.words[1] : "list";
  if (what == "list" && call.words.size() <= 2)
    return show(call, "GET", "/admin/v1/contracts", {"id", "version", "from", "to", "base", "shares", "referrer"});
  if (what == "risk" && call.words.size() == 2) return contract_risk(call);
  if (call.words.size() != 3) return takes(contract_usage);
  if (what == "show") return show_versions(call, "/admin/v1/contracts", "id", call.words[2]);
  if (what == "publish") return publish(call, "/admin/v1/contracts", config::parse_contract, contract_body);
  return takes(contract_usage);
}

int index_command(const Call& call) {
  const std::string what = call.words.size() > 1 ? call.words[1] : "list";
  if (what == "list" && call.words.size() <= 2) return show(call, "GET", "/admin/v1/indexes", {"name", "at", "value"});
  if (what != "set" || call.words.size() != 4 || call.get("--at").empty()) return takes(index_usage);
  return show(call, "POST", "/admin/v1/indexes", {},
              bj::serialize(bj::object{{"name", call.words[2]}, {"value", call.words[3]}, {"at", call.get("--at")}}));
}

}  // namespace trib::app

#include "gateway/app/commands.h"

#include <boost/json.hpp>
#include <cstdlib>
#include <iostream>

#include "gateway/api/api.h"
#include "gateway/app/command_line.h"
#include "gateway/app/commands_terms.h"
#include "gateway/app/gateway.h"
#include "gateway/base/base.h"
#include "gateway/config/config.h"
#include "gateway/ledger/ledger.h"
#include "gateway/metering/metering.h"

namespace trib::app {
namespace {

namespace bj = boost::json;

int site(const Call& call) {
  const std::string what = call.words.size() > 1 ? call.words[1] : "list";
  if (what == "list" && call.words.size() <= 2)
    return show(call, "GET", "/admin/v1/sites", {"id", "kind", "state", "connected", "models", "in_flight", "capacity", "check_words"});
  if (what == "receipts-key") {
    if (call.words.size() != 3 || call.get("--key").empty() || call.get("--reason").empty()) return takes("site receipts-key ID --key HEX --reason TEXT");
    return show(call, "POST", "/admin/v1/sites/" + call.words[2] + "/receipts-key", {},
                bj::serialize(bj::object{{"key", call.get("--key")}, {"reason", call.get("--reason")}}));
  }
  if (call.words.size() != 3) return takes("site list | site invite|approve|suspend|revoke|show ID");
  const std::string& id = call.words[2];
  if (what == "show") {
    const auto reply = ask_gateway(call, "GET", "/admin/v1/sites");
    if (reply.status != 200) return failed(error_of(reply));
    const auto all = bj::parse(reply.body);
    for (const auto& item : all.as_array()) {
      if (item.at("id").as_string() != id) continue;
      if (call.json()) std::cout << bj::serialize(item) << '\n'; else print_value(item, "");
      return 0;
    }
    return failed("there is no site " + id);
  }
  if (what != "invite" && what != "approve" && what != "suspend" && what != "revoke")
    return takes("site list | site invite|approve|suspend|revoke|show ID");
  const std::string body = call.get("--reason").empty() ? "" : bj::serialize(bj::object{{"reason", call.get("--reason")}});
  const auto reply = ask_gateway(call, "POST", "/admin/v1/sites/" + id + "/" + what, body);
  if (reply.status != 200) return failed(error_of(reply));
  if (call.json()) {
    std::cout << reply.body;
  } else if (what == "invite") {
    std::cout << bj::parse(reply.body).at("token").as_string().c_str() << '\n';  // alone, for scripts
  } else {
    std::cout << id << ": " << cell(bj::parse(reply.body).at("state")) << '\n';
  }
  return 0;
}

int tenant(const Call& call) {
  const std::string what = call.words.size() > 1 ? call.words[1] : "list";
  if (what == "list" && call.words.size() <= 2)
    return show(call, "GET", "/admin/v1/tenants", {"id", "balance", "held", "unposted", "credit", "available", "in_flight", "privacy"});
  if (what == "show" && call.words.size() == 3) return show(call, "GET", "/admin/v1/tenants/" + call.words[2], {});
  if (what != "topup" || call.words.size() != 4 || call.get("--id").empty())
    return takes("tenant list | tenant show TENANT | tenant topup TENANT AMOUNT --id ID (the same id twice changes nothing)");
  return show(call, "POST", "/admin/v1/tenants/" + call.words[2] + "/topups", {},
              bj::serialize(bj::object{{"id", call.get("--id")}, {"amount", call.words[3]}}));
}

int key_new() {
  unsigned char bytes[32];
  random_bytes(bytes);
  const std::string key = "sk-" + to_base64url({reinterpret_cast<const char*>(bytes), sizeof bytes});
  std::cout << "key:    " << key << "\nsha256: " << to_hex(sha256(key)) << "\n"
            << "Give the key to the customer; put the sha256 under the tenant's keys. The key cannot be shown again.\n";
  return 0;
}

int trial_balance(const Call& call) {
  const auto reply = ask_gateway(call, "GET", "/admin/v1/ledger/trial-balance");
  if (reply.status != 200) return failed(error_of(reply));
  if (call.json()) {
    std::cout << reply.body;
    return 0;
  }
  const auto value = bj::parse(reply.body).as_object();
  print_table(value.at("accounts").as_array(), {"account", "debit", "credit"});
  std::cout << "sum: " << cell(value.at("sum")) << "\n\n";
  print_table(value.at("quantities").as_array(), {"account", "site", "model", "attempts", "input", "cached_input", "cache_write", "output", "reasoning"});
  std::cout << "sum: " << cell(value.at("quantity_sum")) << '\n';
  return 0;
}

bool read_words(const std::vector<std::string>& words, Call& call, std::string& wrong) {
  static const std::vector<std::string> valued = {"--gateway", "--config", "--period", "--format", "--party", "--out", "--html", "--id", "--reason", "--evidence", "--at", "--key", "--held",
                                                  "--role", "--amount", "--tenant", "--request", "--cost", "--day", "--site", "--wait", "--layout"};
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (!words[i].starts_with("--")) {
      call.words.push_back(words[i]);
    } else if (words[i] == "--json" || words[i] == "--bom") {
      call.options.emplace(words[i], "1");
    } else if (std::find(valued.begin(), valued.end(), words[i]) != valued.end() && i + 1 < words.size()) {
      call.options[words[i]] = words[i + 1];
      ++i;
    } else {
      wrong = words[i];
      return false;
    }
  }
  return true;
}

}  // namespace

int run_command(const std::vector<std::string>& words) {
  Call call;
  std::string wrong;
  if (!read_words(words, call, wrong)) return usage("unknown or incomplete option " + wrong);
  const std::string command = call.words.empty() ? "" : call.words[0];
  if (command == "site") return site(call);
  if (command == "tenant") return tenant(call);
  if (command == "key") return call.words.size() == 2 && call.words[1] == "new" ? key_new() : takes("key new");
  if (command == "price") return price_command(call);
  if (command == "contract") return contract_command(call);
  if (command == "index") return index_command(call);
  if (command == "period") return period_command(call);
  if (command == "statement") return statement_command(call);
  if (command == "ledger") return ledger_command(call);
  if (command == "invoice") return invoice_command(call);
  if (command == "report") return report_command(call);
  if (command == "request") {
    if (call.words.size() != 2) return takes("request ID");
    return show(call, "GET", "/admin/v1/requests/" + call.words[1], {});
  }
  if (command == "trial-balance") return call.words.size() == 1 ? trial_balance(call) : takes("trial-balance");
  if (command == "export") return export_command(call);
  if (command == "audit") return audit(call);
  if (command == "backup") return call.words.size() == 1 ? backup(call) : takes("backup --out DIR [--config FILE]");
  if (command == "store") return store(call);
  return usage("unknown command " + (command.empty() ? std::string("(none)") : command));
}

}  // namespace trib::app

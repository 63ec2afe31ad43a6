// `tributary ledger` and `tributary invoice`: finance's orders.
#include <algorithm>
#include <iostream>

#include "gateway/app/command_line.h"
#include "gateway/settlement/settlement.h"

namespace trib::app {
namespace {

namespace bj = boost::json;

constexpr const char* invoice_usage = "invoice list [--period PERIOD] | show PERIOD/TENANT | make PERIOD";

// How a form's arguments are written: those that have no option of that name are words, in their order.
std::string option_of(std::string_view name) {
  std::string out = "--" + std::string(name);
  std::replace(out.begin() + 2, out.end(), '_', '-');
  return out;
}

bool is_word(std::string_view name) { return name != "id" && name != "reason" && name != "evidence"; }

std::string form_words(const settlement::Form& form) {
  std::string words = "ledger " + std::string(form.what), options;
  for (const auto name : form.required) {
    std::string upper(name);
    std::transform(upper.begin(), upper.end(), upper.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    if (is_word(name)) words += " " + upper;
    else options += " " + option_of(name) + " " + upper;
  }
  for (const auto name : form.optional) options += " [" + option_of(name) + " ...]";
  return words + options;
}

int print_forms() {
  for (const auto& form : settlement::desk_forms()) std::cout << "  tributary " << form_words(form) << "\n      " << form.says << '\n';
  return 0;
}

void print_entry(const bj::object& answer) {
  std::cout << (answer.at("repeated").as_bool() ? "was posted already: " : "posted: ") << cell(answer.at("id")) << '\n';
  print_table(answer.at("legs").as_array(), {"code", "period", "account", "amount"});
}

int order(const Call& call, const settlement::Form& form) {
  bj::object body;
  std::size_t word = 2;
  for (const auto name : form.required) {
    std::string value = is_word(name) ? (word < call.words.size() ? call.words[word] : std::string()) : call.get(option_of(name));
    if (is_word(name)) ++word;
    if (value.empty()) return takes(form_words(form));
    body[name] = value;
  }
  if (word != call.words.size()) return takes(form_words(form));
  for (const auto name : form.optional)
    if (const auto value = call.get(option_of(name)); !value.empty()) body[name] = value;
  const auto reply = ask_gateway(call, "POST", "/admin/v1/ledger/" + std::string(form.what), bj::serialize(body));
  if (reply.status < 200 || reply.status > 299) return failed(error_of(reply));
  if (call.json()) std::cout << reply.body;
  else print_entry(bj::parse(reply.body).as_object());
  return 0;
}

int make_invoices(const Call& call, const std::string& period) {
  const auto reply = ask_gateway(call, "POST", "/admin/v1/invoices/" + period);
  if (reply.status != 200) return failed(error_of(reply));
  const auto answer = bj::parse(reply.body).as_object();
  const auto& missing = answer.at("missing").as_array();
  if (call.json()) {
    std::cout << reply.body;
  } else {
    for (const auto& id : answer.at("made").as_array()) std::cout << "  made     " << cell(id) << '\n';
    for (const auto& one : missing) std::cout << "  missing  " << cell(one.at("why")) << '\n';
    if (missing.empty() && answer.at("made").as_array().empty()) std::cout << "nothing is left to be invoiced of " << period << '\n';
  }
  return missing.empty() ? 0 : 1;
}

}  // namespace

int ledger_command(const Call& call) {
  const std::string what = call.words.size() > 1 ? call.words[1] : "orders";
  if (what == "orders") return call.json() ? show(call, "GET", "/admin/v1/ledger/orders", {}) : print_forms();
  if (what == "list" && call.words.size() == 2) {
    const std::string period = call.get("--period");
    return show(call, "GET", "/admin/v1/ledger/documents" + (period.empty() ? "" : "?period=" + period), {"id", "kind", "at", "evidence", "facts"});
  }
  for (const auto& form : settlement::desk_forms())
    if (form.what == what) return order(call, form);
  return takes("ledger orders | list [--period PERIOD] | ORDER ... (tributary ledger orders shows them)");
}

int invoice_command(const Call& call) {
  const std::string what = call.words.size() > 1 ? call.words[1] : "list";
  if (what == "list" && call.words.size() <= 2) {
    const std::string period = call.get("--period");
    return show(call, "GET", "/admin/v1/invoices" + (period.empty() ? "" : "?period=" + period), {"no", "charged", "amount", "net", "tax", "closing_carry", "receivable"});
  }
  if (call.words.size() != 3) return takes(invoice_usage);
  if (what == "show") return show(call, "GET", "/admin/v1/invoices/" + call.words[2], {});
  if (what == "make") return make_invoices(call, call.words[2]);
  return takes(invoice_usage);
}

}  // namespace trib::app

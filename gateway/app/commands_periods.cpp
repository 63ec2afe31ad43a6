// `tributary period` and `tributary statement`.
#include <unistd.h>

#include <chrono>
#include <future>
#include <iostream>

#include "gateway/app/command_line.h"
#include "gateway/app/commands.h"
#include "gateway/base/base.h"

namespace trib::app {
namespace {

namespace bj = boost::json;

constexpr const char* period_usage = "period list | show PERIOD | close PERIOD | explain SUBJECT --reason TEXT --evidence DOC";
constexpr const char* statement_usage = "statement list [--period PERIOD] | show PERIOD/PARTY [--html FILE]";

void print_checklist(const bj::object& answer) {
  for (const auto& item : answer.at("checklist").as_array()) {
    std::cout << (item.at("fine").as_bool() ? "  done     " : "  missing  ") << cell(item.at("item"));
    if (!item.at("why").is_null()) std::cout << ": " << cell(item.at("why"));
    std::cout << '\n';
  }
}

// Asks, and shows on a terminal how far the gateway is meanwhile.
Reply ask_with_progress(const Call& call, const std::string& method, const std::string& target) {
  if (::isatty(2) == 0) return ask_gateway(call, method, target);
  auto answer = std::async(std::launch::async, [&] { return ask_gateway(call, method, target); });
  bool shown = false;
  while (answer.wait_for(std::chrono::milliseconds(500)) == std::future_status::timeout) {
    const auto reply = ask_gateway(call, "GET", "/admin/v1/periods/progress");
    boost::system::error_code ec;
    const auto state = bj::parse(reply.body, ec);
    if (ec || reply.status != 200 || state.at("period").is_null()) continue;
    std::cerr << "\r" << cell(state.at("period")) << ": " << cell(state.at("done")) << ' ' << cell(state.at("what")) << "  " << std::flush;
    shown = true;
  }
  if (shown) std::cerr << '\n';
  return answer.get();
}

bool paid(const bj::object& answer) { return answer.at("state").as_string() == "paid"; }

// One state on. 0: it moved, or is at its end; 1: something is missing, which is said.
int close(const Call& call, const std::string& period) {
  const auto reply = ask_with_progress(call, "POST", "/admin/v1/periods/" + period + "/close");
  if (reply.status != 200) return failed(error_of(reply));
  const auto answer = bj::parse(reply.body).as_object();
  const bool moved = answer.at("moved").as_bool();
  if (call.json()) {
    std::cout << reply.body;
    return moved || paid(answer) ? 0 : 1;
  }
  std::cout << period << (moved ? " is now " : " is ") << cell(answer.at("state")) << (!moved && paid(answer) ? "; nothing is left to do\n" : "\n");
  print_checklist(answer);
  for (const auto& id : answer.at("documents").as_array()) std::cout << "  posted   " << cell(id) << '\n';
  return moved || paid(answer) ? 0 : 1;
}

int show_period(const Call& call, const std::string& period) {
  const auto reply = ask_with_progress(call, "GET", "/admin/v1/periods/" + period);
  if (reply.status != 200) return failed(error_of(reply));
  if (call.json()) {
    std::cout << reply.body;
    return 0;
  }
  const auto answer = bj::parse(reply.body).as_object();
  std::cout << period << " is " << cell(answer.at("state")) << (paid(answer) ? "; nothing is left to do\n" : "; for the next step:\n");
  print_checklist(answer);
  return 0;
}

}  // namespace

int period_command(const Call& call) {
  const std::string what = call.words.size() > 1 ? call.words[1] : "list";
  if (what == "list" && call.words.size() <= 2) return show(call, "GET", "/admin/v1/periods", {"id", "state", "closed_at", "stated_at", "paid_at", "seal"});
  if (call.words.size() != 3) return takes(period_usage);
  if (what == "show") return show_period(call, call.words[2]);
  if (what == "close") return close(call, call.words[2]);
  if (what != "explain" || call.get("--reason").empty() || call.get("--evidence").empty()) return takes(period_usage);
  return show(call, "POST", "/admin/v1/periods/explain", {},
              bj::serialize(bj::object{{"subject", call.words[2]}, {"reason", call.get("--reason")}, {"evidence", call.get("--evidence")}}));
}

int statement_command(const Call& call) {
  const std::string what = call.words.size() > 1 ? call.words[1] : "list";
  if (what == "list" && call.words.size() <= 2) {
    const std::string period = call.get("--period");
    return show(call, "GET", "/admin/v1/statements" + (period.empty() ? "" : "?period=" + period),
                {"no", "opening_carry", "share_amount", "net_payable", "closing_carry", "requests", "contract"});
  }
  if (what != "show" || call.words.size() != 3) return takes(statement_usage);
  if (const std::string file = call.get("--html"); !file.empty()) {
    const auto reply = ask_gateway(call, "GET", "/admin/v1/statements/" + call.words[2] + "?format=html");
    if (reply.status != 200) return failed(error_of(reply));
    if (const auto ec = write_file(system_disk(), file, reply.body)) return failed(file + ": " + ec.message());
    if (!call.json()) std::cout << file << "  " << reply.body.size() << " bytes\n";
    return 0;
  }
  return show(call, "GET", "/admin/v1/statements/" + call.words[2], {});
}

}  // namespace trib::app

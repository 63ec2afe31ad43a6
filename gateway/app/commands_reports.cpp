// `tributary report`: two tellings of the same money or tokens side by side.
#include <iostream>

#include "gateway/app/command_line.h"
#include "gateway/base/base.h"

namespace trib::app {
namespace {

namespace bj = boost::json;

constexpr const char* report_usage = "report [NAME [FILE]] [--period YYYY-MM | --day YYYY-MM-DD] [--site ID] [--wait SECONDS] [--layout FILE] (without NAME: all, in a line each)";
constexpr std::size_t shown_max = 50;  // findings, for people

std::string target_of(const Call& call) {
  std::string out = "/admin/v1/reports";
  if (call.words.size() > 1) out += "/" + call.words[1];
  char mark = '?';
  for (const char* name : {"period", "day", "site", "wait"}) {
    const auto value = call.get(std::string("--") + name);
    if (value.empty()) continue;
    out += mark + std::string(name) + "=" + value;
    mark = '&';
  }
  return out;
}

void print(const bj::object& report) {
  std::cout << cell(report.at("report")) << ": " << cell(report.at("title")) << '\n';
  bj::array rows;
  std::vector<std::string> columns;
  for (const auto& column : report.at("columns").as_array()) columns.emplace_back(column.as_string());
  for (const auto& row : report.at("rows").as_array()) {
    bj::object one;
    for (std::size_t i = 0; i < columns.size(); ++i) one[columns[i]] = row.at(i);
    rows.push_back(std::move(one));
  }
  if (!rows.empty()) print_table(rows, columns);
  std::size_t shown = 0;
  for (const auto& one : report.at("findings").as_array()) {
    if (++shown > shown_max) {
      std::cout << "  and more; --json gives all\n";
      break;
    }
    std::cout << (one.at("explained").as_bool() ? "  explained  " : "  open       ") << cell(one.at("why"));
    if (!one.at("subject").as_string().empty()) std::cout << "  [" << cell(one.at("subject")) << "]";
    std::cout << '\n';
  }
  for (const auto& note : report.at("notes").as_array()) std::cout << "  note       " << cell(note) << '\n';
}

int overview(const Call& call, const Reply& reply) {
  const auto all = bj::parse(reply.body).as_array();
  bool fine = true;
  for (const auto& one : all) fine &= one.at("fine").is_null() || one.at("fine").as_bool();
  if (call.json()) {
    std::cout << reply.body;
    return fine ? 0 : 1;
  }
  for (const auto& one : all) {
    std::string name = cell(one.at("report"));
    name.resize(std::max<std::size_t>(name.size(), 12), ' ');
    std::cout << (one.at("fine").is_null() ? "-     " : one.at("fine").as_bool() ? "fine  " : "OPEN  ") << name << cell(one.at("title"));
    const auto open = one.at("unexplained").to_number<std::uint64_t>(), found = one.at("found").to_number<std::uint64_t>();
    if (!one.at("error").is_null()) std::cout << ": " << cell(one.at("error"));
    else if (open > 0) std::cout << ": " << open << " unexplained, the first: " << cell(one.at("first"));
    else if (found > 0) std::cout << ": " << found << " explained";
    else if (!one.at("notes").as_array().empty()) std::cout << ": " << cell(one.at("notes").at(0));
    std::cout << '\n';
  }
  return fine ? 0 : 1;
}

}  // namespace

int report_command(const Call& call) {
  if (call.words.size() > 3 || (!call.get("--period").empty() && !call.get("--day").empty())) return takes(report_usage);
  std::string body;
  if (call.words.size() == 3) {
    std::string text, layout;
    if (const auto ec = read_file(system_disk(), call.words[2], text)) return failed(call.words[2] + ": " + ec.message());
    const auto file = call.get("--layout");
    if (!file.empty())
      if (const auto ec = read_file(system_disk(), file, layout)) return failed(file + ": " + ec.message());
    bj::object asked{{"name", call.words[2]}, {"file", text}};
    if (!layout.empty()) asked["layout"] = layout;
    body = bj::serialize(asked);
  }
  const auto reply = ask_gateway(call, body.empty() ? "GET" : "POST", target_of(call), body);
  if (reply.status == 400 || reply.status == 404) {
    failed(error_of(reply));
    return 2;
  }
  if (reply.status != 200) return failed(error_of(reply));
  if (call.words.size() == 1) return overview(call, reply);
  const auto report = bj::parse(reply.body).as_object();
  if (call.json()) std::cout << reply.body;
  if (report.at("fine").is_null()) {
    if (!call.json()) failed(cell(report.at("notes").at(0)));
    return 2;
  }
  if (!report.at("error").is_null()) {
    if (!call.json()) failed(cell(report.at("error")));
    return 1;
  }
  if (!call.json()) print(report);
  return report.at("fine").as_bool() ? 0 : 1;
}

}  // namespace trib::app

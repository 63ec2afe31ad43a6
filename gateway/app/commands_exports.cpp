// `tributary export`.
#include <iostream>

#include "gateway/api/api.h"
#include "gateway/app/command_line.h"
#include "gateway/base/base.h"

namespace trib::app {
namespace {

constexpr const char* export_usage = "export --period YYYY-MM [--format csv|jsonl|xlsx|hledger|beancount|voucher|focus|einvoice] [--party site:ID] [--bom] --out DIR";

}  // namespace

int export_command(const Call& call) {
  const std::string period = call.get("--period"), out = call.get("--out");
  if (call.words.size() != 1 || period.empty() || out.empty()) return takes(export_usage);
  std::string target = "/admin/v1/exports/" + period + "?format=" + (call.get("--format").empty() ? "csv" : call.get("--format"));
  if (!call.get("--party").empty()) target += "&party=" + call.get("--party");
  if (!call.get("--bom").empty()) target += "&bom=1";
  const auto reply = ask_gateway(call, "GET", target);
  if (reply.status != 200) return failed(error_of(reply));
  const auto files = api::read_tar(reply.body);
  if (!files) return failed("the gateway's archive cannot be read");
  if (const auto ec = system_disk().make_dirs(out)) return failed(out + ": " + ec.message());
  for (const auto& [name, content] : *files) {
    if (name.find('/') != std::string::npos) return failed("the archive names a file outside the folder: " + name);
    if (const auto ec = write_file(system_disk(), out + "/" + name, content)) return failed(out + "/" + name + ": " + ec.message());
  }
  if (call.json()) {
    std::cout << files->back().second;
  } else {
    for (const auto& [name, content] : *files) std::cout << out << '/' << name << "  " << content.size() << " bytes\n";
  }
  return 0;
}

}  // namespace trib::app

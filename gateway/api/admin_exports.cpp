// What finance and partners take away of a month.
#include "gateway/api/admin.h"
#include "gateway/api/admin_answer.h"
#include "gateway/api/archive.h"
#include "gateway/settlement/settlement.h"

namespace trib::api {
namespace {

std::string content_type(const std::string& name) {
  if (name.ends_with(".xlsx")) return "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
  return "text/plain; charset=utf-8";
}

}  // namespace

Answer Admin::export_period(const std::string& period, const std::string& query) {
  const auto asked = read_query(query);
  const auto get = [&](const char* name) {
    const auto found = asked.find(name);
    return found == asked.end() ? std::string() : found->second;
  };
  const auto format = settlement::parse_format(get("format").empty() ? "csv" : get("format"));
  if (!format) return error(400, "`format` must be " + settlement::format_names + ".");
  if (!ledger::parse_period(period)) return error(400, "A period is written as YYYY-MM.");
  const std::string bom = get("bom");
  if (!bom.empty() && bom != "0" && bom != "1") return error(400, "`bom` must be 0 or 1.");
  while (parts_.ledger.post_once()) {
  }
  settlement::ExportOptions options;
  options.period = period;
  options.format = *format;
  options.party = get("party");
  options.bom = bom == "1";
  options.config = parts_.live()->config->exports;
  auto made = settlement::export_period(parts_.ledger, options, parts_.signing);
  if (!made.error.empty()) return error(409, made.error, "export");
  std::uint64_t rows = 0;
  for (const auto& file : made.files) rows += file.rows;
  if (!options.party.empty() && rows == 0)
    return error(404, "The party `" + options.party + "` has nothing in " + period + "; parties are written like site:dc-one or vendor:nvidia.",
                 "party_not_found");
  if (const auto one = get("file"); !one.empty()) {
    for (auto& file : made.files)
      if (file.name == one) return {200, std::move(file.content), content_type(file.name)};
    return error(404, "The export has no file `" + one + "`.");
  }
  Files files;
  for (auto& file : made.files) files.emplace_back(file.name, std::move(file.content));
  return {200, write_tar(files), "application/x-tar"};
}

// Made for print; of a month that is not stated, provisional.
Answer Admin::statement_page(const std::string& no) {
  while (parts_.ledger.post_once()) {
  }
  std::string why;
  const auto page = settlement::read_statement_page(parts_.ledger, no, parts_.live()->config->exports, parts_.signing, why);
  if (!page) return error(404, why, "statement_not_found");
  return {200, settlement::statement_html(*page), "text/html; charset=utf-8"};
}

}  // namespace trib::api

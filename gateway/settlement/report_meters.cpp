// The reports that set counts of tokens side by side: gateway, site, supplier.
#include <algorithm>
#include <set>

#include "gateway/base/json_writer.h"
#include "gateway/settlement/meters.h"
#include "gateway/settlement/report_call.h"
#include "gateway/settlement/report_file.h"

namespace trib::settlement {
namespace {

std::string tokens_json(const std::optional<metering::TokenCounts>& tokens) {
  if (!tokens) return "null";
  json::Writer out;
  const auto& c = *tokens;
  out.open('{');
  const std::uint64_t values[] = {c.input, c.cached_input, c.cache_write, c.output, c.reasoning};
  for (std::size_t i = 1; i < ledger::quantity_classes; ++i) out.integer(ledger::quantity_class_names[i], static_cast<std::int64_t>(values[i - 1]));
  return out.close('}').take();
}

std::string gateway_json(const std::optional<ledger::AttemptRow>& attempt) {
  if (!attempt) return "null";
  json::Writer out;
  const auto& result = attempt->result;
  out.open('{').raw("tokens", tokens_json(ledger::counted(result, attempt->billed))).raw("billed", tokens_json(attempt->billed));
  out.integer("pieces", static_cast<std::int64_t>(result.pieces)).text("fault", result.fault);
  return out.close('}').take();
}

std::string signed_json(const ledger::MeterLine& line) {
  if (!line.signed_) return "null";
  json::Writer out;
  const auto& one = *line.signed_;
  out.open('{').raw("tokens", tokens_json(one.tokens)).integer("pieces", static_cast<std::int64_t>(one.pieces));
  out.text("served", ledger::name(one.served)).integer("status", one.status).text("ended_at", ledger::time_text(one.ended_ms));
  return out.text("command", line.root).close('}').take();
}

}  // namespace

ledger::MeterReport ReportCall::meters() {
  const auto book = ledger_.book();
  ledger::MeterQuestion question;
  question.from_ms = ask_.from_ms;
  question.to_ms = ask_.to_ms;
  question.now_ms = ask_.now_ms;
  question.waiting_ms = ask_.waiting_ms;
  question.dials_in = ask_.dials_in;
  question.book = book.get();
  auto found = compare_days(*reader_, question);
  out.error = found.error;
  if (ask_.site.empty()) return found;
  std::erase_if(found.sums, [&](const auto& one) { return one.first.first != ask_.site; });
  std::erase_if(found.lines, [&](const auto& one) { return one.site != ask_.site; });
  return found;
}

void ReportCall::receipts() {
  const auto found = meters();
  out.columns = {"site", "model", "class", "gateway", "signed", "difference", "attempts"};
  std::set<std::string> dialled;
  for (const auto& [key, sum] : found.sums) {
    if (sum.attempts[static_cast<std::size_t>(ledger::MeterState::unsigned_)] > 0) dialled.insert(key.first);
    std::string states;
    for (std::size_t i = 0; i < ledger::meter_states; ++i) {
      if (sum.attempts[i] == 0) continue;
      states += (states.empty() ? "" : ", ") + std::to_string(sum.attempts[i]) + " " + std::string(name(static_cast<ledger::MeterState>(i)));
    }
    for (std::size_t i = 0; i < ledger::quantity_classes; ++i) {
      if (sum.gateway[i] == 0 && sum.site[i] == 0) continue;
      out.row({key.first, key.second, std::string(ledger::quantity_class_names[i]), std::to_string(sum.gateway[i]), std::to_string(sum.site[i]),
               std::to_string(sum.site[i] - sum.gateway[i]), i == 0 ? states : std::string()});
    }
  }
  for (const auto& line : found.lines) {
    Finding one;
    one.subject = line.subject();
    one.why = meter_text(line);
    one.explained = line.explained;
    one.records = {{"state", quoted(name(line.state))}, {"site", quoted(line.site)}, {"model", quoted(line.model)},
                   {"day_subject", quoted(line.day_subject())}, {"gateway", gateway_json(line.gateway)}, {"receipt", signed_json(line)}};
    out.finding(std::move(one));
  }
  if (ask_.site.empty()) {
    out.found = found.differing;
    out.unexplained = found.unexplained;
  }
  for (const auto& site : dialled) out.notes.push_back(site + " is dialled by the gateway: it has no agent and signs no receipts");
}

// What the supplier invoices, by site, model and class, against both meters. Sites that the file does not name are
// not judged.
void ReportCall::upstream() {
  out.columns = {"site", "model", "class", "gateway", "signed", "invoiced", "difference"};
  FileReader file(*ask_.file, shipped_layout("upstream"), {"site", "model", "class", "tokens"});
  std::map<std::pair<std::string, std::string>, ledger::Quantity> invoiced;
  std::set<std::string> sites;
  if (file.read()) {
    for (const auto& row : file.rows()) {
      const auto tokens = file.count(row, "tokens");
      const auto& names = ledger::quantity_class_names;
      const auto at = std::find(names.begin(), names.end(), row.cells.at("class"));
      if (!tokens) break;
      if (at == names.end()) {
        out.error = ask_.file->name + ":" + std::to_string(row.line) + ":" + std::to_string(row.columns.at("class")) + ": `" + row.cells.at("class") +
                    "` is no class; there are attempts, input, cached_input, cache_write, output, reasoning";
        return;
      }
      invoiced[{row.cells.at("site"), row.cells.at("model")}][static_cast<std::size_t>(at - names.begin())] += static_cast<std::int64_t>(*tokens);
      sites.insert(row.cells.at("site"));
    }
  }
  out.error = file.error();
  if (!out.error.empty()) return;
  auto found = meters();
  if (!out.error.empty()) return;
  for (const auto& [key, sum] : found.sums)
    if (sites.contains(key.first)) invoiced.try_emplace(key);
  const ledger::MeterRule rule;
  const std::string span = ledger::day_text(ask_.from_ms) + ".." + ledger::day_text(ask_.to_ms - 1);
  for (const auto& [key, tokens] : invoiced) {
    const auto& sum = found.sums[key];
    for (std::size_t i = 1; i < ledger::quantity_classes; ++i) {
      if (tokens[i] == 0 && sum.gateway[i] == 0 && sum.site[i] == 0) continue;
      const std::string name(ledger::quantity_class_names[i]);
      const auto ours = std::to_string(sum.gateway[i]), theirs = std::to_string(tokens[i]), signed_text = std::to_string(sum.site[i]);
      out.row({key.first, key.second, name, ours, signed_text, theirs, std::to_string(tokens[i] - sum.gateway[i])});
      if (rule.agrees(static_cast<std::uint64_t>(sum.gateway[i]), static_cast<std::uint64_t>(tokens[i]))) continue;
      find("upstream:" + key.first + ":" + key.second + ":" + name + ":" + span,
           key.first + " invoices " + theirs + " tokens (" + name + ") of " + key.second + ", the gateway counted " + ours + " and the site signed " + signed_text);
    }
  }
}

}  // namespace trib::settlement

#include "gateway/settlement/report.h"

#include <algorithm>
#include <array>

#include "gateway/base/json_writer.h"
#include "gateway/settlement/report_call.h"

namespace trib::settlement {
namespace {

struct Kind : ReportKind {
  void (ReportCall::*make)() = nullptr;
};
constexpr std::array kinds{
    Kind{{"books", "journal, usage rows, legs, balances, statements"}, &ReportCall::books},
    Kind{{"bank", "the bank's file and A100", true}, &ReportCall::bank},
    Kind{{"receipts", "gateway tokens and site-signed tokens"}, &ReportCall::receipts},
    Kind{{"upstream", "gateway tokens, site-signed tokens and the supplier's invoice", true}, &ReportCall::upstream},
    Kind{{"partner", "our statements, the partner's own and the invoices", true}, &ReportCall::partner},
    Kind{{"holds", "holds older than their deadline"}, &ReportCall::holds},
    Kind{{"quarantine", "what waits in quarantine, by age"}, &ReportCall::quarantine},
    Kind{{"suspense", "what waits in suspense (L250), by age"}, &ReportCall::suspense},
    Kind{{"unpriced", "models served without a price"}, &ReportCall::unpriced},
    Kind{{"margin", "requests whose margin is below zero"}, &ReportCall::margin},
};

}  // namespace

std::span<const ReportKind> report_kinds() {
  static const std::vector<ReportKind> out(kinds.begin(), kinds.end());
  return out;
}

void Report::row(std::vector<std::string> cells) {
  if (rows.size() < report_rows_max) rows.push_back(std::move(cells));
}

void Report::finding(Finding one) {
  ++found;
  if (!one.explained) ++unexplained;
  if (findings.size() < report_rows_max) findings.push_back(std::move(one));
}

std::string report_json(const Report& report) {
  json::Writer out;
  out.open('{').text("report", report.name).text("title", report.title).key("fine");
  report.compared ? out.boolean(report.fine()) : out.raw("null");
  out.key("columns").open('[');
  for (const auto& column : report.columns) out.text(column);
  out.close(']').key("rows").open('[');
  for (const auto& row : report.rows) {
    out.open('[');
    for (const auto& cell : row) out.text(cell);
    out.close(']');
  }
  out.close(']').integer("found", static_cast<std::int64_t>(report.found)).integer("unexplained", static_cast<std::int64_t>(report.unexplained));
  out.key("findings").open('[');
  for (const auto& one : report.findings) {
    out.open('{').text("subject", one.subject).text("why", one.why).boolean("explained", one.explained);
    for (const auto& [name, value] : one.records) out.raw(name, value);
    out.close('}');
  }
  out.close(']').key("notes").open('[');
  for (const auto& note : report.notes) out.text(note);
  out.close(']').key("error");
  report.error.empty() ? out.raw("null") : out.text(report.error);
  return out.close('}').take();
}

std::optional<Report> make_report(ledger::Ledger& ledger, std::string_view name, const ReportQuestion& question) {
  const auto found = std::find_if(kinds.begin(), kinds.end(), [&](const Kind& kind) { return kind.name == name; });
  if (found == kinds.end()) return std::nullopt;
  ReportCall call(ledger, question, std::string(found->name), std::string(found->title));
  if (found->wants_file && !question.file) {
    call.out.compared = false;
    call.out.notes.push_back("needs a file: tributary report " + std::string(name) + " FILE");
    return std::move(call.out);
  }
  if (call.begin()) (call.*(found->make))();
  return std::move(call.out);
}

}  // namespace trib::settlement

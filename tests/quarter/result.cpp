#include "tests/quarter/result.h"

#include <cstdio>

#include "gateway/base/json_writer.h"
#include "gateway/settlement/settlement.h"

namespace trib::quarter {
namespace {

std::string balance_text(ledger::Period period, const ledger::TrialRow& row) {
  auto out = json::object();
  out.text("is", "balance").text("account", row.account).integer("period", period);
  return out.text("credit", (row.credit_total - row.debit_total).text()).close('}').take();
}

std::string request_text(const ledger::RequestRow& request) {
  auto out = json::object();
  out.text("is", "request").text("id", request.row.id.text()).integer("period", request.row.period);
  out.text("gross", request.row.gross.value_or(money::Amount{}).text()).key("parts").open('[');
  for (const auto& part : request.parts) out.open('[').integer(part.attempt).text(part.party).text(part.amount.text()).close(']');
  return out.close(']').close('}').take();
}

std::string invoice_line(const settlement::Invoice& invoice) { return "{\"is\":\"invoice\"," + settlement::invoice_text(invoice).substr(1); }

std::string statement_line(const settlement::Statement& statement) {
  return "{\"is\":\"statement\"," + settlement::statement_text(statement).substr(1);
}

}  // namespace

bool write_result(ledger::Reader& reader, const std::string& path) {
  std::FILE* const out = std::fopen(path.c_str(), "w");
  if (out == nullptr) return false;
  const auto line = [out](const std::string& json) { std::fprintf(out, "%s\n", json.c_str()); };
  constexpr ledger::Period first = 202601, end = 202606;
  for (ledger::Period period = first; period < end; period = ledger::next_period(period)) {
    for (const auto& row : reader.trial_balance(period).accounts) line(balance_text(period, row));
    reader.usage(period, [&](const ledger::RequestRow& request) {
      line(request_text(request));
      return true;
    });
  }
  for (const auto& one : settlement::statements(reader)) line(statement_line(one));
  for (const auto& one : settlement::invoices(reader)) line(invoice_line(one));
  return std::fclose(out) == 0 && reader.error().empty();
}

}  // namespace trib::quarter

// The reports that set money beside somebody else's telling of it: the bank, the partner.
#include <algorithm>

#include "gateway/settlement/report_call.h"
#include "gateway/settlement/report_file.h"
#include "gateway/settlement/statement.h"

namespace trib::settlement {
namespace {

using money::Amount;

// A reference as the bank has it: a document's whole id, or what stands behind its last ':'.
std::string short_of(const std::string& id) {
  const auto colon = id.rfind(':');
  return colon == std::string::npos ? id : id.substr(colon + 1);
}

// When the bank moved it: at the document's own time, but what a chargeback or a reversal takes has the time of what it is
// about, and moved when it was booked.
std::int64_t bank_ms(const ledger::TransferRow& row) {
  const bool about_earlier = row.reverses || row.doc_id.rfind("chargeback:", 0) == 0 || RequestId::parse(row.doc_id);
  return about_earlier ? row.booked_at : row.effective_at;
}

// The first month into which something could still be booked at that time; of a store that never closes, three years before.
ledger::Period first_booked(ledger::Reader& reader, std::int64_t wall_ms) {
  ledger::Period out = ledger::period_of(wall_ms);
  const auto rows = reader.periods();
  const auto closed = [&](ledger::Period period) {
    const auto row = std::find_if(rows.begin(), rows.end(), [&](const auto& one) { return one.period == period; });
    return row != rows.end() && row->closed_ms != 0 && row->closed_ms < wall_ms;
  };
  for (int months = 0; months < 36 && !closed(ledger::previous_period(out)); ++months) out = ledger::previous_period(out);
  return out;
}

}  // namespace

void ReportCall::bank() {
  out.columns = {"reference", "ledger", "bank", "difference"};
  FileReader file(*ask_.file, shipped_layout("bank"), {"reference", "amount"});
  std::map<std::string, Amount> told;
  if (file.read()) {
    for (const auto& row : file.rows()) {
      const auto amount = file.amount(row, "amount");
      if (!amount) break;
      told[row.cells.at("reference")] += *amount;
    }
  }
  out.error = file.error();
  if (!out.error.empty()) return;
  std::map<std::string, Amount> booked;  // by document
  // In whatever month it is booked: a fact about a closed one stands in a later one, and one about a month in grace in that.
  for (auto period = first_booked(*reader_, ask_.from_ms); period <= ledger::period_of(std::max(ask_.now_ms, ask_.to_ms - 1)); period = ledger::next_period(period)) {
    const bool read = reader_->adjustments(period, [&](const ledger::TransferRow& row) {
      if (bank_ms(row) < ask_.from_ms || bank_ms(row) >= ask_.to_ms) return true;
      for (const auto& leg : row.legs)
        if (leg.account == ledger::account_bank) booked[row.doc_id] += leg.amount;
      return true;
    });
    if (read) continue;
    out.error = reader_->error();
    return;
  }
  Amount ours, theirs;
  const auto compare = [&](const std::string& reference, const Amount& ledger_says, const Amount& bank_says, const std::string& why) {
    ours += ledger_says;
    theirs += bank_says;
    if (ledger_says == bank_says) return;
    out.row({reference, ledger_says.text(), bank_says.text(), (bank_says - ledger_says).text()});
    find("bank:" + reference, why, {{"ledger", quoted(ledger_says.text())}, {"bank", quoted(bank_says.text())}});
  };
  for (const auto& [id, amount] : booked) {
    auto found = told.find(id);
    if (found == told.end()) found = told.find(short_of(id));
    if (found == told.end()) {
      compare(id, amount, {}, "A100 has " + amount.text() + " under " + id + ", the bank has nothing");
      continue;
    }
    compare(id, amount, found->second, id + ": A100 has " + amount.text() + ", the bank " + found->second.text());
    told.erase(found);
  }
  for (const auto& [reference, amount] : told) compare(reference, {}, amount, "the bank has " + amount.text() + " under " + reference + ", A100 has nothing");
  out.row({"(all)", ours.text(), theirs.text(), (theirs - ours).text()});
}

// Three tellings of what a party is due: our statement, its own figure, its invoice. In whole fen, so they agree
// exactly or not at all.
void ReportCall::partner() {
  out.columns = {"statement", "ours", "partner", "invoice"};
  FileReader file(*ask_.file, shipped_layout("partner"), {"statement", "amount", "invoice"});
  struct Told {
    std::optional<Amount> amount, invoice;  // none: an empty cell
  };
  std::map<std::string, Told> told;
  if (file.read()) {
    for (const auto& row : file.rows()) {
      Told one;
      if (!row.cells.at("amount").empty()) one.amount = file.amount(row, "amount");
      if (!row.cells.at("invoice").empty()) one.invoice = file.amount(row, "invoice");
      if (!file.error().empty()) break;
      if (!told.emplace(row.cells.at("statement"), one).second) {
        out.error = ask_.file->name + ":" + std::to_string(row.line) + ":" + std::to_string(row.columns.at("statement")) + ": " + row.cells.at("statement") +
                    " stands twice";
        return;
      }
    }
  }
  if (out.error = file.error(); !out.error.empty()) return;
  std::map<std::string, Amount> ours;
  months([&](ledger::Period period) {
    for (const auto& one : statements(*reader_, period)) ours[one.no] = one.net_payable;
  });
  const auto text = [](const std::optional<Amount>& amount) { return amount ? amount->text() : std::string("-"); };
  for (const auto& [no, due] : ours) {
    const auto found = told.find(no);
    const Told one = found == told.end() ? Told{} : found->second;
    out.row({no, due.text(), text(one.amount), text(one.invoice)});
    if (found != told.end()) told.erase(found);
    if (one.amount == due && one.invoice == due) continue;
    const bool nothing_due = due.zero() && !one.amount && !one.invoice;
    if (nothing_due) continue;
    find("partner:" + no, no + " is " + due.text() + "; the partner says " + text(one.amount) + ", its invoice " + text(one.invoice));
  }
  for (const auto& [no, one] : told) {
    out.row({no, "-", text(one.amount), text(one.invoice)});
    find("partner:" + no, "there is no statement " + no + " of these months; the partner says " + text(one.amount) + ", its invoice " + text(one.invoice));
  }
}

}  // namespace trib::settlement

// https://beancount.github.io/docs/beancount_language_syntax.html: every amount is written and every
// assertion says that it tolerates nothing. A balance is asserted at the beginning of the day after.
#include "gateway/settlement/journal_text.h"
#include "gateway/settlement/sheet.h"

namespace trib::settlement {
namespace {

void posting(const std::string& account, std::int64_t fen, const money::Amount* pico, ExportFile& out) {
  out.content += "  " + journal_account(account) + "  " + fen_text(fen) + " CNY\n";
  if (pico != nullptr) out.content += "    pico: \"" + pico->text() + "\"\n";
  add_control(fen, out);
}

void entry_text(const DayEntry& entry, ExportFile& out) {
  out.content += "\n" + entry.day + " * \"" + entry.owner + "\" \"\"\n  owner: \"" + entry.owner + "\"\n  transfers: " + std::to_string(entry.transfers) +
                 "\n  batches: \"" + std::to_string(entry.batch_from) + "-" + std::to_string(entry.batch_to) + "\"\n  sha256: \"" + to_hex(entry.hash) + "\"\n";
  for (const auto& [account, moved] : entry.moved) posting(account, moved.fen, &moved.pico, out);
  posting(std::string(ledger::account_clearing), entry.clearing_fen, nullptr, out);
  ++out.rows;
}

}  // namespace

ExportFile beancount_journal(const JournalHead& head, const Daybook& book) {
  ExportFile out;
  out.name = "ledger.beancount";
  const std::string first = ledger::day_text(ledger::period_begin_ms(head.period)), after = ledger::day_text(ledger::period_end_ms(head.period));
  out.content = "; Tributary, " + ledger::period_text(head.period) + (head.party.empty() ? "" : ", " + head.party) + (head.provisional ? ", provisional" : "") +
                "\n; schema_version " + std::to_string(export_schema_version) + ", seal_hash " + head.seal_hash + "\noption \"title\" \"Tributary " +
                ledger::period_text(head.period) + "\"\noption \"operating_currency\" \"CNY\"\n\n";
  const auto accounts = closing_fen(book);
  for (const auto& [account, fen] : accounts) out.content += first + " open " + journal_account(account) + " CNY\n";
  if (!book.opening.empty()) {
    out.content += "\n" + first + " * \"opening balances\" \"\"\n  opening: \"" + ledger::period_text(head.period) + "\"\n";
    for (const auto& [account, stands] : book.opening) posting(account, stands.fen, &stands.pico, out);
    ++out.rows;
  }
  for (const auto& entry : book.entries) entry_text(entry, out);
  out.content += '\n';
  for (const auto& [account, fen] : accounts) out.content += after + " balance " + journal_account(account) + "  " + fen_text(fen) + " ~ 0.00 CNY\n";
  return out;
}

}  // namespace trib::settlement

#include "gateway/settlement/journal_text.h"

namespace trib::settlement {

std::string journal_account(std::string_view account) {
  const auto slash = account.find('/');
  const std::string code(account.substr(0, slash));
  const char* root = "Liabilities:";
  if (code[0] == 'A') root = "Assets:";
  if (code[0] == 'R') root = "Income:";
  if (code[0] == 'E') root = "Expenses:";
  if (code[0] == 'C') root = "Equity:";
  std::string out = root + code;
  if (slash == std::string_view::npos) return out;
  out += ':';
  bool first = true;
  for (const char c : account.substr(slash + 1)) {
    if (c == '.') {
      out += "-DOT-";
    } else if (c == '_') {
      out += "-UL-";
    } else if (c == ':') {
      out += "-OF-";
    } else {
      out += first && c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    }
    first = false;
  }
  return out;
}

std::map<std::string, std::int64_t> closing_fen(const Daybook& book) {
  std::map<std::string, std::int64_t> out{{std::string(ledger::account_clearing), 0}};
  for (const auto& [account, stood] : book.opening) out[account] = 0;
  for (const auto& entry : book.entries)
    for (const auto& [account, moved] : entry.moved) out[account] = 0;
  for (const auto& [account, stands] : book.closing) out[account] = stands.fen;
  return out;
}

void add_control(std::int64_t fen, ExportFile& out) { (fen < 0 ? out.sum_credit : out.sum_debit) += fen_amount(fen < 0 ? -fen : fen); }

}  // namespace trib::settlement

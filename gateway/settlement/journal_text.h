// A month's daybook as a plain-text journal.
#pragma once
#include <string>

#include "gateway/settlement/daybook.h"
#include "gateway/settlement/settlement.h"

namespace trib::settlement {

struct JournalHead {
  ledger::Period period = 0;
  std::string party;  // empty: everybody
  std::string seal_hash;
  bool provisional = false;
};

// "Liabilities:L210:Dc-one": one name an account in both languages. What Beancount does not take in a name is
// written out in capitals, which no id has: "." -DOT-, "_" -UL-, ":" -OF-.
std::string journal_account(std::string_view account);
std::map<std::string, std::int64_t> closing_fen(const Daybook& book);  // of every account in the book
void add_control(std::int64_t fen, ExportFile& out);                   // a posting, to the file's sums
ExportFile hledger_journal(const JournalHead& head, const Daybook& book);
ExportFile beancount_journal(const JournalHead& head, const Daybook& book);

}  // namespace trib::settlement

#include "gateway/settlement/audit.h"

#include <map>

#include "gateway/settlement/statement.h"

namespace trib::settlement {

StatementAudit audit_statements(ledger::Reader& reader, const ledger::Book&) {
  StatementAudit out;
  std::map<ledger::Period, std::string> seals;
  for (const auto& row : reader.periods()) seals[row.period] = row.seal;
  const auto fail = [&](std::string place, std::string why) {
    out.place = std::move(place);
    out.why = std::move(why);
    return false;
  };
  const bool read = reader.commands("document", [&](const ledger::CommandRow& row) {
    const auto document = ledger::read_document(row.body);
    if (!document) return fail("command " + row.id, "not a document");
    if (document->kind != "statement") return true;
    const auto kept = read_statement(document->attach);
    const std::string place = "statement, command " + row.id;
    if (!kept || statement_text(*kept) != document->attach) return fail(place, "its figures cannot be read");
    if (!adds_up(*kept)) return fail(place, "its figures do not add up");
    if (kept->seal_hash != seals[kept->period]) return fail(place + ", seal_hash", "it is not the seal of its month");
    ++out.statements;
    return true;
  });
  if (!read && out.place.empty()) fail("table command", reader.error());
  out.ok = out.place.empty();
  return out;
}

}  // namespace trib::settlement

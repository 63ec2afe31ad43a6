#include "gateway/settlement/audit.h"

#include <map>

#include "gateway/settlement/booked.h"
#include "gateway/settlement/reckon.h"
#include "gateway/settlement/trueup.h"

namespace trib::settlement {
namespace {

class Audit {
 public:
  Audit(ledger::Reader& reader, const ledger::Book& book) : reader_(reader), book_(book) {}
  StatementAudit run();

 private:
  using Month = std::map<std::string, Statement>;  // by party
  bool fail(std::string place, std::string why) {
    out_.place = std::move(place);
    out_.why = std::move(why);
    return false;
  }
  bool reckon_month(ledger::Period period, Month& out);
  bool statement(const ledger::CommandRow& row);
  bool same(const Statement& kept, const Statement& made, const std::string& place);

  ledger::Reader& reader_;
  const ledger::Book& book_;
  std::map<ledger::Period, Month> months_;  // what nobody has a statement of yet
  StatementAudit out_;
};

bool Audit::reckon_month(ledger::Period period, Month& out) {
  Turnover turnover;
  if (!read_turnover(reader_, book_, period, turnover, {}) || !add_booked(reader_, book_, period, turnover)) return fail("table usage", reader_.error());
  share_fees(turnover, book_);
  out = reckon(reader_, book_, period, turnover, Whose::partners);
  return reader_.error().empty() || fail("table leg", reader_.error());
}

bool Audit::same(const Statement& kept, const Statement& made, const std::string& place) {
  for (const auto& amount : statement_amounts) {
    if (made.*(amount.amount) == kept.*(amount.amount)) continue;
    return fail(place + ", " + amount.name, "it is " + (kept.*(amount.amount)).text() + ", its rows give " + (made.*(amount.amount)).text());
  }
  if (made != kept) return fail(place, "its number, contract, seal, requests, tokens or batches are not those of its rows");
  return adds_up(kept) || fail(place, "its figures do not add up to its account");
}

bool Audit::statement(const ledger::CommandRow& row) {
  const auto document = ledger::read_document(row.body);
  if (!document) return fail("command " + row.id, "not a document");
  if (document->kind != "statement") return true;
  const auto kept = read_statement(document->attach);
  const std::string place = "statement, command " + row.id;
  if (!kept || statement_text(*kept) != document->attach) return fail(place, "its figures cannot be read");
  const auto [month, fresh] = months_.try_emplace(kept->period);
  if (fresh && !reckon_month(kept->period, month->second)) return false;
  const auto made = month->second.find(kept->party);
  if (made == month->second.end()) return fail(place, "its party has no account in that month, or has a statement already");
  if (!same(*kept, made->second, place)) return false;
  month->second.erase(made);
  money::Amount locked;
  for (const auto& transfer : document->transfers)
    for (const auto& leg : transfer.legs)
      if (leg.account == ledger::stated_account(kept->party)) locked -= leg.amount;
  if (locked != kept->net_payable) return fail(place + ", net_payable", "its lock moves " + locked.text());
  ++out_.statements;
  return true;
}

StatementAudit Audit::run() {
  const bool read = reader_.commands("document", [&](const ledger::CommandRow& row) { return statement(row); });
  if (!read && out_.place.empty()) fail("table command", reader_.error());
  for (const ledger::PeriodRow& row : reader_.periods()) {
    if (row.state < ledger::PeriodState::stated || !out_.place.empty()) continue;
    const auto month = months_.find(row.period);
    if (month != months_.end() && !month->second.empty())
      fail("period " + ledger::period_text(row.period), "it is stated, and " + month->second.begin()->first + " has no statement");
  }
  out_.ok = out_.place.empty();
  return std::move(out_);
}

}  // namespace

StatementAudit audit_statements(ledger::Reader& reader, const ledger::Book& book) { return Audit(reader, book).run(); }

BooksVerdict verify_books(ledger::Reader& reader, std::uint16_t shard, metering::Journal* journal, std::span<const ledger::Checkpoint> checkpoints) {
  BooksVerdict out{ledger::verify(reader, shard, journal, checkpoints)};
  if (!out.ok) return out;
  const auto book = reader.book();
  const StatementAudit audit = book == nullptr ? StatementAudit{false, "table command", reader.error()} : audit_statements(reader, *book);
  out.ok = audit.ok;
  out.place = audit.place;
  out.why = audit.why;
  out.statements = audit.statements;
  return out;
}

}  // namespace trib::settlement

#include "gateway/settlement/audit.h"

#include <iterator>
#include <map>

#include "gateway/settlement/booked.h"
#include "gateway/settlement/reckon.h"
#include "gateway/settlement/statement.h"
#include "gateway/settlement/trueup.h"

namespace trib::settlement {
namespace {

class Audit {
 public:
  Audit(ledger::Reader& reader, const ledger::Book& book) : reader_(reader), book_(book) {}
  StatementAudit run();

 private:
  struct Month {
    Turnover turnover;
    std::map<std::string, money::Amount> stands, opening;  // by party: at the end of the month, and of the one before
    std::string seal;
  };
  bool fail(std::string place, std::string why) {
    out_.place = std::move(place);
    out_.why = std::move(why);
    return false;
  }
  bool read(Month& month, ledger::Period period);
  bool statement(const ledger::CommandRow& row);
  bool same(const Statement& kept, Month& month, const std::string& place);

  ledger::Reader& reader_;
  const ledger::Book& book_;
  std::map<ledger::Period, Month> months_;
  std::map<std::string, std::map<ledger::Period, money::Amount>> carried_;  // by party: what each month's statement carried
  StatementAudit out_;
};

std::map<std::string, money::Amount> standing(const ledger::TrialBalance& trial) {
  std::map<std::string, money::Amount> out;
  for (const auto& row : trial.accounts) out[row.account] = row.credit - row.debit;
  return out;
}

bool Audit::read(Month& month, ledger::Period period) {
  for (const auto& row : reader_.periods())
    if (row.period == period) month.seal = row.seal;
  month.stands = standing(reader_.trial_balance_after(period));
  month.opening = standing(reader_.trial_balance_after(ledger::previous_period(period)));
  if (!read_turnover(reader_, book_, period, month.turnover, {}) || !add_booked(reader_, book_, period, month.turnover)) return fail("table usage", reader_.error());
  share_fees(month.turnover, book_);
  return true;
}

bool Audit::same(const Statement& kept, Month& month, const std::string& place) {
  const PartyUse& use = month.turnover.parties[kept.party];
  const std::string account = ledger::party_account(kept.party);
  const auto& carried = carried_[kept.party];
  const auto not_before = carried.lower_bound(kept.period);
  Statement made = kept;  // the figures that rows and legs give
  made.no = ledger::period_text(kept.period) + "/" + kept.party;
  made.seal_hash = month.seal;
  fill(made, use);
  made.share_amount = kept.share_amount;  // with what documents moved of it
  made.opening_carry = not_before == carried.begin() ? month.opening[account] : std::prev(not_before)->second;
  made.share_base = made.gross_revenue + made.refunds + made.vat_excluded + made.payment_fees;
  made.closing_carry = month.stands[account] - kept.net_payable;
  for (const auto& amount : statement_amounts) {
    if (made.*(amount.amount) == kept.*(amount.amount)) continue;
    return fail(place + ", " + amount.name, "it is " + (kept.*(amount.amount)).text() + ", its rows give " + (made.*(amount.amount)).text());
  }
  if (made != kept) return fail(place, "its number, seal, requests, tokens or batches are not those of its rows");
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
  if (fresh && !read(month->second, kept->period)) return false;
  if (!same(*kept, month->second, place)) return false;
  carried_[kept->party][kept->period] = kept->closing_carry;
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
  out_.ok = out_.place.empty();
  return std::move(out_);
}

}  // namespace

StatementAudit audit_statements(ledger::Reader& reader, const ledger::Book& book) { return Audit(reader, book).run(); }

}  // namespace trib::settlement

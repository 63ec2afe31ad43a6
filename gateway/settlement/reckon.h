// What every party is owed for a period, reckoned from its accounts as the store holds them: the close makes
// statements of it, an export of a month that is not stated shows it as provisional.
#pragma once
#include <map>
#include <string>

#include "gateway/settlement/statement.h"
#include "gateway/settlement/turnover.h"

namespace trib::settlement {

// Partners are sites, vendors and referrers with a name: they get statements. The house is the rest of
// what requests are divided into: "platform", "vat" and the suspense of unknown ones ("vendor:").
enum class Whose { partners, everybody };

// The party whose pay an account holds while it accrues; empty for every other account.
std::string accruing_party(std::string_view account, Whose whose);

// A batch's own transfer of its requests' parts, such as of an unknown vendor's into suspense (35): what it
// moves stands in the usage rows already. Late requests (31) are not meant.
bool of_requests(const ledger::TransferRow& transfer);

// The code under which a transfer stands: a reversal of a whole one stands where its original does.
ledger::Code stands_as(ledger::Reader& reader, const ledger::TransferRow& transfer);

// What a transfer that is no request's (codes 20 to 24) moved on the party's account, in the column of that code.
// Of late requests (31) the parts are among the period's requests: they move from share to prior_period_adj.
void book(Statement& to, ledger::Code as, std::int64_t effective_at, money::Amount moved, std::int64_t period_begin_ms);

// By party, from one walk over the period's adjustments; `turnover` with what documents changed (booked.h). Not all of them add up where an account and what
// moved it contradict each other. The house is never paid: all is carried, its statements have no number.
std::map<std::string, Statement> reckon(ledger::Reader& reader, const ledger::Book& book, ledger::Period period, const Turnover& turnover,
                                        Whose whose);

// Whether the party may see what customers paid for its part: its contracts of the period all say so.
bool shows_gross(const Turnover& turnover, const ledger::Book& book, const std::string& party);

// Under a statement's number, from its lock to now.
money::Amount paid(ledger::Reader& reader, const Statement& statement);

}  // namespace trib::settlement

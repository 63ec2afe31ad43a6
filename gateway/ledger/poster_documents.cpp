// Documents and the steps of a period: checked against what is posted, then booked.
#include "gateway/ledger/poster_work.h"
#include "gateway/ledger/seal.h"

namespace trib::ledger {
namespace {

std::string refused(const std::string& why) { return "refused: " + why; }

std::string in_period(Period period) { return period == 0 ? std::string() : " in " + period_text(period); }

}  // namespace

// credit - debit of what is posted; none: the store failed.
std::optional<money::Amount> Poster::stands(const std::string& account, Period period) {
  stands_.reset().bind(account).bind(period).bind(period == 0 ? 1 : 0);
  if (!stands_.row()) return std::nullopt;
  const money::Amount debit = stands_.sum();
  const money::Amount out = stands_.sum() - debit;
  stands_.reset();
  return out;
}

std::string Poster::refuse_reversal(const DocumentTransfer& transfer) {
  const auto id = static_cast<std::int64_t>(*transfer.reverses);
  const std::string name = "transfer " + std::to_string(id);
  find_reversal_.reset().bind(shard_).bind(id);
  const bool reversed = find_reversal_.row();
  find_reversal_.reset();
  if (reversed) return name + " is reversed already";
  std::vector<Leg> legs;
  find_legs_.reset().bind(shard_).bind(id);
  while (find_legs_.row()) {
    Leg& leg = legs.emplace_back();
    leg.account = find_legs_.text();
    leg.amount = -find_legs_.amount();
  }
  find_legs_.reset();
  if (legs.empty()) return "there is no " + name;
  return legs == transfer.legs ? std::string() : name + " has other legs than those that are to be negated";
}

// Empty: the store failed, which is not the document's fault.
std::string Poster::post(Work& work, const metering::Command& command, const Document& document) {
  if (auto why = ledger::refuse(document); !why.empty()) return refused(why);
  std::map<std::string, money::Amount> change;  // credit - debit
  for (const DocumentTransfer& transfer : document.transfers) {
    if (work.periods->closed(transfer.period)) return refused("period " + period_text(transfer.period) + " is closed");
    if (transfer.period > period_of(command.wall_ms)) return refused("period " + period_text(transfer.period) + " has not begun");
    if (transfer.reverses) {
      if (auto why = refuse_reversal(transfer); !why.empty()) return refused(why);
    }
    for (const Leg& leg : transfer.legs) change[leg.account] -= leg.amount;
  }
  for (const QuantityMove& one : document.quantities) {
    if (work.periods->closed(one.period)) return refused("period " + period_text(one.period) + " is closed");
    if (one.period > period_of(command.wall_ms)) return refused("period " + period_text(one.period) + " has not begun");
  }
  for (const Stands& one : document.expect) {
    const auto amount = stands(one.account, one.period);
    if (!amount) return {};
    if (*amount != one.amount) {
      return refused(one.account + in_period(one.period) + " stands at " + amount->text() + ", not at " + one.amount.text() +
                     " as the document was reckoned from");
    }
  }
  std::map<std::string, money::Amount> floors;
  for (const Stands& one : document.floors) floors[one.account] = one.amount;
  for (const auto& [account, amount] : change)
    if (account_kind(account)->not_below_zero) floors.emplace(account, money::Amount{});
  for (const auto& [account, least] : floors) {
    const auto before = stands(account, 0);
    if (!before) return {};
    const money::Amount after = *before + change[account];
    if (after < least && change[account].negative()) {
      return refused(account + " would stand at " + after.text() + ", below " + least.text());
    }
  }
  for (const DocumentTransfer& transfer : document.transfers) {
    work.tally.postings.document(transfer, command.id);
    work.tally.touches(transfer.period);
  }
  for (const QuantityMove& one : document.quantities) {
    work.tally.quantities.add(one);
    work.tally.touches(one.period);
  }
  return "applied";
}

std::string Poster::move(Work& work, const metering::Command& command, const PeriodStep& step) {
  auto next = std::make_shared<Periods>(*work.periods);
  if (auto why = take_step(*next, step, command.wall_ms); !why.empty()) return refused(why);
  if (step.to == PeriodState::closed) {
    const auto seal = seal_period(db_, step.period);
    if (!seal) return {};
    if (to_hex(*seal) != step.seal) return refused("period " + period_text(step.period) + " has moved since its seal was reckoned");
  }
  const PeriodRow& row = next->rows[step.period];
  put_period_.reset().bind(row.period).bind(static_cast<std::int64_t>(row.state));
  for (const auto ms : {row.grace_ms, row.reconciled_ms, row.closed_ms, row.stated_ms, row.paid_ms}) put_period_.bind(ms);
  if (!put_period_.bind(row.seal).bind(row.signature).done()) return {};
  work.periods = std::move(next);
  return "applied";
}

bool Poster::load_periods(std::string& why) {
  auto periods = std::make_shared<Periods>();
  Statement select = db_.prepare("SELECT " + period_columns + " FROM period");
  Statement::Step step{};
  while ((step = select.step()) == Statement::Step::row) {
    PeriodRow row;
    read(select, row);
    if (row.state >= PeriodState::closed) periods->closed_through = std::max(periods->closed_through, row.period);
    periods->rows[row.period] = row;
  }
  if (step == Statement::Step::failed || select.damaged()) {
    why = "reading the periods: " + db_.error();
    return false;
  }
  periods_ = std::move(periods);
  return true;
}

}  // namespace trib::ledger

// The steps of the periods are sealed commands; their table must say the same, and a closed period must
// still hold what its seal was made of.
#include "gateway/ledger/check.h"
#include "gateway/ledger/seal.h"

namespace trib::ledger {

bool Check::step_period(const CommandRow& row) {
  const std::string place = in_batch("command", row.batch) + ", command " + row.id;
  const auto step = read_period_step(row.body);
  if (!step) return fail(place, "not a period's step");
  PeriodRow& period = periods_.rows[step->period];
  period.period = step->period;
  if (static_cast<int>(step->to) != static_cast<int>(period.state) + 1) return fail(place, "a step out of order");
  period.state = step->to;
  switch (step->to) {
    case PeriodState::open: break;
    case PeriodState::grace: period.grace_ms = row.wall_ms; break;
    case PeriodState::reconciled: period.reconciled_ms = row.wall_ms; break;
    case PeriodState::closed:
      period.closed_ms = row.wall_ms;
      period.seal = step->seal;
      period.signature = step->signature;
      periods_.closed_through = std::max(periods_.closed_through, step->period);
      break;
    case PeriodState::stated: period.stated_ms = row.wall_ms; break;
    case PeriodState::paid: period.paid_ms = row.wall_ms; break;
  }
  return true;
}

bool Check::periods() {
  Statement select = db_.prepare("SELECT " + period_columns + " FROM period ORDER BY id");
  std::size_t count = 0;
  Statement::Step step{};
  while ((step = select.step()) == Statement::Step::row) {
    PeriodRow row;
    read(select, row);
    const std::string place = "table period, " + period_text(row.period);
    const auto found = periods_.rows.find(row.period);
    if (select.damaged() || found == periods_.rows.end() || !(found->second == row)) return fail(place, "its steps in the commands say otherwise");
    if (row.state >= PeriodState::closed) {
      const auto seal = seal_period(db_, row.period);
      if (!seal || to_hex(*seal) != row.seal) return fail(place, "it does not hold what its seal was made of");
    }
    ++count;
  }
  if (!ended(step, "period")) return false;
  return count == periods_.rows.size() || fail("table period", "a period with steps is missing");
}

}  // namespace trib::ledger

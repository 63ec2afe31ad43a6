// The steps of the periods are sealed commands; their table must say the same, and a closed period must
// still hold what its seal was made of.
#include "gateway/ledger/check.h"
#include "gateway/ledger/seal.h"

namespace trib::ledger {

bool Check::step_period(const CommandRow& row) {
  const std::string place = in_batch("command", row.batch) + ", command " + row.id;
  const auto step = read_period_step(row.body);
  if (!step) return fail(place, "not a period's step");
  const std::string why = take_step(periods_, *step, row.wall_ms);
  return why.empty() || fail(place, why);
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

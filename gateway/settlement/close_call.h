// One call of the close: reads a moment of the store, builds documents, posts them, takes the step. Private
// to close*.cpp.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gateway/settlement/close.h"

namespace trib::settlement {

using ledger::Code;
using ledger::Document;
using ledger::Period;
using ledger::PeriodState;
using money::Amount;

class Call {
 public:
  Call(ledger::Ledger& ledger, const SigningKey* key, Period period, std::int64_t wall_ms, const CloseRules& rules, const Progress& progress)
      : ledger_(ledger), key_(key), period_(period), wall_ms_(wall_ms), rules_(rules), progress_(progress), book_(ledger.book()) {
    out_.period = period;
  }
  Closing run();

 private:
  void begin_reading();
  PeriodState state_of(Period period);
  void item(std::string name, std::string why) { out_.items.push_back({std::move(name), why.empty(), std::move(why)}); }
  bool all_fine() const { return std::all_of(out_.items.begin(), out_.items.end(), [](const Item& i) { return i.fine; }); }
  bool explained(const std::string& subject) { return reader_->command("explained:" + subject).has_value(); }

  void check_grace();
  void check_reconciled();
  void check_closed();
  void check_stated();
  void check_paid();
  std::string quarantine();
  std::string suspense();

  void add_trueups();
  void add_guarantees();
  void add_reserves();
  void add_releases();
  std::optional<Statement> statement(const std::string& party);
  Amount opening_carry(const std::string& party, const std::string& account);
  Amount min_payout(const std::string& party) const;

  void plan(std::string id, Document document) { planned_.emplace_back(std::move(id), std::move(document)); }
  ledger::DocumentTransfer transfer(Code code, std::vector<ledger::Leg> legs) const;
  bool post_planned();
  bool step(PeriodState to);

  ledger::Ledger& ledger_;
  const SigningKey* const key_;
  const Period period_;
  const std::int64_t wall_ms_;
  const CloseRules& rules_;
  const Progress& progress_;
  const std::shared_ptr<const ledger::Book> book_;
  std::unique_ptr<ledger::Reader> reader_;
  Turnover turnover_;
  std::map<std::string, Amount> adjusted_;  // by party: what this close adds to its share, before the reserve
  std::vector<std::pair<std::string, Document>> planned_;
  Closing out_;
};

}  // namespace trib::settlement

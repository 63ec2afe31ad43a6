// One call of the close: reads a moment of the store, builds documents, posts them, takes the step. Private
// to close*.cpp.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gateway/settlement/assignment.h"
#include "gateway/settlement/booked.h"
#include "gateway/settlement/close.h"
#include "gateway/settlement/desk.h"
#include "gateway/settlement/reckon.h"
#include "gateway/settlement/trueup.h"

namespace trib::settlement {

using ledger::Code;
using ledger::Document;
using ledger::Period;
using ledger::PeriodState;
using money::Amount;

Document document_of(std::string kind, ledger::DocumentTransfer transfer);

class Call {
 public:
  Call(ledger::Ledger& ledger, const SigningKey* key, Period period, std::int64_t wall_ms, const CloseRules& rules, const Progress& progress)
      : ledger_(ledger), key_(key), period_(period), wall_ms_(wall_ms), rules_(rules), progress_(progress), book_(ledger.book()) {
    out_.period = period;
  }
  Closing run();

 private:
  void begin_reading();
  ledger::PeriodRow row_of(Period period);
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
  ledger::MeterQuestion meter_question(std::int64_t from_ms) const;  // to the month's end
  bool find_confirmed();

  void add_fees();
  void add_trueups();
  void add_guarantees();
  void add_reserves();
  Amount unconfirmed(const ContractKey& key, const ContractUse& use) const;
  void add_releases();
  std::string id(std::string_view kind, const std::string& rest) const;  // "KIND:2026-11:REST"
  void plan(std::string id, Document document) { planned_.emplace_back(std::move(id), std::move(document)); }
  // `id`, or "id#2", "id#3"... where refused commands have used it up. None: it was applied already.
  std::optional<std::string> free_id(const std::string& id);
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
  using Group = std::pair<std::string, std::string>;  // a site and a contract's id
  std::map<Group, PartyAmounts> trueups_;
  std::map<ContractKey, Amount> confirmed_;  // of the sites' parts of estimated counts
  std::optional<Assignments> assignments_;
  PartyAmounts adjusted_;  // what this close adds to a party's share, before the reserve
  std::vector<std::pair<std::string, Document>> planned_;
  Closing out_;
};

}  // namespace trib::settlement

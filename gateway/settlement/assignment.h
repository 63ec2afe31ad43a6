// Which contract each site stands under, as the configuration told the journal: commands of the kind "assignment", ids
// "assigned:SITE:1", ":2" ..., body {"contract":"c","site":"dc-one"}; an empty contract when the site has left. A guarantee is
// owed to a site that nobody asked, too, and every reader of the journal must find the same sites.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gateway/ledger/ledger.h"
#include "gateway/settlement/turnover.h"

namespace trib::settlement {

struct Assignment {
  std::string contract;
  std::int64_t from_ms = 0, to_ms = INT64_MAX;  // half-open; INT64_MAX: it still holds
};

class Assignments {
 public:
  // One walk over the assignments and the early exits.
  explicit Assignments(ledger::Reader& reader);
  // Of a site under a contract, in order. Without any: all time, if requests say that it stood under it.
  std::vector<Assignment> of(const std::string& site, const std::string& contract) const;
  // Sites and contracts that met in the period.
  std::vector<std::pair<std::string, std::string>> in(ledger::Period period) const;
  // By an early exit that was not undone.
  bool has_left(const std::string& site, const std::string& contract) const { return exits_.contains({site, contract}); }
  // The version by which the site stood last in the period; null: it did not, as far as is known.
  const ledger::ContractVersion* version_of(const ledger::Book& book, const std::string& site, ledger::Period period) const;
  // The version by whose terms a party's month stands: the latest under which it has a part, else a site's of version_of().
  const ledger::ContractVersion* terms_of(const Turnover& turnover, const ledger::Book& book, const std::string& party, ledger::Period period) const;
  // What is guaranteed to the site for the period: by the days of it on which a version was in force and the site stood under
  // it. Nothing from the month of an early exit on, whose price has it.
  money::Amount guarantee(const ledger::Book& book, const std::string& site, const std::string& contract, ledger::Period period) const;

  const std::map<std::string, std::vector<Assignment>>& by_site() const { return by_site_; }

 private:
  std::map<std::string, std::vector<Assignment>> by_site_;
  std::map<std::pair<std::string, std::string>, std::int64_t> exits_;  // site and contract: when
};

// Tells the journal what has changed; a site that is not listed has left. Blocks until posted. Empty, or why not.
std::string assign(ledger::Ledger& ledger, const std::map<std::string, std::string>& contract_by_site, std::int64_t wall_ms);

}  // namespace trib::settlement

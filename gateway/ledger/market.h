// Market indexes, and which contracts they put at risk: a price that was fair when it was agreed is broken
// off when the market has moved far enough.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "gateway/ledger/book.h"
#include "gateway/ledger/period.h"

namespace trib::ledger {

class Reader;

struct IndexValue {
  std::string name;
  std::int64_t at_ms = 0;
  money::Amount value;  // CNY, > 0
  friend bool operator==(const IndexValue&, const IndexValue&) = default;
};
std::string index_terms(const IndexValue& value);                  // canonical JSON, a command's body
std::optional<IndexValue> read_index(const std::string& terms);
std::vector<IndexValue> index_values(Reader& reader);              // by name, then time

// One contract with one of its sites, or without a site where it has none.
struct ContractRisk {
  const ContractVersion* contract = nullptr;  // in force, or the next to come; of the book that was asked
  std::string site;
  std::optional<IndexValue> index;            // the latest value; none: nothing to watch, or never set
  std::optional<std::int64_t> moved_ppm;      // against the reference, signed
  bool alarm = false;                         // moved further than agreed
  // To the end of the term: the shortfall of this period as far as it has come, and every later one whole.
  std::optional<money::Amount> remaining_guarantee;  // none: the term is open
  std::optional<money::Amount> early_exit_cost;      // none: unknown, or leaving costs nothing
};

struct RiskFacts {
  const Book& book;
  std::vector<IndexValue> indexes;
  std::vector<std::pair<std::string, std::string>> sites;  // site, contract
  std::map<std::string, money::Amount> accrued;            // by site, what this period has brought it
  std::int64_t now_ms = 0;
  Period closed_through = 0;  // nothing of the guarantee of a closed month remains
};
std::vector<ContractRisk> contract_risks(const RiskFacts& facts);  // by contract, then site

}  // namespace trib::ledger

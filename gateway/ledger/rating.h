// Pure functions from counts, prices and contracts to money. No I/O, no clocks.
#pragma once
#include <string>
#include <vector>

#include "gateway/ledger/book.h"
#include "gateway/metering/metering.h"
#include "gateway/money/money.h"

namespace trib::ledger {

money::Amount gross(const PriceVersion& price, const metering::TokenCounts& counts);

// The worst case that a request may cost: its hold.
money::Amount worst_case(const PriceVersion& price, std::uint64_t input_tokens_max, std::uint64_t output_tokens_max);

// One party's part of one attempt's share of a request.
struct Part {
  std::uint16_t attempt = 0;
  std::string party;  // "platform", "site:dc-one", "vendor:nvidia", "referrer:lianmeng"
  std::string contract;
  std::uint32_t contract_version = 0;
  money::Amount amount;
  friend bool operator==(const Part&, const Part&) = default;
};

struct Rated {
  money::Amount gross;
  std::vector<Part> parts;   // sum to gross exactly; attempt order, then platform, site, vendor, referrer
  std::string quarantine;    // why nothing was rated: no price, no contract...; empty when rated
};

// Rates and splits one FINAL. Input goes to the first attempt that delivered; output is apportioned by
// delivered tokens; each attempt's gross is split under its own contract. An unknown vendor's part
// goes to the party "vendor:" (suspense, L250).
Rated rate(const metering::Final& final, const Book& book);

}  // namespace trib::ledger

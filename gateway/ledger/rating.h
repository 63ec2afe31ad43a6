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
  std::string party;  // "vat", "platform", "site:dc-one", "vendor:nvidia", "referrer:lianmeng"
  std::string contract;
  std::uint32_t contract_version = 0;
  money::Amount amount;
  friend bool operator==(const Part&, const Part&) = default;
};

// What one attempt contributed: its tokens, its gross and whose contract divides it.
struct AttemptShare {
  std::uint16_t attempt = 0;
  metering::TokenCounts counts;
  money::Amount gross;
  friend bool operator==(const AttemptShare&, const AttemptShare&) = default;
};

// One request's gross stays below this (1M CNY), so that a row fits 64 bits; more is quarantined.
constexpr money::int128 gross_pico_end = static_cast<money::int128>(1'000'000) * 1'000'000 * 1'000'000;

struct Rated {
  money::Amount gross;
  std::vector<AttemptShare> shares;  // attempts that tokens were billed for; sum to counts and gross
  // Sum to gross exactly, and those of one attempt to its gross; attempt order, then VAT, platform, site,
  // vendor, referrer; paid losers last. The platform's alone may be negative.
  std::vector<Part> parts;
  std::string quarantine;    // why nothing was rated: no price, no contract...; empty when rated
};

// Whether the referrer's weight is his at that time; else it is the platform's. Nobody brings himself.
bool referrer_shares(const ContractVersion& contract, std::string_view site, std::int64_t admit_ms);

// Rates and splits one FINAL. Input goes to the first attempt that delivered; output is apportioned by
// delivered tokens; each attempt's gross is split under its own contract, among the parties that have
// a weight at the ADMIT's time (the order is platform, site, vendor, referrer; a referrer's weight goes
// to the platform after the last day of its `until`). An unknown vendor's part goes to the party
// "vendor:" (suspense, L250). A FINAL that bills no token is rated: gross zero, no parts.
//
// VAT inside the price, floor(gross * percent / (100 + percent)) of each attempt's gross, is a part of its
// own. With a base net of VAT the weights apply to the rest; with any other the platform bears it, so that
// the others' parts are of the gross. A price whose tax comes on top has none inside. The loser of a hedged
// pair whose contract has `pay_loser` gets its part of the input's price, out of the platform's part.
Rated rate(const metering::Final& final, const Book& book);
void rate(const metering::Final& final, const Book& book, Rated& out);  // in what memory `out` has

}  // namespace trib::ledger

// The canonical JSON of what the ledger is told by command: price versions, contract versions and
// top-ups. The same terms always give the same text, so that texts can be compared and hashed.
#pragma once
#include <optional>
#include <string>

#include "gateway/ledger/book.h"

namespace trib::ledger {

std::string price_terms(const std::string& model, const config::PriceConfig& price, std::int64_t from_ms);
std::string contract_terms(const config::ContractConfig& contract);
std::optional<PriceVersion> read_price(const std::string& terms);        // version 0
std::optional<ContractVersion> read_contract(const std::string& terms);  // version 0
std::string weights_text(const config::Shares& shares);  // "platform=285000 site=650000 vendor=50000 referrer=15000"

struct Topup {
  std::string tenant;
  money::Amount amount;  // > 0
};
std::string topup_terms(const Topup& topup);
std::optional<Topup> read_topup(const std::string& terms);

// Adds a version with the next number and ends the one before at its `from`. Refuses, with the reason
// and nothing changed, a `from` that is not after the last one's, an overlap with a declared end, and
// shares that do not sum.
std::string add(Book& book, PriceVersion price);
std::string add(Book& book, ContractVersion contract);

}  // namespace trib::ledger

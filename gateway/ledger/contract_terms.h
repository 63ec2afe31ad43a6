// A contract's whole terms as canonical JSON, keys in order: equal terms have equal text, however they
// were spelled. Terms that came after the first format stand in it only where they are not the default,
// so that a text that was published once stays what it is.
#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gateway/ledger/book.h"

namespace trib::ledger {

std::string whole_terms(const std::string& contract, std::int64_t from_ms, std::optional<std::int64_t> to_ms,
                        const config::ContractTerms& terms);
// The terms of such a text: what it does not say stays as it is in `out`. False: not such a text.
bool read_whole_terms(const std::string& text, config::ContractTerms& out);

// How columns and reports show them; empty or null in the columns: the default holds.
std::string_view name(config::ShareBase base);
std::string_view name(config::Chargeback chargeback);
std::string_view name(config::ChargebackCost cost);
std::string_view name(config::EarlyExit::By by);
std::string tiers_json(const config::Tiers& tiers);
std::string penalties_json(const std::vector<config::Penalty>& penalties);
std::string policies_json(const config::Policies& policies);
// What is billed and paid of answers that were not simply delivered: keys and words of the configuration.
std::vector<std::pair<std::string_view, std::string_view>> policy_words(const config::Policies& policies);
std::string shares_json(const config::Shares& shares);

}  // namespace trib::ledger

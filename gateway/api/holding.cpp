#include "gateway/api/holding.h"

#include <algorithm>

namespace trib::api {

money::Amount hold_of(const exchange::Order& order, const Sha256& key) {
  std::uint64_t input = order.input_max, output = order.output_max;
  if (const auto expected = order.tenant->expected_output(key)) {
    input = std::clamp<std::uint64_t>(order.facts.text_pieces, 1, input);
    output = std::min(output, *expected);
  }
  return ledger::worst_case(*order.price, input, output);
}

std::string budget_message(const tenancy::BudgetState& budget, money::Amount hold) {
  const bool day = budget.span == tenancy::Span::day;
  return std::string("The ") + (budget.of_key ? "key's" : "tenant's") + " budget of the " + (day ? "day" : "month") + " is used up: " +
         budget.limit.text() + " CNY, of which " + budget.spent.text() + " are spent and " + budget.held.text() +
         " held for running requests; this one can cost " + hold.text() + ". It begins anew at " + ledger::time_text(budget.resets_at_ms) + ".";
}

}  // namespace trib::api

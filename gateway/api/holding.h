// What a request holds of its tenant's money, and what it is told when a budget has no room for that.
#pragma once
#include <string>

#include "gateway/exchange/exchange.h"
#include "gateway/tenancy/tenancy.h"

namespace trib::api {

// The most that the order can cost. Of a tenant whose holds are estimates: its prompt as counted, and the
// output that 99 of 100 answers of this key stay below, once enough of them are known; never more than the most.
money::Amount hold_of(const exchange::Order& order, const Sha256& key);
std::string budget_message(const tenancy::BudgetState& budget, money::Amount hold);

}  // namespace trib::api

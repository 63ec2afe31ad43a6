// How published versions lie in their tables: price_book has a row a unit, contract_version one a version.
// A column of a term that was not agreed, or is the default, is NULL; `terms` is the whole.
#pragma once
#include "gateway/ledger/book.h"
#include "gateway/ledger/sql.h"

namespace trib::ledger {

constexpr std::uint64_t price_units = 5;  // rows of one price version

extern const std::string add_price_sql, add_contract_sql;
bool put(Statement& add_price, const PriceVersion& price);
bool put(Statement& add_contract, const ContractVersion& contract);

// All that was published, from its commands. Null: damaged, or the store failed; why.
std::shared_ptr<const Book> read_book(Connection& db, std::string& why);

// Whether the tables say what was published; empty, or the unit that differs.
std::string differing_unit(Connection& db, const PriceVersion& price);
bool same_row(Connection& db, const ContractVersion& contract);

}  // namespace trib::ledger

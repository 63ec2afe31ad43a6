// The store's tables. The same names and columns on every engine; nothing but INTEGER, TEXT and BLOB
// (dialect.h says what an engine calls them), no serial keys, `shard` first in every key. Sealed tables refuse UPDATE and DELETE.
#pragma once
#include <string>
#include <vector>

#include "gateway/ledger/sql.h"

namespace trib::ledger {

constexpr std::int64_t schema_version = 3;

// Creates what is missing; refuses a store of any other version, since what is sealed cannot be written anew.
bool ensure_schema(Connection& db, std::string& why);
// Refuses anything but a store of this version, without writing.
bool check_schema(Connection& db, std::string& why);
std::vector<std::string> store_tables();  // all but meta; no transfer is refused when they are filled in this order
// Whether the triggers are there that keep sealed rows from change and transfers out of closed periods.
bool has_guards(Connection& db);

// PostgreSQL: the tables are another role's, and this one can neither change nor remove a sealed row. A file
// has no roles. False with the reason and the mend.
bool check_rights(Connection& db, std::string& why);

std::string grants_text(const std::string& quoted_role);  // PostgreSQL: of the role that the gateway is

// Makes the store's tables. In PostgreSQL: as the owner of the database that the address names, in a schema
// of their own, with what the role of the gateway needs and no more; the role must be there. Again is fine.
bool set_up(const std::string& address, const std::string& role, std::string& why);

}  // namespace trib::ledger

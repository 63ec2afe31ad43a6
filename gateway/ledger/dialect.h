// What differs between the store's engines in the text of SQL. Everything else is written once.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace trib::ledger {

enum class Engine : std::uint8_t { sqlite, postgres };
bool is_postgres(std::string_view address);  // a URL, not a file

// Tables as schema.cpp writes them, in the words of SQLite, for an engine.
std::string tables_text(Engine engine, std::string_view sql);

// Makes a table's rows unchangeable: UPDATE and DELETE (and TRUNCATE, where there is one) are refused for every row, without a condition that a
// NULL could slip past.
std::string guard_text(Engine engine, std::string_view table);
// Refuses an INSERT into `table` with a message when `condition` holds, which names the new row NEW.
std::string refusal_text(Engine engine, std::string_view name, std::string_view table, std::string_view condition, std::string_view message);
std::string trigger_count_text(Engine engine);  // a query for how many of the above there are
std::uint64_t guard_triggers(Engine engine);    // that guard_text makes for a table

// A query for the names and types of a table's columns that are written, in their order.
std::string columns_text(Engine engine, std::string_view table);

// What every engine keeps as text: UTF-8 without NUL.
bool storable_text(std::string_view text);

}  // namespace trib::ledger

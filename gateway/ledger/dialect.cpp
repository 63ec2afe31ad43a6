#include "gateway/ledger/dialect.h"

namespace trib::ledger {

std::string tables_text(Engine, std::string_view sql) { return std::string(sql); }

std::string guard_text(Engine, std::string_view table) {
  std::string out;
  const std::string name(table);
  for (const char* verb : {"UPDATE", "DELETE"}) {
    out += "CREATE TRIGGER IF NOT EXISTS " + name + "_no_" + verb + " BEFORE " + verb + " ON " + name +
           " BEGIN SELECT RAISE(ABORT, '" + name + " rows are immutable'); END;\n";
  }
  return out;
}

std::string refusal_text(Engine, std::string_view name, std::string_view table, std::string_view condition, std::string_view message) {
  return "CREATE TRIGGER IF NOT EXISTS " + std::string(name) + " BEFORE INSERT ON " + std::string(table) + " WHEN " + std::string(condition) +
         " BEGIN SELECT RAISE(ABORT, '" + std::string(message) + "'); END;\n";
}

std::string trigger_count_text(Engine) { return "SELECT count(*) FROM sqlite_master WHERE type = 'trigger'"; }

std::uint64_t guard_triggers(Engine) { return 2; }

}  // namespace trib::ledger

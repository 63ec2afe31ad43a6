#include "gateway/ledger/dialect.h"

#include <array>
#include <utility>

#include "gateway/base/json.h"

namespace trib::ledger {
namespace {

bool of_word(char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; }

// Text is compared and sorted by its bytes on every engine.
constexpr std::array<std::pair<std::string_view, std::string_view>, 7> words{{{"INTEGER", "BIGINT"},
                                                                              {"TEXT", "TEXT COLLATE \"C\""},
                                                                              {"BLOB", "BYTEA"},
                                                                              {" AS (", " GENERATED ALWAYS AS ("},
                                                                              {"VIRTUAL", "STORED"},
                                                                              {" STRICT, WITHOUT ROWID", ""},
                                                                              {" STRICT", ""}}};

// Triggers that ALWAYS fire, those of a replication's session too.
std::string postgres_trigger(const std::string& name, const std::string& table, const std::string& when, const std::string& each,
                             const std::string& function) {
  return "CREATE OR REPLACE TRIGGER " + name + " BEFORE " + when + " ON " + table + " FOR EACH " + each + " EXECUTE FUNCTION " + function +
         "();\nALTER TABLE " + table + " ENABLE ALWAYS TRIGGER " + name + ";\n";
}

std::string postgres_function(const std::string& name, const std::string& body) {
  return "CREATE OR REPLACE FUNCTION " + name + "() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $body$ BEGIN " + body +
         " END $body$;\n";
}

}  // namespace

bool is_postgres(std::string_view address) {
  return address.substr(0, 13) == "postgresql://" || address.substr(0, 11) == "postgres://";
}

bool storable_text(std::string_view text) { return text.find('\0') == std::string_view::npos && json::valid_utf8(text); }

std::string tables_text(Engine engine, std::string_view sql) {
  if (engine == Engine::sqlite) return std::string(sql);
  std::string out;
  for (std::size_t i = 0; i < sql.size();) {
    bool replaced = false;
    for (const auto& [from, to] : words) {
      const bool begins = !of_word(from.front()) || i == 0 || !of_word(sql[i - 1]);
      const bool ends = !of_word(from.back()) || i + from.size() >= sql.size() || !of_word(sql[i + from.size()]);
      if (!begins || !ends || sql.substr(i, from.size()) != from) continue;
      out += to;
      i += from.size();
      replaced = true;
      break;
    }
    if (!replaced) out += sql[i++];
  }
  return out;
}

std::string guard_text(Engine engine, std::string_view table) {
  const std::string name(table);
  if (engine == Engine::postgres) {
    return postgres_function("refuse_change", "RAISE EXCEPTION '% rows are immutable', TG_TABLE_NAME;") +
           postgres_trigger(name + "_no_change", name, "UPDATE OR DELETE", "ROW", "refuse_change") +
           postgres_trigger(name + "_no_truncate", name, "TRUNCATE", "STATEMENT", "refuse_change");
  }
  std::string out;
  for (const char* verb : {"UPDATE", "DELETE"}) {
    out += "CREATE TRIGGER IF NOT EXISTS " + name + "_no_" + verb + " BEFORE " + verb + " ON " + name +
           " BEGIN SELECT RAISE(ABORT, '" + name + " rows are immutable'); END;\n";
  }
  return out;
}

std::string refusal_text(Engine engine, std::string_view name, std::string_view table, std::string_view condition, std::string_view message) {
  const std::string trigger(name), on(table), when(condition), why(message);
  if (engine == Engine::postgres) {
    return postgres_function(trigger, "IF " + when + " THEN RAISE EXCEPTION '" + why + "'; END IF; RETURN NEW;") +
           postgres_trigger(trigger, on, "INSERT", "ROW", trigger);
  }
  return "CREATE TRIGGER IF NOT EXISTS " + trigger + " BEFORE INSERT ON " + on + " WHEN " + when + " BEGIN SELECT RAISE(ABORT, '" + why +
         "'); END;\n";
}

std::string trigger_count_text(Engine engine) {
  if (engine == Engine::sqlite) return "SELECT count(*) FROM sqlite_master WHERE type = 'trigger'";
  return "SELECT count(*) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
         "WHERE n.nspname = 'tributary' AND NOT t.tgisinternal AND t.tgenabled = 'A'";
}

std::uint64_t guard_triggers(Engine) { return 2; }

std::string columns_text(Engine engine, std::string_view table) {
  const std::string name(table);
  if (engine == Engine::sqlite) return "SELECT name, type FROM pragma_table_info('" + name + "') ORDER BY cid";
  return "SELECT CAST(column_name AS TEXT), CAST(data_type AS TEXT) FROM information_schema.columns WHERE table_schema = 'tributary' "
         "AND table_name = '" + name + "' AND is_generated = 'NEVER' ORDER BY ordinal_position";
}

}  // namespace trib::ledger

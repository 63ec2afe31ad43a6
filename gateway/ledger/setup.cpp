// `tributary store setup`: a store's tables, and on PostgreSQL the rights of the gateway's role.
#include "gateway/ledger/schema.h"

namespace trib::ledger {
namespace {

std::string quoted(const std::string& name) {
  std::string out = "\"";
  for (const char c : name) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + '"';
}

// Whoever may do everything, or owns the tables, is kept from nothing.
bool fit_for_gateway(Connection& db, const std::string& role, std::string& why) {
  Statement select = db.prepare(
      "SELECT rolsuper, pg_has_role(rolname, current_user, 'USAGE'), current_setting('server_encoding') FROM pg_roles WHERE rolname = CAST(? AS TEXT)");
  if (!select.reset().bind(role).row()) {
    why = "there is no role " + role + ": make one first, as with `createuser " + role + "`";
    return false;
  }
  if (select.integer() != 0 || select.integer() != 0) {
    why = "the role " + role + " may do whatever the owner of the tables may: the gateway needs one that cannot change what is sealed";
    return false;
  }
  if (select.text() == "UTF8") return true;
  why = "the database's encoding is not UTF8: make one with `createdb -E UTF8`";
  return false;
}

}  // namespace

bool set_up(const std::string& address, const std::string& role, std::string& why) {
  Connection db;
  if (!db.open(address, {}, Connection::Mode::write, why)) return false;
  if (db.engine() == Engine::sqlite) return db.become_writer(0, why) && ensure_schema(db, why);
  if (!fit_for_gateway(db, role, why)) return false;
  if (!db.run("CREATE SCHEMA IF NOT EXISTS tributary")) {
    why = "creating the schema tributary: " + db.error();
    return false;
  }
  if (!ensure_schema(db, why)) return false;
  if (db.begin() && db.run(grants_text(quoted(role)).c_str()) && db.commit()) return true;
  why = "granting: " + db.error();
  db.rollback();
  return false;
}

}  // namespace trib::ledger

#include "gateway/ledger/schema.h"

#include <iterator>

namespace trib::ledger {
namespace {

// An amount is two columns: micro-CNY floored, and the pico remainder. STRICT, because SQLite would
// otherwise turn an integer overflow into a REAL silently. `usage` lies in the journal's order, so that it
// only ever grows at its end: place = shard * 2^48 + lsn.
constexpr const char* tables = R"sql(
CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS price_book(
  model TEXT NOT NULL, unit TEXT NOT NULL, version INTEGER NOT NULL,
  from_ms INTEGER NOT NULL, to_ms INTEGER, pico INTEGER NOT NULL CHECK(pico >= 0),
  tax_incl INTEGER, terms_hash TEXT NOT NULL,
  PRIMARY KEY(model, version, unit)) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS contract_version(
  contract TEXT NOT NULL, version INTEGER NOT NULL, from_ms INTEGER NOT NULL, to_ms INTEGER,
  base_enum TEXT NOT NULL, weights TEXT NOT NULL, tiers TEXT, guarantee TEXT,
  holdback_ppm INTEGER, holdback_days INTEGER, min_payout_fen INTEGER, chargeback_enum TEXT,
  penalty_rules TEXT, terms TEXT NOT NULL, terms_hash TEXT NOT NULL, sig_platform BLOB, sig_party BLOB,
  PRIMARY KEY(contract, version)) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS usage(
  place INTEGER PRIMARY KEY, request_id BLOB NOT NULL UNIQUE CHECK(length(request_id) = 16),
  shard INTEGER AS (place >> 48) VIRTUAL, lsn INTEGER AS (place & 281474976710655) VIRTUAL,
  batch INTEGER NOT NULL, state INTEGER NOT NULL CHECK(state BETWEEN 0 AND 2),
  tenant TEXT NOT NULL, model TEXT NOT NULL, final_ms INTEGER NOT NULL, period INTEGER NOT NULL,
  gross_mu INTEGER, gross_pf INTEGER CHECK(gross_pf BETWEEN 0 AND 999999),
  key_hash BLOB NOT NULL, content_hash BLOB NOT NULL, detail BLOB NOT NULL, leaf BLOB NOT NULL,
  CHECK((gross_mu IS NULL) = (state = 2)), CHECK((gross_mu IS NULL) = (gross_pf IS NULL))) STRICT;

CREATE TABLE IF NOT EXISTS command(
  shard INTEGER NOT NULL, id TEXT NOT NULL, lsn INTEGER NOT NULL, batch INTEGER NOT NULL,
  kind TEXT NOT NULL, wall_ms INTEGER NOT NULL, body TEXT NOT NULL, result TEXT NOT NULL, leaf BLOB NOT NULL,
  PRIMARY KEY(shard, id)) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS command_by_batch ON command(shard, batch, lsn);

CREATE TABLE IF NOT EXISTS quarantine(
  shard INTEGER NOT NULL, lsn INTEGER NOT NULL, batch INTEGER NOT NULL,
  subject TEXT NOT NULL, reason TEXT NOT NULL, record BLOB NOT NULL, leaf BLOB NOT NULL,
  PRIMARY KEY(shard, lsn)) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS transfer(
  shard INTEGER NOT NULL, id INTEGER NOT NULL, batch INTEGER NOT NULL, code INTEGER NOT NULL,
  reason TEXT NOT NULL, effective_at INTEGER NOT NULL, booked_at INTEGER NOT NULL, period INTEGER NOT NULL,
  reverses_id INTEGER, doc_id TEXT NOT NULL, leaf BLOB NOT NULL,
  PRIMARY KEY(shard, id)) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS leg(
  shard INTEGER NOT NULL, transfer_id INTEGER NOT NULL, n INTEGER NOT NULL, account TEXT NOT NULL,
  mu INTEGER NOT NULL, pf INTEGER NOT NULL CHECK(pf BETWEEN 0 AND 999999),
  PRIMARY KEY(shard, transfer_id, n)) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS balance(
  account TEXT NOT NULL, shard INTEGER NOT NULL, period INTEGER NOT NULL,
  debit_mu INTEGER NOT NULL CHECK(debit_mu >= 0), debit_pf INTEGER NOT NULL CHECK(debit_pf BETWEEN 0 AND 999999),
  credit_mu INTEGER NOT NULL CHECK(credit_mu >= 0), credit_pf INTEGER NOT NULL CHECK(credit_pf BETWEEN 0 AND 999999),
  PRIMARY KEY(account, shard, period)) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS site_total(
  site TEXT NOT NULL, shard INTEGER NOT NULL, period INTEGER NOT NULL, requests INTEGER NOT NULL,
  tokens_input INTEGER NOT NULL, tokens_cached_input INTEGER NOT NULL, tokens_cache_write INTEGER NOT NULL,
  tokens_output INTEGER NOT NULL, tokens_reasoning INTEGER NOT NULL,
  gross_mu INTEGER NOT NULL, gross_pf INTEGER NOT NULL CHECK(gross_pf BETWEEN 0 AND 999999),
  PRIMARY KEY(site, shard, period)) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS quantity(
  shard INTEGER NOT NULL, batch INTEGER NOT NULL, n INTEGER NOT NULL, period INTEGER NOT NULL,
  site TEXT NOT NULL, model TEXT NOT NULL, account TEXT NOT NULL, attempts INTEGER NOT NULL,
  tokens_input INTEGER NOT NULL, tokens_cached_input INTEGER NOT NULL, tokens_cache_write INTEGER NOT NULL,
  tokens_output INTEGER NOT NULL, tokens_reasoning INTEGER NOT NULL, leaf BLOB NOT NULL,
  PRIMARY KEY(shard, batch, n)) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS quantity_total(
  account TEXT NOT NULL, site TEXT NOT NULL, model TEXT NOT NULL, shard INTEGER NOT NULL, period INTEGER NOT NULL,
  attempts INTEGER NOT NULL, tokens_input INTEGER NOT NULL, tokens_cached_input INTEGER NOT NULL,
  tokens_cache_write INTEGER NOT NULL, tokens_output INTEGER NOT NULL, tokens_reasoning INTEGER NOT NULL,
  PRIMARY KEY(account, site, model, shard, period)) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS batch(
  shard INTEGER NOT NULL, id INTEGER NOT NULL, from_lsn INTEGER NOT NULL, to_lsn INTEGER NOT NULL,
  booked_at INTEGER NOT NULL, period_from INTEGER NOT NULL, period_to INTEGER NOT NULL, n INTEGER NOT NULL,
  billed INTEGER NOT NULL, voided INTEGER NOT NULL, quarantined INTEGER NOT NULL, duplicates INTEGER NOT NULL,
  commands INTEGER NOT NULL, transfers INTEGER NOT NULL, legs INTEGER NOT NULL,
  gross_mu INTEGER NOT NULL, gross_pf INTEGER NOT NULL, debit_mu INTEGER NOT NULL, debit_pf INTEGER NOT NULL,
  credit_mu INTEGER NOT NULL, credit_pf INTEGER NOT NULL,
  merkle_root BLOB NOT NULL, journal_hash BLOB NOT NULL, prev_hash BLOB NOT NULL, hash BLOB NOT NULL, sig BLOB,
  PRIMARY KEY(shard, id), UNIQUE(shard, from_lsn)) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS cursor(shard INTEGER PRIMARY KEY, lsn INTEGER NOT NULL) STRICT;

CREATE TABLE IF NOT EXISTS period(
  id INTEGER PRIMARY KEY, state INTEGER NOT NULL CHECK(state BETWEEN 1 AND 5),
  grace_ms INTEGER NOT NULL, reconciled_ms INTEGER NOT NULL, closed_ms INTEGER NOT NULL,
  stated_ms INTEGER NOT NULL, paid_ms INTEGER NOT NULL, seal TEXT NOT NULL, signature TEXT NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS command_by_kind ON command(kind, shard, lsn);
CREATE UNIQUE INDEX IF NOT EXISTS transfer_reversed_once ON transfer(shard, reverses_id) WHERE reverses_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS transfer_by_doc ON transfer(doc_id);
CREATE INDEX IF NOT EXISTS transfer_beside_requests ON transfer(period, shard, id) WHERE code NOT BETWEEN 20 AND 25;

CREATE TABLE IF NOT EXISTS rated(
  kind TEXT NOT NULL, id TEXT NOT NULL, last_ms INTEGER NOT NULL, PRIMARY KEY(kind, id)) STRICT, WITHOUT ROWID;
)sql";

constexpr const char* sealed_tables[] = {"price_book", "contract_version", "usage", "command", "quarantine",
                                         "transfer",   "leg",              "quantity", "batch"};
constexpr const char* moving_tables[] = {"balance", "site_total", "quantity_total", "cursor", "rated", "period"};

std::int64_t stored_version(Connection& db) {
  Statement select = db.prepare("SELECT value FROM meta WHERE key = 'schema_version'");
  if (!select || !select.row()) return 0;
  const std::string text(select.text());
  return text.size() == 1 ? text[0] - '0' : -1;
}

bool accept(std::int64_t version, std::string& why) {
  if (version == schema_version) return true;
  why = "the store has schema version " + std::to_string(version) + ", this program knows " + std::to_string(schema_version) +
        ": go on with the program that wrote it, or begin a new store and keep this one (its seals cover how its rows are laid out)";
  return false;
}

}  // namespace

bool ensure_schema(Connection& db, std::string& why) {
  if (const auto version = stored_version(db); version != 0) return accept(version, why);
  const Engine engine = db.engine();
  std::string sql = tables_text(engine, tables);
  for (const char* table : sealed_tables) sql += guard_text(engine, table);
  sql += refusal_text(engine, "transfer_in_open_period", "transfer",
                      "EXISTS(SELECT 1 FROM period WHERE id = NEW.period AND state >= 3)", "the period is closed");
  sql += "INSERT INTO meta VALUES('schema_version', '" + std::to_string(schema_version) + "');";
  if (db.begin() && db.run(sql.c_str()) && db.commit()) return true;
  why = "creating the tables: " + db.error();
  db.rollback();
  return false;
}

std::vector<std::string> store_tables() {
  std::vector<std::string> out(std::begin(sealed_tables), std::end(sealed_tables));
  out.insert(out.end(), std::begin(moving_tables), std::end(moving_tables));
  return out;
}

bool has_guards(Connection& db) {
  Statement select = db.prepare(trigger_count_text(db.engine()));
  return select.row() && select.number<std::uint64_t>() >= std::size(sealed_tables) * guard_triggers(db.engine()) + 1;
}

bool check_schema(Connection& db, std::string& why) {
  const auto version = stored_version(db);
  if (version != 0 || db.engine() == Engine::sqlite) return accept(version, why);
  why = "the store has no tables that this role can read: run `tributary store setup` as the database's owner (" + db.error() + ")";
  return false;
}

bool check_rights(Connection& db, std::string& why) {
  if (!check_schema(db, why)) return false;
  std::string list;
  for (const char* table : sealed_tables) list += std::string(list.empty() ? "" : ", ") + "('" + table + "')";
  Statement select = db.prepare("SELECT current_user, name FROM (VALUES " + list + ") AS sealed(name) "
                                "WHERE has_table_privilege(current_user, 'tributary.' || name, 'UPDATE, DELETE, TRUNCATE') ORDER BY name LIMIT 1");
  const auto step = select.step();
  if (step == Statement::Step::done) return true;
  if (step == Statement::Step::failed) {
    why = "asking for the role's rights: " + db.error();
    return false;
  }
  const std::string role(select.text()), table(select.text());  // in this order
  why = "the role " + role + " may change rows of " + table +
        ", which nobody may: give the gateway a role of its own with `tributary store setup URL --role NAME`";
  return false;
}

// The rights of the gateway's role, and nothing that was given before.
std::string grants_text(const std::string& quoted_role) {
  std::string out = "REVOKE ALL ON ALL TABLES IN SCHEMA tributary FROM PUBLIC, " + quoted_role + ";\nGRANT USAGE ON SCHEMA tributary TO " +
                    quoted_role + ";\nGRANT SELECT ON ALL TABLES IN SCHEMA tributary TO " + quoted_role + ";\n";
  for (const char* table : sealed_tables) out += std::string("GRANT INSERT ON ") + table + " TO " + quoted_role + ";\n";
  for (const char* table : moving_tables) out += std::string("GRANT INSERT, UPDATE ON ") + table + " TO " + quoted_role + ";\n";
  return out;
}

}  // namespace trib::ledger

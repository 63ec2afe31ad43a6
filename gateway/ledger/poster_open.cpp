// Opening a store: connection, schema, where it stands, and whether the journal tells the same story.
#include "gateway/ledger/book_tables.h"
#include "gateway/ledger/poster_work.h"
#include "gateway/ledger/schema.h"

namespace trib::ledger {
namespace {

using metering::Lsn;

constexpr const char* add_balance_sql =
    "INSERT INTO balance(account, shard, period, debit_mu, debit_pf, credit_mu, credit_pf) VALUES(?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT(account, shard, period) DO UPDATE SET "
    "debit_mu = balance.debit_mu + excluded.debit_mu + (balance.debit_pf + excluded.debit_pf) / 1000000, "
    "debit_pf = (balance.debit_pf + excluded.debit_pf) % 1000000, "
    "credit_mu = balance.credit_mu + excluded.credit_mu + (balance.credit_pf + excluded.credit_pf) / 1000000, "
    "credit_pf = (balance.credit_pf + excluded.credit_pf) % 1000000";

constexpr const char* add_site_sql =
    "INSERT INTO site_total(site, shard, period, requests, tokens_input, tokens_cached_input, tokens_cache_write, "
    "tokens_output, tokens_reasoning, gross_mu, gross_pf) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT(site, shard, period) DO UPDATE SET requests = site_total.requests + excluded.requests, "
    "tokens_input = site_total.tokens_input + excluded.tokens_input, "
    "tokens_cached_input = site_total.tokens_cached_input + excluded.tokens_cached_input, "
    "tokens_cache_write = site_total.tokens_cache_write + excluded.tokens_cache_write, "
    "tokens_output = site_total.tokens_output + excluded.tokens_output, "
    "tokens_reasoning = site_total.tokens_reasoning + excluded.tokens_reasoning, "
    "gross_mu = site_total.gross_mu + excluded.gross_mu + (site_total.gross_pf + excluded.gross_pf) / 1000000, "
    "gross_pf = (site_total.gross_pf + excluded.gross_pf) % 1000000";

}  // namespace

Poster::Poster(metering::Journal& journal, std::uint16_t shard, std::size_t batch_requests_max, std::uint64_t ahead_from)
    : journal_(journal), shard_(shard), batch_requests_max_(batch_requests_max), feed_(journal, shard, ahead_from), book_(std::make_shared<Book>()),
      periods_(std::make_shared<Periods>()) {
  TRIB_ASSERT(batch_requests_max > 0);
}

Poster::~Poster() { feed_.give_up(); }

bool Poster::open(const std::string& path, const std::string& vfs, std::string& why) {
  if (!db_.open(path, vfs, Connection::Mode::write, why)) return false;
  if (!db_.become_writer(shard_, why)) return false;
  if (db_.engine() == Engine::sqlite ? !ensure_schema(db_, why) : !check_rights(db_, why)) return false;
  find_usage_ = db_.prepare("SELECT content_hash FROM usage WHERE request_id = ?");
  find_command_ = db_.prepare("SELECT kind, body FROM command WHERE shard = ? AND id = ?");
  add_balance_ = db_.prepare(add_balance_sql);
  add_site_ = db_.prepare(add_site_sql);
  raise_rated_ = db_.prepare(
      "INSERT INTO rated(kind, id, last_ms) VALUES(?, ?, ?) "
      "ON CONFLICT(kind, id) DO UPDATE SET last_ms = excluded.last_ms WHERE rated.last_ms < excluded.last_ms");
  add_price_ = db_.prepare(add_price_sql);
  add_contract_ = db_.prepare(add_contract_sql);
  stands_ = db_.prepare(stands_sql);
  find_reversal_ = db_.prepare("SELECT 1 FROM transfer WHERE shard = ? AND reverses_id = ?");
  find_legs_ = db_.prepare("SELECT account, mu, pf FROM leg WHERE shard = ? AND transfer_id = ? ORDER BY n");
  put_period_ = db_.prepare(
      "INSERT INTO period(" + period_columns + ") VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT(id) DO UPDATE SET "
      "state = excluded.state, grace_ms = excluded.grace_ms, reconciled_ms = excluded.reconciled_ms, "
      "closed_ms = excluded.closed_ms, stated_ms = excluded.stated_ms, paid_ms = excluded.paid_ms, "
      "seal = excluded.seal, signature = excluded.signature");
  move_cursor_ = db_.prepare("UPDATE cursor SET lsn = ? WHERE shard = ? AND lsn = ?");
  if (!inserts_.prepare(db_) || !quantity_tables_.prepare(db_) || !find_usage_ || !find_command_ || !add_balance_ || !add_site_ || !raise_rated_ ||
      !add_price_ || !add_contract_ || !move_cursor_ || !stands_ || !find_reversal_ || !find_legs_ || !put_period_) {
    why = "preparing statements: " + db_.error();
    return false;
  }
  return load(why) && load_book(why) && load_periods(why) && match_journal(why) && find_seals(why);
}

// After a lost connection, as at a start: what was under way is in the store, or it is not.
bool Poster::settle(std::string& why) {
  if (!db_.become_writer(shard_, why)) return false;
  seals_.clear();
  unsealed_.reset();
  return check_schema(db_, why) && load(why) && load_book(why) && load_periods(why) && match_journal(why) && find_seals(why);
}

bool Poster::load(std::string& why) {
  Statement start = db_.prepare("INSERT INTO cursor(shard, lsn) VALUES(?, 0) ON CONFLICT DO NOTHING");
  Statement cursor = db_.prepare("SELECT lsn FROM cursor WHERE shard = ?");
  if (!start.reset().bind(shard_).done() || !cursor.reset().bind(shard_).row()) {
    why = "reading the cursor: " + db_.error();
    return false;
  }
  cursor_ = scanned_ = cursor.number<std::uint64_t>();
  Statement last = db_.prepare("SELECT " + batch_columns + " FROM batch WHERE shard = ? ORDER BY id DESC LIMIT 1");
  BatchRow batch;
  if (last.reset().bind(shard_).row()) read(last, batch);
  if (batch.to_lsn != cursor_) {
    why = "the cursor stands at LSN " + std::to_string(cursor_) + ", the last batch ends at " + std::to_string(batch.to_lsn);
    return false;
  }
  last_batch_ = batch.id;
  last_hash_ = batch.hash;
  if (batch.id != 0) unsealed_ = metering::Seal{batch.from_lsn, batch.to_lsn, batch.hash};
  return true;
}

bool Poster::load_book(std::string& why) {
  book_ = read_book(db_, why);
  return book_ != nullptr;
}

bool Poster::match_journal(std::string& why) {
  const Lsn first = journal_.first();
  const Lsn last = journal_.last();
  if (last != 0 && first > cursor_ + 1) {
    why = "the journal begins at LSN " + std::to_string(first) + ", the store has posted only to " + std::to_string(cursor_);
    return false;
  }
  if (cursor_ > last) {
    why = "the store has posted to LSN " + std::to_string(cursor_) + ", the journal ends at " + std::to_string(last);
    return false;
  }
  if (cursor_ == 0) return true;
  Statement select = db_.prepare("SELECT journal_hash FROM batch WHERE shard = ? AND id = ?");
  if (!select.reset().bind(shard_).bind(static_cast<std::int64_t>(last_batch_)).row()) {
    why = "reading the last batch: " + db_.error();
    return false;
  }
  const Sha256 kept = journal_.hash_at(cursor_);
  if (kept == Sha256{} || kept == select.digest()) return true;
  why = "the journal's record at LSN " + std::to_string(cursor_) + " is not the one that was posted";
  return false;
}

// A store from a backup is behind its journal, which then says where the batches ended. A store that
// was killed between commit and SEAL is a SEAL ahead of it.
bool Poster::find_seals(std::string& why) {
  const auto error = journal_.read(cursor_ + 1, [&](Lsn, const metering::Record& record) {
    const auto* found = std::get_if<metering::Seal>(&record);
    if (!found) return true;
    if (unsealed_ && found->from_lsn == unsealed_->from_lsn) {
      if (*found != *unsealed_) why = "the last batch of the store differs from its SEAL in the journal";
      unsealed_.reset();
    } else if (found->from_lsn > cursor_) {
      seals_.emplace(found->from_lsn, *found);
    }
    return why.empty();
  });
  if (error) why = "reading the journal: " + error.message();
  if (!why.empty()) return false;
  seal();
  return true;
}

}  // namespace trib::ledger

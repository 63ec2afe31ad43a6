#include "gateway/ledger/postgres.h"

#include <cstdlib>

namespace trib::ledger::driver {
namespace {

constexpr std::int64_t pause_after_failure = 1'000'000'000;  // nanoseconds
constexpr int answers_due_max = 256;
constexpr std::int32_t lock_class = 0x74726962;  // "trib"

std::string line_of(const char* message) {
  std::string out(message != nullptr ? message : "");
  while (!out.empty() && (out.back() == '\n' || out.back() == ' ')) out.pop_back();
  for (char& c : out)
    if (c == '\n') c = ' ';
  return out.empty() ? "the store does not answer" : out;
}

// What an address does not say. A store that went away without a word is noticed within half a minute.
constexpr const char* keywords[] = {"client_encoding", "application_name",    "connect_timeout", "keepalives_idle", "keepalives_interval",
                                    "keepalives_count", "tcp_user_timeout",   "dbname",          nullptr};
constexpr const char* session = R"sql(
SET search_path TO tributary;
SET standard_conforming_strings TO on;
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';
)sql";

}  // namespace

void big_endian(std::uint64_t value, int size, char* to) {
  for (int i = 0; i < size; ++i) to[i] = static_cast<char>(value >> (8 * (size - 1 - i)) & 255);
}

std::string told_url(const std::string& url) {
  char* wrong = nullptr;
  struct Freed {
    void operator()(PQconninfoOption* p) const { PQconninfoFree(p); }
  };
  const std::unique_ptr<PQconninfoOption, Freed> options(PQconninfoParse(url.c_str(), &wrong));
  PQfreemem(wrong);
  if (!options) return "the store's URL";
  const auto value = [&](std::string_view keyword) {
    for (const PQconninfoOption* o = options.get(); o->keyword != nullptr; ++o)
      if (keyword == o->keyword && o->val != nullptr) return std::string(o->val);
    return std::string();
  };
  std::string out = "postgresql://";
  if (const auto user = value("user"); !user.empty()) out += user + "@";
  out += value("host");
  if (const auto port = value("port"); !port.empty()) out += ":" + port;
  return out + "/" + value("dbname");
}

std::unique_ptr<Connection> open_postgres(const std::string& address, ledger::Connection::Mode mode, std::string& why) {
  auto out = std::make_unique<PgConnection>(address, mode);
  if (!out->connect(why)) return nullptr;
  return out;
}

bool PgConnection::connect(std::string& why) {
  const auto now = system_clock().mono_ns();
  if (now < next_try_ns_) {
    why = error_;
    return false;
  }
  const char* values[] = {"UTF8", "tributary", "5", "10", "5", "3", "20000", address_.c_str(), nullptr};
  conn_.reset(PQconnectdbParams(keywords, values, 1));
  in_transaction_ = false;
  moment_users_ = answers_due_ = 0;
  if (bulk_) bulk_->given_up();
  bulk_ = nullptr;
  forgotten_.clear();
  ++life_;
  if (!lost()) {
    PQsetNoticeProcessor(conn_.get(), [](void*, const char*) {}, nullptr);
    if (run(session)) return true;
  } else {
    error_ = line_of(PQerrorMessage(conn_.get()));
  }
  next_try_ns_ = now + pause_after_failure;
  why = error_ = told_url(address_) + ": " + error_;
  conn_.reset();
  return false;
}

bool PgConnection::become_writer(std::uint16_t shard, std::string& why) {
  if (lost() && !connect(why)) return false;
  // As long as this connection lives, or until its server has noticed that it does not.
  const std::string sql = "SET lock_timeout TO '3s'; SELECT pg_advisory_lock(" + std::to_string(lock_class) + ", " + std::to_string(shard) +
                          "); SET lock_timeout TO 0";
  if (run(sql.c_str())) return true;
  constexpr std::string_view lock_not_available = "55P03";
  why = error_ = told_url(address_) + ": " +
                 (state_ == lock_not_available ? "another gateway writes shard " + std::to_string(shard) + " of this store; a shard has one writer at a time"
                                               : error_);
  next_try_ns_ = system_clock().mono_ns() + pause_after_failure;
  conn_.reset();
  return false;
}

bool PgConnection::answered(ExecStatusType status, const PGresult* result) {
  if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_COPY_IN || status == PGRES_PIPELINE_SYNC) return true;
  if (status == PGRES_PIPELINE_ABORTED) return false;  // the error before it says why
  const char* const state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  constexpr std::string_view in_failed_transaction = "25P02";  // the error before it says why
  if (state != nullptr && state == in_failed_transaction && !error_.empty()) return false;
  state_ = state != nullptr ? state : "";
  const char* const primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
  const char* const detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
  error_ = line_of(primary != nullptr ? primary : PQerrorMessage(conn_.get()));
  if (detail != nullptr) error_ += " (" + line_of(detail) + ")";
  return false;
}

bool PgConnection::take(PGresult* result) {
  const ExecStatusType status = PQresultStatus(result);
  if (status == PGRES_COMMAND_OK) changes_ = std::strtoll(PQcmdTuples(result), nullptr, 10);
  return answered(status, result);
}

bool PgConnection::fail(std::string why) {
  error_ = std::move(why);
  state_.clear();
  return false;
}

bool PgConnection::again() {
  if (mode_ != ledger::Connection::Mode::read || !lost() || in_transaction_ || moment_users_ > 0) return false;
  std::string why;
  return connect(why);
}

bool PgConnection::ready() {
  if (bulk_ != nullptr && !end_copy()) return false;
  if (answers_due_ > 0 && !end_queue()) return false;
  if (lost() && !again()) return error_.empty() ? fail("the connection to the store is lost") : false;
  for (const std::string& name : forgotten_) PgResult(PQexec(conn_.get(), ("DEALLOCATE " + name).c_str()));
  forgotten_.clear();
  return true;
}

bool PgConnection::run(const char* sql) { return ready() && take(PgResult(PQexec(conn_.get(), sql)).get()); }

bool PgConnection::begin(bool write) {
  const char* const sql = write ? "BEGIN" : "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
  error_.clear();
  state_.clear();
  in_transaction_ = run(sql) || (again() && run(sql));
  return in_transaction_;
}

// The answer to COMMIT of a transaction in which something failed is ROLLBACK, without an error.
bool PgConnection::commit() {
  if (!ready()) return false;
  in_transaction_ = false;
  const PgResult result(PQexec(conn_.get(), "COMMIT"));
  if (!take(result.get())) return false;
  if (std::string_view(PQcmdStatus(result.get())) == "COMMIT") return true;
  return error_.empty() ? fail("the transaction was rolled back") : false;
}

void PgConnection::rollback() {
  const std::string error = error_, state = state_;  // of what came before
  if (bulk_ != nullptr && conn_) {
    PQputCopyEnd(conn_.get(), "given up");
    while (PgResult(PQgetResult(conn_.get()))) {
    }
  }
  if (bulk_ != nullptr) bulk_->given_up();
  bulk_ = nullptr;
  if (answers_due_ > 0) end_queue();
  in_transaction_ = false;
  moment_users_ = 0;
  if (!lost()) PgResult(PQexec(conn_.get(), "ROLLBACK"));
  error_ = error;
  state_ = state;
}

std::unique_ptr<Statement> PgConnection::prepare(std::string_view sql, Rows rows) { return std::make_unique<PgStatement>(*this, sql, rows); }

std::unique_ptr<Statement> PgConnection::prepare_bulk(std::string_view table, std::string_view columns) {
  return std::make_unique<PgBulk>(*this, table, columns);
}

bool PgConnection::pipeline() {
  if (answers_due_ > 0) return true;
  return ready() && (PQenterPipelineMode(conn_.get()) == 1 || fail(line_of(PQerrorMessage(conn_.get()))));
}

void PgConnection::queued() {
  if (++answers_due_ >= answers_due_max) end_queue();  // its error comes back at the commit: the transaction has failed
}

bool PgConnection::end_queue() {
  bool fine = PQpipelineSync(conn_.get()) == 1 || fail(line_of(PQerrorMessage(conn_.get())));
  // Each answer ends with a null; the last is the sync's.
  for (int due = answers_due_; fine && due >= 0 && !lost();) {
    const PgResult result(PQgetResult(conn_.get()));
    if (!result) continue;
    --due;
    const ExecStatusType status = PQresultStatus(result.get());
    if (!answered(status, result.get()) && status != PGRES_PIPELINE_ABORTED) fine = false;
    if (status == PGRES_PIPELINE_SYNC) break;
  }
  while (!fine && !lost()) {  // the rest of a batch that failed
    const PgResult result(PQgetResult(conn_.get()));
    if (PQresultStatus(result.get()) == PGRES_PIPELINE_SYNC) break;
  }
  answers_due_ = 0;
  if (lost()) return fail(line_of(PQerrorMessage(conn_.get())));
  PQexitPipelineMode(conn_.get());
  return fine;
}

bool PgConnection::begin_copy(PgBulk& bulk, const std::string& sql) {
  if (!ready() || !take(PgResult(PQexec(conn_.get(), sql.c_str())).get())) return false;
  bulk_ = &bulk;
  return true;
}

bool PgConnection::end_copy() {
  PgBulk& bulk = *std::exchange(bulk_, nullptr);
  const bool sent = bulk.send(conn_.get(), true);
  bool fine = sent || fail(line_of(PQerrorMessage(conn_.get())));
  while (const PgResult result{PQgetResult(conn_.get())}) fine = take(result.get()) && fine;
  return fine;
}

bool PgConnection::hold_moment() {
  if (in_transaction_) return true;
  if (moment_users_ == 0 && !run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")) return false;
  ++moment_users_;
  return true;
}

void PgConnection::release_moment() {
  if (moment_users_ > 0 && --moment_users_ == 0) rollback();
}

}  // namespace trib::ledger::driver

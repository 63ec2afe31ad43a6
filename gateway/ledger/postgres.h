// PostgreSQL over libpq behind the face of sql.h: the connection, for its statements. Values go and come in
// binary. A connection that reads and was lost is made again by the next statement outside a transaction; one
// that writes by become_writer() alone, because what it was about to commit must be looked for first.
#pragma once
#include <libpq-fe.h>

#include <string>
#include <vector>

#include "gateway/ledger/driver.h"

namespace trib::ledger::driver {

namespace oid {
constexpr Oid boolean = 16, bytea = 17, int8 = 20, int2 = 21, int4 = 23, text = 25, numeric = 1700;
}  // namespace oid

struct PgFreed {
  void operator()(PGresult* p) const { PQclear(p); }
  void operator()(PGconn* p) const { PQfinish(p); }
};
using PgResult = std::unique_ptr<PGresult, PgFreed>;

class PgBulk;

class PgConnection final : public Connection {
 public:
  PgConnection(std::string address, ledger::Connection::Mode mode) : address_(std::move(address)), mode_(mode) {}
  bool connect(std::string& why);

  bool become_writer(std::uint16_t shard, std::string& why) override;
  bool begin(bool write) override;
  bool commit() override;
  void rollback() override;
  bool run(const char* sql) override;
  std::unique_ptr<Statement> prepare(std::string_view sql, Rows rows) override;
  std::unique_ptr<Statement> prepare_bulk(std::string_view table, std::string_view columns) override;
  std::int64_t changes() const override { return changes_; }
  std::string error() const override { return error_; }
  Engine engine() const override { return Engine::postgres; }
  bool lost() const override { return !conn_ || PQstatus(conn_.get()) != CONNECTION_OK; }
  bool repeated() const override { return state_ == "23505"; }

  // For statements. What was queued and copied is done before anything else.
  bool ready();
  bool take(PGresult* result);  // owns it; false: an error, which is told
  bool fail(std::string why);
  bool again();  // after a failure: the connection was lost, nothing was under way, and it is there again
  PGconn* raw_connection() { return conn_.get(); }
  std::uint64_t life() const { return life_; }
  std::string next_name() { return "t" + std::to_string(++names_); }
  bool pipeline();             // before something is queued
  void queued();               // one more answer is due
  bool begin_copy(PgBulk& bulk, const std::string& sql);
  bool hold_moment();          // a cursor needs a transaction: the one there is, or one until release_moment()
  void release_moment();
  void forget(std::string prepared) { forgotten_.push_back(std::move(prepared)); }

 private:
  bool end_queue();
  bool end_copy();
  bool answered(ExecStatusType status, const PGresult* result);

  const std::string address_;
  const ledger::Connection::Mode mode_;
  std::unique_ptr<PGconn, PgFreed> conn_;
  std::uint64_t life_ = 0, names_ = 0;
  std::int64_t changes_ = 0;
  std::string error_, state_;
  bool in_transaction_ = false;
  int moment_users_ = 0;   // of a transaction that is there for cursors alone
  int answers_due_ = 0;    // of the pipeline
  PgBulk* bulk_ = nullptr;
  std::vector<std::string> forgotten_;
  std::int64_t next_try_ns_ = 0;  // of the monotonic clock
};

class PgStatement final : public Statement {
 public:
  PgStatement(PgConnection& connection, std::string_view sql, Rows rows);
  ~PgStatement() override;
  PgStatement(const PgStatement&) = delete;
  PgStatement& operator=(const PgStatement&) = delete;

  void reset() override;
  void bind(int parameter, std::int64_t value) override;
  void bind(int parameter, std::string_view text) override;
  void blob(int parameter, std::string_view bytes) override;
  void null(int parameter) override;
  Step step() override;
  bool queue() override;
  bool integer(int column, std::int64_t& value) override;
  std::string_view bytes(int column) override;
  bool is_null(int column) const override;

 private:
  struct Parameter {
    Oid type = 0;
    const char* data = nullptr;
    int size = 0;
    char number[8] = {};
  };
  Parameter& at(int parameter);
  void arrange();  // the parameters as libpq takes them
  bool execute();
  bool prepare();
  bool open_cursor();
  bool fetch();
  void close_cursor();

  PgConnection& connection_;
  std::string sql_;
  const Rows rows_;
  std::vector<Parameter> parameters_;
  std::vector<Oid> types_;
  std::vector<const char*> values_;
  std::vector<int> lengths_, formats_;
  std::string name_, cursor_;
  std::uint64_t life_ = 0;  // of the connection that knows name_
  std::uint64_t cursor_life_ = 0;
  int uses_ = 0;
  PgResult result_;
  int row_ = -1;  // -1: not executed yet
  std::string refused_;
};

// Rows by COPY: each `step` ends one.
class PgBulk final : public Statement {
 public:
  PgBulk(PgConnection& connection, std::string_view table, std::string_view columns);
  ~PgBulk() override;
  PgBulk(const PgBulk&) = delete;
  PgBulk& operator=(const PgBulk&) = delete;
  void reset() override;
  void bind(int parameter, std::int64_t value) override;
  void bind(int parameter, std::string_view text) override;
  void blob(int parameter, std::string_view bytes) override;
  void null(int parameter) override;
  Step step() override;
  bool integer(int, std::int64_t&) override { return false; }
  std::string_view bytes(int) override { return {}; }
  bool is_null(int) const override { return true; }

  bool send(PGconn* conn, bool end);  // what is waiting; and the end of it all
  void given_up() { open_ = false; buffer_.clear(); }

 private:
  void field(std::string_view bytes);
  PgConnection& connection_;
  const std::string sql_;
  const int columns_;
  bool open_ = false;
  std::string buffer_, row_, refused_;
};

void big_endian(std::uint64_t value, int size, char* to);

}  // namespace trib::ledger::driver

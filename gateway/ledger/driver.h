// What an engine gives to the face of sql.h, and nothing else includes. Parameters and columns count from 0;
// what is bound must outlive the step.
#pragma once
#include "gateway/ledger/sql.h"

namespace trib::ledger::driver {

class Statement {
 public:
  using Step = ledger::Statement::Step;
  virtual ~Statement() = default;
  virtual void reset() = 0;
  virtual void bind(int parameter, std::int64_t value) = 0;
  virtual void bind(int parameter, std::string_view text) = 0;
  virtual void blob(int parameter, std::string_view bytes) = 0;
  virtual void null(int parameter) = 0;
  virtual Step step() = 0;
  virtual bool queue() { return step() == Step::done; }
  // False: the column holds no whole number that fits.
  virtual bool integer(int column, std::int64_t& value) = 0;
  virtual std::string_view bytes(int column) = 0;
  virtual bool is_null(int column) const = 0;
};

class Connection {
 public:
  virtual ~Connection() = default;
  virtual bool become_writer(std::uint16_t shard, std::string& why) = 0;
  virtual bool begin(bool write) = 0;
  virtual bool commit() = 0;
  virtual void rollback() = 0;
  virtual bool run(const char* sql) = 0;
  virtual std::unique_ptr<Statement> prepare(std::string_view sql, Rows rows) = 0;  // null: see error()
  virtual std::unique_ptr<Statement> prepare_bulk(std::string_view table, std::string_view columns) = 0;
  virtual std::int64_t changes() const = 0;
  virtual std::string error() const = 0;
  virtual bool lost() const { return false; }
  virtual bool repeated() const = 0;
  virtual Engine engine() const = 0;
  virtual sqlite3* raw() const { return nullptr; }
};

// Null with the reason.
std::unique_ptr<Connection> open_postgres(const std::string& address, ledger::Connection::Mode mode, std::string& why);
std::string told_url(const std::string& url);
std::unique_ptr<Connection> open_sqlite(const std::string& path, const std::string& vfs, ledger::Connection::Mode mode, std::string& why);

}  // namespace trib::ledger::driver

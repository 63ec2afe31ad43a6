// One face to the store's engines: connections and prepared statements that close themselves. Which engine
// it is, a connection's address says: the path of an SQLite file, or a postgresql:// URL. Errors are returned
// as text of the connection, never thrown. One connection belongs to one thread at a time.
//
// SQL is written once and runs on every engine: parameters are `?` in order, columns of the row that is
// there are qualified in ON CONFLICT DO UPDATE, and nothing of one engine's own is used (dialect.h has what
// differs).
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "gateway/base/base.h"
#include "gateway/ledger/dialect.h"
#include "gateway/money/money.h"

struct sqlite3;

namespace trib::ledger {

namespace driver {
class Connection;
class Statement;
}  // namespace driver

class Statement;

// What statements of one connection could not do. An error is easily taken for rows that are not there: whoever
// answers from what was read looks here at the end.
struct Failures {
  std::string first;                             // its reason; empty: there was none
  std::function<void(const std::string&)> told;  // at each, where it is set

  void note(const std::string& why) {
    if (first.empty()) first = why;
    if (told) told(why);
  }
};

// An address as it may be told: without what a URL says beside user, host and database.
std::string store_name(const std::string& address);

// How a statement's rows come: `few` at once, as the engine likes; `many` piece by piece, so that a walk over
// millions is never held in memory, and other statements may run between two rows.
enum class Rows { few, many };

class Connection {
 public:
  enum class Mode { read, write };  // write creates an SQLite file when it is missing
  Connection();
  ~Connection();
  Connection(Connection&& other) noexcept;
  Connection& operator=(Connection&& other) noexcept;

  // `vfs` names a registered VFS of SQLite; empty: the default one.
  bool open(const std::string& address, const std::string& vfs, Mode mode, std::string& why);
  // Makes this the one writer of a shard: nothing is told as committed that a power cut could take. False
  // with the reason, such as another process that is its writer.
  bool become_writer(std::uint16_t shard, std::string& why);

  bool begin();       // a transaction that writes
  bool begin_read();  // everything read until rollback() is of one moment
  bool commit();      // false: see lost()
  void rollback();

  bool run(const char* sql);  // one or more statements without results
  Statement prepare(std::string_view sql, Rows rows = Rows::few);
  // Rows for `INSERT INTO table(columns)`, by the engine's way for many rows: one that is there already fails
  // the transaction.
  Statement prepare_bulk(std::string_view table, std::string_view columns);
  std::int64_t changes() const;  // rows that the last statement changed
  std::string error() const;
  Failures& failures() const { return *failures_; }
  bool lost() const;      // the connection is gone, and with it whatever was not committed
  bool repeated() const;  // what was rolled back last had a key that is there already

  Engine engine() const;
  sqlite3* raw() const;  // of an SQLite store; null otherwise

 private:
  std::unique_ptr<driver::Connection> driver_;
  std::shared_ptr<Failures> failures_;
};

// Bind and column numbers run by themselves, in the order of the calls.
class Statement {
 public:
  Statement();
  explicit Statement(std::unique_ptr<driver::Statement> driver);
  Statement(std::unique_ptr<driver::Statement> driver, const driver::Connection& connection, std::shared_ptr<Failures> failures);
  ~Statement();
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&& other) noexcept;
  explicit operator bool() const { return driver_ != nullptr; }

  Statement& reset();  // before every use
  Statement& bind(std::int64_t value);
  Statement& bind(std::string_view text);   // must outlive the step
  Statement& blob(std::string_view bytes);  // must outlive the step
  Statement& blob(std::span<const unsigned char> bytes);
  Statement& bind(money::Amount amount);    // two columns, mu and pf
  Statement& null();

  enum class Step { row, done, failed };
  Step step();
  bool row() { return step() == Step::row; }
  bool done() { return step() == Step::done; }
  // Like done(), for a write whose answer is not needed: the engine may run it later, in order, and its error
  // may be told by a later statement or by the commit.
  bool queue();

  std::int64_t integer();
  template <class T>
  T number() {  // an integer column that must fit T
    const std::int64_t value = integer();
    if (!std::in_range<T>(value)) damaged_ = true;
    return static_cast<T>(value);
  }
  std::string_view text();   // valid until the next step or reset
  std::string_view bytes();  // likewise
  Sha256 digest();           // 32 bytes
  money::Amount amount();    // two columns, mu and pf in its range
  money::Amount sum();       // two columns that were summed, each by itself
  bool is_null() const;      // the next column
  void skip() { ++column_; }
  // A value read since the last reset cannot have been written by this program.
  bool damaged() const { return damaged_; }

 private:
  std::unique_ptr<driver::Statement> driver_;
  const driver::Connection* connection_ = nullptr;
  std::shared_ptr<Failures> failures_;
  int bound_ = 0;
  int column_ = 0;
  bool damaged_ = false;
};

}  // namespace trib::ledger

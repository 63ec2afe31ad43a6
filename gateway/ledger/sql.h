// A thin hold on SQLite: connections and prepared statements that close themselves. Errors are
// returned as text of the connection, never thrown. One connection belongs to one thread at a time.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "gateway/base/base.h"
#include "gateway/money/money.h"

struct sqlite3;
struct sqlite3_stmt;

namespace trib::ledger {

class Statement;

class Connection {
 public:
  enum class Mode { read, write };  // write creates the file when it is missing
  Connection() = default;
  ~Connection();
  Connection(Connection&& other) noexcept;
  Connection& operator=(Connection&& other) noexcept;

  // `vfs` names a registered VFS; empty: the default one.
  bool open(const std::string& path, const std::string& vfs, Mode mode, std::string& why);
  bool run(const char* sql);  // one or more statements without results
  Statement prepare(std::string_view sql);
  std::int64_t changes() const;  // rows that the last statement changed
  std::string error() const;
  sqlite3* raw() const { return db_; }

 private:
  sqlite3* db_ = nullptr;
};

// Bind and column numbers run by themselves, in the order of the calls.
class Statement {
 public:
  Statement() = default;
  explicit Statement(sqlite3_stmt* stmt) : stmt_(stmt) {}
  ~Statement();
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&& other) noexcept;
  explicit operator bool() const { return stmt_ != nullptr; }

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
  sqlite3_stmt* stmt_ = nullptr;
  int bound_ = 0;
  int column_ = 0;
  bool damaged_ = false;
};

}  // namespace trib::ledger

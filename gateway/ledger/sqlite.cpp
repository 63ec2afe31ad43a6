// SQLite behind the face of sql.h.
#include <sqlite3.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "gateway/base/base.h"
#include "gateway/ledger/driver.h"

namespace trib::ledger::driver {
namespace {

constexpr int busy_ms_max = 5'000;

// Checkpoints are kept well apart from single commits.
constexpr const char* page = "PRAGMA page_size = 16384;";  // of a new store; some forty requests
constexpr const char* pragmas = R"sql(
PRAGMA synchronous = FULL;
PRAGMA wal_autocheckpoint = 2048;
PRAGMA cache_size = -65536;
PRAGMA recursive_triggers = ON;
PRAGMA temp_store = MEMORY;
)sql";

// SQLite's own account of its memory takes a process-wide lock at each allocation.
const bool unaccounted = sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0) == SQLITE_OK;

// A commit and still more a checkpoint write megabytes in one call and sync them at once: milliseconds of a processor, and of
// the disk, behind which the journal's sync would wait. In the background they go out in pieces instead. Waiting for them may
// take a twentieth of the thread's time, saved up for a checkpoint: who has to catch up writes as fast as it can.
class PacedWrites {
 public:
  // As pwrite(2).
  ssize_t write(int file, const void* bytes, std::size_t count, off_t offset) {
    const ssize_t written = ::pwrite(file, bytes, count, offset);
    if (written <= 0) return written;
    if (file != file_) begin(file, offset);
    from_ = std::min(from_, offset);
    to_ = std::max(to_, offset + written);
    bytes_ += static_cast<std::size_t>(written);
    return bytes_ < piece_bytes || write_out() ? written : -1;
  }

 private:
  static constexpr std::size_t piece_bytes = 64u << 10;
  static constexpr std::int64_t part_of_time = 20, saved_ns_max = 100'000'000;

  void begin(int file, off_t offset) {
    file_ = file;
    from_ = to_ = offset;
    bytes_ = 0;
  }

  // An error that is told here is not told again by a sync: it is the write's.
  bool write_out() {
    const int file = std::exchange(file_, -1);
    const std::int64_t now_ns = system_clock().mono_ns();
    saved_ns_ = std::min(saved_ns_ + (now_ns - std::exchange(seen_ns_, now_ns)) / part_of_time, saved_ns_max);
    if (saved_ns_ < 0) return true;
    const auto error = trib::write_out(file, static_cast<std::uint64_t>(from_), static_cast<std::uint64_t>(to_ - from_));
    saved_ns_ -= system_clock().mono_ns() - now_ns;
    errno = error.value();
    return !error;
  }

  int file_ = -1;  // -1: a new piece begins
  off_t from_ = 0, to_ = 0;
  std::size_t bytes_ = 0;
  std::int64_t saved_ns_ = 0, seen_ns_ = system_clock().mono_ns();
};

ssize_t write_politely(int file, const void* bytes, std::size_t count, off_t offset) {
  thread_local PacedWrites paced;
  if (!in_background()) return ::pwrite(file, bytes, count, offset);
  give_way();
  return paced.write(file, bytes, count, offset);
}

// By the one way that SQLite's own VFS offers; a name that this build of it does not use is refused, which is well.
const bool polite = [] {
  sqlite3_vfs* const vfs = sqlite3_vfs_find("unix");
  if (vfs == nullptr || vfs->iVersion < 3) return false;
  for (const char* name : {"pwrite", "pwrite64"})
    vfs->xSetSystemCall(vfs, name, reinterpret_cast<sqlite3_syscall_ptr>(write_politely));
  return true;
}();

// SQLite takes a null pointer for NULL; an empty text or blob is not that.
const char* present(std::string_view bytes) { return bytes.data() ? bytes.data() : ""; }

class SqliteStatement final : public Statement {
 public:
  explicit SqliteStatement(sqlite3_stmt* stmt) : stmt_(stmt) {}
  ~SqliteStatement() override { sqlite3_finalize(stmt_); }
  SqliteStatement(const SqliteStatement&) = delete;
  SqliteStatement& operator=(const SqliteStatement&) = delete;

  void reset() override { sqlite3_reset(stmt_); }
  void bind(int parameter, std::int64_t value) override { sqlite3_bind_int64(stmt_, parameter + 1, value); }
  void bind(int parameter, std::string_view text) override {
    sqlite3_bind_text64(stmt_, parameter + 1, present(text), text.size(), SQLITE_STATIC, SQLITE_UTF8);
  }
  void blob(int parameter, std::string_view bytes) override {
    sqlite3_bind_blob64(stmt_, parameter + 1, present(bytes), bytes.size(), SQLITE_STATIC);
  }
  void null(int parameter) override { sqlite3_bind_null(stmt_, parameter + 1); }

  Step step() override {
    switch (sqlite3_step(stmt_)) {
      case SQLITE_ROW: return Step::row;
      case SQLITE_DONE: return Step::done;
      default: return Step::failed;
    }
  }

  bool integer(int column, std::int64_t& value) override {
    value = sqlite3_column_int64(stmt_, column);
    return true;
  }
  std::string_view bytes(int column) override {
    // The pointer first: it may convert the value, and the length is that of the last conversion.
    const auto* data = static_cast<const char*>(sqlite3_column_blob(stmt_, column));
    const auto size = static_cast<std::size_t>(sqlite3_column_bytes(stmt_, column));
    return data ? std::string_view(data, size) : std::string_view();
  }
  bool is_null(int column) const override { return sqlite3_column_type(stmt_, column) == SQLITE_NULL; }

 private:
  sqlite3_stmt* stmt_;
};

class SqliteConnection final : public Connection {
 public:
  explicit SqliteConnection(sqlite3* db) : db_(db) {}
  ~SqliteConnection() override { sqlite3_close_v2(db_); }
  SqliteConnection(const SqliteConnection&) = delete;
  SqliteConnection& operator=(const SqliteConnection&) = delete;

  // One file has one writer by its lock; a second gateway is refused by the journal's.
  bool become_writer(std::uint16_t, std::string& why) override {
    if (!use_wal()) {
      why = "the store cannot use a write-ahead log: " + error();
      return false;
    }
    if (run(pragmas)) return true;
    why = "pragmas: " + error();
    return false;
  }

  bool begin(bool write) override { return run(write ? "BEGIN IMMEDIATE" : "BEGIN"); }
  bool commit() override { return run("COMMIT"); }
  void rollback() override {
    const int code = sqlite3_extended_errcode(db_);  // of what failed
    repeated_ = code == SQLITE_CONSTRAINT_PRIMARYKEY || code == SQLITE_CONSTRAINT_UNIQUE || code == SQLITE_CONSTRAINT_ROWID;
    run("ROLLBACK");
  }
  bool run(const char* sql) override { return sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) == SQLITE_OK; }

  std::unique_ptr<Statement> prepare(std::string_view sql, Rows) override {
    sqlite3_stmt* stmt = nullptr;
    sqlite3_prepare_v3(db_, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT, &stmt, nullptr);
    if (stmt == nullptr) return nullptr;
    return std::make_unique<SqliteStatement>(stmt);
  }

  // One row after the other, but without asking which were there.
  std::unique_ptr<Statement> prepare_bulk(std::string_view table, std::string_view columns) override {
    std::string marks = "?";
    for (const char c : columns) marks += c == ',' ? ",?" : "";
    return prepare("INSERT INTO " + std::string(table) + "(" + std::string(columns) + ") VALUES(" + marks + ")", Rows::few);
  }

  bool repeated() const override { return repeated_; }

  std::int64_t changes() const override { return sqlite3_changes64(db_); }
  std::string error() const override { return sqlite3_errmsg(db_); }
  Engine engine() const override { return Engine::sqlite; }
  sqlite3* raw() const override { return db_; }

 private:
  bool use_wal() {
    const auto mode = prepare("PRAGMA journal_mode = WAL", Rows::few);
    return mode && mode->step() == Statement::Step::row && mode->bytes(0) == "wal";
  }

  sqlite3* db_;
  bool repeated_ = false;  // why the last transaction was rolled back
};

}  // namespace

std::unique_ptr<Connection> open_sqlite(const std::string& path, const std::string& vfs, ledger::Connection::Mode mode, std::string& why) {
  const int flags = (mode == ledger::Connection::Mode::write ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY) |
                    SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;
  sqlite3* db = nullptr;
  const int opened = sqlite3_open_v2(path.c_str(), &db, flags, vfs.empty() ? nullptr : vfs.c_str());
  auto out = std::make_unique<SqliteConnection>(db);
  if (opened != SQLITE_OK) {
    why = path + ": " + (db ? sqlite3_errmsg(db) : "out of memory");
    return nullptr;
  }
  sqlite3_extended_result_codes(db, 1);
  sqlite3_busy_timeout(db, busy_ms_max);
  if (mode == ledger::Connection::Mode::write) out->run(page);
  return out;
}

}  // namespace trib::ledger::driver

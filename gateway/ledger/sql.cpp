#include "gateway/ledger/sql.h"

#include <sqlite3.h>

#include <algorithm>
#include <utility>

#include "gateway/base/base.h"

namespace trib::ledger {
namespace {

constexpr int busy_ms_max = 5'000;

// SQLite takes a null pointer for NULL; an empty text or blob is not that.
const char* present(std::string_view bytes) { return bytes.data() ? bytes.data() : ""; }

}  // namespace

// SQLite's own account of its memory takes a process-wide lock at each allocation.
const bool unaccounted = sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0) == SQLITE_OK;

Connection::~Connection() { sqlite3_close_v2(db_); }
Connection::Connection(Connection&& other) noexcept : db_(std::exchange(other.db_, nullptr)) {}
Connection& Connection::operator=(Connection&& other) noexcept {
  std::swap(db_, other.db_);
  return *this;
}

bool Connection::open(const std::string& path, const std::string& vfs, Mode mode, std::string& why) {
  const int flags = (mode == Mode::write ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY) |
                    SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;
  if (sqlite3_open_v2(path.c_str(), &db_, flags, vfs.empty() ? nullptr : vfs.c_str()) != SQLITE_OK) {
    why = path + ": " + (db_ ? sqlite3_errmsg(db_) : "out of memory");
    return false;
  }
  sqlite3_extended_result_codes(db_, 1);
  sqlite3_busy_timeout(db_, busy_ms_max);
  return true;
}

bool Connection::run(const char* sql) { return sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) == SQLITE_OK; }

Statement Connection::prepare(std::string_view sql) {
  sqlite3_stmt* stmt = nullptr;
  sqlite3_prepare_v3(db_, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT, &stmt, nullptr);
  return Statement(stmt);
}

std::int64_t Connection::changes() const { return sqlite3_changes64(db_); }
std::string Connection::error() const { return sqlite3_errmsg(db_); }

Statement::~Statement() { sqlite3_finalize(stmt_); }
Statement::Statement(Statement&& other) noexcept
    : stmt_(std::exchange(other.stmt_, nullptr)), bound_(other.bound_), column_(other.column_), damaged_(other.damaged_) {}
Statement& Statement::operator=(Statement&& other) noexcept {
  std::swap(stmt_, other.stmt_);
  bound_ = other.bound_;
  column_ = other.column_;
  damaged_ = other.damaged_;
  return *this;
}

Statement& Statement::reset() {
  sqlite3_reset(stmt_);
  bound_ = column_ = 0;
  damaged_ = false;
  return *this;
}

Statement& Statement::bind(std::int64_t value) {
  sqlite3_bind_int64(stmt_, ++bound_, value);
  return *this;
}

Statement& Statement::bind(std::string_view text) {
  sqlite3_bind_text64(stmt_, ++bound_, present(text), text.size(), SQLITE_STATIC, SQLITE_UTF8);
  return *this;
}

Statement& Statement::blob(std::string_view bytes) {
  sqlite3_bind_blob64(stmt_, ++bound_, present(bytes), bytes.size(), SQLITE_STATIC);
  return *this;
}

Statement& Statement::blob(std::span<const unsigned char> bytes) {
  return blob(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

Statement& Statement::bind(money::Amount amount) { return bind(amount.mu()).bind(amount.pf()); }

Statement& Statement::null() {
  sqlite3_bind_null(stmt_, ++bound_);
  return *this;
}

Statement::Step Statement::step() {
  column_ = 0;
  if (!stmt_) return Step::failed;
  switch (sqlite3_step(stmt_)) {
    case SQLITE_ROW: return Step::row;
    case SQLITE_DONE: return Step::done;
    default: return Step::failed;
  }
}

std::int64_t Statement::integer() { return sqlite3_column_int64(stmt_, column_++); }

std::string_view Statement::text() { return bytes(); }

std::string_view Statement::bytes() {
  // The pointer first: it may convert the value, and the length is that of the last conversion.
  const auto* data = static_cast<const char*>(sqlite3_column_blob(stmt_, column_));
  const auto size = static_cast<std::size_t>(sqlite3_column_bytes(stmt_, column_));
  ++column_;
  return data ? std::string_view(data, size) : std::string_view();
}

money::Amount Statement::amount() {
  const std::int64_t mu = integer();
  const std::int64_t pf = integer();
  // Not an assertion: a damaged file is reported by verify, it does not end the process.
  if (pf < 0 || pf >= 1'000'000) {
    damaged_ = true;
    return {};
  }
  return money::Amount::from_mu_pf(mu, pf);
}

money::Amount Statement::sum() {
  const std::int64_t mu = integer();
  const std::int64_t pf = integer();
  return money::Amount::pico(static_cast<money::int128>(mu) * 1'000'000 + pf);
}

Sha256 Statement::digest() {
  Sha256 out{};
  const std::string_view value = bytes();
  if (value.size() == out.size()) {
    std::copy(value.begin(), value.end(), reinterpret_cast<char*>(out.data()));
  } else {
    damaged_ = true;
  }
  return out;
}

bool Statement::is_null() const { return sqlite3_column_type(stmt_, column_) == SQLITE_NULL; }

}  // namespace trib::ledger

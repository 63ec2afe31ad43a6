#include "gateway/ledger/sql.h"

#include <algorithm>

#include "gateway/base/base.h"
#include "gateway/ledger/driver.h"

namespace trib::ledger {

std::string store_name(const std::string& address) { return is_postgres(address) ? driver::told_url(address) : address; }

Connection::Connection() : failures_(std::make_shared<Failures>()) {}
Connection::~Connection() = default;
Connection::Connection(Connection&& other) noexcept = default;
Connection& Connection::operator=(Connection&& other) noexcept = default;

bool Connection::open(const std::string& address, const std::string& vfs, Mode mode, std::string& why) {
  driver_ = is_postgres(address) ? driver::open_postgres(address, mode, why) : driver::open_sqlite(address, vfs, mode, why);
  return driver_ != nullptr;
}

bool Connection::become_writer(std::uint16_t shard, std::string& why) { return driver_->become_writer(shard, why); }
bool Connection::begin() { return driver_->begin(true); }
bool Connection::begin_read() { return driver_->begin(false); }
bool Connection::commit() { return driver_->commit(); }
void Connection::rollback() { driver_->rollback(); }
bool Connection::run(const char* sql) { return driver_->run(sql); }
Statement Connection::prepare(std::string_view sql, Rows rows) {
  auto prepared = driver_->prepare(sql, rows);
  if (!prepared) failures_->note(driver_->error());
  return {std::move(prepared), *driver_, failures_};
}
Statement Connection::prepare_bulk(std::string_view table, std::string_view columns) {
  return Statement(driver_->prepare_bulk(table, columns));
}
std::int64_t Connection::changes() const { return driver_->changes(); }
std::string Connection::error() const { return driver_ ? driver_->error() : "the store is not open"; }
bool Connection::lost() const { return driver_->lost(); }
bool Connection::repeated() const { return driver_->repeated(); }
Engine Connection::engine() const { return driver_->engine(); }
sqlite3* Connection::raw() const { return driver_->raw(); }

Statement::Statement() = default;
Statement::Statement(std::unique_ptr<driver::Statement> driver) : driver_(std::move(driver)) {}
Statement::Statement(std::unique_ptr<driver::Statement> driver, const driver::Connection& connection, std::shared_ptr<Failures> failures)
    : driver_(std::move(driver)), connection_(&connection), failures_(std::move(failures)) {}
Statement::~Statement() = default;
Statement::Statement(Statement&& other) noexcept = default;
Statement& Statement::operator=(Statement&& other) noexcept = default;

// Without a driver (it could not be prepared) a statement takes what is bound and fails at its step.
Statement& Statement::reset() {
  if (driver_) driver_->reset();
  bound_ = column_ = 0;
  damaged_ = false;
  return *this;
}

Statement& Statement::bind(std::int64_t value) {
  if (driver_) driver_->bind(bound_++, value);
  return *this;
}

Statement& Statement::bind(std::string_view text) {
  if (driver_) driver_->bind(bound_++, text);
  return *this;
}

Statement& Statement::blob(std::string_view bytes) {
  if (driver_) driver_->blob(bound_++, bytes);
  return *this;
}

Statement& Statement::blob(std::span<const unsigned char> bytes) {
  return blob(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

Statement& Statement::bind(money::Amount amount) { return bind(amount.mu()).bind(amount.pf()); }

Statement& Statement::null() {
  if (driver_) driver_->null(bound_++);
  return *this;
}

Statement::Step Statement::step() {
  column_ = 0;
  give_way();
  const Step out = driver_ ? driver_->step() : Step::failed;
  if (out == Step::failed && failures_) failures_->note(driver_ ? connection_->error() : "a question that the store does not take");
  return out;
}

bool Statement::queue() { return driver_ && driver_->queue(); }

std::int64_t Statement::integer() {
  std::int64_t out = 0;
  if (!driver_->integer(column_++, out)) damaged_ = true;
  return out;
}

std::string_view Statement::text() { return bytes(); }

std::string_view Statement::bytes() { return driver_->bytes(column_++); }

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

bool Statement::is_null() const { return driver_->is_null(column_); }

}  // namespace trib::ledger

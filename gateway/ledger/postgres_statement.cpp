// Statements of PostgreSQL: prepared at their second use, many rows by a cursor.
#include <algorithm>
#include <charconv>

#include "gateway/ledger/postgres.h"

namespace trib::ledger::driver {
namespace {

constexpr int fetched_rows = 1000;  // of a cursor at once

// `?` outside quotes becomes $1, $2...
std::string numbered(std::string_view sql) {
  std::string out;
  int n = 0;
  bool quoted = false;
  for (const char c : sql) {
    if (c == '\'') quoted = !quoted;
    if (c == '?' && !quoted) {
      out += '$' + std::to_string(++n);
    } else {
      out += c;
    }
  }
  return out;
}

std::int64_t signed_of(const char* data, int size) {
  std::uint64_t out = (data[0] & 0x80) != 0 ? ~std::uint64_t{0} : 0;
  for (int i = 0; i < size; ++i) out = out << 8 | static_cast<unsigned char>(data[i]);
  return static_cast<std::int64_t>(out);
}

// A sum of BIGINTs: base 10,000 digits, the first of weight 10,000^weight (PostgreSQL's numeric_send).
bool whole_numeric(const char* data, int size, std::int64_t& out) {
  if (size < 8) return false;
  const std::int64_t digits = signed_of(data, 2), weight = signed_of(data + 2, 2), sign = signed_of(data + 4, 2);
  if ((sign != 0 && sign != 0x4000) || size < 8 + 2 * digits || digits > weight + 1 || weight > 4) return false;
  money::int128 value = 0;
  for (std::int64_t i = 0; i <= weight; ++i) value = value * 10'000 + (i < digits ? signed_of(data + 8 + 2 * i, 2) : 0);
  if (sign != 0) value = -value;
  out = static_cast<std::int64_t>(value);
  return value == out;
}

}  // namespace

PgStatement::PgStatement(PgConnection& connection, std::string_view sql, Rows rows)
    : connection_(connection), sql_(numbered(sql)), rows_(rows) {}

PgStatement::~PgStatement() {
  close_cursor();
  if (!name_.empty() && life_ == connection_.life()) connection_.forget(name_);
}

void PgStatement::reset() {
  close_cursor();
  result_.reset();
  row_ = -1;
  refused_.clear();
}

PgStatement::Parameter& PgStatement::at(int parameter) {
  const auto index = static_cast<std::size_t>(parameter);
  if (parameters_.size() <= index) parameters_.resize(index + 1);
  return parameters_[index];
}

void PgStatement::bind(int parameter, std::int64_t value) {
  Parameter& to = at(parameter);
  big_endian(static_cast<std::uint64_t>(value), 8, to.number);
  to.type = oid::int8;
  to.data = nullptr;
  to.size = 8;
}

void PgStatement::bind(int parameter, std::string_view text) {
  if (!storable_text(text)) refused_ = "a text is not UTF-8 or holds a NUL, which PostgreSQL does not take";
  blob(parameter, text);
  at(parameter).type = oid::text;
}

void PgStatement::blob(int parameter, std::string_view bytes) {
  Parameter& to = at(parameter);
  to.type = oid::bytea;
  to.data = bytes.data() != nullptr ? bytes.data() : "";
  to.size = static_cast<int>(bytes.size());
}

void PgStatement::null(int parameter) { at(parameter) = {}; }

void PgStatement::arrange() {
  const std::size_t count = parameters_.size();
  types_.resize(count);
  values_.resize(count);
  lengths_.resize(count);
  formats_.assign(count, 1);
  for (std::size_t i = 0; i < count; ++i) {
    const Parameter& from = parameters_[i];
    types_[i] = from.type;
    values_[i] = from.type == oid::int8 ? from.number : from.data;
    lengths_[i] = from.size;
  }
}

bool PgStatement::execute() {
  if (!refused_.empty()) return connection_.fail(refused_);
  if (!connection_.ready()) return false;
  arrange();
  PGconn* const conn = connection_.raw_connection();
  const auto count = static_cast<int>(parameters_.size());
  if (life_ != connection_.life()) name_.clear();
  if (name_.empty() && ++uses_ > 1 && !prepare()) return false;
  result_.reset(name_.empty() ? PQexecParams(conn, sql_.c_str(), count, types_.data(), values_.data(), lengths_.data(), formats_.data(), 1)
                              : PQexecPrepared(conn, name_.c_str(), count, values_.data(), lengths_.data(), formats_.data(), 1));
  return connection_.take(result_.get());
}

bool PgStatement::prepare() {
  const std::string name = connection_.next_name();
  const auto count = static_cast<int>(parameters_.size());
  if (!connection_.take(PgResult(PQprepare(connection_.raw_connection(), name.c_str(), sql_.c_str(), count, types_.data())).get())) return false;
  name_ = name;
  life_ = connection_.life();
  return true;
}

bool PgStatement::queue() {
  if (!refused_.empty()) return connection_.fail(refused_);
  arrange();
  // Not in the pipeline: an error before it would take the preparation along.
  if ((name_.empty() || life_ != connection_.life()) && (!connection_.ready() || !prepare())) return false;
  if (!connection_.pipeline()) return false;
  PGconn* const conn = connection_.raw_connection();
  const auto count = static_cast<int>(parameters_.size());
  const bool sent = PQsendQueryPrepared(conn, name_.c_str(), count, values_.data(), lengths_.data(), formats_.data(), 1) == 1;
  if (!sent) return connection_.fail(PQerrorMessage(conn));
  connection_.queued();
  return true;
}

Statement::Step PgStatement::step() {
  if (row_ < 0) {
    const auto begin = [this] { return rows_ == Rows::many ? open_cursor() : execute(); };
    if (!begin() && !(connection_.again() && begin())) {
      close_cursor();
      return Step::failed;
    }
  }
  ++row_;
  if (row_ < PQntuples(result_.get())) return Step::row;
  if (cursor_.empty()) return Step::done;
  if (PQntuples(result_.get()) == fetched_rows) {
    if (!fetch()) {
      close_cursor();
      return Step::failed;
    }
    row_ = 0;
    if (PQntuples(result_.get()) > 0) return Step::row;
  }
  close_cursor();
  return Step::done;
}

bool PgStatement::open_cursor() {
  if (!refused_.empty()) return connection_.fail(refused_);
  if (!connection_.hold_moment()) return false;
  cursor_ = connection_.next_name();
  cursor_life_ = connection_.life();
  if (!connection_.ready()) return false;
  arrange();
  const std::string sql = "DECLARE " + cursor_ + " NO SCROLL CURSOR FOR " + sql_;
  const auto count = static_cast<int>(parameters_.size());
  const PgResult declared(PQexecParams(connection_.raw_connection(), sql.c_str(), count, types_.data(), values_.data(), lengths_.data(), formats_.data(), 1));
  return connection_.take(declared.get()) && fetch();
}

bool PgStatement::fetch() {
  if (!connection_.ready()) return false;
  const std::string sql = "FETCH FORWARD " + std::to_string(fetched_rows) + " FROM " + cursor_;
  result_.reset(PQexecParams(connection_.raw_connection(), sql.c_str(), 0, nullptr, nullptr, nullptr, nullptr, 1));
  return connection_.take(result_.get());
}

void PgStatement::close_cursor() {
  if (cursor_.empty()) return;
  const std::string name = std::exchange(cursor_, {});
  if (cursor_life_ != connection_.life()) return;
  if (!connection_.lost() && PQtransactionStatus(connection_.raw_connection()) == PQTRANS_INTRANS)
    connection_.run(("CLOSE " + name).c_str());
  connection_.release_moment();
}

bool PgStatement::integer(int column, std::int64_t& value) {
  value = 0;
  if (is_null(column)) return true;  // as SQLite has it: the sum of nothing
  const char* const data = PQgetvalue(result_.get(), row_, column);
  const int size = PQgetlength(result_.get(), row_, column);
  switch (PQftype(result_.get(), column)) {
    case oid::int8:
    case oid::int4:
    case oid::int2: value = signed_of(data, size); return true;
    case oid::boolean: value = data[0]; return true;
    case oid::numeric: return whole_numeric(data, size, value);
    default: return false;
  }
}

std::string_view PgStatement::bytes(int column) {
  if (!result_ || row_ < 0 || row_ >= PQntuples(result_.get())) return {};
  return {PQgetvalue(result_.get(), row_, column), static_cast<std::size_t>(PQgetlength(result_.get(), row_, column))};
}

bool PgStatement::is_null(int column) const {
  return !result_ || row_ < 0 || row_ >= PQntuples(result_.get()) || PQgetisnull(result_.get(), row_, column) == 1;
}

}  // namespace trib::ledger::driver

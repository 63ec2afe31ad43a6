// COPY in PostgreSQL's binary format: a header, rows of a 16-bit count of fields and fields of a 32-bit
// length (-1: NULL) and their bytes, all big-endian, and a count of -1 at the end.
#include <algorithm>

#include "gateway/ledger/postgres.h"

namespace trib::ledger::driver {
namespace {

constexpr std::string_view header("PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0", 19);
constexpr std::string_view trailer("\377\377", 2);
constexpr std::size_t piece_bytes = 64u << 10;

}  // namespace

PgBulk::PgBulk(PgConnection& connection, std::string_view table, std::string_view columns)
    : connection_(connection),
      sql_("COPY " + std::string(table) + "(" + std::string(columns) + ") FROM STDIN (FORMAT binary)"),
      columns_(static_cast<int>(std::count(columns.begin(), columns.end(), ',')) + 1) {}

PgBulk::~PgBulk() {
  if (open_) connection_.ready();  // ends it; an error fails the transaction
}

void PgBulk::reset() {
  row_.resize(2);
  big_endian(static_cast<std::uint64_t>(columns_), 2, row_.data());
  refused_.clear();
}

void PgBulk::field(std::string_view bytes) {
  char size[4];
  big_endian(bytes.size(), sizeof size, size);
  row_.append(size, sizeof size).append(bytes);
}

void PgBulk::bind(int, std::int64_t value) {
  char number[8];
  big_endian(static_cast<std::uint64_t>(value), sizeof number, number);
  field({number, sizeof number});
}

void PgBulk::bind(int, std::string_view text) {
  if (!storable_text(text)) refused_ = "a text is not UTF-8 or holds a NUL, which PostgreSQL does not take";
  field(text);
}

void PgBulk::blob(int, std::string_view bytes) { field(bytes); }

void PgBulk::null(int) { row_.append(4, '\377'); }

Statement::Step PgBulk::step() {
  if (!refused_.empty()) {
    connection_.fail(refused_);
    return Step::failed;
  }
  if (!open_) {
    if (!connection_.begin_copy(*this, sql_)) return Step::failed;
    open_ = true;
    buffer_ = header;
  }
  buffer_ += row_;
  if (buffer_.size() < piece_bytes || send(connection_.raw_connection(), false)) return Step::done;
  connection_.fail(PQerrorMessage(connection_.raw_connection()));
  return Step::failed;
}

bool PgBulk::send(PGconn* conn, bool end) {
  if (end) {
    buffer_ += trailer;
    open_ = false;
  }
  const bool sent = PQputCopyData(conn, buffer_.data(), static_cast<int>(buffer_.size())) == 1 && (!end || PQputCopyEnd(conn, nullptr) == 1);
  buffer_.clear();
  return sent;
}

}  // namespace trib::ledger::driver

// How the sealed rows go into their tables and come back. The column lists stand once.
#pragma once
#include <string>

#include "gateway/ledger/chain.h"
#include "gateway/ledger/documents.h"
#include "gateway/ledger/rows.h"
#include "gateway/ledger/sql.h"

namespace trib::ledger {

// Insert statements; each `put` binds one row and runs it, or leaves it to run with what comes next. A usage
// row does nothing where the request id exists, see Connection::changes(); in bulk it fails, see repeated().
struct Inserts {
  Statement usage, bulk_usage, command, quarantine, transfer, leg, batch;
  bool in_bulk = false;
  bool prepare(Connection& db);
  bool put(const UsageRow& row, std::uint16_t shard);
  bool put(const CommandRow& row, std::uint16_t shard);
  bool put(const QuarantineRow& row, std::uint16_t shard);
  bool put(const TransferRow& row, std::uint16_t shard);  // with its legs
  bool put(const BatchRow& row);
};

// Column lists for SELECT, in the order in which `read` takes them. A value that cannot be this
// program's is told by Statement::damaged().
extern const std::string usage_columns, command_columns, quarantine_columns, transfer_columns, batch_columns, period_columns;
// Debits and credits of an account, summed: binds the account, a period, and 1 for all periods.
extern const std::string stands_sql;
void read(Statement& from, UsageRow& to);
void read(Statement& from, CommandRow& to);
void read(Statement& from, QuarantineRow& to);
void read(Statement& from, TransferRow& to);  // without its legs
void read_after_id(Statement& from, TransferRow& to);  // the same, when the first column is read
void read(Statement& from, BatchRow& to);
void read(Statement& from, PeriodRow& to);

std::int64_t place_of(std::uint16_t shard, metering::Lsn lsn);  // of a usage row; shard < 2^15, lsn < 2^48
std::string id_bytes(const RequestId& id);  // 16 bytes, big-endian, so that they sort as the id does
RequestId id_of_bytes(std::string_view bytes);

}  // namespace trib::ledger

#include "gateway/ledger/receipt_tables.h"

#include <algorithm>

#include "gateway/ledger/receipt_intake.h"

namespace trib::ledger {
namespace {

constexpr std::int64_t slack_ms = 3'600'000;  // by which a clock may have stepped back
constexpr std::size_t key_digits = 16, number_digits = 20;

// ';' follows ':' in every encoding that ids are made of.
std::string after(std::string prefix) {
  prefix.back() = ';';
  return prefix;
}

// The first batch booked at or after that time; journal time grows with the id but for steps of the clock.
metering::Lsn first_lsn(Connection& db, std::uint16_t shard, std::int64_t wall_ms) {
  Statement newest = db.prepare("SELECT id FROM batch WHERE shard = ? ORDER BY id DESC LIMIT 1");
  Statement one = db.prepare("SELECT from_lsn, booked_at FROM batch WHERE shard = ? AND id = ?");
  if (!newest.reset().bind(shard).row()) return 0;
  std::int64_t low = 1, high = newest.integer() + 1;
  while (low < high) {
    const std::int64_t middle = low + (high - low) / 2;
    one.reset().bind(shard).bind(middle);
    if (!one.row()) return 0;
    one.skip();
    (one.integer() < wall_ms ? low = middle + 1 : high = middle);
  }
  one.reset().bind(shard).bind(low);
  return one.row() ? one.number<metering::Lsn>() : metering::Lsn{INT64_MAX};
}

std::vector<std::uint16_t> shards(Connection& db) {
  std::vector<std::uint16_t> out;
  Statement select = db.prepare("SELECT shard FROM cursor ORDER BY shard");
  while (select.row()) out.push_back(select.number<std::uint16_t>());
  return out;
}

std::string id_at(std::int64_t wall_ms) {
  RequestId id;
  id.hi = static_cast<std::uint64_t>(std::max<std::int64_t>(wall_ms, 0)) << 16;
  return id_bytes(id);
}

}  // namespace

bool last_receipt_commands(Reader& reader, const std::function<bool(const CommandRow&)>& visit) {
  Connection& db = reader.connection();
  Statement next = db.prepare("SELECT id FROM command WHERE shard = ? AND id > ? AND id < ? ORDER BY id LIMIT 1");
  Statement last = db.prepare("SELECT " + command_columns + " FROM command WHERE shard = ? AND id > ? AND id < ? ORDER BY id DESC LIMIT 1");
  Statement keys = db.prepare("SELECT " + command_columns + " FROM command WHERE shard = ? AND id > ? AND id < ? ORDER BY id");
  if (!next || !last || !keys) return false;
  CommandRow row;
  for (const std::uint16_t shard : shards(db)) {
    const std::string roots = "receipts:", roots_end = after(roots), pins = "receipts_key:", pins_end = after(pins);
    std::string from = roots;
    while (next.reset().bind(shard).bind(from).bind(roots_end).row()) {
      std::string prefix(next.text());
      if (prefix.size() <= roots.size() + key_digits + number_digits) return false;
      prefix.resize(prefix.size() - number_digits);  // with its ':'
      from = after(prefix);
      if (!last.reset().bind(shard).bind(prefix).bind(from).row()) return false;
      read(last, row);
      if (last.damaged()) return false;
      if (!visit(row)) return true;
    }
    keys.reset().bind(shard).bind(pins).bind(pins_end);
    while (keys.row()) {
      read(keys, row);
      if (keys.damaged()) return false;
      if (!visit(row)) return true;
    }
  }
  return true;
}

bool receipt_commands_since(Reader& reader, std::int64_t wall_ms, const std::function<bool(const CommandRow&)>& visit) {
  Connection& db = reader.connection();
  Statement select = db.prepare("SELECT " + command_columns + " FROM command WHERE kind = ? AND shard = ? AND lsn >= ? ORDER BY lsn", Rows::many);
  if (!select) return false;
  CommandRow row;
  for (const std::uint16_t shard : shards(db)) {
    select.reset().bind(receipts_kind).bind(shard).bind(static_cast<std::int64_t>(first_lsn(db, shard, wall_ms - slack_ms)));
    Statement::Step step{};
    while ((step = select.step()) == Statement::Step::row) {
      read(select, row);
      if (select.damaged()) return false;
      if (!visit(row)) return true;
    }
    if (step != Statement::Step::done) return false;
  }
  return true;
}

bool requests_minted(Reader& reader, std::int64_t from_ms, std::int64_t to_ms, const std::function<bool(const RequestRow&)>& visit) {
  Statement select = reader.connection().prepare("SELECT " + usage_columns + " FROM usage WHERE request_id >= ? AND request_id < ? ORDER BY request_id", Rows::many);
  if (!select) return false;
  const std::string from = id_at(from_ms), to = id_at(to_ms);
  select.reset().blob(from).blob(to);
  RequestRow row;
  Statement::Step step{};
  while ((step = select.step()) == Statement::Step::row) {
    read(select, row.row);
    if (!decode_detail(row.row, row.attempts, row.parts) || select.damaged()) return false;
    if (!visit(row)) return true;
  }
  return step == Statement::Step::done;
}

}  // namespace trib::ledger

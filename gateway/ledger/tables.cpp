#include "gateway/ledger/tables.h"

namespace trib::ledger {

const std::string usage_stored =  // beside its place
    "request_id, batch, state, tenant, model, final_ms, period, key_hash, content_hash, detail, leaf, gross_mu, gross_pf";
const std::string usage_columns = "lsn, " + usage_stored;
const std::string command_columns = "id, lsn, batch, kind, wall_ms, body, result, leaf";
const std::string quarantine_columns = "lsn, batch, subject, reason, record, leaf";
const std::string transfer_columns =
    "id, batch, code, reason, effective_at, booked_at, period, doc_id, leaf, reverses_id";
const std::string batch_columns =
    "shard, id, from_lsn, to_lsn, booked_at, period_from, period_to, n, billed, voided, quarantined, duplicates, "
    "commands, transfers, legs, gross_mu, gross_pf, debit_mu, debit_pf, credit_mu, credit_pf, merkle_root, "
    "journal_hash, prev_hash, hash";
const std::string stands_sql =
    "SELECT sum(debit_mu), sum(debit_pf), sum(credit_mu), sum(credit_pf) FROM balance WHERE account = ? AND (period = ? OR ? = 1)";
const std::string period_columns = "id, state, grace_ms, reconciled_ms, closed_ms, stated_ms, paid_ms, seal, signature";

namespace {

const std::string leg_columns = "transfer_id, n, account, mu, pf";

// "INSERT INTO table(columns) VALUES(?, ...)", with the shard in front where it is no column of the row.
std::string insert(const std::string& table, const std::string& columns) {
  std::string marks = "?";
  for (const char c : columns) marks += c == ',' ? ",?" : "";
  return "INSERT INTO " + table + "(" + columns + ") VALUES(" + marks + ")";
}

std::int64_t signed_of(std::uint64_t value) {
  TRIB_ASSERT(value <= INT64_MAX);
  return static_cast<std::int64_t>(value);
}

void put_id(const RequestId& id, char out[16]) {
  for (int i = 0; i < 8; ++i) {
    out[i] = static_cast<char>(id.hi >> (56 - 8 * i) & 255);
    out[8 + i] = static_cast<char>(id.lo >> (56 - 8 * i) & 255);
  }
}

template <class E>
void read_enum(Statement& from, E& to) {
  to = static_cast<E>(from.number<std::uint8_t>());
}

}  // namespace

void read(Statement& from, PeriodRow& to) {
  to.period = from.number<Period>();
  read_enum(from, to.state);
  for (auto* ms : {&to.grace_ms, &to.reconciled_ms, &to.closed_ms, &to.stated_ms, &to.paid_ms}) *ms = from.integer();
  to.seal = from.text();
  to.signature = from.text();
}

std::int64_t place_of(std::uint16_t shard, metering::Lsn lsn) {
  constexpr unsigned lsn_bits = 48;
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(shard) << lsn_bits | (lsn & ((1ull << lsn_bits) - 1)));
}

std::string id_bytes(const RequestId& id) {
  std::string out(16, '\0');
  put_id(id, out.data());
  return out;
}

RequestId id_of_bytes(std::string_view bytes) {
  RequestId id{};
  for (std::size_t i = 0; i < bytes.size() && i < 16; ++i) {
    auto& word = i < 8 ? id.hi : id.lo;
    word = word << 8 | static_cast<unsigned char>(bytes[i]);
  }
  return id;
}

bool Inserts::prepare(Connection& db) {
  usage = db.prepare(insert("usage", "place, " + usage_stored) + " ON CONFLICT DO NOTHING");
  bulk_usage = db.prepare_bulk("usage", "place, " + usage_stored);
  command = db.prepare(insert("command", "shard, " + command_columns));
  quarantine = db.prepare(insert("quarantine", "shard, " + quarantine_columns));
  transfer = db.prepare(insert("transfer", "shard, " + transfer_columns));
  leg = db.prepare(insert("leg", "shard, " + leg_columns));
  batch = db.prepare(insert("batch", batch_columns));
  return usage && bulk_usage && command && quarantine && transfer && leg && batch;
}

bool Inserts::put(const UsageRow& row, std::uint16_t shard) {
  Statement& to = in_bulk ? bulk_usage : usage;
  char id[16];
  put_id(row.id, id);
  to.reset().bind(place_of(shard, row.lsn)).blob(std::string_view(id, sizeof id));
  to.bind(signed_of(row.batch)).bind(static_cast<std::int64_t>(row.state)).bind(row.tenant).bind(row.model);
  to.bind(row.final_ms).bind(row.period).blob(row.key_hash).blob(row.content_hash).blob(row.detail).blob(row.leaf);
  if (row.gross) {
    to.bind(*row.gross);
  } else {
    to.null().null();
  }
  return to.done();
}

bool Inserts::put(const CommandRow& row, std::uint16_t shard) {
  command.reset().bind(shard).bind(row.id).bind(signed_of(row.lsn)).bind(signed_of(row.batch));
  return command.bind(row.kind).bind(row.wall_ms).bind(row.body).bind(row.result).blob(row.leaf).queue();
}

bool Inserts::put(const QuarantineRow& row, std::uint16_t shard) {
  quarantine.reset().bind(shard).bind(signed_of(row.lsn)).bind(signed_of(row.batch));
  return quarantine.bind(row.subject).bind(row.reason).blob(row.record).blob(row.leaf).queue();
}

bool Inserts::put(const TransferRow& row, std::uint16_t shard) {
  transfer.reset().bind(shard).bind(signed_of(row.id)).bind(signed_of(row.batch)).bind(row.code).bind(row.reason);
  transfer.bind(row.effective_at).bind(row.booked_at).bind(row.period).bind(row.doc_id).blob(row.leaf);
  if (row.reverses) {
    transfer.bind(signed_of(*row.reverses));
  } else {
    transfer.null();
  }
  if (!transfer.queue()) return false;
  std::int64_t n = 0;
  for (const Leg& one : row.legs) {
    leg.reset().bind(shard).bind(signed_of(row.id)).bind(++n).bind(one.account).bind(one.amount);
    if (!leg.queue()) return false;
  }
  return true;
}

bool Inserts::put(const BatchRow& row) {
  batch.reset().bind(row.shard).bind(signed_of(row.id)).bind(signed_of(row.from_lsn)).bind(signed_of(row.to_lsn));
  batch.bind(row.booked_at).bind(row.period_from).bind(row.period_to);
  for (const auto n : {row.n, row.billed, row.voided, row.quarantined, row.duplicates, row.commands, row.transfers, row.legs}) {
    batch.bind(signed_of(n));
  }
  batch.bind(row.gross).bind(row.debit).bind(row.credit);
  return batch.blob(row.merkle_root).blob(row.journal_hash).blob(row.prev_hash).blob(row.hash).queue();
}

void read(Statement& from, UsageRow& to) {
  to.lsn = from.number<std::uint64_t>();
  to.id = id_of_bytes(from.bytes());
  to.batch = from.number<std::uint64_t>();
  read_enum(from, to.state);
  to.tenant = from.text();
  to.model = from.text();
  to.final_ms = from.integer();
  to.period = from.number<std::int32_t>();
  to.key_hash = from.digest();
  to.content_hash = from.bytes();
  to.detail = from.bytes();
  to.leaf = from.digest();
  to.gross.reset();
  if (!from.is_null()) to.gross = from.amount();
}

void read(Statement& from, CommandRow& to) {
  to.id = from.text();
  to.lsn = from.number<std::uint64_t>();
  to.batch = from.number<std::uint64_t>();
  to.kind = from.text();
  to.wall_ms = from.integer();
  to.body = from.text();
  to.result = from.text();
  to.leaf = from.digest();
}

void read(Statement& from, QuarantineRow& to) {
  to.lsn = from.number<std::uint64_t>();
  to.batch = from.number<std::uint64_t>();
  to.subject = from.text();
  to.reason = from.text();
  to.record = from.bytes();
  to.leaf = from.digest();
}

void read(Statement& from, TransferRow& to) {
  to.id = from.number<std::uint64_t>();
  read_after_id(from, to);
}

void read_after_id(Statement& from, TransferRow& to) {
  to.batch = from.number<std::uint64_t>();
  to.code = from.number<std::uint16_t>();
  to.reason = from.text();
  to.effective_at = from.integer();
  to.booked_at = from.integer();
  to.period = from.number<std::int32_t>();
  to.doc_id = from.text();
  to.leaf = from.digest();
  to.reverses.reset();
  if (!from.is_null()) to.reverses = from.number<std::uint64_t>();
  to.legs.clear();
}

void read(Statement& from, BatchRow& to) {
  to.shard = from.number<std::uint16_t>();
  to.id = from.number<std::uint64_t>();
  to.from_lsn = from.number<std::uint64_t>();
  to.to_lsn = from.number<std::uint64_t>();
  to.booked_at = from.integer();
  to.period_from = from.number<std::int32_t>();
  to.period_to = from.number<std::int32_t>();
  for (auto* n : {&to.n, &to.billed, &to.voided, &to.quarantined, &to.duplicates, &to.commands, &to.transfers, &to.legs}) {
    *n = from.number<std::uint64_t>();
  }
  for (auto* amount : {&to.gross, &to.debit, &to.credit}) *amount = from.amount();
  for (auto* digest : {&to.merkle_root, &to.journal_hash, &to.prev_hash, &to.hash}) *digest = from.digest();
}

}  // namespace trib::ledger

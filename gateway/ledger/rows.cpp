#include "gateway/ledger/rows.h"

#include "gateway/ledger/bytes.h"

namespace trib::ledger {
namespace {

constexpr std::uint8_t format_version = 1, usage_version = 2;
enum class Kind : std::uint8_t { usage = 1, command, quarantine, transfer };  // 5: quantities.cpp

ByteWriter& begin_leaf(std::uint8_t version, Kind kind, std::uint16_t shard) {
  thread_local ByteWriter w;
  w.clear();
  w.fixed(std::uint8_t{0});  // a leaf, never to be taken for an inner node
  w.fixed(version);
  w.fixed(static_cast<std::uint8_t>(kind));
  w.fixed(shard);
  return w;
}

}  // namespace

std::string_view name(State state) {
  switch (state) {
    case State::billed: return "billed";
    case State::voided: return "voided";
    case State::quarantined: return "quarantined";
  }
  return "unknown";
}

void add_counts(metering::TokenCounts& to, const metering::TokenCounts& more) {
  to.input += more.input;
  to.cached_input += more.cached_input;
  to.cache_write += more.cache_write;
  to.output += more.output;
  to.reasoning += more.reasoning;
}

Sha256 leaf_of(const UsageRow& row, std::uint16_t shard) {
  ByteWriter& w = begin_leaf(usage_version, Kind::usage, shard);
  w.fixed(row.id.hi);
  w.fixed(row.id.lo);
  w.fixed(row.lsn);
  w.fixed(row.batch);
  w.fixed(static_cast<std::uint8_t>(row.state));
  w.text(row.tenant);
  w.text(row.model);
  w.fixed(row.final_ms);
  w.fixed(row.period);
  w.fixed(static_cast<std::uint8_t>(row.gross ? 1 : 0));
  w.amount(row.gross.value_or(money::Amount{}));
  w.digest(row.key_hash);
  w.text(row.content_hash);
  w.text(row.detail);
  return sha256(w.written());
}

Sha256 leaf_of(const CommandRow& row, std::uint16_t shard) {
  ByteWriter& w = begin_leaf(format_version, Kind::command, shard);
  w.text(row.id);
  w.fixed(row.lsn);
  w.fixed(row.batch);
  w.text(row.kind);
  w.fixed(row.wall_ms);
  w.text(row.body);
  w.text(row.result);
  return sha256(w.written());
}

Sha256 leaf_of(const QuarantineRow& row, std::uint16_t shard) {
  ByteWriter& w = begin_leaf(format_version, Kind::quarantine, shard);
  w.fixed(row.lsn);
  w.fixed(row.batch);
  w.text(row.subject);
  w.text(row.reason);
  w.text(row.record);
  return sha256(w.written());
}

Sha256 leaf_of(const TransferRow& row, std::uint16_t shard) {
  ByteWriter& w = begin_leaf(format_version, Kind::transfer, shard);
  w.fixed(row.id);
  w.fixed(row.batch);
  w.fixed(row.code);
  w.text(row.reason);
  w.fixed(row.effective_at);
  w.fixed(row.booked_at);
  w.fixed(row.period);
  w.fixed(static_cast<std::uint8_t>(row.reverses ? 1 : 0));
  w.fixed(row.reverses.value_or(0));
  w.text(row.doc_id);
  w.fixed(static_cast<std::uint32_t>(row.legs.size()));
  for (const Leg& leg : row.legs) {
    w.text(leg.account);
    w.amount(leg.amount);
  }
  return sha256(w.written());
}

}  // namespace trib::ledger

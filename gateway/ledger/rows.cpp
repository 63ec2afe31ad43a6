#include "gateway/ledger/rows.h"

#include <algorithm>
#include <limits>

#include "gateway/ledger/bytes.h"

namespace trib::ledger {
namespace {

constexpr std::uint8_t format_version = 1;
enum class Kind : std::uint8_t { usage = 1, command, quarantine, transfer };  // 5: quantities.cpp

ByteWriter begin_leaf(std::string& out, Kind kind, std::uint16_t shard) {
  out.clear();
  ByteWriter w(out);
  w.fixed(std::uint8_t{0});  // a leaf, never to be taken for an inner node
  w.fixed(format_version);
  w.fixed(static_cast<std::uint8_t>(kind));
  w.fixed(shard);
  return w;
}

std::string& scratch() {
  thread_local std::string buffer;
  return buffer;
}

std::uint64_t pico64(money::Amount amount) {
  TRIB_ASSERT(!amount.negative() && amount.pico() < gross_pico_end);
  return static_cast<std::uint64_t>(amount.pico());
}

// A part's, in two's complement: the platform's may be below zero.
std::uint64_t part64(money::Amount amount) {
  TRIB_ASSERT(amount.pico() < gross_pico_end && -amount.pico() < gross_pico_end);
  return static_cast<std::uint64_t>(static_cast<std::int64_t>(amount.pico()));
}

money::Amount part_amount(std::uint64_t bits) {
  return money::Amount::pico(static_cast<money::int128>(static_cast<std::int64_t>(bits)));
}

void put_dispatch(ByteWriter& w, const metering::Attempt& sent, const metering::AttemptResult& result) {
  w.number(sent.n);
  w.number(static_cast<std::uint64_t>(sent.wall_ms));
  for (const auto* text : {&sent.site, &sent.seat, &sent.device, &sent.engine, &sent.vendor, &sent.contract}) w.name(*text);
  w.number(sent.contract_version);
  w.name(result.fault);
  w.name(result.side);
  for (const auto n : {result.delivered, result.pieces, result.bytes}) w.number(n);
  w.number(result.claimed ? 1 : 0);
  if (result.claimed) w.counts(*result.claimed);
}

money::Amount amount64(std::uint64_t pico) { return money::Amount::pico(static_cast<money::int128>(pico)); }

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

void encode_parts(const std::vector<Part>& parts, std::string& out) {
  out.clear();
  ByteWriter w(out);
  w.number(format_version);
  w.number(parts.size());
  for (const Part& part : parts) {
    w.number(part.attempt);
    w.name(part.party);
    w.name(part.contract);
    w.number(part.contract_version);
    w.number(part64(part.amount));
  }
}

std::optional<std::vector<Part>> decode_parts(std::string_view blob) {
  ByteReader r(blob);
  if (r.number() != format_version) return std::nullopt;
  std::vector<Part> out;
  const std::uint64_t count = r.number();
  for (std::uint64_t i = 0; r.ok() && i < count; ++i) {
    Part& part = out.emplace_back();
    part.attempt = r.small<std::uint16_t>();
    part.party = r.name();
    part.contract = r.name();
    part.contract_version = r.small<std::uint32_t>();
    part.amount = part_amount(r.number());
  }
  if (!r.done()) return std::nullopt;
  return out;
}

void encode_attempts(const metering::Final& final, const Rated& rated, std::string& out) {
  out.clear();
  ByteWriter w(out);
  w.number(format_version);
  const std::size_t count = std::min(final.attempts.size(), final.results.size());
  w.number(count);
  for (std::size_t i = 0; i < count; ++i) {
    put_dispatch(w, final.attempts[i], final.results[i]);
    const auto share = std::find_if(rated.shares.begin(), rated.shares.end(),
                                    [&](const AttemptShare& s) { return s.attempt == final.attempts[i].n; });
    w.number(share != rated.shares.end() ? 1 : 0);
    if (share == rated.shares.end()) continue;
    w.counts(share->counts);
    w.number(pico64(share->gross));
  }
}

void encode_attempts(const std::vector<AttemptRow>& rows, std::string& out) {
  out.clear();
  ByteWriter w(out);
  w.number(format_version);
  w.number(rows.size());
  for (const AttemptRow& row : rows) {
    put_dispatch(w, row.sent, row.result);
    w.number(row.rated ? 1 : 0);
    if (!row.rated) continue;
    w.counts(row.billed);
    w.number(pico64(row.gross));
  }
}

std::optional<std::vector<AttemptRow>> decode_attempts(const RequestId& id, std::string_view blob) {
  ByteReader r(blob);
  if (r.number() != format_version) return std::nullopt;
  std::vector<AttemptRow> out;
  const std::uint64_t count = r.number();
  for (std::uint64_t i = 0; r.ok() && i < count; ++i) {
    AttemptRow& row = out.emplace_back();
    metering::Attempt& sent = row.sent;
    sent.id = id;
    sent.n = row.result.n = r.small<std::uint16_t>();
    sent.wall_ms = static_cast<std::int64_t>(r.number());
    for (auto* text : {&sent.site, &sent.seat, &sent.device, &sent.engine, &sent.vendor, &sent.contract}) *text = r.name();
    sent.contract_version = r.small<std::uint32_t>();
    row.result.fault = r.name();
    row.result.side = r.name();
    for (auto* n : {&row.result.delivered, &row.result.pieces, &row.result.bytes}) *n = r.number();
    if (r.number() == 1) row.result.claimed = r.counts();
    row.rated = r.number() != 0;
    if (!row.rated) continue;
    row.billed = r.counts();
    row.gross = amount64(r.number());
  }
  if (!r.done()) return std::nullopt;
  return out;
}

Sha256 leaf_of(const UsageRow& row, std::uint16_t shard) {
  std::string& bytes = scratch();
  ByteWriter w = begin_leaf(bytes, Kind::usage, shard);
  w.fixed(row.id.hi);
  w.fixed(row.id.lo);
  w.fixed(row.lsn);
  w.fixed(row.batch);
  w.fixed(static_cast<std::uint8_t>(row.state));
  w.text(row.tenant);
  w.text(row.model);
  w.text(row.operation);
  w.fixed(static_cast<std::uint8_t>(row.outcome));
  w.fixed(row.status);
  w.fixed(static_cast<std::uint8_t>(row.source));
  w.fixed(row.admit_ms);
  w.fixed(row.final_ms);
  w.fixed(row.period);
  w.fixed(row.price_version);
  w.fixed(row.book_revision);
  for (const auto n : {row.counts.input, row.counts.cached_input, row.counts.cache_write, row.counts.output, row.counts.reasoning}) {
    w.fixed(n);
  }
  w.fixed(row.bytes_delivered);
  w.fixed(static_cast<std::uint8_t>(row.gross ? 1 : 0));
  w.amount(row.gross.value_or(money::Amount{}));
  w.text(row.parts);
  w.text(row.attempts);
  w.digest(row.key_hash);
  w.text(row.content_hash);
  return sha256(bytes);
}

Sha256 leaf_of(const CommandRow& row, std::uint16_t shard) {
  std::string& bytes = scratch();
  ByteWriter w = begin_leaf(bytes, Kind::command, shard);
  w.text(row.id);
  w.fixed(row.lsn);
  w.fixed(row.batch);
  w.text(row.kind);
  w.fixed(row.wall_ms);
  w.text(row.body);
  w.text(row.result);
  return sha256(bytes);
}

Sha256 leaf_of(const QuarantineRow& row, std::uint16_t shard) {
  std::string& bytes = scratch();
  ByteWriter w = begin_leaf(bytes, Kind::quarantine, shard);
  w.fixed(row.lsn);
  w.fixed(row.batch);
  w.text(row.subject);
  w.text(row.reason);
  w.text(row.record);
  return sha256(bytes);
}

Sha256 leaf_of(const TransferRow& row, std::uint16_t shard) {
  std::string& bytes = scratch();
  ByteWriter w = begin_leaf(bytes, Kind::transfer, shard);
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
  return sha256(bytes);
}

}  // namespace trib::ledger

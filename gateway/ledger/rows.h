// The store's sealed rows as values and their canonical bytes. The bytes that are hashed have a fixed layout,
// docs/audit.md, frozen by a golden test: integers little-endian, texts with a 32-bit length.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/base/base.h"
#include "gateway/ledger/rating.h"
#include "gateway/metering/metering.h"
#include "gateway/money/money.h"

namespace trib::ledger {

enum class State : std::uint8_t { billed, voided, quarantined };
std::string_view name(State state);
void add_counts(metering::TokenCounts& to, const metering::TokenCounts& more);

// One request. What has no column of its own is in `detail`, with the attempts and parts (detail.h).
struct UsageRow {
  RequestId id;
  metering::Lsn lsn = 0;
  std::uint64_t batch = 0;
  State state = State::voided;
  std::string tenant, model;
  std::int64_t final_ms = 0;
  std::int32_t period = 0;
  std::optional<money::Amount> gross;  // none: quarantined
  Sha256 key_hash{};
  std::string content_hash;  // the first 16 bytes of SHA-256 of the FINAL's encoding
  std::string detail;
  Sha256 leaf{};

  // The facts in `detail`: of a row that was read, once decode_detail() has been there.
  std::string operation;
  metering::Outcome outcome{};
  std::uint16_t status = 0;
  metering::CountSource source{};
  std::int64_t admit_ms = 0;
  std::uint32_t price_version = 0;
  std::uint64_t book_revision = 0;
  metering::TokenCounts counts;
  std::uint64_t bytes_delivered = 0;
};

struct CommandRow {
  std::string id, kind, body, result;  // result: "applied", "kept" or "refused: why"
  metering::Lsn lsn = 0;
  std::uint64_t batch = 0;
  std::int64_t wall_ms = 0;
  Sha256 leaf{};
};

struct QuarantineRow {
  metering::Lsn lsn = 0;
  std::uint64_t batch = 0;
  std::string subject;  // a request id, or a command's id
  std::string reason, record;  // the whole record as encoded
  Sha256 leaf{};
};

struct Leg {
  std::string account;
  money::Amount amount;  // debit positive, credit negative
  friend bool operator==(const Leg&, const Leg&) = default;
};

struct TransferRow {
  std::uint64_t id = 0, batch = 0;
  std::uint16_t code = 0;
  std::string reason, doc_id;
  std::int64_t effective_at = 0, booked_at = 0;  // Unix ms; booked_at is journal time, so a replay repeats it
  std::int32_t period = 0;
  std::optional<std::uint64_t> reverses;
  std::vector<Leg> legs;
  Sha256 leaf{};
};

// Leaves of a batch's Merkle tree: SHA-256(0x00, format version, kind, row).
Sha256 leaf_of(const UsageRow& row, std::uint16_t shard);
Sha256 leaf_of(const CommandRow& row, std::uint16_t shard);
Sha256 leaf_of(const QuarantineRow& row, std::uint16_t shard);
Sha256 leaf_of(const TransferRow& row, std::uint16_t shard);

}  // namespace trib::ledger

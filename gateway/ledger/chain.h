// The seal over a batch: a Merkle root over its rows and a header hash chained to the batch before.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "gateway/base/base.h"
#include "gateway/metering/metering.h"
#include "gateway/money/money.h"

namespace trib::ledger {

// RFC 6962's tree: inner node = SHA-256(0x01, left, right), an odd node goes up as it is. The leaves
// come in the order usage (by LSN), commands (by LSN), quarantine (by LSN), transfers (by id), quantities
// (by n). The root of nothing is SHA-256 of nothing.
Sha256 merkle_root(std::span<const Sha256> leaves);

// The same root, leaf by leaf.
class MerkleTree {
 public:
  void add(const Sha256& leaf);
  Sha256 root() const;
  std::uint64_t size() const { return size_; }

 private:
  std::array<Sha256, 64> whole_{};  // by level: the whole tree of 2^level leaves that waits for its right neighbour, where size_ has that bit
  std::uint64_t size_ = 0;
};

// The siblings from leaf `index` up to the root, and the way back: the root that a leaf and its siblings
// give in a tree of `count` leaves; none where their number does not fit.
std::vector<Sha256> merkle_path(std::span<const Sha256> leaves, std::size_t index);
std::optional<Sha256> merkle_climb(const Sha256& leaf, std::uint64_t index, std::uint64_t count,
                                   std::span<const Sha256> siblings);

struct BatchRow {
  std::uint16_t shard = 0;
  std::uint64_t id = 0;  // 1, 2, 3, ...
  metering::Lsn from_lsn = 0, to_lsn = 0;  // both inclusive
  std::int64_t booked_at = 0;              // Unix ms, journal time of its last record
  std::int32_t period_from = 0, period_to = 0;
  std::uint64_t n = 0;  // leaves
  std::uint64_t billed = 0, voided = 0, quarantined = 0;  // usage rows by state
  std::uint64_t duplicates = 0;                            // records seen before; they change nothing
  std::uint64_t commands = 0, transfers = 0, legs = 0;
  money::Amount gross, debit, credit;
  Sha256 merkle_root{}, journal_hash{}, prev_hash{}, hash{};
};

// SHA-256(previous hash, root, LSN range, journal hash at to_lsn, totals); `hash` itself is not read.
Sha256 chain_hash(const BatchRow& batch);

}  // namespace trib::ledger

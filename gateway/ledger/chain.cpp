#include "gateway/ledger/chain.h"

#include <cstring>
#include <vector>

#include "gateway/ledger/bytes.h"

namespace trib::ledger {

namespace {

Sha256 inner_node(const Sha256& left, const Sha256& right) {
  char node[65] = {1};
  std::memcpy(node + 1, left.data(), 32);
  std::memcpy(node + 33, right.data(), 32);
  return sha256(std::string_view(node, sizeof node));
}

// One level up; an odd node goes up as it is.
void climb(std::vector<Sha256>& level) {
  std::size_t out = 0;
  for (std::size_t i = 0; i < level.size(); i += 2) {
    level[out++] = i + 1 == level.size() ? level[i] : inner_node(level[i], level[i + 1]);
  }
  level.resize(out);
}

}  // namespace

void MerkleTree::add(const Sha256& leaf) {
  Sha256 node = leaf;
  std::size_t level = 0;
  for (; (size_ >> level & 1) != 0; ++level) node = inner_node(whole_[level], node);
  whole_[level] = node;
  ++size_;
}

Sha256 MerkleTree::root() const {
  if (size_ == 0) return sha256({});
  std::size_t level = 0;
  while ((size_ >> level & 1) == 0) ++level;
  Sha256 node = whole_[level];
  while (size_ >> ++level != 0)
    if ((size_ >> level & 1) != 0) node = inner_node(whole_[level], node);
  return node;
}

Sha256 merkle_root(std::span<const Sha256> leaves) {
  MerkleTree tree;
  for (const Sha256& leaf : leaves) tree.add(leaf);
  return tree.root();
}

std::vector<Sha256> merkle_path(std::span<const Sha256> leaves, std::size_t index) {
  TRIB_ASSERT(index < leaves.size());
  std::vector<Sha256> level(leaves.begin(), leaves.end()), out;
  for (; level.size() > 1; index /= 2) {
    if ((index ^ 1) < level.size()) out.push_back(level[index ^ 1]);
    climb(level);
  }
  return out;
}

std::optional<Sha256> merkle_climb(const Sha256& leaf, std::uint64_t index, std::uint64_t count,
                                   std::span<const Sha256> siblings) {
  if (index >= count) return std::nullopt;
  Sha256 at = leaf;
  for (; count > 1; index /= 2, count = count / 2 + count % 2) {
    if ((index ^ 1) >= count) continue;
    if (siblings.empty()) return std::nullopt;
    at = index % 2 != 0 ? inner_node(siblings.front(), at) : inner_node(at, siblings.front());
    siblings = siblings.subspan(1);
  }
  if (!siblings.empty()) return std::nullopt;
  return at;
}

Sha256 chain_hash(const BatchRow& batch) {
  ByteWriter w;
  w.fixed(std::uint8_t{1});  // format version
  w.digest(batch.prev_hash);
  w.digest(batch.merkle_root);
  w.fixed(batch.shard);
  w.fixed(batch.id);
  w.fixed(batch.from_lsn);
  w.fixed(batch.to_lsn);
  w.digest(batch.journal_hash);
  w.fixed(batch.booked_at);
  w.fixed(batch.period_from);
  w.fixed(batch.period_to);
  for (const auto n : {batch.n, batch.billed, batch.voided, batch.quarantined, batch.duplicates, batch.commands,
                       batch.transfers, batch.legs}) {
    w.fixed(n);
  }
  w.amount(batch.gross);
  w.amount(batch.debit);
  w.amount(batch.credit);
  return sha256(w.written());
}

}  // namespace trib::ledger

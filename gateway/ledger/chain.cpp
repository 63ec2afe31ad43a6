#include "gateway/ledger/chain.h"

#include <cstring>
#include <vector>

#include "gateway/ledger/bytes.h"

namespace trib::ledger {

Sha256 merkle_root(std::span<const Sha256> leaves) {
  if (leaves.empty()) return sha256({});
  std::vector<Sha256> level(leaves.begin(), leaves.end());
  char node[65] = {1};
  while (level.size() > 1) {
    std::size_t out = 0;
    for (std::size_t i = 0; i < level.size(); i += 2) {
      if (i + 1 == level.size()) {
        level[out++] = level[i];
        continue;
      }
      std::memcpy(node + 1, level[i].data(), 32);
      std::memcpy(node + 33, level[i + 1].data(), 32);
      level[out++] = sha256(std::string_view(node, sizeof node));
    }
    level.resize(out);
  }
  return level.front();
}

Sha256 chain_hash(const BatchRow& batch) {
  std::string bytes;
  ByteWriter w(bytes);
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
  return sha256(bytes);
}

}  // namespace trib::ledger

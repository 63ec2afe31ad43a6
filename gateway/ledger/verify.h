// Checks a store from the ground up: every row against its leaf, every batch's leaves against its
// root and totals, the chain, legs against balances, cursor against batches, and - as far back as it is
// kept - the journal against rows and seals, and the signed checkpoints against the batches. Reads only; works beside a running poster.
#pragma once
#include <cstdint>
#include <span>
#include <string>

#include "gateway/ledger/checkpoint.h"
#include "gateway/ledger/reader.h"
#include "gateway/metering/metering.h"

namespace trib::ledger {

struct Verdict {
  bool ok = false;
  std::string place;  // the first that differs: "table usage, batch 7, request 0193..."; empty when ok
  std::string why;
  std::uint64_t batches = 0, requests = 0, transfers = 0, records = 0;  // checked; records: of the journal
  std::uint64_t checkpoints = 0;
  Sha256 head{};  // the chain's last hash
};

// `journal` may be null: the store is then checked by itself alone. `checkpoints`: all that were signed, by
// number; asked for before the reader's moment, where a gateway runs.
Verdict verify(Reader& reader, std::uint16_t shard, metering::Journal* journal, std::span<const Checkpoint> checkpoints = {});
Verdict verify(const std::string& path, const std::string& vfs, std::uint16_t shard, metering::Journal* journal,
               std::span<const Checkpoint> checkpoints = {});

}  // namespace trib::ledger

// An inclusion proof: one sealed row whole, and the hashes from it to a signed checkpoint. Who has the
// gateway's public key checks it with nothing else (docs/audit.md says how, byte by byte).
//
//   row -> leaf -> (siblings) -> the batch's Merkle root -> the batch's hash -> (siblings) -> the
//   checkpoint's root -> its signature
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "gateway/ledger/chain.h"
#include "gateway/ledger/checkpoint.h"
#include "gateway/ledger/rows.h"

namespace trib::ledger {

class CheckpointBook;
class Ledger;

struct Proof {
  std::variant<UsageRow, TransferRow> row;
  std::uint64_t index = 0;  // of its leaf under the batch's root
  std::vector<Sha256> siblings;
  BatchRow batch;
  std::vector<Sha256> batch_siblings;  // from the batch's hash to the checkpoint's root
  Checkpoint checkpoint;
};

// Proves a request (32 hex digits) or a transfer ("transfer:17"). Posts what is durable first, and has a
// checkpoint signed when none covers the row yet. None with the reason; `unknown` then tells that there is
// no such row. Blocks on store and disk.
struct Unproven {
  bool unknown = false;
  std::string why;
};
std::optional<Proof> prove(Ledger& ledger, CheckpointBook& checkpoints, const std::string& subject, std::int64_t wall_ms,
                           Unproven& why);

std::string proof_text(const Proof& proof);  // the file: JSON, format "tributary-proof/2"

// Takes a file apart and checks every step. `pinned` is the public key that the reader knows (32 bytes);
// empty: the proof's own key is believed. Any input is safe.
struct ProofCheck {
  std::string why;  // what is wrong; empty: the proof holds
  std::optional<Proof> proof;  // when the file could be read
  bool ok() const { return why.empty(); }
};
ProofCheck check_proof(std::string_view text, std::string_view pinned);

std::string subject_of(const Proof& proof);  // "request 0193...", "transfer 17"

// The file as values, without judging them. None: not a proof, and where it is not.
std::optional<Proof> read_proof(std::string_view text, std::string& why);

}  // namespace trib::ledger

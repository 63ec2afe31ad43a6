#include "gateway/ledger/proof.h"

#include <algorithm>
#include <charconv>

#include "gateway/ledger/checkpoint_book.h"
#include "gateway/ledger/leaves.h"
#include "gateway/ledger/store.h"
#include "gateway/ledger/tables.h"

namespace trib::ledger {
namespace {

constexpr std::string_view transfer_prefix = "transfer:";

std::optional<TransferRow> find_transfer(Reader& reader, std::uint16_t shard, std::uint64_t id) {
  Connection& db = reader.connection();
  Statement select = db.prepare("SELECT " + transfer_columns + " FROM transfer WHERE shard = ? AND id = ?");
  if (!select.reset().bind(shard).bind(static_cast<std::int64_t>(id)).row()) return std::nullopt;
  TransferRow out;
  read(select, out);
  Statement legs = db.prepare("SELECT account, mu, pf FROM leg WHERE shard = ? AND transfer_id = ? ORDER BY n");
  legs.reset().bind(shard).bind(static_cast<std::int64_t>(id));
  while (legs.row()) {
    Leg& leg = out.legs.emplace_back();
    leg.account = legs.text();
    leg.amount = legs.amount();
  }
  return out;
}

std::uint64_t batch_of(const Proof& proof) {
  return std::visit([](const auto& row) { return row.batch; }, proof.row);
}

Sha256 leaf_of(const Proof& proof) {
  return std::visit([&](const auto& row) { return ledger::leaf_of(row, proof.batch.shard); }, proof.row);
}

Sha256 stored_leaf(const Proof& proof) {
  return std::visit([](const auto& row) { return row.leaf; }, proof.row);
}

bool find_row(Reader& reader, std::uint16_t shard, const std::string& subject, Proof& out, Unproven& why) {
  if (subject.starts_with(transfer_prefix)) {
    std::uint64_t id = 0;
    const auto digits = std::string_view(subject).substr(transfer_prefix.size());
    const auto end = digits.data() + digits.size();
    if (const auto got = std::from_chars(digits.data(), end, id); got.ec != std::errc{} || got.ptr != end || id > INT64_MAX) {
      why = {true, "a transfer is named like transfer:17"};
      return false;
    }
    if (auto row = find_transfer(reader, shard, id)) {
      out.row = std::move(*row);
      return true;
    }
  } else if (const auto id = RequestId::parse(subject); !id) {
    why = {true, "a request id is 32 lower-case hex digits, a transfer is named like transfer:17"};
    return false;
  } else if (auto row = reader.request(*id)) {
    out.row = std::move(row->row);
    return true;
  }
  why = {reader.error().empty(), reader.error().empty() ? "the ledger has no " + subject : reader.error()};
  return false;
}

// Batch header, the leaf's place under it and the way up.
bool climb_batch(Reader& reader, std::uint16_t shard, Proof& out, std::string& why) {
  const std::uint64_t id = batch_of(out);
  why = "batch " + std::to_string(id) + " is missing";
  reader.batches(shard, id, id, [&](const BatchRow& row) {
    out.batch = row;
    why.clear();
    return false;
  });
  if (!why.empty()) return false;
  std::vector<Sha256> leaves;
  for (const LeafTable& table : leaf_tables()) {
    if (!read_leaves(reader.connection(), table, out.batch, leaves)) {
      why = std::string("table ") + table.name + ": " + reader.connection().error();
      return false;
    }
  }
  const auto at = std::find(leaves.begin(), leaves.end(), stored_leaf(out));
  if (at == leaves.end()) {
    why = "the row is not among the leaves of batch " + std::to_string(id);
    return false;
  }
  out.index = static_cast<std::uint64_t>(at - leaves.begin());
  out.siblings = merkle_path(leaves, out.index);
  return true;
}

// From the batch to the checkpoint that covers it.
bool climb_checkpoint(Reader& reader, Proof& out, std::string& why) {
  const Checkpoint& over = out.checkpoint;
  std::vector<Sha256> hashes;
  const bool read = reader.batches(over.shard, over.batch_from, over.batch_to, [&](const BatchRow& row) {
    hashes.push_back(row.hash);
    return true;
  });
  if (!read || hashes.size() != over.batch_to - over.batch_from + 1) {
    why = read ? "batches of checkpoint " + std::to_string(over.number) + " are missing" : reader.error();
    return false;
  }
  out.batch_siblings = merkle_path(hashes, out.batch.id - over.batch_from);
  return true;
}

// What is wrong with the steps from row to checkpoint; empty: nothing.
std::string broken_step(const Proof& proof) {
  const BatchRow& batch = proof.batch;
  const Checkpoint& over = proof.checkpoint;
  if (leaf_of(proof) != stored_leaf(proof)) return "the row differs from its leaf";
  if (batch_of(proof) != batch.id) return "the row is of another batch than the header";
  if (const auto* usage = std::get_if<UsageRow>(&proof.row); usage && (usage->lsn < batch.from_lsn || usage->lsn > batch.to_lsn))
    return "the row's LSN is not within its batch";
  if (merkle_climb(stored_leaf(proof), proof.index, batch.n, proof.siblings) != batch.merkle_root)
    return "the leaf does not lead to the batch's Merkle root";
  if (chain_hash(batch) != batch.hash) return "the batch's header differs from its hash";
  if (over.shard != batch.shard || batch.id < over.batch_from || batch.id > over.batch_to)
    return "the checkpoint does not cover the batch";
  if (merkle_climb(batch.hash, batch.id - over.batch_from, over.batch_to - over.batch_from + 1, proof.batch_siblings) != over.root)
    return "the batch does not lead to the checkpoint's root";
  if (batch.id == over.batch_to && (over.head != batch.hash || over.to_lsn != batch.to_lsn))
    return "the checkpoint ends with another batch";
  if (!signature_fits(over)) return "the checkpoint's signature does not fit";
  return {};
}

}  // namespace

std::optional<Proof> prove(Ledger& ledger, CheckpointBook& checkpoints, const std::string& subject, std::int64_t wall_ms,
                           Unproven& why) {
  while (ledger.post_once()) {
  }
  const std::uint16_t shard = ledger.options().shard;
  const auto reader = ledger.reader(why.why);
  Proof out;
  if (!reader || !find_row(*reader, shard, subject, out, why) || !climb_batch(*reader, shard, out, why.why)) return std::nullopt;
  auto over = checkpoints.covering(out.batch.id);
  if (!over) {
    if (!checkpoints.make(ledger, wall_ms, why.why)) return std::nullopt;
    over = checkpoints.covering(out.batch.id);
  }
  if (!over) {
    why.why = "no checkpoint covers batch " + std::to_string(out.batch.id);
    return std::nullopt;
  }
  out.checkpoint = std::move(*over);
  if (!climb_checkpoint(*reader, out, why.why)) return std::nullopt;
  // A proof that does not hold must not leave the house.
  if (const auto check = check_proof(proof_text(out), {}); !check.ok()) {
    why.why = check.why + "; `tributary audit verify` tells more";
    return std::nullopt;
  }
  return out;
}

ProofCheck check_proof(std::string_view text, std::string_view pinned) {
  ProofCheck out;
  out.proof = read_proof(text, out.why);
  if (!out.proof) return out;
  out.why = broken_step(*out.proof);
  if (out.ok() && !pinned.empty() && out.proof->checkpoint.public_key != pinned)
    out.why = "the checkpoint is signed by another key than the one given";
  return out;
}

std::string subject_of(const Proof& proof) {
  if (const auto* usage = std::get_if<UsageRow>(&proof.row)) return "request " + usage->id.text();
  return "transfer " + std::to_string(std::get<TransferRow>(proof.row).id);
}

}  // namespace trib::ledger

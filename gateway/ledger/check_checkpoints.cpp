// The signed checkpoints against the batches: who resealed everything would still have to sign anew what
// sites hold.
#include "gateway/ledger/check.h"

namespace trib::ledger {
namespace {

std::string place_of_checkpoint(const Checkpoint& one) { return "checkpoint " + std::to_string(one.number); }

}  // namespace

bool Check::signatures() {
  Checkpoint before;  // what the first follows: nothing
  before.shard = shard_;
  for (const Checkpoint& one : checkpoints_) {
    if (!signature_fits(one)) return fail(place_of_checkpoint(one), "its signature does not fit");
    const bool first = &one == &checkpoints_.front();
    const bool starts = one.number == 1 && one.batch_from == 1 && one.prev == Sha256{} && one.shard == shard_;
    const std::string why = !first ? follows(before, one) : starts ? std::string() : "it is not the first one";
    if (!why.empty()) return fail(place_of_checkpoint(one), why);
    before = one;
  }
  return true;
}

bool Check::covered(const BatchRow& row) {
  if (out_.checkpoints == checkpoints_.size()) return true;
  const Checkpoint& one = checkpoints_[out_.checkpoints];
  covering_.push_back(row.hash);
  if (row.id < one.batch_to) return true;
  if (one.head != row.hash || one.to_lsn != row.to_lsn || one.root != merkle_root(covering_))
    return fail(place_of_checkpoint(one), "it was signed over other batches than " + std::to_string(one.batch_from) + " to " +
                                              std::to_string(one.batch_to) + " of the store");
  covering_.clear();
  ++out_.checkpoints;
  return true;
}

bool Check::all_covered() {
  if (out_.checkpoints == checkpoints_.size()) return true;
  const Checkpoint& one = checkpoints_[out_.checkpoints];
  return fail(place_of_checkpoint(one), "it was signed over batch " + std::to_string(one.batch_to) + ", the store ends at batch " +
                                            std::to_string(last_.id));
}

}  // namespace trib::ledger

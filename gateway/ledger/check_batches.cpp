// Batches: headers, chain, and the rows under each root.
#include <algorithm>

#include "gateway/ledger/check.h"

namespace trib::ledger {

bool Check::batches() {
  Statement select = db_.prepare("SELECT " + batch_columns + ", sig IS NULL FROM batch WHERE shard = ? ORDER BY id", Rows::many);
  select.reset().bind(shard_);
  BatchRow row;
  Statement::Step step{};
  while ((step = select.step()) == Statement::Step::row) {
    read(select, row);
    const std::string place = in_batch("batch", row.id);
    if (select.damaged() || select.integer() != 1) return fail(place, "a value that was never written");
    if (row.id != last_.id + 1) return fail(in_batch("batch", last_.id + 1), "the batch is missing");
    if (row.from_lsn != last_.to_lsn + 1 || row.to_lsn < row.from_lsn) return fail(place, "its LSN range does not follow the one before");
    if (row.prev_hash != last_.hash) return fail(place, "it is not chained to the batch before");
    if (chain_hash(row) != row.hash) return fail(place, "its hash is not that of its header");
    if (!batch(row) || !covered(row)) return false;
    last_ = row;
    ++out_.batches;
    if (journal_ && row.to_lsn + 1 >= first_) recent_[row.to_lsn] = row;
  }
  out_.head = last_.hash;
  return ended(step, "batch");
}

bool Check::batch(const BatchRow& row) {
  std::vector<Sha256> leaves;
  Quantities booked;
  if (!usage(row, leaves, booked) || !commands(row, leaves, booked) || !quarantine(row, leaves) || !transfers(row, leaves) ||
      !quantities(row, booked, leaves)) {
    return false;
  }
  if (leaves.size() != row.n) return misplaced("quarantine", row) || fail(in_batch("batch", row.id), "rows of it are missing or new");
  return merkle_root(leaves) == row.merkle_root || fail(in_batch("batch", row.id), "its rows do not give its Merkle root");
}

bool Check::usage(const BatchRow& row, std::vector<Sha256>& leaves, Quantities& booked) {
  if (!usage_)
    usage_ = db_.prepare("SELECT " + usage_columns + ", (gross_mu IS NULL) = (gross_pf IS NULL) FROM usage WHERE place BETWEEN ? AND ? ORDER BY place");
  Statement& select = usage_.reset().bind(place_of(shard_, row.from_lsn)).bind(place_of(shard_, row.to_lsn));
  UsageRow usage;
  BatchRow seen;
  Statement::Step step{};
  while ((step = select.step()) == Statement::Step::row) {
    read(select, usage);
    for (int column = 0; !usage.gross && column < 2; ++column) select.skip();
    const std::string place = in_batch("usage", row.id) + ", request " + usage.id.text();
    if (select.damaged() || select.integer() != 1) return fail(place, "a value that was never written");
    if (leaf_of(usage, shard_) != usage.leaf) return fail(place, "the row differs from its leaf");
    if (!request(usage, seen, booked)) return false;
    leaves.push_back(usage.leaf);
    ++rows_["usage"];
    ++out_.requests;
  }
  if (!ended(step, "usage")) return false;
  const bool same = seen.billed == row.billed && seen.voided == row.voided && seen.quarantined == row.quarantined && seen.gross == row.gross;
  return same || misplaced("usage", row) || fail(in_batch("usage", row.id), "the rows do not sum to the batch's totals");
}

// A row that hashes right may still have been sealed wrong: its parts must be its gross.
bool Check::request(UsageRow& row, BatchRow& seen, Quantities& booked) {
  const std::string place = in_batch("usage", row.batch) + ", request " + row.id.text();
  std::vector<Part> parts;
  std::vector<AttemptRow> attempts;
  if (!decode_detail(row, attempts, parts)) return fail(place, "its detail cannot be read");
  switch (row.state) {
    case State::billed: ++seen.billed; break;
    case State::voided: ++seen.voided; break;
    case State::quarantined: ++seen.quarantined; break;
    default: return fail(place, "it has no known state");
  }
  money::Amount sum, gross;
  for (const Part& part : parts) sum += part.amount;
  const std::string* counted = nullptr;
  for (const AttemptRow& attempt : attempts) {
    gross += attempt.gross;
    if (attempt.billed.total() == 0) continue;
    SiteUse& use = sites_[{attempt.sent.site, row.period}];
    if (!counted || *counted != attempt.sent.site) ++use.requests;
    counted = &attempt.sent.site;
    add_counts(use.counts, attempt.billed);
    use.gross += attempt.gross;
  }
  const money::Amount charged = row.gross.value_or(money::Amount{});
  if (sum != charged || gross != charged) return fail(place, "its parts do not sum to its charge");
  if (row.period != periods_.booking(period_of(row.final_ms))) return fail(place, "its period is not that of its FINAL");
  seen.gross += charged;
  booked.add(row, attempts);
  if (row.state != State::billed) return true;
  const auto raise = [&](const char* kind, const std::string& id) {
    auto& last = rated_[{kind, id}];
    last = std::max(last, row.admit_ms);
  };
  raise("price", row.model);
  for (const Part& part : parts) raise("contract", part.contract);
  return true;
}

bool Check::commands(const BatchRow& row, std::vector<Sha256>& leaves, Quantities& booked) {
  Statement& select = of_shard(commands_, "SELECT " + command_columns + " FROM command WHERE shard = ? AND batch = ? ORDER BY lsn");
  select.bind(static_cast<std::int64_t>(row.id));
  CommandRow command;
  std::uint64_t count = 0;
  Statement::Step step{};
  while ((step = select.step()) == Statement::Step::row) {
    read(select, command);
    if (select.damaged() || leaf_of(command, shard_) != command.leaf) {
      return fail(in_batch("command", row.id) + ", command " + command.id, "the row differs from its leaf");
    }
    if (command.kind == "period" && command.result == "applied" && !step_period(command)) return false;
    if (command.kind == "document" && command.result == "applied") {
      const auto document = read_document(command.body);
      if (!document) return fail(in_batch("command", row.id) + ", command " + command.id, "not a document");
      for (const QuantityMove& move : document->quantities) booked.add(move);
    }
    leaves.push_back(command.leaf);
    ++rows_["command"];
    ++count;
  }
  if (!ended(step, "command")) return false;
  return count == row.commands || misplaced("command", row) || fail(in_batch("command", row.id), "rows of it are missing or new");
}

bool Check::quarantine(const BatchRow& row, std::vector<Sha256>& leaves) {
  Statement& select = of_shard(quarantine_, "SELECT " + quarantine_columns + " FROM quarantine WHERE shard = ? AND lsn BETWEEN ? AND ? AND batch = ? ORDER BY lsn");
  select.bind(static_cast<std::int64_t>(row.from_lsn)).bind(static_cast<std::int64_t>(row.to_lsn)).bind(static_cast<std::int64_t>(row.id));
  QuarantineRow kept;
  Statement::Step step{};
  while ((step = select.step()) == Statement::Step::row) {
    read(select, kept);
    if (select.damaged() || leaf_of(kept, shard_) != kept.leaf) {
      return fail(in_batch("quarantine", row.id) + ", record " + std::to_string(kept.lsn), "the row differs from its leaf");
    }
    leaves.push_back(kept.leaf);
    ++rows_["quarantine"];
  }
  return ended(step, "quarantine");
}

bool Check::transfers(const BatchRow& row, std::vector<Sha256>& leaves) {
  // By its place, which has an index; a row a leg.
  Statement& select = of_shard(transfers_, "SELECT n, account, mu, pf, " + transfer_columns +
                                               " FROM transfer LEFT JOIN leg ON leg.shard = transfer.shard AND leg.transfer_id = transfer.id "
                                               "WHERE transfer.shard = ? AND id BETWEEN ? AND ? AND batch = ? ORDER BY id, n");
  const std::uint64_t first = row.id * transfers_of_batch;
  select.bind(static_cast<std::int64_t>(first)).bind(static_cast<std::int64_t>(first + transfers_of_batch - 1)).bind(static_cast<std::int64_t>(row.id));
  TransferRow transfer;
  Turnover total;
  std::uint64_t count = 0, leg_count = 0;
  const auto whole = [&] { return count == 0 || whole_transfer(row, transfer, leaves); };
  Statement::Step step{};
  while ((step = select.step()) == Statement::Step::row) {
    const bool has_leg = !select.is_null();
    const std::int64_t n = select.integer();
    Leg leg;
    leg.account = select.text();
    leg.amount = has_leg ? select.amount() : money::Amount{};
    if (!has_leg) select.skip(), select.skip();
    const auto id = select.number<std::uint64_t>();
    const auto place = [&] { return in_batch("transfer", row.id) + ", transfer " + std::to_string(id); };
    if (count == 0 || id != transfer.id) {
      if (!whole()) return false;
      transfer.id = id;
      read_after_id(select, transfer);
      ++count;
    }
    if (select.damaged()) return fail(place(), "a value that was never written");
    if (!has_leg) continue;
    transfer.legs.push_back(leg);
    ++leg_count;
    if (n != static_cast<std::int64_t>(transfer.legs.size())) return fail(place(), "a leg that was never written");
    const money::Amount magnitude = leg.amount.negative() ? -leg.amount : leg.amount;
    Turnover& balance = balances_[{leg.account, transfer.period}];
    (leg.amount.negative() ? balance.credit : balance.debit) += magnitude;
    (leg.amount.negative() ? total.credit : total.debit) += magnitude;
  }
  if (!ended(step, "transfer") || !whole()) return false;
  rows_["leg"] += leg_count;
  const bool same = count == row.transfers && leg_count == row.legs && total.debit == row.debit && total.credit == row.credit;
  return same || misplaced("transfer", row) || fail(in_batch("transfer", row.id), "the transfers do not sum to the batch's totals");
}

// With all its legs.
bool Check::whole_transfer(const BatchRow& row, const TransferRow& transfer, std::vector<Sha256>& leaves) {
  const std::string place = in_batch("transfer", row.id) + ", transfer " + std::to_string(transfer.id);
  if (leaf_of(transfer, shard_) != transfer.leaf) return fail(place, "the row or its legs differ from its leaf");
  money::Amount sum;
  for (const Leg& leg : transfer.legs) sum += leg.amount;
  if (!sum.zero()) return fail(place, "its legs do not sum to zero");
  leaves.push_back(transfer.leaf);
  ++rows_["transfer"];
  ++out_.transfers;
  return true;
}

}  // namespace trib::ledger

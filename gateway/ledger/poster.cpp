// FINALs and COMMANDs into rows, and their batch.
#include <algorithm>
#include <limits>
#include <utility>

#include "gateway/ledger/book_tables.h"
#include "gateway/ledger/period.h"
#include "gateway/ledger/poster_work.h"

namespace trib::ledger {

using metering::Command;
using metering::Final;
using metering::Lsn;
using metering::Record;

namespace {

std::int64_t wall_of(const Record& record) {
  if (const auto* final = std::get_if<Final>(&record)) return final->wall_ms;
  return std::get<Command>(record).wall_ms;
}

}  // namespace

Poster::Turn Poster::turn(std::string& why) {
  if (!broken_.empty()) {
    why = broken_;
    return Turn::failed;
  }
  if (db_.lost() && !settle(why)) return Turn::failed;
  seal();
  if (unsealed_) {
    why = "the journal takes no SEAL";
    return Turn::failed;
  }
  // A request that is told twice is rare: the fast way for rows that are all new goes first, and row by row when
  // one was not.
  inserts_.in_bulk = true;
  const Turn out = batch(why);
  if (out != Turn::failed || !db_.repeated()) return out;
  inserts_.in_bulk = false;
  why.clear();
  return batch(why);
}

std::unique_ptr<Poster::Work> Poster::new_work(Lsn from, std::uint64_t id, const std::shared_ptr<const Book>& book,
                                               const std::shared_ptr<const Periods>& periods) const {
  auto out = std::make_unique<Work>();
  out->batch.from_lsn = from;
  out->batch.shard = shard_;
  out->batch.id = id;
  out->book = book;
  out->periods = periods;
  return out;
}

// A batch in the making: the one that was begun, unless something has come between.
std::unique_ptr<Poster::Work> Poster::take_work() {
  std::unique_ptr<Work> out = std::move(next_);
  const bool fits = out && out->batch.from_lsn == cursor_ + 1 && out->batch.id == last_batch_ + 1 && out->book == book_ &&
                    out->periods == periods_ && inserts_.in_bulk;
  if (!fits) {
    feed_.give_up();
    out = new_work(cursor_ + 1, last_batch_ + 1, book_, periods_);
  }
  out->batch.prev_hash = last_hash_;
  return out;
}

// While a full batch is hashed up, committed and synced, the feed goes on with the next.
void Poster::begin_next(const Work& work) {
  const Lsn from = work.batch.to_lsn + 1, durable = journal_.durable();
  if (work.items < batch_requests_max_ || !inserts_.in_bulk || from > durable || seals_.contains(from)) return;
  next_ = new_work(from, work.batch.id + 1, work.book, work.periods);
  next_->begun = order_of(*next_, from, durable, batch_requests_max_);
  feed_.begin(*next_->begun);
}

FeedOrder Poster::order_of(Work& work, Lsn from, Lsn to, std::size_t count_max) const {
  return {from, to, count_max - work.items, work.batch.id, work.book, work.periods, inserts_.in_bulk ? &work.tally : nullptr};
}

Poster::Turn Poster::batch(std::string& why) {
  const std::unique_ptr<Work> making = take_work();
  Work& work = *making;
  const bool collected = collect(work, why);
  if (collected) begin_next(work);
  if (!collected || (work.items > 0 && !finish(work, why))) {
    if (why.empty()) why = db_.error();
    db_.rollback();
    return Turn::failed;
  }
  if (work.items == 0) return Turn::idle;
  if (seals_.erase(work.batch.from_lsn) == 0) {
    unsealed_ = metering::Seal{work.batch.from_lsn, work.batch.to_lsn, work.batch.hash};
  }
  cursor_ = scanned_ = work.batch.to_lsn;
  last_batch_ = work.batch.id;
  last_hash_ = work.batch.hash;
  book_ = work.book;
  periods_ = work.periods;
  moved_ = std::move(work.tally.postings.moved);
  seal();
  return Turn::posted;
}

// Posts the records of one batch as they are read; the transaction begins with the first. A batch that
// was sealed before ends where it ended then.
bool Poster::collect(Work& work, std::string& why) {
  const auto sealed = seals_.find(cursor_ + 1);
  const Lsn durable = journal_.durable();
  const Lsn end = sealed != seals_.end() ? sealed->second.to_lsn : durable;
  const std::size_t count_max = sealed != seals_.end() ? std::numeric_limits<std::size_t>::max() : batch_requests_max_;
  if (end > durable || end <= scanned_) return true;
  bool posted = true, more = true;
  Lsn next = scanned_ + 1;
  std::error_code error;
  while (more && !error && next <= end && work.items < count_max) {
    const FeedOrder order = work.begun ? *std::exchange(work.begun, {}) : order_of(work, next, end, count_max);
    more = false;
    error = feed_.run(order, [&](Ready& item) {
      const bool alone = stands_alone(item.record);
      if (alone && work.items > 0) return more = false;
      posted = (work.items > 0 || db_.begin()) && add(work, item);
      if (!posted) return more = false;
      ++work.items;
      work.batch.to_lsn = item.lsn;
      work.batch.booked_at = wall_of(item.record);
      next = item.lsn + 1;
      more = !alone && ends_order(item.record);
      return !alone;
    });
    if (work.items > 0 || !posted || order.to >= end) continue;
    next = order.to + 1;  // nothing of money was in what had been begun: on with what has come since
    more = true;
  }
  if (error) why = "reading the journal: " + error.message();
  if (error || !posted) return false;
  if (work.items == 0) scanned_ = end;
  return true;
}

bool Poster::add(Work& work, const Ready& item) {
  const auto* const command = std::get_if<Command>(&item.record);
  return command == nullptr ? add_usage(work, item) : add_command(work, item, *command);
}

// Transfers, totals, cursor and seal of the batch, and its commit.
bool Poster::finish(Work& work, std::string& why) {
  BatchRow& batch = work.batch;
  const Tally& tally = work.tally;
  batch.billed = tally.billed;
  batch.voided = tally.voided;
  batch.quarantined = tally.quarantined;
  batch.gross = tally.gross;
  batch.period_to = tally.to;
  batch.period_from = std::min(tally.from, tally.to);
  work.tally.postings.finish(shard_, batch.id, batch.booked_at);
  for (const TransferRow& row : work.tally.postings.transfers) {
    if (!inserts_.put(row, shard_)) return false;
  }
  batch.journal_hash = journal_.hash_at(batch.to_lsn);
  if (batch.journal_hash == Sha256{}) {  // sealing over nothing would contradict the journal for ever
    why = "the hash of the journal's record " + std::to_string(batch.to_lsn) + " cannot be read";
    return false;
  }
  if (!write_quantities(work) || !write_totals(work) || !move_cursor(batch.to_lsn) || !write_batch(work)) return false;
  if (const auto sealed = seals_.find(batch.from_lsn); sealed != seals_.end() && sealed->second.chain != batch.hash) {
    broken_ = why = "batch " + std::to_string(batch.id) + " posted again differs from its SEAL in the journal";
    return false;
  }
  return db_.commit();
}

bool Poster::add_usage(Work& work, const Ready& item) {
  const UsageRow& row = item.row;
  if (!inserts_.put(row, shard_)) return false;
  if (!inserts_.in_bulk && db_.changes() == 0) {
    const std::string id = id_bytes(row.id);
    if (!find_usage_.reset().blob(id).row()) return false;
    const bool same = find_usage_.bytes() == row.content_hash;
    find_usage_.reset();
    if (same) {
      ++work.batch.duplicates;
      return true;
    }
    return quarantine(work, item.lsn, item.record, row.id.text(), "another FINAL of this request was posted before");
  }
  if (!inserts_.in_bulk) work.tally.add(item);
  return row.state != State::quarantined || quarantine(work, item.lsn, item.record, row.id.text(), item.rated.quarantine);
}

bool Poster::add_command(Work& work, const Ready& item, const Command& command) {
  const Lsn lsn = item.lsn;
  const Record& record = item.record;
  if (find_command_.reset().bind(shard_).bind(command.id).row()) {
    const bool same = find_command_.text() == command.kind && find_command_.text() == command.body;
    find_command_.reset();
    if (same) {
      ++work.batch.duplicates;
      return true;
    }
    return quarantine(work, lsn, record, command.id, "another command with this id was posted before");
  }
  CommandRow row;
  row.id = command.id;
  row.kind = command.kind;
  row.body = command.body;
  row.wall_ms = command.wall_ms;
  row.lsn = lsn;
  row.batch = work.batch.id;
  row.result = apply(work, command);
  if (row.result.empty()) return false;
  row.leaf = leaf_of(row, shard_);
  if (!inserts_.put(row, shard_)) return false;
  work.commands.push_back(row.leaf);
  ++work.batch.commands;
  if (row.result.compare(0, 7, "refused") != 0) return true;
  if (stands_alone(record)) return true;  // whoever asked is told; nothing waits to be explained
  return quarantine(work, lsn, record, command.id, row.result);
}

bool Poster::quarantine(Work& work, Lsn lsn, const Record& record, std::string subject, std::string reason) {
  QuarantineRow row;
  row.lsn = lsn;
  row.batch = work.batch.id;
  row.subject = std::move(subject);
  row.reason = std::move(reason);
  row.record = metering::encode(record);
  row.leaf = leaf_of(row, shard_);
  if (!inserts_.put(row, shard_)) return false;
  work.quarantine.push_back(row.leaf);
  return true;
}

std::string Poster::apply(Work& work, const Command& command) {
  if (command.kind == "topup") {
    const auto topup = read_topup(command.body);
    if (!topup) return "refused: not a top-up";
    const Period period = work.periods->booking(period_of(command.wall_ms));
    work.tally.postings.topup(*topup, command.id, command.wall_ms, period);
    work.tally.touches(period);
    return "applied";
  }
  if (command.kind == "publish_price") {
    const auto price = read_price(command.body);
    return price ? publish(work, *price) : "refused: not a price";
  }
  if (command.kind == "publish_contract") {
    const auto contract = read_contract(command.body);
    return contract ? publish(work, *contract) : "refused: not a contract";
  }
  if (command.kind == "document") {
    const auto document = read_document(command.body);
    return document ? post(work, command, *document) : "refused: not a document";
  }
  if (command.kind == "period") {
    const auto step = read_period_step(command.body);
    return step ? move(work, command, *step) : "refused: not a period's step";
  }
  return "kept";
}

std::string Poster::publish(Work& work, const PriceVersion& price) {
  auto next = std::make_shared<Book>(*work.book);
  if (auto why = ledger::add(*next, price); !why.empty()) return "refused: " + why;
  if (!put(add_price_, next->prices[price.model].back())) return {};
  work.book = next;
  return "applied";
}

std::string Poster::publish(Work& work, const ContractVersion& contract) {
  auto next = std::make_shared<Book>(*work.book);
  if (auto why = ledger::add(*next, contract); !why.empty()) return "refused: " + why;
  if (!put(add_contract_, next->contracts[contract.contract].back())) return {};
  work.book = next;
  return "applied";
}

bool Poster::write_quantities(Work& work) {
  for (const QuantityRow& row : work.tally.quantities.rows(shard_, work.batch.id)) {
    if (!quantity_tables_.put(row, shard_)) return false;
    work.quantity.push_back(row.leaf);
  }
  return true;
}

bool Poster::write_totals(const Work& work) {
  for (const auto& [key, turnover] : work.tally.postings.balances) {  // in account order
    add_balance_.reset().bind(key.first).bind(shard_).bind(key.second);
    if (!add_balance_.bind(turnover.debit).bind(turnover.credit).queue()) return false;
  }
  for (const auto& [key, use] : work.tally.postings.sites) {
    add_site_.reset().bind(key.first).bind(shard_).bind(key.second);
    const auto& c = use.counts;
    for (const auto n : {use.requests, c.input, c.cached_input, c.cache_write, c.output, c.reasoning}) {
      add_site_.bind(static_cast<std::int64_t>(n));
    }
    if (!add_site_.bind(use.gross).queue()) return false;
  }
  for (const auto& [kind, rated] : {std::pair("price", &work.tally.rated_prices), std::pair("contract", &work.tally.rated_contracts)}) {
    for (const auto& [id, last_ms] : *rated)
      if (!raise_rated_.reset().bind(kind).bind(id).bind(last_ms).queue()) return false;
  }
  return true;
}

bool Poster::move_cursor(Lsn to) {
  move_cursor_.reset().bind(static_cast<std::int64_t>(to)).bind(shard_).bind(static_cast<std::int64_t>(cursor_));
  return move_cursor_.done() && db_.changes() == 1;
}

bool Poster::write_batch(Work& work) {
  MerkleTree& leaves = work.tally.leaves;
  for (const Sha256& leaf : work.commands) leaves.add(leaf);
  for (const Sha256& leaf : work.quarantine) leaves.add(leaf);
  for (const TransferRow& row : work.tally.postings.transfers) leaves.add(row.leaf);
  for (const Sha256& leaf : work.quantity) leaves.add(leaf);
  BatchRow& batch = work.batch;
  batch.n = leaves.size();
  batch.transfers = work.tally.postings.transfers.size();
  batch.legs = work.tally.postings.legs;
  batch.debit = work.tally.postings.total.debit;
  batch.credit = work.tally.postings.total.credit;
  batch.merkle_root = leaves.root();
  batch.hash = chain_hash(batch);
  return inserts_.put(batch);
}

// Writes the SEAL of a committed batch; a journal that cannot take it now gets it at the next turn.
void Poster::seal() {
  if (!unsealed_) return;
  const Lsn lsn = journal_.append(*unsealed_);
  if (lsn == 0) return;
  seal_lsn_ = lsn;
  unsealed_.reset();
}

}  // namespace trib::ledger

#include "gateway/ledger/feed.h"

#include <algorithm>
#include <utility>

#include "gateway/ledger/detail.h"
#include "gateway/ledger/period.h"

namespace trib::ledger {

using metering::Command;
using metering::Final;
using metering::Lsn;
using metering::Record;

namespace {

std::uint64_t storable(std::uint64_t n) { return std::min<std::uint64_t>(n, INT64_MAX); }

void fill(UsageRow& row, const Final& final, const Rated& rated) {
  const metering::Admit& admit = final.admit;
  row.id = admit.id;
  row.tenant = admit.tenant;
  row.model = admit.model;
  row.operation = admit.operation;
  row.outcome = final.outcome;
  row.status = final.status;
  row.source = final.source;
  row.admit_ms = admit.wall_ms;
  row.final_ms = final.wall_ms;
  row.price_version = admit.price_version;
  row.book_revision = storable(admit.book_revision);
  row.counts = final.counts;
  auto& c = row.counts;  // a count beyond 63 bits is quarantined; its record keeps the figure
  for (auto* n : {&c.input, &c.cached_input, &c.cache_write, &c.output, &c.reasoning}) *n = storable(*n);
  row.bytes_delivered = storable(final.bytes_delivered);
  row.key_hash = admit.key_hash;
  row.state = !rated.quarantine.empty() ? State::quarantined : rated.shares.empty() ? State::voided : State::billed;
  row.gross.reset();
  if (row.state != State::quarantined) row.gross = rated.gross;
  encode_detail(row, final, rated);
}

}  // namespace

bool stands_alone(const Record& record) {
  const auto* const command = std::get_if<Command>(&record);
  return command != nullptr && (command->kind == "document" || command->kind == "period");
}

bool ends_order(const Record& record) {
  const auto* const command = std::get_if<Command>(&record);
  if (command == nullptr) return false;
  const std::string& kind = command->kind;
  return stands_alone(record) || kind == "publish_price" || kind == "publish_contract" || kind == "topup";
}

void Tally::add(const Ready& item) {
  const auto& final = std::get<Final>(item.record);
  const UsageRow& row = item.row;
  leaves.add(row.leaf);
  touches(row.period);
  quantities.add(row, final, item.rated);
  switch (row.state) {
    case State::quarantined: ++quarantined; return;
    case State::voided: ++voided; return;
    case State::billed: ++billed; break;
  }
  gross += item.rated.gross;
  postings.charge(row, final, item.rated);
  const auto raise = [&](auto& rated_of, const std::string& id) {
    auto& last = rated_of[id];
    last = std::max(last, row.admit_ms);
  };
  raise(rated_prices, row.model);
  const std::string* raised = nullptr;
  for (const Part& part : item.rated.parts) {
    if (raised == nullptr || *raised != part.contract) raise(rated_contracts, part.contract);
    raised = &part.contract;
  }
}

Feed::Feed(metering::Journal& journal, std::uint16_t shard, std::uint64_t ahead_from)
    : journal_(journal), shard_(shard), ahead_from_(ahead_from) {
  if (ahead_from == 0) return;
  thread_ = std::thread([this] {
    name_background_thread("rater");
    work();
  });
}

Feed::~Feed() {
  give_up();
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_worker_.notify_one();
  if (thread_.joinable()) thread_.join();
}

std::error_code Feed::run(const FeedOrder& order, const Write& write) {
  const bool few = !begun_ && order.to - order.from + 1 < ahead_from_;
  if (!thread_.joinable() || few) return produce(order, [this] { return &one_; }, write);
  if (!begun_) begin(order);
  begun_ = false;
  return run_ahead(write);
}

void Feed::begin(const FeedOrder& order) {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    order_ = order;
    ordered_ = true;
    given_up_ = false;
    error_ = {};
    made_ = written_ = 0;
  }
  begun_ = true;
  wake_worker_.notify_one();
}

void Feed::give_up() {
  if (!begun_) return;
  begun_ = false;
  std::unique_lock lock(mutex_);
  given_up_ = true;
  wake_worker_.notify_one();
  wake_caller_.wait(lock, [this] { return !ordered_; });
}

template <class Slot, class Made>
std::error_code Feed::produce(const FeedOrder& order, const Slot& slot, const Made& made) {
  static const std::uint32_t wanted = 1u << Record(Final{}).index() | 1u << Record(Command{}).index();
  std::size_t count = 0;
  return journal_.take(order.from, wanted, [&](Lsn lsn, Record& record, std::string_view bytes) {
    Ready* const out = lsn > order.to ? nullptr : slot();
    if (out == nullptr) return false;
    prepare(order, lsn, record, bytes, *out);
    give_way();
    const bool last = ends_order(out->record) || ++count == order.count_max || lsn == order.to;
    return made(*out) && !last;
  });
}

void Feed::prepare(const FeedOrder& order, Lsn lsn, Record& record, std::string_view bytes, Ready& out) const {
  out.lsn = lsn;
  out.content = sha256(bytes);
  std::swap(out.record, record);
  const auto* const final = std::get_if<Final>(&out.record);
  if (final == nullptr) return;
  rate(*final, *order.book, out.rated);
  UsageRow& row = out.row;
  fill(row, *final, out.rated);
  row.period = order.periods->booking(period_of(final->wall_ms));
  row.lsn = lsn;
  row.batch = order.batch;
  row.content_hash.assign(reinterpret_cast<const char*>(out.content.data()), 16);
  row.leaf = leaf_of(row, shard_);
  if (order.tally != nullptr) order.tally->add(out);
}

// The caller's side: writes block after block until the order is done or `write` has enough.
std::error_code Feed::run_ahead(const Write& write) {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_caller_.wait(lock, [this] { return written_ < made_ || !ordered_; });
    if (written_ == made_) return error_;
    Block& block = ring_[written_ % blocks];
    lock.unlock();
    bool more = true;
    for (std::size_t i = 0; more && i < block.count; ++i) more = write(block.records[i]);
    lock.lock();
    ++written_;
    given_up_ = !more;
    wake_worker_.notify_one();
    if (more) continue;
    wake_caller_.wait(lock, [this] { return !ordered_; });
    return error_;
  }
}

void Feed::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_worker_.wait(lock, [this] { return ordered_ || stopping_; });
    if (stopping_) return;
    lock.unlock();
    const auto error = fill_blocks();
    lock.lock();
    error_ = error;
    ordered_ = false;
    wake_caller_.notify_one();
  }
}

std::error_code Feed::fill_blocks() {
  Block* block = nullptr;
  const auto hand_over = [&] {
    block = nullptr;
    const std::lock_guard lock(mutex_);
    ++made_;
    wake_caller_.notify_one();
  };
  const auto slot = [&]() -> Ready* {
    if (block == nullptr) {
      std::unique_lock lock(mutex_);
      wake_worker_.wait(lock, [this] { return made_ - written_ < blocks || given_up_; });
      if (given_up_) return nullptr;
      block = &ring_[made_ % blocks];
      block->records.resize(block_records);
      block->count = 0;
    }
    return &block->records[block->count];
  };
  const auto error = produce(order_, slot, [&](Ready&) {
    if (++block->count == block_records) hand_over();
    return true;
  });
  if (block != nullptr && block->count > 0) hand_over();
  return error;
}

}  // namespace trib::ledger

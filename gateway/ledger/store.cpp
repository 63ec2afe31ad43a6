#include "gateway/ledger/store.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "gateway/ledger/accounts.h"
#include "gateway/ledger/poster.h"
#include "gateway/ledger/terms.h"

namespace trib::ledger {

using metering::Command;
using metering::Lsn;

namespace {

constexpr std::size_t unsure_max = 10'000;  // commands of which no call has learned what became of them

}  // namespace

Ledger::Ledger(const LedgerOptions& options, Clock& clock, metering::Journal& journal)
    : options_(options),
      clock_(clock),
      journal_(journal),
      poster_(std::make_unique<Poster>(journal, options.shard, options.batch_requests_max, options.ahead_from)) {
  if (!options_.wait) options_.wait = [] { std::this_thread::sleep_for(std::chrono::microseconds(200)); };
}

Ledger::~Ledger() = default;

std::unique_ptr<Ledger> Ledger::open(const LedgerOptions& options, Clock& clock, metering::Journal& journal,
                                     std::string& why) {
  std::unique_ptr<Ledger> out(new Ledger(options, clock, journal));
  if (!out->poster_->open(options.path, options.vfs, why)) return nullptr;
  out->reader_ = Reader::open(options.path, options.vfs, why);
  if (!out->reader_) return nullptr;
  out->reader_->on_failure([ledger = out.get()](const std::string& failed) { ledger->note_unread(failed); });
  out->posted_ = out->scanned_ = out->poster_->cursor();
  out->book_ = out->poster_->book();
  return out;
}

std::shared_ptr<const Book> Ledger::book() const {
  const std::lock_guard lock(shared_mutex_);
  return book_;
}

std::string Ledger::failure() const {
  const std::lock_guard lock(shared_mutex_);
  return failure_;
}

bool Ledger::post_once() {
  const std::lock_guard turn(post_mutex_);
  std::string why;
  const auto result = poster_->turn(why);
  if (result == Poster::Turn::posted && moved_)
    for (const auto& [tenant, change] : poster_->moved()) moved_(tenant, change);
  const std::lock_guard lock(shared_mutex_);
  failure_ = why;
  // A turn without a batch may have found that the commit before it was one, when the store had gone away.
  const bool moved = result != Poster::Turn::failed && poster_->cursor() != posted();
  if (moved) {
    book_ = poster_->book();
    posted_.store(poster_->cursor(), std::memory_order_release);
  }
  scanned_.store(poster_->scanned(), std::memory_order_release);
  return moved;
}

bool Ledger::await(Lsn lsn) {
  const std::int64_t deadline_ns = clock_.mono_ns() + options_.command_ms_max * 1'000'000;
  while (posted() < lsn) {
    if (journal_.durable() >= lsn && post_once()) continue;
    if (posted() >= lsn) break;
    if (journal_.failed() || clock_.mono_ns() > deadline_ns) return false;
    options_.wait();
  }
  return true;
}

std::uint64_t Ledger::await_sealed(std::string& why) {
  std::optional<Poster::Sealed> sealed;
  {
    const std::lock_guard turn(post_mutex_);
    sealed = poster_->sealed();
  }
  const std::int64_t deadline_ns = clock_.mono_ns() + options_.command_ms_max * 1'000'000;
  while (sealed && journal_.durable() < sealed->seal_lsn && !journal_.failed() && clock_.mono_ns() <= deadline_ns) options_.wait();
  if (sealed && journal_.durable() >= sealed->seal_lsn) return sealed->batch;
  why = "the journal does not take the last batch's SEAL";
  return 0;
}

std::optional<CommandRow> Ledger::find_command(const std::string& id) {
  const std::lock_guard lock(reader_mutex_);
  return reader_->command(id);
}

Posting Ledger::submit(const Command& command) {
  if (!storable_text(command.id) || !storable_text(command.kind) || !storable_text(command.body)) return Posting::failed;
  if (find_command(command.id)) return outcome(command, 0);
  const Lsn lsn = journal_.append(command);
  if (lsn == 0) return Posting::failed;
  if (await(lsn)) return outcome(command, lsn);
  const std::lock_guard lock(unsure_mutex_);
  remember(command.id, lsn);
  return Posting::failed;
}

// What became of a command: its own row, or the row of an earlier one with its id. An effect is told as
// `posted` once, to this call or to the one that asks again after a call that was told nothing, so that
// whoever keeps figures in memory counts it once.
Posting Ledger::outcome(const Command& command, Lsn lsn) {
  const std::lock_guard lock(unsure_mutex_);
  const auto row = find_command(command.id);
  if (!row) {
    remember(command.id, lsn);
    return Posting::failed;
  }
  if (const auto unsure = unsure_.find(command.id); unsure != unsure_.end()) {
    lsn = unsure->second;
    unsure_.erase(unsure);
  }
  if (row->kind != command.kind || row->body != command.body) return Posting::conflict;
  if (row->result.compare(0, 7, "refused") == 0) return Posting::failed;
  return row->lsn == lsn ? Posting::posted : Posting::repeated;
}

// The first record of an id is the one that counts.
void Ledger::remember(const std::string& id, Lsn lsn) {
  if (lsn != 0 && unsure_.size() < unsure_max) unsure_.emplace(id, lsn);
}

Posting Ledger::topup(const std::string& tenant, const std::string& id, money::Amount amount, std::int64_t wall_ms) {
  if (tenant.empty() || id.empty() || amount.negative() || amount.zero()) return Posting::failed;
  return submit({"topup:" + tenant + ":" + id, "topup", wall_ms, topup_terms({tenant, amount})});
}

std::optional<money::Amount> Ledger::opening_balance(const std::string& tenant) {
  const auto row = find_command("opening:" + tenant);
  const auto topup = row ? read_topup(row->body) : std::nullopt;
  return topup ? std::optional(topup->amount) : std::nullopt;
}

Posting Ledger::opening(const std::string& tenant, money::Amount amount, std::int64_t wall_ms) {
  if (tenant.empty() || amount.negative() || amount.zero()) return Posting::failed;
  return submit({"opening:" + tenant, "topup", wall_ms, topup_terms({tenant, amount})});
}

Posting Ledger::post(const std::string& id, const Document& document, std::int64_t wall_ms) {
  if (id.empty() || !refuse(document).empty()) return Posting::failed;
  return submit({id, "document", wall_ms, document_terms(document)});
}

Posting Ledger::step(const std::string& id, const PeriodStep& step, std::int64_t wall_ms) {
  if (id.empty()) return Posting::failed;
  return submit({id, "period", wall_ms, period_terms(step)});
}

std::string Ledger::refusal(const std::string& command_id) {
  const auto row = find_command(command_id);
  constexpr std::string_view mark = "refused: ";
  return row && row->result.compare(0, mark.size(), mark) == 0 ? row->result.substr(mark.size()) : std::string();
}

std::vector<PeriodRow> Ledger::periods() {
  const std::lock_guard lock(reader_mutex_);
  return reader_->periods();
}

std::unique_ptr<Reader> Ledger::reader(std::string& why) const {
  auto out = Reader::open(options_.path, options_.vfs, why);
  if (out) out->on_failure([this](const std::string& failed) { note_unread(failed); });
  else note_unread(why);
  return out;
}

Ledger::Unread Ledger::unread() const {
  const std::lock_guard lock(shared_mutex_);
  return unread_;
}

void Ledger::note_unread(const std::string& why) const {
  const std::lock_guard lock(shared_mutex_);
  ++unread_.times;
  unread_.why = why;
}

money::Amount Ledger::tenant_balance(const std::string& tenant) {
  const std::lock_guard lock(reader_mutex_);
  return reader_->stands(customer_account(tenant)) + reader_->stands(receivable_account(tenant));
}

std::vector<TenantBalance> Ledger::tenant_balances() {
  const std::lock_guard lock(reader_mutex_);
  return reader_->tenant_balances();
}

TrialBalance Ledger::trial_balance() {
  const std::lock_guard lock(reader_mutex_);
  return reader_->trial_balance();
}

std::optional<RequestRow> Ledger::request(const RequestId& id) {
  const std::lock_guard lock(reader_mutex_);
  return reader_->request(id);
}

std::vector<QuantityTotal> Ledger::quantities() {
  const std::lock_guard lock(reader_mutex_);
  return reader_->quantities();
}

std::vector<SiteTotal> Ledger::site_totals(std::optional<Period> period) {
  const std::lock_guard lock(reader_mutex_);
  return reader_->site_totals(period);
}

}  // namespace trib::ledger

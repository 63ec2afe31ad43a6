#include "gateway/app/auditor.h"

#include <algorithm>
#include <chrono>

namespace trib::app {
namespace {

constexpr std::int64_t again_ms = 60'000;

}  // namespace

Auditor::Auditor(ledger::Ledger& ledger, ledger::CheckpointBook& book, std::string record, telemetry::Registry& registry)
    : ledger_(ledger), book_(book), record_(std::move(record)) {
  if (const auto held = ledger::remembered_backup(system_disk(), record_)) {
    backed_up_ = held->lsn;
    backup_ms_ = held->made_ms;
  }
  registry.sampled_gauge("tributary_checkpoint_batch", "The last batch that a signed checkpoint covers.", {}, [this] {
    const auto last = book_.last();
    return last ? static_cast<std::int64_t>(last->batch_to) : 0;
  });
  registry.sampled_gauge("tributary_checkpoint_age_seconds", "Since the last checkpoint was signed; -1: never.", {}, [this] {
    const auto last = book_.last();
    return last ? (system_clock().wall_ms() - last->made_ms) / 1000 : -1;
  });
  registry.sampled_gauge("tributary_backup_lsn", "The furthest journal record that a backup covers; 0: none.", {},
                         [this] { return static_cast<std::int64_t>(backed_up_.load()); });
  registry.sampled_gauge("tributary_backup_age_seconds", "Since that backup was made; -1: never.", {},
                         [this] { return backup_ms_ == 0 ? -1 : (system_clock().wall_ms() - backup_ms_) / 1000; });
}

void Auditor::start(std::int64_t every_ms, std::function<void()> grew) {
  grew_ = std::move(grew);
  signer_ = std::thread([this, every_ms] {
    name_background_thread("auditor");
    sign_each(every_ms);
  });
}

void Auditor::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (signer_.joinable()) signer_.join();
  if (copier_.joinable()) copier_.join();
}

// Counted from the last one, so that restarts do not put it off; the first is due at once.
std::int64_t Auditor::due_in_ms(std::int64_t every_ms) const {
  const auto last = book_.last();
  if (!last) return 0;
  const std::int64_t age_ms = std::max<std::int64_t>(system_clock().wall_ms() - last->made_ms, 0);
  return std::max<std::int64_t>(every_ms - age_ms, 0);
}

void Auditor::sign_each(std::int64_t every_ms) {
  std::string told;
  std::int64_t wait_ms = due_in_ms(every_ms);
  while (true) {
    {
      std::unique_lock lock(mutex_);
      if (wake_.wait_for(lock, std::chrono::milliseconds(wait_ms), [this] { return stopping_.load(); })) return;
    }
    wait_ms = due_in_ms(every_ms);
    if (wait_ms > 0) continue;  // one was signed for a proof meanwhile
    wait_ms = std::min(every_ms, again_ms);  // also where nothing is new
    const std::string why = sign();
    if (!why.empty() && why != told) telemetry::log(telemetry::Level::error, "checkpoint_failed", {{"why", why}});
    told = why;
  }
}

std::string Auditor::sign() {
  std::string why;
  const auto before = book_.last();
  const auto made = book_.make(ledger_, system_clock().wall_ms(), why);
  if (made && made != before) grew_();
  return why;
}

std::string Auditor::begin(const std::string& dir) {
  const std::lock_guard lock(backup_mutex_);
  if (backup_.running) return "a backup into " + backup_.dir + " is under way";
  if (stopping_) return "the gateway is going down";
  if (copier_.joinable()) copier_.join();  // the one before has ended
  backup_ = {};
  backup_.running = true;
  backup_.dir = dir;
  copier_ = std::thread([this, dir] {
    name_background_thread("backup");
    back_up(dir);
  });
  return {};
}

api::BackupState Auditor::state() const {
  const std::lock_guard lock(backup_mutex_);
  return backup_;
}

void Auditor::back_up(const std::string& dir) {
  const auto& store = ledger_.options();
  ledger::BackupOptions options;
  options.store = store.path;
  options.vfs = store.vfs;
  options.shard = store.shard;
  options.dir = dir;
  options.progress = [this](std::uint64_t done, std::uint64_t all) {
    const std::lock_guard lock(backup_mutex_);
    backup_.pages_done = done;
    backup_.pages = all;
    return !stopping_.load();
  };
  std::string why;
  const auto made = ledger::make_backup(system_disk(), options, system_clock().wall_ms(), why);
  if (made) {
    if (const auto ec = ledger::remember_backup(system_disk(), record_, *made, dir)) why = record_ + ": " + ec.message();
    if (made->lsn >= backed_up_) {
      backed_up_ = made->lsn;
      backup_ms_ = made->made_ms;
    }
    telemetry::log(telemetry::Level::info, "backup_made",
                   {{"folder", dir}, {"lsn", static_cast<std::int64_t>(made->lsn)}, {"batch", static_cast<std::int64_t>(made->batch)}});
  }
  if (!why.empty()) telemetry::log(telemetry::Level::error, "backup_failed", {{"folder", dir}, {"why", why}});
  const std::lock_guard lock(backup_mutex_);
  backup_.running = false;
  backup_.made = made;
  backup_.why = why;
}

}  // namespace trib::app

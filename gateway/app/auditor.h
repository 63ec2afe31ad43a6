// What the ledger shows the outside, beside serving: a checkpoint each `every_ms` when something is new,
// told to the sites; and backups, one at a time. Two threads of its own, so that neither the doors nor the
// poster wait for them.
#pragma once
#include <condition_variable>
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "gateway/api/api.h"
#include "gateway/ledger/ledger.h"
#include "gateway/telemetry/telemetry.h"

namespace trib::app {

class Auditor final : public api::BackupDoor {
 public:
  // `record`: where the furthest backup is remembered. All must outlive this.
  Auditor(ledger::Ledger& ledger, ledger::CheckpointBook& book, std::string record, telemetry::Registry& registry);
  ~Auditor() { stop(); }

  // Begins to sign; `grew` is called after each new checkpoint.
  void start(std::int64_t every_ms, std::function<void()> grew);
  void stop();  // waits for a signature under way; a backup is given up
  metering::Lsn backed_up() const { return backed_up_.load(); }

  std::string begin(const std::string& dir) override;
  api::BackupState state() const override;

 private:
  std::int64_t due_in_ms(std::int64_t every_ms) const;
  std::string sign();  // what is new; empty, or why not
  void sign_each(std::int64_t every_ms);
  void back_up(const std::string& dir);

  ledger::Ledger& ledger_;
  ledger::CheckpointBook& book_;
  const std::string record_;
  std::function<void()> grew_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<bool> stopping_{false};
  std::atomic<metering::Lsn> backed_up_{0};
  std::atomic<std::int64_t> backup_ms_{0};  // when it was made; 0: never
  mutable std::mutex backup_mutex_;
  api::BackupState backup_;
  std::thread signer_, copier_;
};

}  // namespace trib::app

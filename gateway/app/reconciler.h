// The two meters' daily meeting: a quarter past midnight in Asia/Shanghai, and once soon after a start, the days
// of the last grace are compared and what differs is booked as quantities (settlement's meters.h). A thread of
// its own; receipts that come later are taken up the next day, and by the month's close.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "gateway/ledger/ledger.h"
#include "gateway/telemetry/telemetry.h"

namespace trib::app {

class Reconciler {
 public:
  using DialsIn = std::function<bool(const std::string& site)>;
  // Both must outlive this.
  Reconciler(ledger::Ledger& ledger, telemetry::Registry& registry);
  ~Reconciler() { stop(); }

  void start(std::int64_t grace_days, std::function<DialsIn()> dials_in);  // asked for each meeting
  void stop();  // gives up a comparison under way

 private:
  void run(std::int64_t grace_days, const std::function<DialsIn()>& dials_in);
  std::string meet_all(std::int64_t wall_ms, std::int64_t grace_days, const DialsIn& dials_in);  // empty, or why not

  ledger::Ledger& ledger_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<bool> stopping_{false};
  std::atomic<std::int64_t> unexplained_{-1};
  std::thread thread_;
};

}  // namespace trib::app

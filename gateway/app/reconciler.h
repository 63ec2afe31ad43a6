// The two meters' daily meeting (settlement's meters.h), at its time of the day and once soon after a start, on a thread of
// its own. Receipts that come later are taken up the next day, and by the month's close.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "gateway/ledger/ledger.h"
#include "gateway/settlement/settlement.h"
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
  void tell(const settlement::DailyMeeting& met);

  ledger::Ledger& ledger_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<bool> stopping_{false};
  std::atomic<std::int64_t> unexplained_{-1};
  std::thread thread_;
};

}  // namespace trib::app

#include "gateway/app/reconciler.h"

#include <chrono>

#include "gateway/settlement/settlement.h"

namespace trib::app {
namespace {

constexpr std::int64_t minute_ms = 60'000;
constexpr std::int64_t after_midnight_ms = 15 * minute_ms;  // by then a receipt of the day is late
constexpr std::int64_t again_ms = 10 * minute_ms;           // after a failure

std::int64_t day_begin(std::int64_t wall_ms) { return ledger::day_end_ms(wall_ms) - ledger::day_ms; }

}  // namespace

Reconciler::Reconciler(ledger::Ledger& ledger, telemetry::Registry& registry) : ledger_(ledger) {
  registry.sampled_gauge("tributary_meters_unexplained",
                         "Attempts of the last days on which site and gateway differ and nobody has said why; -1: not compared yet.", {},
                         [this] { return unexplained_.load(); });
}

void Reconciler::start(std::int64_t grace_days, std::function<DialsIn()> dials_in) {
  thread_ = std::thread([this, grace_days, dials_in = std::move(dials_in)] {
    name_background_thread("reconciler");
    run(grace_days, dials_in);
  });
}

void Reconciler::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Reconciler::run(std::int64_t grace_days, const std::function<DialsIn()>& dials_in) {
  std::int64_t wait_ms = minute_ms;
  while (true) {
    {
      std::unique_lock lock(mutex_);
      if (wake_.wait_for(lock, std::chrono::milliseconds(wait_ms), [this] { return stopping_.load(); })) return;
    }
    const std::string why = meet_all(system_clock().wall_ms(), grace_days, dials_in());
    if (stopping_) return;
    if (!why.empty()) telemetry::log(telemetry::Level::error, "meters_not_compared", {{"why", why}});
    const std::int64_t now_ms = system_clock().wall_ms();
    wait_ms = why.empty() ? ledger::day_end_ms(now_ms) + after_midnight_ms - now_ms : again_ms;
  }
}

std::string Reconciler::meet_all(std::int64_t wall_ms, std::int64_t grace_days, const DialsIn& dials_in) {
  const std::int64_t today = day_begin(wall_ms);
  std::int64_t unexplained = 0;
  for (std::int64_t day = today - (grace_days + 1) * ledger::day_ms; day < today; day += ledger::day_ms) {
    const auto met = settlement::meet(ledger_, day, day + ledger::day_ms, wall_ms, dials_in, [this] { return !stopping_.load(); });
    if (!met.error.empty()) return ledger::day_text(day) + ": " + met.error;
    unexplained += static_cast<std::int64_t>(met.found.unexplained);
    if (met.booked == 0 && met.found.unexplained == 0) continue;
    telemetry::log(met.found.unexplained == 0 ? telemetry::Level::info : telemetry::Level::warning, "meters_compared",
                   {{"day", ledger::day_text(day)},
                    {"differing", static_cast<std::int64_t>(met.found.differing)},
                    {"unexplained", static_cast<std::int64_t>(met.found.unexplained)},
                    {"documents", static_cast<std::int64_t>(met.booked)}});
  }
  unexplained_ = unexplained;
  return {};
}

}  // namespace trib::app

#include "gateway/app/reconciler.h"

#include <chrono>

namespace trib::app {
namespace {

constexpr std::int64_t first_ms = 60'000;  // after the start

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
  std::int64_t wait_ms = first_ms;
  while (true) {
    {
      std::unique_lock lock(mutex_);
      if (wake_.wait_for(lock, std::chrono::milliseconds(wait_ms), [this] { return stopping_.load(); })) return;
    }
    const auto met = settlement::meet_daily(ledger_, grace_days, system_clock().wall_ms(), dials_in(), [this] { return !stopping_.load(); });
    if (stopping_) return;
    tell(met);
    wait_ms = settlement::next_meeting_in_ms(system_clock().wall_ms(), !met.error.empty());
  }
}

void Reconciler::tell(const settlement::DailyMeeting& met) {
  for (const auto& day : met.days) {
    if (!day.error.empty() || (day.booked == 0 && day.found.unexplained == 0)) continue;
    telemetry::log(day.found.unexplained == 0 ? telemetry::Level::info : telemetry::Level::warning, "meters_compared",
                   {{"day", day.day},
                    {"differing", static_cast<std::int64_t>(day.found.differing)},
                    {"unexplained", static_cast<std::int64_t>(day.found.unexplained)},
                    {"documents", static_cast<std::int64_t>(day.booked)}});
  }
  if (met.error.empty())
    unexplained_ = met.unexplained;
  else
    telemetry::log(telemetry::Level::error, "meters_not_compared", {{"why", met.error}});
}

}  // namespace trib::app

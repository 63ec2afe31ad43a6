// Time. Monotonic nanoseconds decide deadlines; wall milliseconds (Unix, UTC) date records.
#pragma once
#include <cstdint>

namespace trib {

// Thread-safe. Both calls are cheap (vDSO) and never fail.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual std::int64_t mono_ns() const = 0;  // never goes back; no relation to the calendar
  virtual std::int64_t wall_ms() const = 0;  // may step either way
};

// The real clock: CLOCK_MONOTONIC and CLOCK_REALTIME through libc.
Clock& system_clock();

}  // namespace trib

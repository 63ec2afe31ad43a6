// Release assertions. TRIB_ASSERT states an invariant of our own code; it stays on in release builds
// and ends the process. What the outside can cause is never asserted, it is a Fault.
#pragma once

namespace trib {
[[noreturn]] void assert_failed(const char* what, const char* file, int line) noexcept;
}

#define TRIB_ASSERT(cond) \
  (static_cast<bool>(cond) ? void(0) : ::trib::assert_failed(#cond, __FILE__, __LINE__))

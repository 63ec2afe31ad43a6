#include "gateway/base/thread.h"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>

#include "gateway/base/clock.h"

namespace trib {
namespace {

constexpr int background_steps = 5;
constexpr unsigned pieces_a_look = 4;  // at the clock
constexpr std::int64_t turn_ns_min = 50'000, turn_ns_max = 4'000'000;
// Who has been away for long may stay for a third of it: some schedulers take a whole slice or more for a yield, and where
// others are always busy the background still gets a quarter, as by its niceness.
constexpr std::int64_t away_a_turn = 3;

struct Manners {
  bool background = false;
  unsigned pieces = 0;
  std::int64_t back_ns = 0;
  std::int64_t turn_ns = 0;
};
thread_local Manners manners;

}  // namespace

void name_thread(const char* name) { ::pthread_setname_np(::pthread_self(), name); }

void name_background_thread(const char* name) {
  name_thread(name);
  manners.background = true;
  errno = 0;
  const int nice = ::getpriority(PRIO_PROCESS, 0);  // on Linux: of the calling thread alone
  if (errno == 0) (void)::setpriority(PRIO_PROCESS, 0, nice + background_steps);
}

bool in_background() { return manners.background; }

void give_way() {
  if (!manners.background || ++manners.pieces % pieces_a_look != 0) return;
  const std::int64_t now_ns = system_clock().mono_ns();
  if (now_ns - manners.back_ns < manners.turn_ns) return;
  ::sched_yield();
  manners.back_ns = system_clock().mono_ns();
  manners.turn_ns = std::clamp((manners.back_ns - now_ns) / away_a_turn, turn_ns_min, turn_ns_max);
}

}  // namespace trib

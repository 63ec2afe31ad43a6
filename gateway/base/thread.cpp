#include "gateway/base/thread.h"

#include <pthread.h>
#include <sys/resource.h>

#include <cerrno>

namespace trib {

void name_thread(const char* name) { ::pthread_setname_np(::pthread_self(), name); }

void name_background_thread(const char* name) {
  constexpr int background_steps = 5;
  name_thread(name);
  errno = 0;
  const int nice = ::getpriority(PRIO_PROCESS, 0);  // on Linux: of the calling thread alone
  if (errno == 0) (void)::setpriority(PRIO_PROCESS, 0, nice + background_steps);
}

}  // namespace trib

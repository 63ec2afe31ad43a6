// One event loop as those who run on it see it: a worker's in production, a virtual one in simulation.
#pragma once
#include <functional>

#include "gateway/base/timer_wheel.h"

namespace trib {

class Loop {
 public:
  // Any thread. Runs on the loop, in order; what arrives during one turn runs in one later turn.
  virtual void post(std::function<void()> task) = 0;
  virtual TimerWheel& wheel() = 0;  // on the loop's thread only

 protected:
  ~Loop() = default;
};

}  // namespace trib

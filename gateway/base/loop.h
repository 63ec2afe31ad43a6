// One event loop as those who run on it see it: a worker's in production, a virtual one in simulation.
#pragma once
#include <functional>

#include "gateway/base/rng.h"
#include "gateway/base/timer_wheel.h"

namespace trib {

class Loop {
 public:
  // Any thread. Runs on the loop, in order; what arrives during one turn runs in one later turn.
  virtual void post(std::function<void()> task) = 0;
  // On the loop's thread only.
  virtual TimerWheel& wheel() = 0;
  virtual Rng& rng() = 0;

 protected:
  ~Loop() = default;
};

}  // namespace trib

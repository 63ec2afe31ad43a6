// Finding out what an engine is. Each step is one small GET; answers are bounded and untrusted. The
// order is cheap and certain first; the first positive identification wins.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "gateway/fleet/fleet.h"

namespace trib::engines {

inline constexpr std::size_t probe_bytes_max = 64u << 10;
inline constexpr std::int64_t probe_step_ms = 2'000;

// Drives one probe: while `next()` gives a path, GET it and hand the answer to `answer` (status 0: no
// answer). Then read the results.
class Probe {
 public:
  std::string_view next() const;  // empty: done
  void answer(int status, std::string_view body);

  bool reachable() const { return reachable_; }
  const fleet::Capabilities& found() const { return found_; }
  const std::vector<std::string>& models() const { return models_; }

 private:
  std::size_t step_ = 0;
  bool reachable_ = false;
  fleet::Capabilities found_;
  std::vector<std::string> models_;
};

}  // namespace trib::engines

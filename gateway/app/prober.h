// Watches the engines that the gateway dials: what they are, what they serve, whether they answer.
// An engine's models are tried once a version (engines::Trial), one after the other, between the looks.
// Lives on one loop. A full probe when an engine is new or was lost, a cheap look every 5 s else, with the
// figures of its metrics page where it has one.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "backends/engines/engines.h"
#include "gateway/fleet/fleet.h"
#include "gateway/net/net.h"
#include "gateway/telemetry/telemetry.h"

namespace trib::app {

class Prober {
 public:
  Prober(Loop& loop, net::HttpPool& pool, fleet::Fleet& fleet);
  ~Prober();
  void configure(const config::ConfigSnapshot& config);  // on the loop
  // Any thread: true once every engine has been looked at once since the start.
  bool first_round_done() const { return first_round_.load(); }

 private:
  class Watch;
  Loop& loop_;
  net::HttpPool& pool_;
  fleet::Fleet& fleet_;
  std::vector<std::unique_ptr<Watch>> watches_;
  static constexpr std::size_t shown_max = 16'384;
  std::map<std::string, engines::Shown> shown_;  // by engine, version and model; outlives a reload
  std::int64_t generation_ms_ = 0;               // 0: no trials
  std::atomic<bool> first_round_{false};
};

}  // namespace trib::app

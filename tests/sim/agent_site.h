// A site that dials in: the agent's own forwarder, engine book and dialler, on virtual time, with one
// engine in its network. The connection it opens stands for the one that TLS would have proved.
#pragma once
#include <memory>
#include <string>

#include "backends/agent/dialler.h"
#include "backends/agent/engine_book.h"
#include "backends/agent/forward.h"
#include "gateway/net/net.h"
#include "tests/sim/engine.h"
#include "tests/sim/net.h"

namespace trib::sim {

class AgentSite {
 public:
  AgentSite(Timeline& timeline, Net& net, Rng& rng, std::string site, std::string door, Endpoint engine);
  ~AgentSite();
  void start();
  void die(bool silent);
  void drain();  // it says goodbye; the world starts it again
  bool running() const { return program_ != nullptr; }
  std::size_t in_flight() const;

 private:
  struct Program;
  Timeline& timeline_;
  Net& net_;
  Rng& rng_;
  const std::string site_, door_;
  const Endpoint engine_;
  std::unique_ptr<Program> program_;
  std::uint64_t lives_ = 0;
};

}  // namespace trib::sim

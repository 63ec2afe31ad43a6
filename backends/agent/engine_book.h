// What the site's engines serve: probes each again and again, and says what may be offered. Engines
// that the agent starts itself are started again when they end. One thread. Room-private.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backends/agent/forward.h"
#include "gateway/config/config.h"

namespace trib::agent {

// A process that is killed with the agent. Its output goes to standard error.
class Child {
 public:
  explicit Child(std::vector<std::string> command) : command_(std::move(command)) {}
  ~Child();  // asks it to end, then kills it
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  void keep_running();  // starts it, and again when it has ended

 private:
  std::vector<std::string> command_;
  int pid_ = 0;
};

struct BookTerms {
  std::int64_t found_ms = 15'000;   // between probes of an engine that answers
  std::int64_t missing_ms = 1'000;  // and of one that does not
  int misses = 2;                   // after so many in a row its offers go
  std::int64_t generation_ms = 0;   // that a trial's may take; 0: no trials
  std::string device, vendor;       // of the site's first device, for every offer
};

class EngineBook {
 public:
  EngineBook(const std::vector<config::AgentEngineConfig>& engines, Forwarder::CallEngine call,
             Forwarder& forwarder, TimerWheel& wheel, BookTerms terms);
  ~EngineBook();

  void start();
  void probe_soon(std::size_t engine);  // a request met a closed door there
  std::function<void(std::vector<fleet::AgentOffer>)> on_offers;  // all of them, after each change

 private:
  class One;
  void changed();

  Forwarder::CallEngine call_;
  Forwarder& forwarder_;
  TimerWheel& wheel_;
  const BookTerms terms_;
  std::vector<std::unique_ptr<One>> engines_;
};

// "0.org-model-8b": an id that the tunnel takes, unique within the engine's number and place.
std::string offer_id(std::size_t engine, std::size_t place, std::string_view model);

}  // namespace trib::agent

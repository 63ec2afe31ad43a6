// Forwards the gateway's requests to the site's engines and their answers back, with backpressure
// both ways. Sans-I/O: engines are reached through one function. One thread. Room-private.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>

#include "backends/agent/meter.h"
#include "gateway/http/http.h"
#include "gateway/tunnel/tunnel.h"

namespace trib::agent {

struct Engine {
  Endpoint endpoint;
  std::string base_path;
  std::uint32_t slots = 8;  // requests in flight, for all its offers together
};

class Forwarder {
 public:
  // Begins a call to an engine; events come later, never from within.
  using CallEngine = std::function<std::unique_ptr<http::Call>(const Endpoint&, http::CallRequest,
                                                               http::CallEvents&)>;
  using Told = std::function<void(std::size_t engine)>;

  // `clock`: for the receipts' times.
  Forwarder(CallEngine call, TimerWheel& wheel, const Clock& clock);
  ~Forwarder();

  void engines(std::vector<Engine> engines) { engines_ = std::move(engines); }
  void offers(std::map<std::string, std::size_t> engine_of_offer) {
    offers_ = std::move(engine_of_offer);
  }
  const Engine* engine_of(const std::string& offer) const;  // null: not offered; until the next change
  Told on_unreachable;  // an engine refused a connection
  // Attempts that an engine served, wholly or not; under the model's public name.
  std::function<void(const ledger::Receipt&)> on_served;
  std::function<std::string(const std::string& offer)> model_of;

  // The tunnel's calls, handed on.
  void on_request(tunnel::Answer& answer);
  void on_room(tunnel::Answer& answer);
  void on_cancel(tunnel::Answer& answer);
  std::size_t in_flight() const { return open_.size(); }

 private:
  class One;
  friend class One;
  void forget(One& one);

  CallEngine call_;
  TimerWheel& wheel_;
  const Clock& clock_;
  std::vector<Engine> engines_;
  std::map<std::string, std::size_t> offers_;
  std::unordered_map<tunnel::Answer*, std::unique_ptr<One>> open_;
};

}  // namespace trib::agent

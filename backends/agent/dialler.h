// Keeps one tunnel to the gateway alive: dials, waits after a loss (fleet.md 3.7), dials again.
// Sans-I/O over Transport. One thread. Room-private.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "backends/agent/courier.h"
#include "backends/agent/forward.h"
#include "backends/agent/witness.h"
#include "gateway/tunnel/tunnel.h"

namespace trib::agent {

// How long to wait before the next dial, in milliseconds. Pure but for the random numbers.
class BackOff {
 public:
  explicit BackOff(Rng& rng) : rng_(rng) {}
  std::int64_t first_ms();                             // uniform 0 to 250
  std::int64_t after_ms(std::int64_t stable_ms);       // a connection that lasted so long is lost
  static constexpr std::int64_t refused_ms = 600'000;  // a certificate that is not taken

 private:
  Rng& rng_;
  std::int64_t next_ms_ = 500;
};

class Dialler final : private StreamHandler, private tunnel::AgentHandler {
 public:
  Dialler(Transport& door, Endpoint gateway, Forwarder& forwarder, TimerWheel& wheel,
          const Clock& clock, Rng& rng, tunnel::AgentTerms terms);

  void start();
  void offer(std::vector<fleet::AgentOffer> offers);  // now and after each dial
  // No new requests; `gone` is called when the open ones have ended.
  void drain(std::function<void()> gone);
  bool up() const { return end_ != nullptr && end_->welcomed(); }

  std::function<void()> on_up;                                            // welcomed
  std::function<void(const Fault& fault, std::int64_t wait_ms)> on_down;  // not reached, or lost
  Witness* witness = nullptr;  // keeps the ledger's checkpoints; must outlive this
  Courier* courier = nullptr;  // brings the receipts; must outlive this

 private:
  void on_open() override;
  void on_bytes(std::string_view) override {}
  void on_end() override;
  void on_error(const Fault& fault) override;
  void on_request(tunnel::Answer& answer) override { forwarder_.on_request(answer); }
  void on_room(tunnel::Answer& answer) override { forwarder_.on_room(answer); }
  void on_cancel(tunnel::Answer& answer) override { forwarder_.on_cancel(answer); }
  std::optional<std::uint64_t> checkpoint_held() override;
  Taken on_checkpoints(const tunnel::CheckpointPage& page) override;
  std::optional<std::uint64_t> receipts_newest() override { return courier == nullptr ? std::nullopt : courier->newest(); }
  void on_receipts_held(const tunnel::ReceiptsHeld& held) override {
    if (courier != nullptr) courier->held(held);
  }
  void on_welcome(const tunnel::Welcome& welcome) override;
  void on_lost(const Fault& fault) override;

  void turn();  // the timer: dial, or give up a dial that takes too long
  void down(const Fault& fault);

  static constexpr std::int64_t dial_ms_max = 10'000;
  Transport& door_;
  const Endpoint gateway_;
  Forwarder& forwarder_;
  TimerWheel& wheel_;
  const Clock& clock_;
  Rng& rng_;
  const tunnel::AgentTerms terms_;
  BackOff back_off_;
  std::vector<fleet::AgentOffer> offers_;
  std::unique_ptr<Stream> dialling_;
  std::unique_ptr<tunnel::AgentEnd> end_,
      dead_;                // dead_: was lost during its own call, goes at the next turn
  std::int64_t up_ns_ = 0;  // 0: not welcomed yet
  bool leaving_ = false;
  std::function<void()> gone_;
  MemberTimer<Dialler, &Dialler::turn> timer_{*this};
};

}  // namespace trib::agent

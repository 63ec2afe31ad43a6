// Brings the site's receipts to the gateway: writes each down when its attempt ends, signs once a second when
// something is new, and sends root after root until the gateway has acknowledged them, over every connection and
// also after days. At most `window` roots are under way, so that they never stand before a reclaim. One thread.
// Room-private.
#pragma once
#include <functional>
#include <string>

#include "backends/agent/receipts.h"
#include "gateway/tunnel/tunnel.h"

namespace trib::agent {

class Courier {
 public:
  static constexpr std::uint64_t window = 2;
  Courier(ReceiptBook& book, TimerWheel& wheel, const Clock& clock) : book_(book), wheel_(wheel), clock_(clock) { wait(); }

  void add(const ledger::Receipt& receipt);
  // For the hello: the newest root; none: this site tells no receipts now.
  std::optional<std::uint64_t> newest() const;
  // The gateway holds the roots up to there, and takes what follows through `send`, or says why not.
  void held(const tunnel::ReceiptsHeld& held);
  std::function<void(const std::string& root)> send;  // on the connection of now; none: not connected
  void disconnected();

 private:
  void tick();
  void wait() { wheel_.arm(timer_, wheel_.now_ns() + tick_ns); }
  void push();
  void complain(const char* event, const std::string& why);

  static constexpr std::int64_t tick_ns = 1'000'000'000;
  static constexpr int again_ticks = 30;  // without an acknowledgement, after which roots are sent again
  ReceiptBook& book_;
  TimerWheel& wheel_;
  const Clock& clock_;
  bool asked_ = false, refused_ = false;  // by the gateway of this connection
  std::uint64_t upto_ = 0, sent_ = 0;
  int silent_ticks_ = 0;
  std::string told_;  // the last complaint: the same again is said once
  MemberTimer<Courier, &Courier::tick> timer_{*this};
};

}  // namespace trib::agent

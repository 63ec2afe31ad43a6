#include "backends/agent/courier.h"

#include <algorithm>

#include "gateway/telemetry/telemetry.h"

namespace trib::agent {

void Courier::complain(const char* event, const std::string& why) {
  if (std::exchange(told_, why) != why) telemetry::log(telemetry::Level::error, event, {{"why", why}});
}

std::optional<std::uint64_t> Courier::newest() const {
  return book_.why().empty() ? std::optional(book_.newest()) : std::nullopt;
}

void Courier::add(const ledger::Receipt& receipt) {
  if (!book_.add(receipt)) return complain("receipts_not_kept", book_.error());
  if (book_.waiting() >= ledger::receipts_per_root_max) tick();
}

// The timer runs always, as a receipt may wait from before a restart.
void Courier::tick() {
  wait();
  if (book_.waiting() > 0 && !book_.sign(clock_.wall_ms())) complain("receipts_not_kept", book_.error());
  if (sent_ > upto_ && ++silent_ticks_ >= again_ticks) {
    silent_ticks_ = 0;
    sent_ = upto_;
  }
  push();
}

void Courier::held(const tunnel::ReceiptsHeld& held) {
  if (!held.refused.empty()) {
    refused_ = true;
    return complain("receipts_refused", held.refused + "; if this site has lost its state folder, the gateway's operator pins the new key with tributary site receipts-key");
  }
  const bool first = !std::exchange(asked_, true);
  silent_ticks_ = 0;
  // A gateway that knows more than this site has known another journal: it says so when it sees the next root.
  upto_ = held.upto <= book_.newest() ? held.upto : book_.oldest() - 1;
  if (first || sent_ < upto_) sent_ = upto_;
  if (held.upto <= book_.newest()) book_.acknowledged(held.upto);
  push();
}

void Courier::push() {
  if (!asked_ || refused_ || !send) return;
  sent_ = std::max(sent_, book_.oldest() - 1);
  while (sent_ < book_.newest() && sent_ - upto_ < window) {
    const std::string text = book_.root(sent_ + 1);
    if (text.empty()) return complain("receipts_not_kept", "a root cannot be read back");
    ++sent_;
    send(text);
  }
}

void Courier::disconnected() {
  asked_ = refused_ = false;
  sent_ = upto_ = 0;
  silent_ticks_ = 0;
}

}  // namespace trib::agent

#include "backends/agent/dialler.h"

#include <algorithm>

namespace trib::agent {
namespace {

constexpr std::int64_t ms = 1'000'000;
constexpr std::int64_t wait_ms_max = 60'000;
constexpr std::int64_t stable_ms_min = 60'000;

}  // namespace

std::int64_t BackOff::first_ms() {
  return static_cast<std::int64_t>(rng_.below(251));
}

std::int64_t BackOff::after_ms(std::int64_t stable_ms) {
  if (stable_ms >= stable_ms_min) next_ms_ = 500;
  const std::int64_t base = next_ms_;
  next_ms_ = std::min(next_ms_ * 2, wait_ms_max);
  return base * 7 / 10 + static_cast<std::int64_t>(
                             rng_.below(static_cast<std::uint64_t>(base * 6 / 10 + 1)));  // +-30 %
}

Dialler::Dialler(Transport& door, Endpoint gateway, Forwarder& forwarder, TimerWheel& wheel,
                 const Clock& clock, Rng& rng, tunnel::AgentTerms terms)
    : door_(door),
      gateway_(std::move(gateway)),
      forwarder_(forwarder),
      wheel_(wheel),
      clock_(clock),
      rng_(rng),
      terms_(std::move(terms)),
      back_off_(rng) {}

void Dialler::start() {
  wheel_.arm(timer_, wheel_.now_ns() + back_off_.first_ms() * ms);
}

void Dialler::offer(std::vector<fleet::AgentOffer> offers) {
  offers_ = std::move(offers);
  if (end_) end_->offer(offers_);
}

void Dialler::drain(std::function<void()> gone) {
  leaving_ = true;
  gone_ = std::move(gone);
  if (end_) return end_->drain();
  timer_.cancel();
  dialling_.reset();
  if (gone_) gone_();
}

void Dialler::turn() {
  dead_.reset();
  if (end_) return;
  if (dialling_) {
    dialling_.reset();
    return down({FaultKind::connect_timeout, Side::site_network, Retry::elsewhere,
                 "no connection within 10 s"});
  }
  dialling_ = door_.dial(gateway_, *this);
  wheel_.arm(timer_, wheel_.now_ns() + dial_ms_max * ms);
}

void Dialler::on_open() {
  timer_.cancel();
  up_ns_ = 0;
  tunnel::AgentHandler& self = *this;
  end_ =
      std::make_unique<tunnel::AgentEnd>(std::move(dialling_), self, wheel_, clock_, rng_, terms_);
  end_->offer(offers_);
  if (courier != nullptr) {
    courier->disconnected();
    courier->send = [end = end_.get()](const std::string& root) { end->receipts(root); };
  }
  if (leaving_) end_->drain();
}

void Dialler::on_end() {
  on_error({FaultKind::connect_failed, Side::site_network, Retry::elsewhere,
            "closed before it was open"});
}

void Dialler::on_error(const Fault& fault) {
  const Fault copy = fault;
  dialling_.reset();
  down(copy);
}

std::optional<std::uint64_t> Dialler::checkpoint_held() {
  return witness == nullptr ? std::nullopt : std::optional(witness->held());
}

Dialler::Taken Dialler::on_checkpoints(const tunnel::CheckpointPage& page) {
  return witness == nullptr ? Taken::not_now : witness->take(page);
}

void Dialler::on_welcome(const tunnel::Welcome&) {
  up_ns_ = clock_.mono_ns();
  if (on_up) on_up();
}

void Dialler::on_lost(const Fault& fault) {
  const Fault copy = fault;
  if (courier != nullptr) courier->send = nullptr;
  dead_ = std::move(end_);
  down(copy);
}

void Dialler::down(const Fault& fault) {
  const std::int64_t stable_ms = up_ns_ == 0 ? 0 : (clock_.mono_ns() - up_ns_) / ms;
  std::int64_t wait_ms = back_off_.after_ms(stable_ms);
  // TLS 1.3 tells a client only after its own handshake that its certificate is not taken.
  if (up_ns_ == 0 && fault.detail.find("alert") != std::string::npos &&
      fault.detail.find("certificate") != std::string::npos) {
    wait_ms = BackOff::refused_ms;
  }
  up_ns_ = 0;
  if (leaving_) {
    if (gone_) gone_();
    return;
  }
  wheel_.arm(timer_, wheel_.now_ns() + wait_ms * ms);
  if (on_down) on_down(fault, wait_ms);
}

}  // namespace trib::agent

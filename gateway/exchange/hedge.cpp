// Hedging, for tenants that ask for it: a request whose site has sent nothing for a while is sent to a
// second one as well. Whoever sends the first byte of an answer is the request's attempt from then on;
// the other is cancelled at once, is on record as outrun, and is never billed.
#include "gateway/exchange/hedge.h"


namespace trib::exchange {

void Exchange::start_rival() {
  std::vector<std::string> passed = excluded_;
  passed.push_back(offer_->site);
  const auto choice = choose(passed, false);
  if (choice.offer == nullptr) return;  // it is the first's to answer
  if (record_attempt(*choice.offer)) return tell_router_of(choice.offer, {FaultKind::outrun, Side::none, Retry::never, {}}, 0);
  hedged_ = true;
  world_.figures().hedges.add();
  auto body = engines::engine_body(order_.body, order_.facts, choice.offer->engine_model, choice.offer->can, order_.context);
  auto rival = std::make_unique<Rival>(*this, choice.offer, final_.results.size() - 1, now(), now() + first_due_ms() * 1'000'000);
  rival->call_ = world_.call(*choice.offer, request_for(*choice.offer, std::string(engines::engine_path(order_.facts.operation)), std::move(body)), *rival);
  rival_ = std::move(rival);
  if (rival_->call_ == nullptr) rival_failed({FaultKind::tunnel_lost, Side::site_network, Retry::elsewhere, "the site's tunnel is gone"});
}

// The current attempt is over: the other takes its place.
void Exchange::take_rival() {
  forget_attempt();
  relay_ = std::move(rival_);
  offer_ = relay_->offer_;
  current_ = relay_->index_;
  call_ = std::move(relay_->call_);
  open_ = std::move(relay_->open_);
  call_deadline_ns_ = relay_->deadline_ns_;
  attempt_ns_ = relay_->begun_ns_;
  first_ns_ = 0;
  slowed_ = false;
  mode_ = Mode::waiting;
  cleared_ = false;
  spoke_ = false;
  relay_->taken_ = true;
  arm();
  relay_->replay_head();
}

void Exchange::drop_rival(const Fault& fault) {
  if (rival_ == nullptr) return;
  const auto rival = std::move(rival_);  // its call is cancelled as it goes
  tell_router_of(rival->offer_, fault, rival->refused_for_ms_);
  auto& result = final_.results[rival->index_];
  result.fault = name(fault.kind);
  result.side = name(fault.side);
}

// It failed before it said anything: the first is on its own again.
void Exchange::rival_failed(const Fault& fault) {
  if (fault.kind == FaultKind::status_busy) note_retry_after(rival_->refused_for_ms_ > 0 ? rival_->refused_for_ms_ : 1000);
  world_.figures().fault(fault).add();
  excluded_.push_back(rival_->offer_->site);
  drop_rival(fault);
}

}  // namespace trib::exchange

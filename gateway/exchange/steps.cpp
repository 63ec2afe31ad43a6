#include "gateway/exchange/steps.h"

#include <algorithm>
#include <utility>

namespace trib::exchange {

// Nothing of `this` may be used after a call into the exchange that can end the attempt.
void Exchange::Steps::next() {
  Exchange& exchange = exchange_;
  if (way_.way() == fleet::ContinueMode::none) {
    const Fault why = last_ ? last_
                            : Fault{FaultKind::continuation_refused, Side::none, Retry::elsewhere, "the engine cannot go on from this text"};
    exchange.attempt_failed(why);
    return;
  }
  auto step = way_.step();
  auto request = exchange.request_for(*exchange.offer_, std::move(step.path), std::move(step.body));
  // A site answers an attempt's number once; its questions have numbers of their own.
  if (asked_ > 0 && !request.attempt.empty()) request.attempt += '.' + std::to_string(asked_);
  ++asked_;
  if (!step.question) {
    exchange.call_ = world().call(*exchange.offer_, std::move(request), exchange);
  } else {
    request.deadline_ms = engines::question_ms;
    status_ = 0;
    answer_.clear();
    world().hold_bytes(-std::exchange(held_bytes_, 0));
    world().wheel().arm(timer_, exchange.now() + engines::question_ms * 1'000'000);
    call_ = world().call(*exchange.offer_, std::move(request), *this);
  }
  if (exchange.call_ == nullptr && call_ == nullptr) {
    exchange.attempt_failed({FaultKind::tunnel_lost, Side::site_network, Retry::elsewhere, "the site's tunnel is gone"});
    return;
  }
  exchange.arm();
}

void Exchange::Steps::on_body(std::string_view bytes) {
  const auto grown = static_cast<std::int64_t>(bytes.size());
  if (answer_.size() + bytes.size() > way_.answer_bytes_max() || !world().hold_bytes(grown)) {
    answered(0, {FaultKind::too_large, Side::none, Retry::elsewhere, "an answer to a question is too large"});
    return;
  }
  held_bytes_ += grown;
  answer_.append(bytes);
}

void Exchange::Steps::on_end() {
  Fault fault;
  if (status_ != 200) fault = engines::classify_status(status_, engines::read_error(answer_));
  answered(status_, fault);
}

void Exchange::Steps::on_fault(const Fault& fault) {
  const Fault copy = fault;
  answered(0, copy);
}

void Exchange::Steps::on_timer() {
  answered(0, {FaultKind::head_timeout, Side::engine, Retry::elsewhere, "no answer to a question in time"});
}

void Exchange::Steps::answered(int status, const Fault& fault) {
  timer_.cancel();
  call_.reset();
  last_ = fault;
  // A refusal in words is no reason to blame the site, nor the customer: it was asked before.
  if (fault.kind == FaultKind::status_client || fault.kind == FaultKind::status_config || fault.kind == FaultKind::context_length)
    last_ = {};
  if (status == 404 || status == 405 || status == 501) {
    close_way();
    way_.refused();
  } else {
    way_.answered(status, answer_);
  }
  next();
}

bool Exchange::Steps::refused(const Fault& fault) {
  const auto by = way_.way();
  const bool own_door = by == fleet::ContinueMode::token_ids || by == fleet::ContinueMode::raw_text;
  if (fault.kind != FaultKind::status_client && !(own_door && fault.kind == FaultKind::status_config)) return false;
  close_way();
  last_ = {};
  exchange_.held_.clear();
  exchange_.mode_ = Mode::waiting;
  exchange_.call_.reset();
  way_.refused();
  next();
  return true;
}

// The engine's record for this model promised too much.
void Exchange::Steps::close_way() {
  const auto& offer = *exchange_.offer_;
  offer.ways->close(fleet::way(way_.way()), exchange_.now());
  exchange_.world_.figures().registry.counter("tributary_continuation_refusals_total", "Ways of going on that an engine refused, by way.",
                                              {{"way", std::string(fleet::name(way_.way()))}}).add();
  telemetry::log(telemetry::Level::warning, "continuation_refused",
                 {{"site", offer.site}, {"model", offer.model}, {"engine", offer.can.engine}, {"version", offer.can.version},
                  {"way", fleet::name(way_.way())}, {"left", fleet::words_of(offer.ways_left(exchange_.now()))}});
}

void Exchange::Steps::translate(http::SseEvent& event) {
  if (!way_.as_chat() || event.data == "[DONE]") return;
  event_ = "data: ";
  if (!engines::chat_event(event.data, event_)) return;  // whatever it is, it is judged as it stands
  std::replace(event_.begin(), event_.end(), '\n', ' ');  // of several data lines: only between tokens
  event_ += "\n\n";
  event.raw = event_;
  event.data = std::string_view(event_).substr(6, event_.size() - 8);
}

}  // namespace trib::exchange

#include "gateway/exchange/hedge.h"

#include <algorithm>

#include "gateway/routing/routing.h"

namespace trib::exchange {
namespace {

constexpr std::int64_t ms = 1'000'000;
constexpr std::size_t further_sites_max = 2;      // before the first byte
constexpr std::int64_t rest_after_refusal_ms = 1'000;
constexpr std::int64_t rest_ms_max = 30'000;
constexpr std::size_t error_body_max = 64u << 10;

bool is_json(std::string_view content_type) {
  const auto semicolon = content_type.find(';');
  auto type = content_type.substr(0, semicolon);
  while (!type.empty() && type.back() == ' ') type.remove_suffix(1);
  return http::iequals(type, "application/json");
}

bool is_events(std::string_view content_type) {
  return content_type.size() >= 17 && http::iequals(content_type.substr(0, 17), "text/event-stream");
}

// The second look at the privacy tier, by code of its own: the last gate before a prompt leaves.
bool may_see(const fleet::Offer& offer, config::Privacy tier) {
  if (tier == config::Privacy::any) return true;
  const bool servers = offer.kind == config::SiteKind::datacenter || offer.kind == config::SiteKind::hosted;
  return tier == config::Privacy::dc && servers;
}

std::int64_t retry_after_of(const http::ResponseHead& head) {
  const std::string_view text = head.find("Retry-After");
  std::int64_t seconds = 0;
  for (const char c : text) {
    if (c < '0' || c > '9' || seconds > 86'400) return 0;
    seconds = seconds * 10 + (c - '0');
  }
  return seconds * 1000;
}

// Never shortened: two refusals may come in any order.
void rest(const fleet::Offer& offer, std::int64_t until_ns) {
  auto& until = offer.rest->until_ns;
  auto seen = until.load(std::memory_order_relaxed);
  while (seen < until_ns && !until.compare_exchange_weak(seen, until_ns, std::memory_order_relaxed)) {
  }
}

}  // namespace

Exchange::Exchange(World& world, Order order, net::Responder& responder)
    : world_(world), order_(std::move(order)), responder_(responder), stream_(order_.facts.stream),
      scanner_(order_.terms->limits.event_bytes) {
  final_.admit = std::move(order_.admit);
  followed_ = stream_ && order_.terms->continuations > 0 && order_.facts.n == 1 && !order_.facts.grammar && !order_.facts.logprobs;
  world_.figures().open.add(1);
}

Exchange::~Exchange() {
  world_.hold_bytes(-held_bytes_ - text_held_);
  world_.figures().open.add(-1);
}

void Exchange::start() {
  started_ns_ = now();
  noted_ns_ = started_ns_;
  const auto lsn = world_.journal().append(final_.admit);
  wait_first_ = lsn;
  if (lsn == 0) return on_journal_failed();  // never admitted: no FINAL either
  dispatch();
}

void Exchange::dispatch() {
  const auto fleet = world_.fleet();
  const routing::Wish wish{order_.facts.model, order_.privacy, excluded_};
  const auto choice = routing::choose(*fleet, wish, world_.rng(), now());
  if (choice.offer == nullptr) {
    if (choice.retry_after_ms > 0) note_retry_after(choice.retry_after_ms);
    // Where a site was asked, what went wrong there is the reason.
    give_up(last_fault_ ? last_fault_ : Fault{FaultKind::no_capacity, Side::none, Retry::never, "no site is free for this model"});
    return;
  }
  auto body = engines::engine_body(order_.body, order_.facts, choice.offer->engine_model, choice.offer->can, order_.context);
  send_to(choice.offer, std::string(engines::engine_path(order_.facts.operation)), std::move(body));
}

// One attempt: on record first, then on its way.
void Exchange::send_to(fleet::OfferPtr offer, std::string path, std::string body) {
  offer_ = std::move(offer);
  if (const Fault fault = record_attempt(*offer_)) return head_sent_ ? break_off(fault) : give_up(fault);
  current_ = final_.results.size() - 1;
  mode_ = Mode::waiting;
  cleared_ = false;
  text_sent_ = text_.size();
  open_ = fleet::OpenAttempt(offer_->load);
  call_deadline_ns_ = now() + first_due_ms() * ms;
  spoke_ = false;
  if (order_.hedge_after_ms > 0 && !head_sent_ && !hedged_) hedge_due_ns_ = now() + order_.hedge_after_ms * ms;
  call_ = world_.call(*offer_, request_for(*offer_, std::move(path), std::move(body)), *this);
  if (call_ == nullptr) {  // its tunnel went between the choice and now
    attempt_failed({FaultKind::tunnel_lost, Side::site_network, Retry::elsewhere, "the site's tunnel is gone"});
    return;
  }
  arm();
}

// Appends ATTEMPT; the first byte waits for it. A fault: none was recorded, and nothing may be sent.
Fault Exchange::record_attempt(const fleet::Offer& offer) {
  if (!may_see(offer, order_.privacy)) {
    telemetry::log(telemetry::Level::error, "tier_mismatch_at_dispatch",
                   {{"request", final_.admit.id.text()}, {"site", offer.site}});
    return {FaultKind::internal, Side::gateway, Retry::never, "a site below the asked privacy tier was chosen"};
  }
  metering::Attempt attempt;
  attempt.id = final_.admit.id;
  attempt.n = static_cast<std::uint16_t>(final_.attempts.size() + 1);
  attempt.wall_ms = world_.clock().wall_ms();
  attempt.site = offer.site;
  attempt.seat = offer.seat;
  attempt.device = offer.device;
  attempt.engine = offer.can.engine;
  attempt.vendor = offer.vendor;
  attempt.contract = offer.contract;
  if (const auto* const contract = order_.book->contract_at(offer.contract, attempt.wall_ms))
    attempt.contract_version = contract->version;
  const auto lsn = world_.journal().append(attempt);
  if (lsn == 0) return {FaultKind::journal, Side::gateway, Retry::never, "the usage journal takes no record"};
  wait_first_ = lsn;
  final_.attempts.push_back(std::move(attempt));
  auto& fresh = final_.results.emplace_back();
  fresh.n = final_.attempts.back().n;
  fresh.fault = name(FaultKind::none);
  fresh.side = name(Side::none);
  return {};
}

// How long an attempt may take to its first token, or to the whole of an answer that is no stream.
std::int64_t Exchange::first_due_ms() const {
  const auto& deadlines = order_.terms->deadlines;
  const std::int64_t tokens = order_.facts.tokens_max.value_or(order_.context);
  return stream_ ? deadlines.first_token_ms : std::min(deadlines.first_token_ms + tokens * deadlines.unary_token_ms, deadlines.total_ms);
}

http::CallRequest Exchange::request_for(const fleet::Offer& offer, std::string path, std::string body) const {
  http::CallRequest request;
  if (const auto* const dialled = std::get_if<fleet::Dialled>(&offer.link)) request.path = dialled->base_path;
  request.path += path;
  request.content_type = "application/json";
  request.body = std::move(body);
  if (std::holds_alternative<fleet::Tunnelled>(offer.link))
    request.attempt = final_.admit.id.text() + '-' + std::to_string(final_.attempts.size());
  request.deadline_ms = first_due_ms();
  request.gap_ms = order_.terms->deadlines.gap_ms;
  return request;
}

void Exchange::end_attempt(const Fault& fault) {
  call_.reset();
  open_.release();
  if (final_.results.empty()) return;
  result().fault = name(fault.kind);
  result().side = name(fault.side);
  result().pieces = pieces_;  // what of it is not delivered is waste, and on record
  result().bytes = bytes_;
  if (usage_ == engines::UsageState::valid) result().claimed = claimed_;
  if (fault) world_.figures().fault(fault).add();
}

// The customer is told the smallest of all that were given.
void Exchange::note_retry_after(std::int64_t for_ms) {
  retry_after_ms_ = retry_after_ms_ == 0 ? for_ms : std::min(retry_after_ms_, for_ms);
}

bool Exchange::fits(std::string_view content_type) const {
  return stream_ ? is_events(content_type) : is_json(content_type);
}

void Exchange::on_head(const http::ResponseHead& head) {
  engine_status_ = head.status;
  last_byte_ns_ = gap_from_ns_ = now();
  const std::string_view type = head.find("Content-Type");
  if (head.status != 200) {
    refused_for_ms_ = retry_after_of(head);
    mode_ = Mode::error_body;
  } else if (fits(type)) {
    mode_ = stream_ ? Mode::events : Mode::unary;
  } else {
    attempt_failed({FaultKind::bad_content_type, Side::engine, Retry::elsewhere,
                    "the engine answered with another content type than asked for"});
    return;
  }
  held_.clear();
}

void Exchange::on_body(std::string_view bytes) {
  const std::int64_t at = now();
  if (mode_ != Mode::error_body && !std::exchange(spoke_, true)) {
    hedge_due_ns_ = 0;
    drop_rival({FaultKind::outrun, Side::none, Retry::never, {}});
  }
  if (cleared_) world_.figures().gap.observe_ns(at - last_byte_ns_);
  last_byte_ns_ = at;
  switch (mode_) {
    case Mode::events:
      read_events(bytes);
      return;
    case Mode::unary:
    case Mode::unary_committed:
      gap_from_ns_ = at;
      take_unary(bytes);
      return;
    case Mode::error_body:
      if (held_.size() < error_body_max) held_.append(bytes.substr(0, error_body_max - held_.size()));
      return;
    case Mode::waiting:
    case Mode::ended:
      return;
  }
}

void Exchange::on_end() {
  call_.reset();  // the connection is back in its pool
  switch (mode_) {
    case Mode::events:
      if (done_seen_) return;  // FINAL is on its way
      // Without [DONE] every choice must have said its finish.
      if (scanner_.held_bytes() > 0 || finishes_ < order_.facts.n) {
        attempt_failed({FaultKind::cut, Side::engine, Retry::elsewhere, "the stream ended without a finish"});
        return;
      }
      finish_events();  // whole, if without [DONE]: a warning for the dialect
      return;
    case Mode::unary:
    case Mode::unary_committed:
      finish_unary();
      return;
    case Mode::error_body: {
      engine_error_ = engines::read_error(held_);
      attempt_failed(engines::classify_status(engine_status_, engine_error_));
      return;
    }
    case Mode::waiting:
    case Mode::ended:
      return;
  }
}

void Exchange::on_fault(const Fault& fault) {
  if (mode_ == Mode::ended) return;
  if (done_seen_) {  // whole already; only the connection broke
    call_.reset();
    return;
  }
  if (mode_ == Mode::error_body) {
    attempt_failed(engines::classify_status(engine_status_, engine_error_));
    return;
  }
  attempt_failed(fault);
}

// Who says he is busy, or does not take a connection, is left alone for a while.
void Exchange::note_rest(const fleet::Offer& offer, const Fault& fault, std::int64_t asked_ms) {
  if (fault.kind == FaultKind::status_busy) {
    const auto for_ms = asked_ms > 0 ? asked_ms : rest_after_refusal_ms;
    note_retry_after(for_ms);
    rest(offer, now() + std::min(for_ms, rest_ms_max) * ms);
  } else if (fault.kind == FaultKind::connect_refused || fault.kind == FaultKind::connect_timeout ||
             fault.kind == FaultKind::connect_failed) {
    rest(offer, now() + rest_after_refusal_ms * ms);
  }
}

// One attempt is over and the answer is not whole: move, or end honestly.
void Exchange::attempt_failed(Fault fault) {
  const std::int64_t at = now();
  end_attempt(fault);
  last_fault_ = fault;
  note_rest(*offer_, fault, refused_for_ms_);
  const bool in_its_hands = fault.side == Side::engine || fault.kind == FaultKind::reset_before_head ||
                            fault.kind == FaultKind::cut;
  if (in_its_hands && fault.kind != FaultKind::bad_content_type) ++crashes_;
  if (head_sent_) {
    if (!cleared_) drop_uncleared();
    // Every choice has said its finish: the text is whole, whatever became of the end.
    if (stream_ && finishes_ >= order_.facts.n && cleared_) return conclude(metering::Outcome::completed, 200);
    if (at >= started_ns_ + order_.terms->deadlines.total_ms * ms || !go_on(fault)) break_off(fault);
    return;
  }
  // A connection that never came about has cost nobody anything: such sites do not count.
  const bool expired = at >= started_ns_ + order_.terms->deadlines.total_ms * ms;
  excluded_.push_back(offer_->site);
  if (rival_ != nullptr && !expired && fault.retry != Retry::never) {  // another is at work on it already
    take_rival();
    return;
  }
  if (fault.retry == Retry::never || expired || crashes_ >= 2 || excluded_.size() > further_sites_max) {
    give_up(fault);
    return;
  }
  forget_attempt();
  dispatch();
}

// Nothing of a lost attempt may show in the next: not its bytes, not its words, not its wait.
void Exchange::forget_attempt() {
  world_.releases().cancel(*this);
  world_.hold_bytes(-held_bytes_);
  held_bytes_ = 0;
  held_.clear();
  role_event_.clear();
  if (!head_sent_) text_.clear();
  scanner_.reset();
  paused_ = false;
  finishes_ = 0;
  pieces_ = bytes_ = pieces_noted_ = 0;
  usage_ = engines::UsageState::absent;
  id_.clear();
  created_.clear();
  engine_error_ = {};
  refused_for_ms_ = 0;
}

void Exchange::on_drained() {
  if (!paused_ || !cleared_) return;  // before the head it can only be an earlier answer's bytes
  paused_ = false;
  last_byte_ns_ = gap_from_ns_ = now();
  if (call_ != nullptr) call_->resume();
  arm();
}

void Exchange::on_gone(const Fault& fault) {
  if (mode_ == Mode::ended) return;
  drop_rival(fault);
  end_attempt(fault);
  conclude(metering::Outcome::cancelled, 499);
}

void Exchange::on_drain_expired() {
  if (mode_ == Mode::ended) return;
  attempt_failed({FaultKind::draining, Side::gateway, Retry::never, "the gateway went down before the answer ended"});
}

// Is the engine still to say its first? What has come and waits for the disk is not its to answer for.
bool Exchange::first_due() const {
  if (cleared_ || mode_ == Mode::unary_committed) return false;
  return mode_ != Mode::events || held_.empty();
}

// One timer serves all deadlines: it is due at the nearest, and looks which it is.
void Exchange::arm() {
  if (mode_ == Mode::ended) return;
  const auto& deadlines = order_.terms->deadlines;
  std::int64_t due = started_ns_ + deadlines.total_ms * ms;
  if (first_due()) {
    due = std::min(due, call_deadline_ns_);
    if (hedge_due_ns_ > 0) due = std::min(due, hedge_due_ns_);
  } else if (!paused_) {
    due = std::min(due, gap_from_ns_ + deadlines.gap_ms * ms);
  }
  if (stream_ && head_sent_ && !paused_) due = std::min(due, last_sent_ns_ + deadlines.keepalive_ms * ms);
  world_.wheel().arm(timer_, due);
}

void Exchange::on_timer() {
  const auto& deadlines = order_.terms->deadlines;
  const std::int64_t at = now();
  if (tail_ready_) return;
  if (at >= started_ns_ + deadlines.total_ms * ms) {
    attempt_failed({FaultKind::total_timeout, Side::engine, Retry::never, "deadlines.total has passed"});
  } else if (hedge_due_ns_ > 0 && first_due() && at >= hedge_due_ns_ && at < call_deadline_ns_) {
    hedge_due_ns_ = 0;
    start_rival();
    arm();
  } else if (first_due() && at >= call_deadline_ns_) {
    if (mode_ == Mode::waiting) {
      attempt_failed({FaultKind::head_timeout, Side::engine, Retry::elsewhere, "no answer within deadlines.first_token"});
    } else {
      attempt_failed({FaultKind::first_token_timeout, Side::engine, Retry::elsewhere, "no token within deadlines.first_token"});
    }
  } else if (!first_due() && !paused_ && at >= gap_from_ns_ + deadlines.gap_ms * ms) {
    attempt_failed({FaultKind::gap_timeout, Side::engine, Retry::elsewhere, "silence for deadlines.gap in mid-stream"});
  } else {
    if (stream_ && head_sent_ && !paused_ && at >= last_sent_ns_ + deadlines.keepalive_ms * ms) {
      last_sent_ns_ = at;
      if (responder_.unsent_bytes() == 0) responder_.body(": keep-alive\n\n", false);
    }
    arm();
  }
}

}  // namespace trib::exchange

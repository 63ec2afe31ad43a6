#include <algorithm>

#include "gateway/exchange/hedge.h"
#include "gateway/exchange/steps.h"

namespace trib::exchange {
namespace {

constexpr std::int64_t ms = 1'000'000;
constexpr std::size_t further_sites_max = 2;      // before the first byte
constexpr std::int64_t rest_after_refusal_ms = 1'000;
constexpr std::uint64_t low_value_tokens = 256;  // such a short answer may be the trial of an offer
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

}  // namespace

std::int64_t retry_after_of(const http::ResponseHead& head) {
  const std::string_view text = head.find("Retry-After");
  std::int64_t seconds = 0;
  for (const char c : text) {
    if (c < '0' || c > '9' || seconds > 86'400) return 0;
    seconds = seconds * 10 + (c - '0');
  }
  return seconds * 1000;
}

namespace {

void count_line(Figures& figures, std::string_view what) {
  figures.registry.counter("tributary_line_total", "Requests that found nothing free, by what became of them in line.",
                           {{"what", std::string(what)}}).add();
}

// What the supply side gets of the price at this offer, as of the request's admission.
std::uint32_t supplier_ppm(const void* who, const fleet::Offer& offer) {
  const auto& [book, wall_ms] = *static_cast<const std::pair<const ledger::Book*, std::int64_t>*>(who);
  const auto* const contract = book->contract_at(offer.contract, wall_ms);
  return contract == nullptr ? 0 : 1'000'000 - contract->shares.platform;
}

}  // namespace

namespace {

struct KeptBlocks {
  std::vector<void*> blocks;
  ~KeptBlocks() {
    for (void* const block : blocks) ::operator delete(block);
  }
};
thread_local KeptBlocks kept;
#if defined(__SANITIZE_ADDRESS__)
constexpr std::size_t kept_max = 0;  // so that a use after the end shows
#else
constexpr std::size_t kept_max = 64;
#endif

}  // namespace

void* Exchange::operator new(std::size_t size) {
  if (kept.blocks.empty()) return ::operator new(size);
  void* const block = kept.blocks.back();
  kept.blocks.pop_back();
  return block;
}

void Exchange::operator delete(void* block, std::size_t) {
  if (kept.blocks.size() < kept_max) {
    kept.blocks.push_back(block);
  } else {
    ::operator delete(block);
  }
}

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

routing::Choice Exchange::find_offer() {
  if (turn_ != nullptr) return {std::exchange(turn_, nullptr)};
  return choose(excluded_, false);
}

routing::Choice Exchange::choose(std::span<const std::string> excluded, bool going_on) {
  routing::Wish wish{order_.facts.model, order_.privacy, excluded, order_.terms->routing.of(order_.facts.model)};
  wish.going_on = going_on;
  wish.prompt_tokens = order_.facts.text_pieces;
  wish.answer_tokens = order_.facts.tokens_max.value_or(0);
  const auto fleet = world_.fleet();
  const auto offers = fleet->by_model.find(order_.facts.model);
  if (offers != fleet->by_model.end() && offers->second.size() > 1)  // else there is no place to come back to
    wish.head = conversation_ != 0 ? conversation_ : (conversation_ = routing::conversation_head(order_.body, order_.tenant->id()));
  wish.low_value = excluded_.empty() && wish.answer_tokens > 0 && wish.answer_tokens <= low_value_tokens;
  const std::pair book(order_.book.get(), final_.admit.wall_ms);
  wish.supplier_ppm = supplier_ppm;
  wish.who = &book;
  return world_.router().choose(*fleet, wish, world_.rng(), now());
}

// Nothing is free, or others were here first. False: it may not wait either.
bool Exchange::wait_for_turn(routing::Why why) {
  if (why != routing::Why::full) return false;
  const std::uint64_t tokens = order_.facts.text_pieces + order_.facts.tokens_max.value_or(order_.context);
  const routing::Line::Entry entry{order_.tenant->id(), order_.tenant->priority(), tokens,
                                   started_ns_ + order_.terms->deadlines.total_ms * ms};
  const auto refused = world_.router().lines().wait(*this, order_.facts.model, entry, now());
  count_line(world_.figures(), refused ? "refused" : "waits");
  if (refused && *refused > 0) note_retry_after(*refused);
  if (!refused) timer_.cancel();  // of an attempt before: the line keeps the time
  return !refused;
}

bool Exchange::on_asked() {
  turn_ = find_offer().offer;
  if (turn_ == nullptr) return false;
  count_line(world_.figures(), "served");
  open_ = fleet::OpenAttempt(turn_->load);
  return true;
}

void Exchange::on_sent_away(std::int64_t retry_after_ms) {
  count_line(world_.figures(), "sent_away");
  note_retry_after(retry_after_ms);
  give_up(last_fault_ ? last_fault_ : Fault{FaultKind::no_capacity, Side::none, Retry::never, "its time in line is up"});
}

void Exchange::dispatch() {
  // Who has lost an attempt has waited already; everybody else stays behind those who wait.
  const bool behind = turn_ == nullptr && excluded_.empty() && world_.router().lines().any(order_.facts.model);
  const auto choice = behind ? routing::Choice{nullptr, routing::Why::full} : find_offer();
  if (choice.offer == nullptr) {
    if (wait_for_turn(choice.why)) return;
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
  if (!begin_attempt(std::move(offer))) return;
  call_ = world_.call(*offer_, request_for(*offer_, std::move(path), std::move(body)), *this);
  if (call_ == nullptr) {  // its tunnel went between the choice and now
    attempt_failed({FaultKind::tunnel_lost, Side::site_network, Retry::elsewhere, "the site's tunnel is gone"});
    return;
  }
  arm();
}

// False: it could not be put on record, and the request has ended.
bool Exchange::begin_attempt(fleet::OfferPtr offer) {
  offer_ = std::move(offer);
  if (const Fault fault = record_attempt(*offer_)) {
    head_sent_ ? break_off(fault) : give_up(fault);
    return false;
  }
  current_ = final_.results.size() - 1;
  mode_ = Mode::waiting;
  cleared_ = false;
  text_sent_ = text_.size();
  open_ = fleet::OpenAttempt(offer_->load);
  attempt_ns_ = now();
  first_ns_ = 0;
  slowed_ = false;
  call_deadline_ns_ = now() + first_due_ms() * ms;
  spoke_ = false;
  const std::int64_t hedge_after_ms = order_.tenant->hedge_after_ms();
  if (hedge_after_ms > 0 && !head_sent_ && !hedged_) hedge_due_ns_ = now() + hedge_after_ms * ms;
  return true;
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
  steps_.reset();
  open_.release();
  if (final_.results.empty()) return;
  result().fault = name(fault.kind);
  result().side = name(fault.side);
  result().pieces = pieces_;  // what of it is not delivered is waste, and on record
  result().bytes = bytes_;
  if (usage_ == engines::UsageState::valid) result().claimed = claimed_;
  if (fault) world_.figures().fault(fault).add();
  tell_router(fault);
}

// Of an offer that was chosen beside the current one.
void Exchange::tell_router_of(const fleet::OfferPtr& offer, const Fault& fault, std::int64_t retry_after_ms) {
  world_.router().report(*world_.fleet(), {offer, fault.kind, fault.side, retry_after_ms, {}}, world_.rng(), now());
}

// Once an attempt: what it showed of its offer.
void Exchange::tell_router(const Fault& fault) {
  if (attempt_ns_ == 0) return;
  const std::int64_t at = now();
  routing::Sample sample;
  if (first_ns_ != 0) sample.first_ns = first_ns_ - attempt_ns_;
  if (!slowed_) sample.rest_ns = at - (first_ns_ != 0 ? first_ns_ : attempt_ns_);
  sample.tokens = usage_ == engines::UsageState::valid ? claimed_.output + claimed_.reasoning : pieces_;
  sample.whole = !fault;
  world_.router().report(*world_.fleet(), {offer_, fault.kind, fault.side, refused_for_ms_, sample}, world_.rng(), at);
  attempt_ns_ = 0;
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
  if (first_ns_ == 0 && pieces_ > 0) first_ns_ = last_byte_ns_;  // the read before this one
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
      const Fault fault = engines::classify_status(engine_status_, engine_error_);
      if (steps_ == nullptr || !steps_->refused(fault)) attempt_failed(fault);
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

// One attempt is over and the answer is not whole: move, or end honestly.
void Exchange::attempt_failed(Fault fault) {
  const std::int64_t at = now();
  end_attempt(fault);
  last_fault_ = fault;
  if (fault.kind == FaultKind::status_busy) {
    const auto for_ms = refused_for_ms_ > 0 ? refused_for_ms_ : rest_after_refusal_ms;
    note_retry_after(for_ms);
  }
  const bool in_its_hands = fault.side == Side::engine || fault.kind == FaultKind::reset_before_head ||
                            fault.kind == FaultKind::cut;
  if (in_its_hands && fault.kind != FaultKind::bad_content_type) {
    if (++crashes_ == 1) {
      crashed_ = offer_;
    } else if (crashed_ != nullptr) {  // two independent sites: it is the request
      routing::Router::forgive(*crashed_);
      routing::Router::forgive(*offer_);
      crashed_.reset();
    }
  }
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
  slowed_ = true;
  if (call_ != nullptr) call_->resume();
  arm();
}

void Exchange::on_gone(const Fault& fault) {
  if (mode_ == Mode::ended) return;
  drop_rival(fault);
  if (attempt_ns_ != 0) end_attempt(fault);  // else it waits in line
  conclude(metering::Outcome::cancelled, 499);
}

void Exchange::on_drain_expired() {
  if (mode_ == Mode::ended) return;
  if (attempt_ns_ == 0)
    return give_up({FaultKind::draining, Side::gateway, Retry::never, "the gateway went down before its turn"});
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

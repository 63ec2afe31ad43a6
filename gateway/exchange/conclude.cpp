// How a request ends: what is billed, the FINAL record, and the last bytes.
#include <algorithm>

#include "gateway/exchange/exchange.h"

namespace trib::exchange {
namespace {

// Tokens a prompt may have beyond its bytes: the template's own.
constexpr std::uint64_t template_tokens_max = 1024;

std::int64_t whole_seconds(std::int64_t for_ms) { return std::max<std::int64_t>(1, (for_ms + 999) / 1000); }

}  // namespace

// The billed count (ledger.md 4.7). Without an exact tokenizer: the engine's claim where it is
// plausible for the bytes that came, else the gateway's own count of pieces, marked as an estimate.
metering::TokenCounts Exchange::counted(metering::Outcome outcome, metering::CountSource& source) const {
  using metering::CountSource;
  using metering::Outcome;
  metering::TokenCounts counts;
  source = CountSource::none;
  const std::uint64_t pieces = before_pieces_ + pieces_, bytes = before_bytes_ + bytes_;
  const bool embeddings = order_.facts.operation == engines::Operation::embeddings;
  if (outcome == Outcome::failed || outcome == Outcome::refused) return counts;
  const bool cancelled = outcome == Outcome::cancelled;
  const std::uint64_t arrived = cancelled ? pieces_of_a_leaver() : pieces;
  const bool any_output = arrived > 0 || (bytes > 0 && (!cancelled || arrived == pieces));
  // Zero output comes before every other rule: the prompt alone is billed only where a contract says so.
  if (!any_output && !(embeddings && outcome == Outcome::completed) && !bills_input_alone(outcome)) return counts;

  const bool claims = usage_ == engines::UsageState::valid;
  const std::uint64_t claimed_output = claimed_.output + claimed_.reasoning;
  const bool plausible_output = claims && outcome == Outcome::completed &&
                                (embeddings ? claimed_output == 0
                                            : claimed_output <= bytes_ + 2 && (claimed_output >= 1 || !any_output));
  bool estimated = false;
  if (plausible_output) {
    counts.output = before_pieces_ + claimed_.output;
    counts.reasoning = claimed_.reasoning;
    estimated = before_pieces_ > 0;  // of what broke there was no claim
  } else if (!embeddings) {
    const bool too_high = claims && claimed_output > bytes_ + 2;
    counts.output = before_pieces_ + (too_high ? std::min(claimed_output, pieces_) : pieces_);
    if (cancelled) counts.output = std::min(counts.output, arrived);
    estimated = true;
  }
  const auto on_break = outcome == Outcome::partial ? policies().on_break : config::OnBreak::all;
  if (on_break == config::OnBreak::nothing) return {};
  if (on_break == config::OnBreak::output_only) {
    source = estimated ? CountSource::estimate : CountSource::claimed;
    return counts;
  }
  if (seams_ > 0) {
    counts.input = input_before_seams();
    source = CountSource::estimate;
    return counts;
  }
  const std::uint64_t claimed_input = claimed_.input + claimed_.cached_input + claimed_.cache_write;
  if (claims && claimed_input >= 1 && claimed_input <= order_.body.size() + template_tokens_max) {
    counts.input = claimed_.input;
    counts.cached_input = claimed_.cached_input;
    counts.cache_write = claimed_.cache_write;
  } else {
    counts.input = std::max<std::uint64_t>(1, order_.facts.text_pieces);
    estimated = true;
  }
  source = estimated ? CountSource::estimate : CountSource::claimed;
  return counts;
}

// Of the contract under which the current attempt was dispatched; the defaults before there is one.
const config::Policies& Exchange::policies() const {
  static const config::Policies defaults;
  if (final_.attempts.empty()) return defaults;
  const metering::Attempt& attempt = final_.attempts[current_];
  const auto* const contract = order_.book->contract(attempt.contract, attempt.contract_version);
  return contract == nullptr ? defaults : contract->policies;
}

// A site was at work, the supply did not break off, and the contract bills what it read.
bool Exchange::bills_input_alone(metering::Outcome outcome) const {
  if (final_.results.empty() || policies().zero_output != config::ZeroOutput::input) return false;
  if (outcome == metering::Outcome::completed) return true;
  return outcome == metering::Outcome::cancelled && final_.results[current_].side == name(Side::client);
}

// What a customer who left is billed of the output: all that had come, or by contract what had been sent or
// has arrived, in proportion to the bytes of it that had not.
std::uint64_t Exchange::pieces_of_a_leaver() const {
  const auto policy = policies().on_cancel;
  if (policy == config::OnCancel::received) return before_pieces_ + pieces_;
  const std::uint64_t sent = before_pieces_ + (cleared_ ? pieces_ : 0);
  const std::uint64_t missing = policy == config::OnCancel::delivered ? responder_.unsent_bytes() : responder_.unacknowledged_bytes();
  if (missing == 0 || sent_bytes_ == 0) return sent_bytes_ == 0 ? 0 : sent;
  return static_cast<std::uint64_t>(static_cast<money::int128>(sent) * (sent_bytes_ - std::min(missing, sent_bytes_)) / sent_bytes_);
}

// The prompt as the first attempt had it. The text that was sent again with it is neither new output nor
// new prompt, and no discount for a cache is given that nobody has seen.
std::uint64_t Exchange::input_before_seams() const {
  const auto whole = [](const metering::TokenCounts& c) { return c.input + c.cached_input + c.cache_write; };
  const auto plausible = [&](std::uint64_t n) { return n >= 1 && n <= order_.body.size() + template_tokens_max; };
  if (first_claim_ && plausible(whole(*first_claim_))) return whole(*first_claim_);
  if (usage_ == engines::UsageState::valid && whole(claimed_) > before_pieces_ && plausible(whole(claimed_) - before_pieces_))
    return whole(claimed_) - before_pieces_;
  return std::max<std::uint64_t>(1, order_.facts.text_pieces);
}

// Less is billed than earlier attempts had delivered: what is billed is the first of it.
void Exchange::cut_delivered(std::uint64_t output) {
  for (auto& result : final_.results) {
    result.delivered = std::min(result.delivered, output);
    output -= result.delivered;
  }
}

// An engine may send, or claim, more than was asked for: that is not the customer's to pay, and was not held.
metering::TokenCounts Exchange::billed(metering::Outcome outcome, metering::CountSource& source) const {
  metering::TokenCounts c = counted(outcome, source);
  const auto cut = [&](std::uint64_t bound, std::initializer_list<std::uint64_t*> classes) {
    for (std::uint64_t* const n : classes) {
      if (*n > bound) {
        *n = bound;
        source = metering::CountSource::estimate;
      }
      bound -= *n;
    }
  };
  cut(order_.input_max, {&c.cached_input, &c.cache_write, &c.input});
  cut(order_.output_max, {&c.reasoning, &c.output});
  return c;
}

// Appends FINAL, settles the hold, and lets the tail go once FINAL is released.
void Exchange::conclude(metering::Outcome outcome, int status) {
  TRIB_ASSERT(mode_ != Mode::ended);
  mode_ = Mode::ended;
  drop_rival({FaultKind::outrun, Side::none, Retry::never, {}});
  timer_.cancel();
  world_.router().lines().leave(*this);
  open_.release();
  if (outcome == metering::Outcome::completed) tell_router({});
  metering::Final& final = final_;
  final.wall_ms = std::max(world_.clock().wall_ms(), final_.admit.wall_ms);
  final.outcome = outcome;
  final.status = static_cast<std::uint16_t>(status);
  final.counts = billed(outcome, final.source);
  final.bytes_delivered = before_bytes_ + bytes_;
  if (!final_.results.empty()) {
    result().pieces = std::max(result().pieces, pieces_);
    result().bytes = std::max(result().bytes, bytes_);
    const std::uint64_t output = final.counts.output + final.counts.reasoning;
    result().delivered = output - std::min(output, before_pieces_);
    if (output < before_pieces_) cut_delivered(output);
    if (usage_ == engines::UsageState::valid) result().claimed = claimed_;
  }
  const bool gone = outcome == metering::Outcome::cancelled;
  if (!order_.hold.claim()) {  // it expired: its money may be held for another by now
    final.outcome = outcome = metering::Outcome::failed;
    final.status = static_cast<std::uint16_t>(status = 503);
    final.counts = {};
    final.source = metering::CountSource::none;
    cut_delivered(0);
    tail_ = error_json("The request has taken too long. Nothing of it is billed.", "server_error", {}, "hold_expired");
    if (stream_ && head_sent_) tail_ = "data: " + tail_ + "\n\n";
    telemetry::log(telemetry::Level::error, "hold_expired", {{"request", final.admit.id.text()}, {"then", "nothing is charged"}});
  }
  const auto charge = final.counts.total() == 0 ? money::Amount{} : ledger::gross(*order_.price, final.counts);
  world_.router().lines().ended(*this, order_.facts.model, order_.tenant->id(), order_.tenant->priority(), final.counts.total());
  auto& figures = world_.figures();
  figures.outcome(outcome).add();
  figures.tokens_in.add(final.counts.input + final.counts.cached_input + final.counts.cache_write);
  figures.tokens_out.add(final.counts.output + final.counts.reasoning);
  ended_ns_ = now();
  wait_last_ = world_.journal().append(final);
  if (wait_last_ != 0) {
    std::optional<std::uint64_t> length;
    if (outcome == metering::Outcome::completed) length = final.counts.output + final.counts.reasoning;
    order_.hold.settle({now(), final.wall_ms, final.counts.total(), length, charge});
    if (order_.concluded) order_.concluded(final, charge);
  } else {  // the ledger will not hear of it, so nothing is charged
    order_.hold.drop();
  }

  if (gone) return;
  if (stream_ && outcome == metering::Outcome::completed) {
    if (order_.facts.include_usage) {
      const bool chat = order_.facts.operation == engines::Operation::chat;
      std::string model;
      json::quote(order_.facts.model, model);
      tail_ = "data: {\"id\":" + (id_.empty() ? "\"" + final_.admit.id.text() + "\"" : id_) + ",\"object\":\"" +
              (chat ? "chat.completion.chunk" : "text_completion") + "\",\"created\":" +
              (created_.empty() ? std::to_string(final_.admit.wall_ms / 1000) : created_) + ",\"model\":" + model +
              ",\"choices\":[],\"usage\":" + engines::usage_json(final.counts, order_.facts.operation) + "}\n\n";
    }
    tail_ += "data: [DONE]\n\n";
  }
  status_ = status;
  tail_ready_ = true;
  const auto state = wait_last_ == 0 ? ReleaseQueue::Now::failed : world_.releases().wait(*this, wait_last_);
  if (state == ReleaseQueue::Now::released) send_tail();
  if (state == ReleaseQueue::Now::failed) on_journal_failed();
}

void Exchange::on_released() {
  if (tail_ready_) {
    send_tail();
    return;
  }
  if (!cleared_ && (mode_ == Mode::events || mode_ == Mode::unary_committed)) {
    let_go();
    arm();
  }
}

// The journal can hold nothing more: nothing that was not recorded may look whole.
void Exchange::on_journal_failed() {
  const Fault fault{FaultKind::journal, Side::gateway, Retry::never, "the usage journal has failed"};
  drop_rival(fault);
  if (mode_ != Mode::ended) {
    world_.router().lines().leave(*this);
    end_attempt(fault);
    mode_ = Mode::ended;
    timer_.cancel();
    order_.hold.drop();
  }
  if (order_.concluded && wait_last_ != 0) {  // what was concluded is not on record: the answer is not one to repeat
    final_.outcome = metering::Outcome::failed;
    final_.counts = {};
    order_.concluded(final_, {});
  }
  if (head_sent_) {
    if (stream_) {
      const std::string event = "data: " + error_json("The gateway cannot record usage; the answer is not complete.",
                                                      "upstream_error", {}, "stream_broken") + "\n\n";
      responder_.body(event, true);
    } else {
      responder_.abort();
    }
    return;
  }
  std::string fields;
  fields.reserve(192);
  http::write_field(fields, "Content-Type", "application/json");
  http::write_field(fields, "Retry-After", "5");
  http::write_field(fields, "x-request-id", final_.admit.id.text());
  const std::string text = error_json("The gateway cannot record usage at the moment. Try again later.",
                                      "server_error", {}, "journal_unavailable");
  responder_.head(503, fields, text.size());
  responder_.body(text, true);
}

// The last bytes. Whatever this calls last may destroy the exchange.
void Exchange::send_tail() {
  world_.figures().journal_wait.observe_ns(now() - ended_ns_);
  if (head_sent_) {
    if (!stream_ && status_ != 200) {
      responder_.abort();
    } else {
      if (stream_ && !held_.empty()) let_go();
      responder_.body(tail_, true);
    }
    return;
  }
  if (status_ == 200 && stream_) {
    let_go();
    responder_.body(tail_, true);
    return;
  }
  thread_local std::string fields;  // keeps its memory
  fields.clear();
  http::write_field(fields, "Content-Type", "application/json");
  if (status_ == 503) http::write_field(fields, "Retry-After", static_cast<std::uint64_t>(whole_seconds(retry_after_ms_)));
  http::write_field(fields, "x-request-id", final_.admit.id.text());
  const std::string& text = status_ == 200 ? held_ : tail_;
  if (status_ == 200) world_.figures().first_token.observe_ns(now() - started_ns_);
  responder_.head(status_, fields, text.size());
  responder_.body(text, true);
}

// Nothing was sent and no further site will be asked.
void Exchange::give_up(const Fault& fault) {
  int status = 502;
  std::string message = "The model's sites could not answer this request. Try again.";
  std::string code = "upstream_error";
  std::string_view type = "server_error";
  auto outcome = metering::Outcome::failed;
  switch (fault.kind) {
    case FaultKind::status_client:
      status = engine_status_ == 413 ? 413 : 400;
      message = engine_error_.message.empty() ? "The engine refused the request as malformed." : engine_error_.message;
      type = "invalid_request_error";
      code = {};
      outcome = metering::Outcome::refused;
      break;
    case FaultKind::context_length:
      status = 400;
      message = engine_error_.message.empty() ? "The request is longer than the model's context." : engine_error_.message;
      type = "invalid_request_error";
      code = "context_length_exceeded";
      outcome = metering::Outcome::refused;
      break;
    case FaultKind::no_capacity:
    case FaultKind::status_busy:
    case FaultKind::connect_refused:
    case FaultKind::tunnel_lost:
    case FaultKind::refused_stream:
    case FaultKind::reclaimed:
    case FaultKind::draining:
    case FaultKind::journal:
      status = 503;
      message = "No site is free for this model at the moment. Try again after the time in Retry-After.";
      code = fault.kind == FaultKind::journal ? "journal_unavailable" : "no_capacity";
      break;
    case FaultKind::head_timeout:
    case FaultKind::first_token_timeout:
    case FaultKind::gap_timeout:
    case FaultKind::total_timeout:
    case FaultKind::connect_timeout:
      status = 504;
      message = "The model's sites did not answer in time. Try again.";
      code = "upstream_timeout";
      break;
    default:
      break;
  }
  tail_ = error_json(message, type, {}, code);
  pieces_ = bytes_ = 0;
  conclude(outcome, status);
}

// Bytes have been sent: the stream ends in a typed error, without [DONE]; a body is cut visibly.
void Exchange::break_off(const Fault& fault) {
  (void)fault;  // kept with the attempt; the customer is told no more than that it broke
  if (stream_) {
    const bool free = policies().on_break == config::OnBreak::nothing;
    tail_ = "data: " + error_json(std::string("The answer broke off and could not be continued. ") +
                                      (free ? "Nothing of it is billed." : "What was received is billed."),
                                  "upstream_error", {}, "stream_broken") + "\n\n";
  }
  conclude(metering::Outcome::partial, 502);
}

std::string error_json(std::string_view message, std::string_view type, std::string_view param, std::string_view code) {
  std::string out = "{\"error\":{\"message\":";
  json::quote(message, out);
  out += ",\"type\":";
  json::quote(type, out);
  out += ",\"param\":";
  if (param.empty()) out += "null"; else json::quote(param, out);
  out += ",\"code\":";
  if (code.empty()) out += "null"; else json::quote(code, out);
  out += "}}";
  return out;
}

std::string_view error_type(int status) {
  switch (status) {
    case 401: return "authentication_error";
    case 402: return "insufficient_quota";
    case 403: return "permission_error";
    case 404: return "not_found_error";
    case 429: return "rate_limit_error";
    default: return status >= 500 ? "server_error" : "invalid_request_error";
  }
}

Figures::Figures(telemetry::Registry& r)
    : registry(r),
      events(r.counter("tributary_relay_writes_total", "Writes of relayed events to customers.")),
      tokens_in(r.counter("tributary_tokens_total", "Tokens billed, by direction.", {{"direction", "input"}})),
      tokens_out(r.counter("tributary_tokens_total", "Tokens billed, by direction.", {{"direction", "output"}})),
      first_token(r.histogram("tributary_time_to_first_token_seconds", "From the admitted request to the first byte of its answer.")),
      gap(r.histogram("tributary_token_gap_seconds", "Between two reads of one stream.")),
      seam(r.histogram("tributary_seam_seconds", "From the last byte of a stream that broke to the first of the site that went on.")),
      journal_wait(r.histogram("tributary_journal_wait_seconds", "What the last byte of an answer waited for the journal.", {},
                               telemetry::Histogram::fine_bounds_us)),
      continuations(r.counter("tributary_continuations_total", "Attempts to go on with a broken stream on another site.")),
      hedges(r.counter("tributary_hedges_total", "Requests that were sent to a second site beside a silent first.")),
      open(r.gauge("tributary_requests_open", "Requests being answered.")) {
  for (std::size_t i = 0; i < 7; ++i)
    outcomes_[i] = &r.counter("tributary_requests_total", "Admitted requests, by outcome.",
                              {{"outcome", std::string(metering::name(static_cast<metering::Outcome>(i)))}});
}

telemetry::Counter& Figures::fault(const Fault& fault) {
  return registry.counter("tributary_faults_total", "Attempts that failed, by kind and side.",
                          {{"kind", std::string(name(fault.kind))}, {"side", std::string(name(fault.side))}});
}

}  // namespace trib::exchange

// The relay: events and bodies from the engine's shape to the customer's.
#include <algorithm>

#include "gateway/exchange/steps.h"

namespace trib::exchange {
namespace {

constexpr std::size_t unsent_bytes_max = 64u << 10;  // above it the engine is read no further
constexpr std::size_t role_bytes_max = 64u << 10;    // of events that say nothing, before the first text
constexpr std::uint64_t progress_pieces = 32;
constexpr std::int64_t progress_ns = 1'000'000'000;
constexpr std::size_t unary_tail_bytes = 4u << 10;  // of a large answer, kept back to its end

}  // namespace

void Exchange::read_events(std::string_view bytes) {
  thread_local std::string out;  // keeps its memory: no allocation an event; always empty between reads
  out.clear();
  http::SseEvent event;
  while (true) {
    const auto status = scanner_.next(bytes, event);
    if (status == http::SseScanner::Status::need_more) break;
    if (status == http::SseScanner::Status::too_large) {
      if (!forward(out)) return;
      attempt_failed({FaultKind::too_large, Side::engine, Retry::elsewhere, "an event is larger than limits.event"});
      return;
    }
    if (status == http::SseScanner::Status::comment || event.data.empty()) continue;
    if (done_seen_) continue;
    gap_from_ns_ = last_byte_ns_;
    if (steps_ != nullptr) steps_->translate(event);
    if (!take_event(event, out)) return;
    if (done_seen_) break;
  }
  if (!forward(out)) return;
  if (done_seen_) {
    finish_events();
    return;
  }
  note_progress();
  arm();
}

// False: the attempt has ended, and `this` may be gone.
bool Exchange::take_event(const http::SseEvent& event, std::string& out) {
  if (event.data == "[DONE]") {
    if (finishes_ == 0) {
      if (!forward(out)) return false;
      attempt_failed({FaultKind::cut, Side::engine, Retry::elsewhere, "[DONE] without a finish"});
      return false;
    }
    done_seen_ = true;
    return true;
  }
  engines::AnswerFacts facts;
  const std::size_t text_before = text_.size();
  if (followed_) facts.text = &text_;
  const bool readable = engines::read_answer(event.data, false, facts);
  if (!readable || facts.error) text_.resize(text_before);  // it is not relayed
  if (!readable) {
    if (!forward(out)) return false;
    attempt_failed({FaultKind::bad_event, Side::engine, Retry::elsewhere, "an event is not a JSON object"});
    return false;
  }
  if (facts.error) {
    if (!forward(out)) return false;
    attempt_failed({FaultKind::engine_error, Side::engine, Retry::elsewhere, "an error object inside the stream"});
    return false;
  }
  if (facts.usage != engines::UsageState::absent) {
    usage_ = facts.usage;
    claimed_ = facts.counts;
  }
  follow(facts);
  if (!facts.choices) return true;  // the usage chunk: ours is written at the end
  if (id_.empty()) {
    id_ = facts.id;
    created_ = facts.created;
  }
  pieces_ += facts.texts;
  bytes_ += facts.text_bytes;
  finishes_ += facts.finishes;

  const bool says_something = facts.texts > 0 || facts.tool_call || facts.finishes > 0;
  if (seams_ > 0 && !says_something) return true;  // its role and the like were said before the seam
  std::string quoted;
  std::array<engines::Edit, 6> edits;
  std::size_t n = 0;
  if (seams_ > 0) {  // one answer, whoever gives it
    if (facts.id_at.present() && !id_.empty() && facts.id != id_) edits[n++] = {facts.id_at, id_};
    if (facts.created_at.present() && !created_.empty() && facts.created != created_) edits[n++] = {facts.created_at, created_};
    if (facts.role_at.present()) edits[n++] = {facts.role_at, {}};
    if (!std::exchange(seam_shown_, true)) {
      out += ": the answer goes on\n\n";
      world_.figures().seam.observe_ns(last_byte_ns_ - broken_ns_);
    }
  }
  if (facts.model_at.present() && facts.model != order_.facts.model) {
    json::quote(order_.facts.model, quoted);
    edits[n++] = {facts.model_at, quoted};
  }
  if (facts.usage_at.present() && facts.usage != engines::UsageState::absent) edits[n++] = {facts.usage_at, {}};
  if (facts.timings_at.present()) edits[n++] = {facts.timings_at, {}};

  const bool begun = head_sent_ || !held_.empty() || !out.empty();
  // What says nothing, such as a role, waits for the first text, so that a site which then falls silent
  // can be replaced. It may still carry something for the customer, so it is kept, up to a bound.
  if (!says_something && !begun && role_event_.size() > role_bytes_max) return true;
  std::string& to = says_something || begun ? out : role_event_;
  if (says_something && !role_event_.empty()) {
    out += role_event_;
    role_event_.clear();
  }
  if (n == 0) {
    to += event.raw;
  } else {
    to += "data: ";
    const auto from = static_cast<std::ptrdiff_t>(to.size());
    engines::write_edited(event.data, {edits.data(), n}, to);
    std::replace(to.begin() + from, to.end(), '\n', ' ');  // of several data lines: only between tokens
    to += "\n\n";
  }
  return true;
}

// Sends what is ready, once the first byte may leave. False: the exchange has ended, and may be gone.
bool Exchange::forward(std::string& out) {
  if (out.empty()) return true;
  world_.figures().events.add();
  if (!cleared_) {
    held_ += out;
    out.clear();
    switch (world_.releases().wait(*this, wait_first_)) {
      case ReleaseQueue::Now::released:
        let_go();
        return true;
      case ReleaseQueue::Now::waiting:
        if (held_.size() > unsent_bytes_max && call_ != nullptr && !paused_) {
          paused_ = true;
          call_->pause();
        }
        return true;
      case ReleaseQueue::Now::failed:
        on_journal_failed();
        return false;
    }
  }
  last_sent_ns_ = last_byte_ns_;
  sent_bytes_ += out.size();
  responder_.body(out, false);
  out.clear();
  if (!paused_ && call_ != nullptr && responder_.unsent_bytes() > unsent_bytes_max) {
    paused_ = true;
    call_->pause();
  }
  return true;
}

// The attempt is on record: what was held for that goes out, after the head where it is the first.
void Exchange::let_go() {
  cleared_ = true;
  last_sent_ns_ = now();
  if (!std::exchange(head_sent_, true)) {
    world_.figures().first_token.observe_ns(last_sent_ns_ - started_ns_);
    std::string fields;
    fields.reserve(192);
    http::write_field(fields, "Content-Type", stream_ ? "text/event-stream; charset=utf-8" : "application/json");
    if (stream_) http::write_field(fields, "Cache-Control", "no-cache");
    http::write_field(fields, "x-request-id", final_.admit.id.text());
    responder_.head(200, fields, std::nullopt);
  }
  if (mode_ == Mode::unary_committed) {
    pass_committed();
  } else {
    const std::string held = std::exchange(held_, {});
    world_.hold_bytes(-std::exchange(held_bytes_, 0));
    sent_bytes_ += held.size();
    if (!held.empty()) responder_.body(held, false);
  }
  if (paused_ && responder_.unsent_bytes() <= unsent_bytes_max) {
    paused_ = false;
    last_byte_ns_ = gap_from_ns_ = last_sent_ns_;
    if (call_ != nullptr) call_->resume();
  }
}

void Exchange::note_progress() {
  if (!cleared_ || pieces_ == pieces_noted_) return;  // what is held back is not delivered
  const std::int64_t at = last_byte_ns_;
  if (pieces_ - pieces_noted_ < progress_pieces && at - noted_ns_ < progress_ns) return;
  noted_ns_ = at;
  note_progress_now();
}

void Exchange::note_progress_now() {
  pieces_noted_ = pieces_;
  world_.journal().append(metering::Progress{.id = final_.admit.id,
                                             .n = final_.attempts[current_].n,
                                             .wall_ms = world_.clock().wall_ms(),
                                             .pieces = pieces_,
                                             .bytes = bytes_});
}

void Exchange::take_unary(std::string_view bytes) {
  if (mode_ == Mode::unary) {
    const auto grown = static_cast<std::int64_t>(bytes.size());
    if (!world_.hold_bytes(grown)) {
      attempt_failed({FaultKind::no_capacity, Side::gateway, Retry::never, "limits.buffers is reached"});
      return;
    }
    held_bytes_ += grown;
    held_.append(bytes);
    // Below that a committed answer would send nothing yet: its break would be billed for no byte.
    if (held_.size() > std::max<std::uint64_t>(order_.terms->limits.unary_hold_bytes, 2 * unary_tail_bytes)) commit_unary();
    return;
  }
  // Committed: relayed as it comes, but for the end, where the usage stands.
  held_.append(bytes);
  bytes_ += bytes.size();
  pass_committed();
  arm();
}

// The answer is larger than limits.unary_hold: its head goes now and a later break will be visible.
void Exchange::commit_unary() {
  engines::AnswerFacts facts;
  engines::read_answer(held_, false, facts);  // of the part that is there: its end is not an error
  if (facts.error) {
    attempt_failed({FaultKind::engine_error, Side::engine, Retry::elsewhere, "an error object inside a 200"});
    return;
  }
  mode_ = Mode::unary_committed;
  bytes_ = held_.size();
  pieces_ = order_.facts.operation == engines::Operation::embeddings ? 0 : 1;  // more is not known of its text
  if (facts.model_at.present()) {
    std::string quoted;
    json::quote(order_.facts.model, quoted);
    held_.replace(facts.model_at.from, facts.model_at.to - facts.model_at.from, quoted);
  }
  switch (world_.releases().wait(*this, wait_first_)) {
    case ReleaseQueue::Now::released:
      let_go();
      break;
    case ReleaseQueue::Now::waiting:
      if (call_ != nullptr) {
        paused_ = true;
        call_->pause();
      }
      break;
    case ReleaseQueue::Now::failed:
      on_journal_failed();
      return;
  }
  arm();
}

// All but the last bytes.
void Exchange::pass_committed() {
  if (!cleared_) return;
  if (held_.size() > 2 * unary_tail_bytes) {
    const std::size_t ready = held_.size() - unary_tail_bytes;
    sent_bytes_ += ready;
    responder_.body(std::string_view(held_).substr(0, ready), false);
    held_.erase(0, ready);
    world_.hold_bytes(-std::exchange(held_bytes_, 0));
    last_sent_ns_ = last_byte_ns_;
  }
  if (!paused_ && call_ != nullptr && responder_.unsent_bytes() > unsent_bytes_max) {
    paused_ = true;
    call_->pause();
  }
}

// The end of a committed answer: what is billed is read from it, and what is the gateway's own is put
// in place. Within strings a quote is escaped, so `"usage":` can only be the member itself.
void Exchange::finish_committed() {
  const auto value_of = [&](std::string_view key) -> engines::Span {
    const auto at = held_.rfind(key);
    if (at == std::string::npos) return {};
    const std::string_view rest = std::string_view(held_).substr(at + key.size());
    json::Cursor in(rest);
    in.peek();
    const std::size_t from = in.offset();
    in.skip();
    if (!in.ok()) return {};
    return {at + key.size() + from, at + key.size() + in.offset()};
  };
  const auto usage_at = value_of("\"usage\":");
  engines::AnswerFacts facts;
  if (usage_at.present()) {
    const std::string object = "{\"usage\":" + held_.substr(usage_at.from, usage_at.to - usage_at.from) + "}";
    engines::read_answer(object, false, facts);
  }
  usage_ = facts.usage;
  claimed_ = facts.counts;
  result().pieces = pieces_;
  result().bytes = bytes_;
  metering::CountSource source{};
  const auto counts = billed(metering::Outcome::completed, source);
  std::string usage = engines::usage_json(counts, order_.facts.operation), engine_model, model;
  json::quote(offer_->engine_model, engine_model);
  json::quote(order_.facts.model, model);
  std::array<engines::Edit, 2> edits;
  std::size_t n = 0;
  if (usage_at.present() && !(facts.usage == engines::UsageState::valid && counts == claimed_)) edits[n++] = {usage_at, usage};
  const auto model_at = value_of("\"model\":");
  if (model_at.present() && held_.compare(model_at.from, model_at.to - model_at.from, engine_model) == 0)
    edits[n++] = {model_at, model};
  engines::write_edited(held_, {edits.data(), n}, tail_);
  held_.clear();
  if (!head_sent_) held_.swap(tail_);  // the head has waited so long that all goes at once
  conclude(metering::Outcome::completed, 200);
}

void Exchange::finish_events() {
  timer_.cancel();
  result().pieces = pieces_;
  result().bytes = bytes_;
  conclude(metering::Outcome::completed, 200);
}

void Exchange::finish_unary() {
  timer_.cancel();
  if (mode_ == Mode::unary_committed) {
    finish_committed();
    return;
  }
  engines::AnswerFacts facts;
  if (!engines::read_answer(held_, true, facts)) {
    attempt_failed({FaultKind::bad_event, Side::engine, Retry::elsewhere, "the body is not a JSON object"});
    return;
  }
  if (facts.error) {
    attempt_failed({FaultKind::engine_error, Side::engine, Retry::elsewhere, "an error object inside a 200"});
    return;
  }
  const bool generates = order_.facts.operation != engines::Operation::embeddings;
  if (generates ? !facts.choices : !facts.data) {
    attempt_failed({FaultKind::bad_event, Side::engine, Retry::elsewhere,
                    generates ? "an answer without choices" : "an answer without data"});
    return;
  }
  if (generates && facts.finishes == 0) {
    attempt_failed({FaultKind::cut, Side::engine, Retry::elsewhere, "an answer without a finish_reason"});
    return;
  }
  usage_ = facts.usage;
  claimed_ = facts.counts;
  pieces_ = facts.words;
  bytes_ = facts.text_bytes;
  result().pieces = pieces_;
  result().bytes = bytes_;
  metering::CountSource source{};
  const auto counts = billed(metering::Outcome::completed, source);
  std::string quoted, usage;
  std::array<engines::Edit, 3> edits;
  std::size_t n = 0;
  if (facts.model_at.present() && facts.model != order_.facts.model) {
    json::quote(order_.facts.model, quoted);
    edits[n++] = {facts.model_at, quoted};
  }
  if (facts.timings_at.present()) edits[n++] = {facts.timings_at, {}};
  if (!(facts.usage == engines::UsageState::valid && counts == claimed_)) {  // the customer sees what is billed
    usage = engines::usage_json(counts, order_.facts.operation);
    if (facts.usage_value_at.present()) {
      edits[n++] = {facts.usage_value_at, usage};
    } else {
      usage.insert(0, ",\"usage\":");
      const auto close = held_.rfind('}');
      edits[n++] = {{close, close}, usage};
    }
  }
  if (n > 0) {
    std::string out;
    out.reserve(held_.size() + 128);
    engines::write_edited(held_, {edits.data(), n}, out);
    held_ = std::move(out);
  }
  conclude(metering::Outcome::completed, 200);
}

}  // namespace trib::exchange

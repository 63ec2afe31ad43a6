#include "tests/sim/customer.h"

#include <algorithm>

namespace trib::sim {
namespace {

std::string wire(const CustomerTerms& terms, const std::string& path, const std::string& body, const std::string& fields) {
  return "POST " + path + " HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer " + terms.key +
         "\r\nContent-Type: application/json\r\n" + fields + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

}  // namespace

Customer::Customer(Timeline& timeline, Net& net, Rng& rng, Oracle& oracle, CustomerTerms terms, CustomerFigures& figures,
                   std::function<void(const std::string&, const std::string&)> violated)
    : net_(net), rng_(rng), oracle_(oracle), terms_(std::move(terms)), figures_(figures),
      violated_(std::move(violated)), life_(std::make_shared<Life>(timeline)) {}

Customer::~Customer() = default;

void Customer::start() {
  life_->after(terms_.start_ns, [this] { next(); });
}

// For the present turn only: a new request, or an answer that ended, makes it void.
void Customer::after(std::int64_t ns, void (Customer::*what)()) {
  life_->after(ns, [this, what, turn = turn_] {
    if (turn == turn_) (this->*what)();
  });
}

Customer::Sent Customer::make() {
  Sent out;
  const unsigned number = made_++;
  auto asked = std::make_shared<Asked>();
  asked->mark = "c" + std::to_string(terms_.number) + "r" + std::to_string(number);
  asked->tenant = terms_.tenant;
  asked->stream = rng_.below(100) < 65;
  asked->include_usage = asked->stream && rng_.below(2) == 0;
  const auto size = rng_.below(100);
  const std::uint64_t wish = 1 + rng_.below(size < 1 ? 900 : size < 12 ? 4 * terms_.tokens_max : terms_.tokens_max);
  const std::uint64_t limit = rng_.below(5) == 0 ? 1 + rng_.below(wish) : wish + rng_.below(20);
  asked->tokens = std::min(wish, limit);
  for (std::uint64_t i = 0; i < asked->tokens; ++i) asked->expected += asked->mark + '.' + std::to_string(i) + ' ';
  const bool chat = rng_.below(5) != 0;
  const std::string prompt = "say " + std::to_string(wish) + ' ' + asked->mark + " please" + std::string(rng_.below(20) == 0 ? 3000 : 0, 'z');
  std::string body = "{\"model\":\"m\",";
  body += chat ? "\"messages\":[{\"role\":\"user\",\"content\":\"" + prompt + "\"}]" : "\"prompt\":\"" + prompt + '"';
  body += ",\"max_tokens\":" + std::to_string(limit);
  if (asked->stream) body += ",\"stream\":true";
  if (asked->include_usage) body += ",\"stream_options\":{\"include_usage\":true}";
  body += '}';
  std::string fields;
  if (rng_.below(5) == 0) {
    const std::string key = "key-" + asked->mark;
    fields += "Idempotency-Key: " + key + "\r\n";
    asked->idempotency = key;
  }
  if (rng_.below(8) == 0) fields += "Connection: close\r\n";
  const char* path = chat ? "/v1/chat/completions" : "/v1/completions";
  out.bytes = wire(terms_, path, body, fields);
  switch (rng_.below(60)) {
    case 0:
      out.malformed = true;
      out.expected = 400;
      out.bytes = "POST " + std::string(path) + " HTTP/1.1\r\nHost: gateway\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello";
      break;
    case 1:
      out.expected = 401;
      out.bytes = wire({terms_.number, terms_.tenant, "wrong", {}}, path, body, {});
      break;
    case 2:
      out.expected = 404;
      body.replace(body.find("\"m\""), 3, "\"none\"");
      out.bytes = wire(terms_, path, body, {});
      break;
    case 3:
      out.expected = 400;
      body.pop_back();
      out.bytes = wire(terms_, path, body, {});
      break;
    default:
      break;
  }
  if (out.expected != 0) {
    asked->idempotency.clear();
    ++figures_.malformed;
  }
  oracle_.asked(body, asked);
  out.asked = std::move(asked);
  return out;
}

void Customer::next() {
  ++turn_;
  if (again_.empty() && made_ >= terms_.requests) {
    stream_.reset();
    done_ = true;
    return;
  }
  if (stream_ != nullptr && rng_.below(4) == 0) stream_.reset();  // keep-alive, or not
  unsigned lot = rng_.below(8) == 0 ? 2 : 1;
  while (lot-- > 0) {
    if (!again_.empty()) {
      waiting_.push_back(std::move(again_.front()));
      again_.pop_front();
    } else if (made_ < terms_.requests) {
      waiting_.push_back(make());
    }
  }
  if (waiting_.size() > 1) ++figures_.pipelined;
  const auto pace = rng_.below(24);
  pause_ns_max_ = pace == 0 ? 6 * second : pace < 4 ? 250 * ms : 0;
  if (pause_ns_max_ > 0) ++figures_.slow;
  taken_ = paused_at_ = patience_taken_ = 0;
  leave_after_ = rng_.below(10) == 0 ? rng_.below(3'000) : UINT64_MAX;
  after(terms_.patience_ns, &Customer::lose_patience);
  reused_ = stream_ != nullptr;
  if (reused_) return send_waiting();
  open_ = stalls_ = answered_ = false;
  ++connection_;
  stream_ = net_.dial("customer", life_, terms_.door, *this);
}

void Customer::on_open() {
  open_ = true;
  stream_->resume();
  send_waiting();
}

void Customer::send_waiting() {
  std::string all;
  for (auto& sent : waiting_) {
    ++sent.tries;
    if (timeline().tracing) timeline().trace(sent.asked->mark + " is asked, try " + std::to_string(sent.tries) + (answered_ ? ", on a kept connection" : ""));
    all += sent.bytes;
    ++figures_.sent;
  }
  // Sometimes the head comes in two parts, or the body late.
  if (all.size() > 2 && rng_.below(6) == 0) {
    const std::size_t cut = 1 + rng_.below(all.size() - 1);
    stream_->write(std::string_view(all).substr(0, cut));
    life_->after(static_cast<std::int64_t>(rng_.below(300)) * ms, [this, mine = connection_, rest = all.substr(cut)] {
      if (connection_ == mine && stream_ != nullptr) stream_->write(rest);
    });
    return;
  }
  stream_->write(all);
}

void Customer::on_bytes(std::string_view bytes) {
  taken_ += bytes.size();
  while (!bytes.empty()) {
    if (waiting_.empty()) {
      bad("order", "customer " + std::to_string(terms_.number) + " receives bytes that it did not ask for: " + std::string(bytes.substr(0, 80)));
      return;
    }
    if (!reader_.feed(bytes)) return bad("framing", waiting_.front().asked->mark + ": " + reader_.why());
    if (reader_.head_done() && !head_told_ && !take_head()) return;
    if (reader_.head_done() && !take_body()) return;
    if (reader_.done()) {
      finish(true);
      if (stream_ == nullptr) return;
    }
  }
  if (taken_ >= leave_after_) return leave();
  if (pause_ns_max_ > 0 && taken_ > paused_at_ + 600) {
    paused_at_ = taken_;
    stalls_ = stalls_ || pause_ns_max_ > second;
    stream_->pause();
    life_->after(static_cast<std::int64_t>(rng_.below(static_cast<std::uint64_t>(pause_ns_max_))), [this, mine = connection_] {
      if (connection_ == mine) go_on();
    });
  }
}

void Customer::go_on() {
  if (stream_ != nullptr) stream_->resume();
}

bool Customer::take_head() {
  head_told_ = true;
  const Sent& sent = waiting_.front();
  answer_.status = reader_.status();
  answer_.id = reader_.field("x-request-id");
  answer_.replayed = reader_.field("x-tributary-replayed") == "true";
  if (answer_.id.size() != 32) bad("head", sent.asked->mark + ": no x-request-id in an answer of status " + std::to_string(answer_.status));
  if (sent.expected != 0 && answer_.status != sent.expected && answer_.status != 503 && answer_.status != 408)
    bad("refusal", sent.asked->mark + ": status " + std::to_string(answer_.status) + " in place of " + std::to_string(sent.expected));
  static constexpr int fit[] = {200, 400, 402, 409, 429, 502, 503, 504};
  if (sent.expected == 0 && std::find(std::begin(fit), std::end(fit), answer_.status) == std::end(fit) && answer_.status != 408)
    bad("status", sent.asked->mark + ": status " + std::to_string(answer_.status));
  if (answer_.status == 503 || answer_.status == 429) {
    if (reader_.field("retry-after").empty()) bad("head", sent.asked->mark + ": status " + std::to_string(answer_.status) + " without Retry-After");
  }
  if (timeline().tracing) timeline().trace(sent.asked->mark + " gets status " + std::to_string(answer_.status) + ", " + answer_.id + (answer_.replayed ? ", again" : ""));
  oracle_.head_came(*sent.asked, answer_);
  return true;
}

bool Customer::take_text(std::string_view text) {
  const Asked& asked = *waiting_.front().asked;
  if (asked.expected.compare(text_.size(), text.size(), text) != 0) {
    bad("order", asked.mark + ": after " + std::to_string(answer_.tokens) + " tokens comes \"" + std::string(text.substr(0, 60)) + "\"");
    return false;
  }
  text_ += text;
  answer_.tokens = static_cast<std::uint64_t>(std::count(text_.begin(), text_.end(), ' '));
  return true;
}

bool Customer::take_body() {
  const Sent& sent = waiting_.front();
  std::string& body = reader_.body();
  if (answer_.status == 200 && sent.asked->stream && !answer_.replayed) {
    for (auto end = body.find("\n\n"); end != std::string::npos; end = body.find("\n\n")) {
      const std::string event = body.substr(0, end);
      body.erase(0, end + 2);
      if (!take_event(event)) return false;
    }
    return true;
  }
  if (!reader_.done()) return true;
  if (answer_.status == 200 && sent.asked->stream) {  // a replay, whole
    for (std::size_t at = 0; at < body.size();) {
      const auto end = body.find("\n\n", at);
      if (end == std::string::npos) break;
      if (!take_event(std::string_view(body).substr(at, end - at))) return false;
      at = end + 2;
    }
    return true;
  }
  if (!json::valid(body)) bad("body", sent.asked->mark + ": a body that is not JSON: " + body.substr(0, 80));
  if (answer_.status != 200) {
    if (body.find("\"error\"") == std::string::npos) bad("body", sent.asked->mark + ": an error without its body");
    text_of(body, "code", answer_.code);
    return true;
  }
  std::string text, reason, model;
  if (!text_of(body, "content", text)) text_of(body, "text", text);
  if (!take_text(text)) return false;
  answer_.finish = text_of(body, "finish_reason", reason);
  if (!text_of(body, "model", model) || model != "m") bad("isolation", sent.asked->mark + ": an answer of model " + model);
  answer_.usage = number_of(body, "completion_tokens", answer_.usage_output) && number_of(body, "prompt_tokens", answer_.usage_input);
  if (!answer_.usage) bad("usage", sent.asked->mark + ": a body without usage");
  return true;
}

bool Customer::take_event(std::string_view event) {
  const Asked& asked = *waiting_.front().asked;
  if (event.starts_with(":")) return true;
  if (!event.starts_with("data: ")) {
    bad("event", asked.mark + ": " + std::string(event.substr(0, 60)));
    return false;
  }
  event.remove_prefix(6);
  if (answer_.done || answer_.error) bad("order", asked.mark + ": an event after the last one");
  if (event == "[DONE]") {
    answer_.done = true;
    if (asked.include_usage != answer_.usage) bad("usage", asked.mark + (asked.include_usage ? ": it asked for usage" : ": it did not ask for usage"));
    return true;
  }
  if (!json::valid(event)) {
    bad("event", asked.mark + ": not JSON: " + std::string(event.substr(0, 60)));
    return false;
  }
  if (event.starts_with("{\"error\"")) {
    answer_.error = true;
    text_of(event, "code", answer_.code);
    return true;
  }
  std::string text, model;
  if (!text_of(event, "model", model) || model != "m") bad("isolation", asked.mark + ": an event of model " + model);
  if ((text_of(event, "content", text) || text_of(event, "text", text)) && !text.empty()) {
    if (answer_.finish) bad("order", asked.mark + ": text after the finish");
    return take_text(text);
  }
  std::string reason;
  if (text_of(event, "finish_reason", reason)) answer_.finish = true;
  if (number_of(event, "completion_tokens", answer_.usage_output)) {
    answer_.usage = true;
    number_of(event, "prompt_tokens", answer_.usage_input);
  }
  return true;
}

// The answer that is due has ended.
void Customer::finish(bool whole) {
  ++turn_;
  answered_ = true;
  Sent sent = std::move(waiting_.front());
  waiting_.pop_front();
  answer_.whole = whole;
  const bool closes = whole && reader_.closes();
  if (timeline().tracing)
    timeline().trace(sent.asked->mark + (whole ? " is answered: " : " is cut: ") + std::to_string(answer_.tokens) + " tokens of " + std::to_string(sent.asked->tokens) +
                     (answer_.done ? ", [DONE]" : "") + (answer_.error ? ", " + answer_.code : "") + (answer_.excused ? ", excused" : ""));
  oracle_.answered(*sent.asked, answer_);
  // A customer with a key asks again when it cannot know, and sometimes out of curiosity.
  const bool unsure = !whole || answer_.status != 200 || answer_.error;
  if (!sent.asked->idempotency.empty() && sent.tries < 3 && (unsure ? rng_.below(4) != 0 : rng_.below(3) == 0)) {
    ++figures_.again;
    again_.push_back(sent);
  }
  reader_.reset();
  answer_ = {};
  head_told_ = false;
  text_.clear();
  if (sent.malformed && whole && !closes) bad("refusal", sent.asked->mark + ": a malformed request's connection stays open");
  if (!waiting_.empty() && whole && !closes) {
    after(terms_.patience_ns, &Customer::lose_patience);
    return;
  }
  if (!whole || closes) {
    stream_.reset();
    // What was pipelined behind a close was never taken.
    for (auto& left : waiting_) {
      Answer none;
      none.excused = true;
      oracle_.answered(*left.asked, none);
    }
    waiting_.clear();
  }
  life_->after(static_cast<std::int64_t>(rng_.below(400)) * ms, [this] { next(); });
}

void Customer::drop(bool excused) {
  if (waiting_.empty()) {
    stream_.reset();
    return;
  }
  answer_.excused = excused;
  finish(false);
}

void Customer::leave() {
  if (waiting_.empty()) return;
  ++figures_.left;
  drop(true);
}

void Customer::lose_patience() {
  if (waiting_.empty()) return;
  if (taken_ > patience_taken_) {  // it comes, if slowly
    patience_taken_ = taken_;
    return after(terms_.patience_ns, &Customer::lose_patience);
  }
  ++figures_.given_up;
  if (!excused()) bad("silence", waiting_.front().asked->mark + ": no end of an answer within " + std::to_string(terms_.patience_ns / second) + " s");
  drop(true);
}

// A cut that is nobody's lie: the network's, a death's, that of a customer who took nothing for longer
// than deadlines.stall, or a kept connection that was closed while a further request was on its way.
bool Customer::excused() const {
  return !open_ || stream_->troubled() || stalls_ || (answered_ && !reader_.started());
}

void Customer::on_end() { drop(excused()); }
void Customer::on_error(const Fault&) { drop(excused()); }

}  // namespace trib::sim

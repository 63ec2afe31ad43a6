#include "gateway/tunnel/agent_end.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <map>
#include <utility>

#include "gateway/base/json.h"

namespace trib::tunnel {
namespace {

constexpr std::int64_t ms = 1'000'000;
constexpr std::size_t low_bytes = 16u << 10;
constexpr std::size_t attempts_kept_max = 8192;
constexpr std::size_t unacked_frames_max = 4096;
constexpr std::string_view exchange_prefix = "/trib/1/e/";

nghttp2_nv pair(std::string_view name, std::string_view value) {
  return {reinterpret_cast<std::uint8_t*>(const_cast<char*>(name.data())),
          reinterpret_cast<std::uint8_t*>(const_cast<char*>(value.data())), name.size(),
          value.size(), NGHTTP2_NV_FLAG_NONE};
}

std::int64_t milliseconds(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && value > 0 ? value : 0;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  return out;
}

}  // namespace

class AgentEnd::OneAnswer final : public Answer {
 public:
  OneAnswer(AgentEnd& tunnel, std::int32_t stream) : tunnel_(tunnel), stream_(stream) {}

  const AgentRequest& request() const override { return request_; }

  std::string take_body() override {
    tunnel_.held_bytes_ -= request_.body.size();
    return std::exchange(request_.body, {});
  }

  void head(int status, std::span<const http::Field> fields) override {
    const Turn turn(tunnel_);
    submit(status, fields);
  }

  void body(std::string_view bytes) override {
    TRIB_ASSERT(headed_ && !ended_);
    const Turn turn(tunnel_);
    queue_.append(bytes);
    if (queued_bytes() > high_bytes) full_ = true;
    wake();
  }

  void end() override {
    TRIB_ASSERT(headed_ && !ended_);
    const Turn turn(tunnel_);
    handed_over_ = false;
    ended_ = true;
    wake();
  }

  void refuse(int status, std::string_view type, std::string_view message) override {
    refuse(status, type, message, {});
  }

  void fail(FaultKind kind) override {
    if (!headed_) return refuse(502, "engine_error", "the engine did not answer", name(kind));
    TRIB_ASSERT(!ended_ && kind != FaultKind::none);
    if (sized_) return reset(Reset::internal_error);  // HTTP/2 knows no trailers of a body cut short
    const Turn turn(tunnel_);
    handed_over_ = false;
    ended_ = true;
    fault_ = kind;
    wake();
  }

  void refuse(int status, std::string_view type, std::string_view message, std::string_view fault) {
    const Turn turn(tunnel_);
    handed_over_ = false;
    std::string text = "{\"error\":{\"type\":";
    json::quote(type, text);
    text += ",\"message\":";
    json::quote(message, text);
    text += "}}";
    const http::Field fields[] = {{"content-type", "application/json"}, {"trib-error", type}, {"trib-fault", fault}};
    submit(status, std::span(fields).first(fault.empty() ? 2 : 3));
    queue_ = std::move(text);
    ended_ = true;
  }

  void reset(Reset code) override {
    const Turn turn(tunnel_);
    handed_over_ = false;
    tunnel_.reset(stream_, code);
  }

  std::size_t queued_bytes() const override { return queue_.size() - queue_at_; }

  void submit(int status, std::span<const http::Field> fields) {
    TRIB_ASSERT(!headed_);
    headed_ = true;
    const std::string status_text = std::to_string(status);
    std::vector<std::string> names;  // HTTP/2 wants them in lower case
    names.reserve(fields.size());
    std::vector<nghttp2_nv> nv{pair(":status", status_text)};
    for (const auto& field : fields) {
      names.push_back(lower(field.name));
      sized_ |= names.back() == "content-length";
      nv.push_back(pair(names.back(), field.value));
    }
    nghttp2_data_provider provider{};
    provider.source.ptr = &tunnel_;
    provider.read_callback = read;
    nghttp2_submit_response(tunnel_.h2_, stream_, nv.data(), nv.size(), &provider);
  }

  static ssize_t read(nghttp2_session* h2, std::int32_t stream, std::uint8_t* out, std::size_t room,
                      std::uint32_t* flags, nghttp2_data_source* source, void*) {
    auto& tunnel = *static_cast<AgentEnd*>(source->ptr);
    OneAnswer* self = tunnel.find(stream);
    if (self == nullptr) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    const std::size_t bytes = std::min(room, self->queued_bytes());
    std::memcpy(out, self->queue_.data() + self->queue_at_, bytes);
    self->queue_at_ += bytes;
    if (self->queue_at_ == self->queue_.size()) {
      self->queue_.clear();
      self->queue_at_ = 0;
    } else if (self->queue_at_ > high_bytes) {
      self->queue_.erase(0, self->queue_at_);
      self->queue_at_ = 0;
    }
    if (self->full_ && self->queued_bytes() <= low_bytes) {
      self->full_ = false;
      tunnel.roomy_.push_back(stream);
    }
    if (self->ended_ && self->queue_.empty()) {
      *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
      const bool whole = self->fault_ == FaultKind::none;
      const nghttp2_nv trailers[] = {pair("trib-end", whole ? "done" : "broken"), pair("trib-fault", name(self->fault_))};
      nghttp2_submit_trailer(h2, stream, trailers, whole ? 1 : 2);
    } else if (bytes == 0) {
      self->asleep_ = true;
      return NGHTTP2_ERR_DEFERRED;
    }
    return static_cast<ssize_t>(bytes);
  }

  void wake() {
    if (!asleep_) return;
    asleep_ = false;
    nghttp2_session_resume_data(tunnel_.h2_, stream_);
  }

  AgentEnd& tunnel_;
  const std::int32_t stream_;
  AgentRequest request_;
  std::string method_, target_;
  std::size_t head_bytes_ = 0;
  std::string queue_;
  std::size_t queue_at_ = 0;
  bool headed_ = false, ended_ = false, asleep_ = false, full_ = false;
  bool sized_ = false;  // the head says how long the body is
  bool handed_over_ = false;  // the handler holds it
  bool refused_ = false;
  FaultKind fault_ = FaultKind::none;  // of its engine, told at its end
};

AgentEnd::AgentEnd(std::unique_ptr<Stream> stream, AgentHandler& handler, TimerWheel& wheel,
                   const Clock& clock, Rng& rng, AgentTerms terms)
    : Session(std::move(stream), wheel, clock,
              [&] {
                SessionTerms t;
                t.server = true;
                t.stream_window_bytes = 256u << 10;
                t.streams_max = std::clamp<std::uint32_t>(terms.hello.streams_max, 64, 1024);
                t.liveness = {7'000, 60'000, 0, 12'000, true};
                t.on_dirty = terms.on_dirty;
                return t;
              }()),
      handler_(handler),
      own_(std::move(terms)),
      rng_(rng) {
  const Turn turn(*this, Ends::written);
  start();
}

AgentEnd::~AgentEnd() {
  cancel_all();
}

AgentEnd::OneAnswer* AgentEnd::find(std::int32_t stream) {
  const auto at = answers_.find(stream);
  return at == answers_.end() ? nullptr : at->second.get();
}

std::size_t AgentEnd::open_requests() const {
  return static_cast<std::size_t>(std::count_if(
      answers_.begin(), answers_.end(), [](const auto& at) { return at.second->handed_over_; }));
}

// ---- requests arrive ---------------------------------------------------------------------------

void AgentEnd::on_begin(std::int32_t stream) {
  if (find(stream) == nullptr) answers_.emplace(stream, std::make_unique<OneAnswer>(*this, stream));
}

void AgentEnd::on_field(std::int32_t stream, std::string_view name, std::string_view value) {
  OneAnswer* a = find(stream);
  if (a == nullptr) return;
  a->head_bytes_ += name.size() + value.size() + 32;
  if (a->head_bytes_ > head_bytes_max) {
    a->refused_ = true;
  } else if (name == ":method") {
    a->method_ = value;
  } else if (name == ":path") {
    a->target_ = value;
  } else if (name == "content-type") {
    a->request_.content_type = value;
  } else if (name == "accept") {
    a->request_.accept = value;
  } else if (name == "trib-attempt") {
    a->request_.attempt = value;
  } else if (name == "trib-deadline-ms") {
    a->request_.deadline_ms = milliseconds(value);
  } else if (name == "trib-gap-ms") {
    a->request_.gap_ms = milliseconds(value);
  }
}

void AgentEnd::on_fields_end(std::int32_t stream) {
  OneAnswer* a = find(stream);
  if (a == nullptr) return;
  // Before a body is taken: what cannot be held or run is refused while nothing has run.
  if (a->refused_ || draining_ || held_bytes_ >= own_.bodies_bytes_max) {
    a->refused_ = true;
    reset(stream, Reset::refused_stream);
  }
}

void AgentEnd::on_data(std::int32_t stream, std::string_view bytes) {
  credit(stream, bytes.size());  // a body that is not complete is held, up to its limit
  OneAnswer* a = find(stream);
  if (a == nullptr || a->refused_) return;
  if (a->request_.body.size() + bytes.size() > own_.hello.body_bytes_max) {
    a->refused_ = true;
    return reset(stream, Reset::refused_stream);
  }
  a->request_.body.append(bytes);
  held_bytes_ += bytes.size();
}

void AgentEnd::on_stream_end(std::int32_t stream) {
  OneAnswer* a = find(stream);
  if (a != nullptr && !a->refused_) serve(*a);
}

void AgentEnd::serve(OneAnswer& a) {
  const std::string_view path = std::string_view(a.target_).substr(0, a.target_.find('?'));
  if (path == "/trib/1/events" && a.method_ == "GET" && a.stream_ == 1)
    return serve_events(a.stream_);
  const char* why = nullptr;
  if (path == "/trib/1/welcome" && a.method_ == "POST") {
    Welcome welcome;
    if (!read(a.request_.body, welcome, why)) return answer_plainly(a, 400);
    welcomed_ = true;
    heartbeat_s_ = welcome.heartbeat_s;
    beat();
    answer_plainly(a, 204);
    return handler_.on_welcome(welcome);
  }
  if (path == "/trib/1/ack" && a.method_ == "POST") {
    std::uint64_t upto = 0;
    if (!read_ack(a.request_.body, upto, why)) return answer_plainly(a, 400);
    while (!unacked_.empty() && unacked_.front().first <= upto) unacked_.pop_front();
    return answer_plainly(a, 204);
  }
  if (path == "/trib/1/checkpoints" && a.method_ == "POST") {
    CheckpointPage page;
    if (!read(a.request_.body, page, why)) return answer_plainly(a, 400);
    const auto taken = handler_.on_checkpoints(page);
    return answer_plainly(a, taken == AgentHandler::Taken::kept ? 204 : taken == AgentHandler::Taken::contradicted ? 409 : 503);
  }
  if (path == "/trib/1/receipts" && a.method_ == "POST") {
    ReceiptsHeld held;
    if (!read(a.request_.body, held, why)) return answer_plainly(a, 400);
    answer_plainly(a, 204);
    return handler_.on_receipts_held(held);
  }
  if (const char* refusal = route(a)) {
    const std::string_view type = refusal;
    const int status = type == "not_found" ? 404 : type == "offer_unknown" ? 421 : 409;
    return a.refuse(status, type, type == "not_found" ? "no such path here" : "not run");
  }
  a.handed_over_ = true;
  handler_.on_request(a);
}

// Fills in where the request goes; returns why it goes nowhere.
const char* AgentEnd::route(OneAnswer& a) {
  std::string_view rest = a.target_;
  if (a.method_ != "POST" || rest.substr(0, exchange_prefix.size()) != exchange_prefix)
    return "not_found";
  rest.remove_prefix(exchange_prefix.size());
  const auto slash = rest.find('/');
  if (slash == std::string_view::npos) return "not_found";
  a.request_.offer = rest.substr(0, slash);
  a.request_.path = rest.substr(slash);
  if (std::find(own_.paths.begin(), own_.paths.end(), a.request_.path) == own_.paths.end())
    return "not_found";
  if (!offers(a.request_.offer)) return "offer_unknown";
  if (!a.request_.attempt.empty()) {
    if (!attempts_.insert(a.request_.attempt).second) return "duplicate_attempt";
    attempts_order_.push_back(a.request_.attempt);
    if (attempts_order_.size() > attempts_kept_max) {
      attempts_.erase(attempts_order_.front());
      attempts_order_.pop_front();
    }
  }
  return nullptr;
}

void AgentEnd::answer_plainly(OneAnswer& a, int status) {
  const std::string text = std::to_string(status);
  const nghttp2_nv head = pair(":status", text);
  nghttp2_submit_response(h2_, a.stream_, &head, 1, nullptr);
}

void AgentEnd::on_closed(std::int32_t stream, Reset) {
  const auto at = answers_.find(stream);
  if (at == answers_.end()) return;
  const auto gone = std::move(at->second);
  answers_.erase(at);
  held_bytes_ -= gone->request_.body.size();
  if (stream == events_stream_ && !doomed()) {
    doom({FaultKind::tunnel_lost, Side::gateway, Retry::elsewhere, "the gateway ended the events"},
         Reset::no_error);
  }
  if (gone->handed_over_) handler_.on_cancel(*gone);
  if (draining_ && open_requests() == 0) close("drained");
}

void AgentEnd::on_goaway() {
  if (!doomed()) handler_.on_goaway();
}

// ---- what the agent tells ----------------------------------------------------------------------

Stamp AgentEnd::stamp() const {
  return {seq_, now_ns() / ms, clock_.wall_ms()};
}

void AgentEnd::serve_events(std::int32_t stream) {
  events_stream_ = stream;
  own_.hello.checkpoint = handler_.checkpoint_held();
  own_.hello.receipts = handler_.receipts_newest();
  events_ = write(own_.hello, stamp());
  const nghttp2_nv head[] = {pair(":status", "200"), pair("content-type", "application/x-ndjson")};
  nghttp2_data_provider provider{};
  provider.source.ptr = this;
  provider.read_callback = [](nghttp2_session*, std::int32_t, std::uint8_t* out, std::size_t room,
                              std::uint32_t*, nghttp2_data_source* source, void*) -> ssize_t {
    auto& self = *static_cast<AgentEnd*>(source->ptr);
    if (self.events_.empty() && !self.pages_.empty()) {
      self.events_ = std::move(self.pages_.front());
      self.pages_.pop_front();
    }
    if (self.events_.empty() && !self.roots_.empty()) {
      self.events_ = std::move(self.roots_.front());
      self.roots_.pop_front();
    }
    const std::size_t bytes = std::min(room, self.events_.size() - self.events_at_);
    if (bytes == 0) return NGHTTP2_ERR_DEFERRED;
    std::memcpy(out, self.events_.data() + self.events_at_, bytes);
    self.events_at_ += bytes;
    if (self.events_at_ == self.events_.size()) {
      self.events_.clear();
      self.events_at_ = 0;
    }
    return static_cast<ssize_t>(bytes);
  };
  nghttp2_submit_response(h2_, stream, head, std::size(head), &provider);
  for (const auto& [seq, line] : unacked_) tell(line);
  tell_capacity();
}

void AgentEnd::tell(std::string line) {
  if (events_stream_ == 0 || doomed() || lost()) return;
  if (events_.size() - events_at_ + line.size() > own_.events_bytes_max) {
    return doom({FaultKind::tunnel_lost, Side::gateway, Retry::elsewhere,
                 "the gateway does not read the events"});
  }
  events_.erase(0, events_at_);
  events_at_ = 0;
  events_ += line;
  nghttp2_session_resume_data(h2_, events_stream_);
}

void AgentEnd::tell_capacity() {
  capacity_ns_ = now_ns();
  // Pages wait behind every other line, and a newer revision takes the place of what has not left.
  auto lines = write(revision_, offers_, stamp());
  pages_.assign(std::make_move_iterator(lines.begin()), std::make_move_iterator(lines.end()));
  tell({});
}

void AgentEnd::offer(std::vector<fleet::AgentOffer> offers) {
  TRIB_ASSERT(offers.size() <= offers_max);
  const Turn turn(*this);
  const auto before = std::exchange(offers_, std::move(offers));
  ++revision_;
  if (!tell_changes(before)) tell_capacity();
}

// False: not the same offers, or the gateway may not have heard of all of those yet.
bool AgentEnd::tell_changes(const std::vector<fleet::AgentOffer>& before) {
  if (!pages_.empty() || before.size() != offers_.size()) return false;
  std::vector<fleet::AgentOffer> changed;
  for (std::size_t i = 0; i < before.size(); ++i) {
    if (before[i].id != offers_[i].id) return false;
    if (before[i] != offers_[i]) changed.push_back(offers_[i]);
  }
  if (changed.empty()) return true;
  auto lines = write(revision_, changed, stamp(), false);
  pages_.assign(std::make_move_iterator(lines.begin()), std::make_move_iterator(lines.end()));
  tell({});
  return true;
}

bool AgentEnd::offers(std::string_view id) const {
  return std::any_of(offers_.begin(), offers_.end(),
                     [&](const auto& offer) { return offer.id == id; });
}

void AgentEnd::reclaim(std::string seat, std::string phase, std::vector<std::string> attempts) {
  const Turn turn(*this);
  ++seq_;
  std::string line =
      write(Reclaim{std::move(seat), std::move(phase), std::move(attempts)}, stamp());
  if (unacked_.size() == unacked_frames_max) unacked_.pop_front();
  unacked_.emplace_back(seq_, line);
  tell(std::move(line));
}

void AgentEnd::receipts(std::string_view root) {
  const Turn turn(*this);
  roots_.push_back(write_receipts(root, stamp()));
  tell({});
}

// Every heartbeat_s, 10 % early or late so that many agents do not beat together.
void AgentEnd::beat() {
  if (lost()) return;
  const Turn turn(*this, Ends::written);
  Heartbeat beat;
  beat.revision = revision_;
  for (const auto& [stream, answer] : answers_) {
    if (answer->handed_over_) ++beat.in_flight[answer->request_.offer];
  }
  tell(write(beat, stamp()));
  if (now_ns() - capacity_ns_ >= own_.capacity_every_ms * ms) tell_capacity();
  const std::int64_t whole = heartbeat_s_ * 1000 * ms;
  wheel_.arm(beat_timer_,
             now_ns() + whole * 9 / 10 +
                 static_cast<std::int64_t>(rng_.below(static_cast<std::uint64_t>(whole / 5))));
}

// ---- the end -----------------------------------------------------------------------------------

void AgentEnd::on_flushed() {
  // Handlers may fill the queues again; that is written in the next round of the same turn.
  std::vector<std::int32_t> roomy;
  roomy.swap(roomy_);
  for (const auto stream : roomy) {
    OneAnswer* a = find(stream);
    if (a != nullptr && a->handed_over_) handler_.on_room(*a);
  }
}

void AgentEnd::drain() {
  if (lost() || draining_) return;
  const Turn turn(*this);
  draining_ = true;
  nghttp2_submit_goaway(h2_, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(h2_),
                        NGHTTP2_NO_ERROR, nullptr, 0);
  if (open_requests() == 0)
    doom({FaultKind::draining, Side::site, Retry::elsewhere, "drained"}, Reset::no_error);
}

void AgentEnd::close(std::string why) {
  if (lost()) return;
  const Turn turn(*this, Ends::may_break);
  doom({FaultKind::tunnel_lost, Side::site, Retry::elsewhere, std::move(why)}, Reset::no_error);
}

void AgentEnd::cancel_all() {
  while (!answers_.empty()) {
    const auto gone = std::move(answers_.begin()->second);
    answers_.erase(answers_.begin());
    if (gone->handed_over_) handler_.on_cancel(*gone);
  }
}

void AgentEnd::on_broken(const Fault& fault) {
  cancel_all();
  handler_.on_lost(fault);
}

}  // namespace trib::tunnel

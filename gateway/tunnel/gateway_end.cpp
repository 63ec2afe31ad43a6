#include "gateway/tunnel/gateway_end.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>
#include <span>
#include <utility>

namespace trib::tunnel {
namespace {

constexpr std::int64_t ms = 1'000'000;
constexpr std::int64_t control_ms_max = 10'000;  // an unanswered control request ends the tunnel
constexpr std::int64_t lines_per_s = 200, lines_burst = 2000;
constexpr std::size_t fields_max = 100;
constexpr std::string_view checkpoints_path = "/trib/1/checkpoints";
constexpr std::string_view receipts_path = "/trib/1/receipts";

nghttp2_nv pair(std::string_view name, std::string_view value) {
  return {reinterpret_cast<std::uint8_t*>(const_cast<char*>(name.data())),
          reinterpret_cast<std::uint8_t*>(const_cast<char*>(value.data())), name.size(),
          value.size(), NGHTTP2_NV_FLAG_NONE};
}

// An answer that the agent itself made, not the engine (field trib-error).
Fault agent_fault(std::string_view type) {
  const auto fault = [&](FaultKind kind, Side side, Retry retry = Retry::elsewhere) {
    return Fault{kind, side, retry, "agent: " + std::string(type.substr(0, 64))};
  };
  if (type == "reclaiming") return fault(FaultKind::reclaimed, Side::seat);
  if (type == "offer_unknown" || type == "lease_unknown")
    return fault(FaultKind::refused_stream, Side::site);
  if (type == "seat_gone") return fault(FaultKind::refused_stream, Side::seat);
  if (type == "slots_full") return fault(FaultKind::status_busy, Side::site);
  if (type == "engine_error") return fault(FaultKind::status_server, Side::engine);
  if (type == "engine_timeout") return fault(FaultKind::head_timeout, Side::engine);
  if (type == "not_found") return fault(FaultKind::status_config, Side::site);
  if (type == "duplicate_attempt") return fault(FaultKind::internal, Side::gateway, Retry::never);
  return fault(FaultKind::status_server, Side::site);
}

// What the agent says its engine did (field trib-fault): the same kinds as of an engine that is dialled. The
// way between the two is the site's own, so it is the engine that broke, or the site where none was reached.
std::optional<Fault> engine_fault(std::string_view kind, bool headed) {
  using enum FaultKind;
  constexpr std::pair<FaultKind, Side> before[] = {{connect_refused, Side::site},   {connect_timeout, Side::site},
                                                   {connect_failed, Side::site},    {reset_before_head, Side::engine},
                                                   {bad_head, Side::engine}};
  constexpr std::pair<FaultKind, Side> after[] = {{cut, Side::engine}, {bad_chunk, Side::engine}};
  for (const auto& [known, side] : headed ? std::span<const std::pair<FaultKind, Side>>(after) : before) {
    if (name(known) == kind) return Fault{known, side, Retry::elsewhere, "agent: " + std::string(kind)};
  }
  return std::nullopt;  // a newer agent's
}

}  // namespace

// One open request. The caller owns it; the tunnel knows it by its stream until it is settled, then
// neither knows the other.
class GatewayEnd::OneCall final : public http::Call {
 public:
  OneCall(GatewayEnd& tunnel, std::string attempt, std::string body, http::CallEvents& events)
      : tunnel_(&tunnel), events_(events), attempt_(std::move(attempt)), body_(std::move(body)) {}

  ~OneCall() override {
    if (tunnel_ == nullptr) return;
    const Turn turn(*tunnel_);
    tunnel_->reset(stream_, Reset::cancel);
    tunnel_->calls_.erase(stream_);
  }

  void pause() override { paused_ = true; }

  void resume() override {
    if (!paused_) return;
    paused_ = false;
    if (tunnel_ == nullptr || owed_ == 0) return;
    const Turn turn(*tunnel_);
    tunnel_->credit(stream_, std::exchange(owed_, 0));
  }

  bool sent() const override { return sent_; }

  GatewayEnd* tunnel_;
  http::CallEvents& events_;
  std::int32_t stream_ = 0;
  std::string attempt_, body_;
  std::size_t body_at_ = 0;
  bool sent_ = false, paused_ = false, reclaimed_ = false, done_ = false;
  std::optional<Fault> broke_;  // of its engine, by the agent's last word
  int status_ = 0;  // 0: no final head yet
  bool head_given_ = false;
  std::size_t owed_ = 0;  // stream credit that waits for resume()
  std::uint64_t received_ = 0;
  std::size_t head_bytes_ = 0;
  std::vector<std::pair<std::string, std::string>> fields_;
};

GatewayEnd::GatewayEnd(std::unique_ptr<Stream> stream, TunnelEvents& events, TimerWheel& wheel,
                       const Clock& clock, GatewayTerms terms)
    : Session(std::move(stream), wheel, clock,
              [&] {
                SessionTerms t;
                t.liveness = {5'000, 30'000, 10'000, 15'000, false};
                t.on_dirty = terms.on_dirty;
                return t;
              }()),
      events_(events),
      own_(std::move(terms)),
      born_ns_(now_ns()),
      lines_at_ns_(now_ns()) {
  const Turn turn(*this, Ends::written);
  start();
  ask_for_events();
}

GatewayEnd::~GatewayEnd() {
  fail_calls({FaultKind::tunnel_lost, Side::gateway, Retry::elsewhere, "the tunnel was closed"});
}

GatewayEnd::OneCall* GatewayEnd::find(std::int32_t stream) {
  const auto at = calls_.find(stream);
  return at == calls_.end() ? nullptr : at->second;
}

void GatewayEnd::refuse(std::string why) {
  doom({FaultKind::tunnel_lost, Side::site, Retry::elsewhere, std::move(why)},
       Reset::protocol_error);
}

// ---- requests ----------------------------------------------------------------------------------

void GatewayEnd::ask_for_events() {
  const nghttp2_nv head[] = {pair(":method", "GET"), pair(":scheme", "https"),
                             pair(":authority", own_.site), pair(":path", "/trib/1/events?after=0"),
                             pair("priority", "u=0")};
  events_stream_ = nghttp2_submit_request(h2_, nullptr, head, std::size(head), nullptr, nullptr);
  TRIB_ASSERT(events_stream_ == 1);
}

void GatewayEnd::control(std::string_view path, std::string body) {
  const nghttp2_nv head[] = {pair(":method", "POST"),
                             pair(":scheme", "https"),
                             pair(":authority", own_.site),
                             pair(":path", path),
                             pair("content-type", "application/json"),
                             pair("priority", "u=1")};
  nghttp2_data_provider provider{};
  provider.source.ptr = this;
  provider.read_callback = [](nghttp2_session*, std::int32_t stream, std::uint8_t* out,
                              std::size_t room, std::uint32_t* flags, nghttp2_data_source* source,
                              void*) -> ssize_t {
    auto& self = *static_cast<GatewayEnd*>(source->ptr);
    const auto at = self.controls_.find(stream);
    if (at == self.controls_.end()) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    std::string& left = at->second.body;
    const std::size_t bytes = std::min(room, left.size());
    std::memcpy(out, left.data(), bytes);
    left.erase(0, bytes);
    if (left.empty()) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(bytes);
  };
  const auto stream =
      nghttp2_submit_request(h2_, nullptr, head, std::size(head), &provider, nullptr);
  if (stream < 0) return refuse("no stream left");
  controls_[stream] = Control{std::string(path), std::move(body), now_ns(), 0};
}

void GatewayEnd::tell(const CheckpointPage& page) {
  if (!hello_ || leaving_ || doomed() || lost()) return;
  const Turn turn(*this);
  control(checkpoints_path, write(page));
}

void GatewayEnd::tell(const ReceiptsHeld& held) {
  if (!hello_ || leaving_ || doomed() || lost()) return;
  const Turn turn(*this);
  control(receipts_path, write(held));
}

std::unique_ptr<http::Call> GatewayEnd::call(std::string_view offer, http::CallRequest request,
                                             http::CallEvents& events) {
  if (!hello_ || leaving_ || doomed() || lost() || !valid_id(offer)) return nullptr;
  // Two streams stay free for control; nghttp2 would queue what exceeds the agent's limit, we
  // refuse.
  const std::uint32_t streams =
      nghttp2_session_get_remote_settings(h2_, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
  if (calls_.size() + 3 > streams) return nullptr;
  const Turn turn(*this);
  auto out = std::make_unique<OneCall>(*this, request.attempt, std::move(request.body), events);

  const std::string path = "/trib/1/e/" + std::string(offer) + std::string(request.path);
  const std::string deadline = std::to_string(request.deadline_ms),
                    gap = std::to_string(request.gap_ms);
  const std::string length = std::to_string(out->body_.size());
  std::vector<nghttp2_nv> head{pair(":method", request.method), pair(":scheme", "https"),
                               pair(":authority", own_.site), pair(":path", path),
                               pair("priority", "u=3, i")};
  if (!request.content_type.empty()) head.push_back(pair("content-type", request.content_type));
  if (!request.accept.empty()) head.push_back(pair("accept", request.accept));
  head.push_back(pair("content-length", length));
  if (!request.attempt.empty()) head.push_back(pair("trib-attempt", request.attempt));
  if (request.deadline_ms > 0) head.push_back(pair("trib-deadline-ms", deadline));
  if (request.gap_ms > 0) head.push_back(pair("trib-gap-ms", gap));

  nghttp2_data_provider provider{};
  provider.source.ptr = this;
  provider.read_callback = [](nghttp2_session*, std::int32_t stream, std::uint8_t* to,
                              std::size_t room, std::uint32_t* flags, nghttp2_data_source* source,
                              void*) -> ssize_t {
    OneCall* call = static_cast<GatewayEnd*>(source->ptr)->find(stream);
    if (call == nullptr) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    const std::size_t bytes = std::min(room, call->body_.size() - call->body_at_);
    std::memcpy(to, call->body_.data() + call->body_at_, bytes);
    call->body_at_ += bytes;
    if (call->body_at_ == call->body_.size()) {
      *flags |= NGHTTP2_DATA_FLAG_EOF;
      std::string().swap(call->body_);
      call->body_at_ = 0;
    }
    return static_cast<ssize_t>(bytes);
  };
  const bool has_body = !out->body_.empty();
  const auto stream = nghttp2_submit_request(h2_, nullptr, head.data(), head.size(),
                                             has_body ? &provider : nullptr, nullptr);
  if (stream < 0) {  // the numbers of streams are used up: a new tunnel is due
    out->tunnel_ = nullptr;
    leaving_ = true;
    return nullptr;
  }
  out->stream_ = stream;
  calls_.emplace(stream, out.get());
  return out;
}

// ---- answers -----------------------------------------------------------------------------------

void GatewayEnd::on_begin(std::int32_t stream) {
  if (OneCall* call = find(stream)) {
    call->fields_.clear();
    call->head_bytes_ = 0;
  }
}

void GatewayEnd::on_field(std::int32_t stream, std::string_view name, std::string_view value) {
  int status = 0;
  if (name == ":status") std::from_chars(value.data(), value.data() + value.size(), status);
  OneCall* call = find(stream);
  if (call == nullptr) {
    const auto at = controls_.find(stream);
    if (status != 0 && at != controls_.end()) at->second.status = status;
    if (status != 0 && stream == events_stream_) events_status_ = status;
    return;
  }
  call->head_bytes_ += name.size() + value.size() + 32;
  if (call->head_bytes_ > head_bytes_max || call->fields_.size() >= fields_max)
    return;  // judged at the end
  if (status != 0 && !call->head_given_) {
    call->status_ = status;
  } else {
    call->fields_.emplace_back(name, value);
  }
}

void GatewayEnd::on_fields_end(std::int32_t stream) {
  if (stream == events_stream_ && events_status_ != 200) return refuse("events were refused");
  OneCall* call = find(stream);
  if (call == nullptr) return;
  if (call->head_bytes_ > head_bytes_max || call->fields_.size() >= fields_max) {
    reset(stream, Reset::protocol_error);
    return settle(stream, *call,
                  {FaultKind::bad_head, Side::site, Retry::elsewhere, "a head above its limits"});
  }
  if (call->head_given_) {  // trailers
    for (const auto& [name, value] : call->fields_) {
      call->done_ = call->done_ || (name == "trib-end" && value == "done");
      if (name == "trib-fault") call->broke_ = engine_fault(value, true);
    }
    return;
  }
  if (call->status_ < 200) return count_idle_frame();
  http::ResponseHead head;
  head.status = call->status_;
  std::vector<http::Field> fields;
  fields.reserve(call->fields_.size());
  for (const auto& [name, value] : call->fields_) fields.push_back({name, value});
  head.fields = fields;
  if (const auto type = head.find("trib-error"); !type.empty()) {
    reset(stream, Reset::cancel);
    const auto engine = engine_fault(head.find("trib-fault"), false);
    return settle(stream, *call, engine && type == "engine_error" ? *engine : agent_fault(type));
  }
  const auto length = head.find("content-length");
  head.framing = length.empty() ? http::Framing::chunked : http::Framing::length;
  std::from_chars(length.data(), length.data() + length.size(), head.length);
  call->head_given_ = true;
  call->events_.on_head(head);
}

void GatewayEnd::on_data(std::int32_t stream, std::string_view bytes) {
  if (stream == events_stream_) {
    credit(stream, bytes.size());
    return read_lines(bytes);
  }
  OneCall* call = find(stream);
  if (call == nullptr) return credit(stream, bytes.size());
  call->received_ += bytes.size();
  if (call->received_ > own_.answer_bytes_max) {
    reset(stream, Reset::cancel);
    return settle(stream, *call,
                  {FaultKind::too_large, Side::engine, Retry::never, "an answer above its limit"});
  }
  call->owed_ += bytes.size();
  call->events_.on_body(bytes);
  call = find(stream);  // it may have been destroyed
  if (call != nullptr && !call->paused_) credit(stream, std::exchange(call->owed_, 0));
}

void GatewayEnd::on_stream_end(std::int32_t stream) {
  if (stream == events_stream_) return refuse("the agent ended its events");
  OneCall* call = find(stream);
  if (call == nullptr) return;
  // The answer is over, whether or not the request was read to its end.
  if (!call->body_.empty()) reset(stream, Reset::no_error);
  if (call->head_given_ && call->done_) return settle(stream, *call, {});
  settle(stream, *call, call->broke_.value_or(Fault{FaultKind::cut, Side::site, Retry::elsewhere, "ended without trib-end"}));
}

// Gives the call its last event. The call may be destroyed by it.
void GatewayEnd::settle(std::int32_t stream, OneCall& call, const Fault& fault) {
  calls_.erase(stream);
  call.tunnel_ = nullptr;
  if (fault) {
    call.events_.on_fault(fault);
  } else {
    call.events_.on_end();
  }
}

void GatewayEnd::on_closed(std::int32_t stream, Reset code) {
  if (const auto at = controls_.find(stream); at != controls_.end()) {
    const Control done = std::move(at->second);
    controls_.erase(at);
    if (doomed()) return;
    if (done.path == checkpoints_path) return events_.on_checkpoints(done.status);
    if (done.status != 204)
      return refuse(done.path + " was answered " + std::to_string(done.status));
    if (done.path == "/trib/1/ack") {
      ack_out_ = false;
      acknowledge(ack_due_);
    }
    return;
  }
  if (stream == events_stream_ && !doomed()) return refuse("the agent reset its events");
  OneCall* call = find(stream);
  if (call == nullptr) {
    if (leaving_ && calls_.empty()) close("drained");
    return;
  }
  const std::string detail =
      "reset by the agent, code " + std::to_string(static_cast<std::uint32_t>(code));
  Fault fault{FaultKind::cut, Side::site, Retry::elsewhere, detail};
  if (doomed()) fault = {FaultKind::tunnel_lost, Side::site_network, Retry::elsewhere, "the tunnel ended"};
  if (code == Reset::refused_stream)
    fault = {FaultKind::refused_stream, Side::site, Retry::elsewhere, detail};
  if (code == Reset::cancel && call->reclaimed_)
    fault = {FaultKind::reclaimed, Side::seat, Retry::elsewhere, detail};
  if (code == Reset::internal_error) {
    fault = {call->head_given_ ? FaultKind::cut : FaultKind::reset_before_head, Side::engine,
             Retry::elsewhere, detail};
  }
  settle(stream, *call, fault);
  if (leaving_ && calls_.empty()) close("drained");
}

void GatewayEnd::on_head_sent(std::int32_t stream) {
  if (OneCall* call = find(stream)) call->sent_ = true;
}

// ---- the events stream -------------------------------------------------------------------------

void GatewayEnd::read_lines(std::string_view bytes) {
  while (!bytes.empty() && !doomed()) {
    const auto end = bytes.find('\n');
    const auto piece = bytes.substr(0, end);
    if (line_.size() + piece.size() > line_bytes_max) return refuse("an event line above 64 KiB");
    if (end == std::string_view::npos) {
      line_.append(piece);
      return;
    }
    bytes.remove_prefix(end + 1);
    if (line_.empty()) {
      take_line(piece);
    } else {
      line_.append(piece);
      const std::string line = std::move(line_);
      line_.clear();
      take_line(line);
    }
  }
}

void GatewayEnd::take_line(std::string_view line) {
  const std::int64_t now = now_ns();
  const std::int64_t back =
      std::min((now - lines_at_ns_) / (1000 * ms / lines_per_s), lines_burst - lines_allowed_);
  if (back > 0 || lines_allowed_ == lines_burst) {
    lines_allowed_ += back;
    lines_at_ns_ = now;
  }
  if (--lines_allowed_ < 0) {
    return doom({FaultKind::tunnel_lost, Side::site, Retry::elsewhere, "a flood of event lines"},
                Reset::enhance_your_calm);
  }
  Frame frame;
  const char* why = nullptr;
  if (!read(line, frame, why)) return refuse(std::string("an event line: ") + why);
  if (hello_ == (frame.type == FrameType::hello))
    return refuse(hello_ ? "a second hello" : "no hello first");
  switch (frame.type) {
    case FrameType::hello:
      return take_hello(line);
    case FrameType::capacity:
      return take_capacity(line);
    case FrameType::reclaim:
      take_reclaim(line);
      break;
    case FrameType::heartbeat: {
      Heartbeat beat;
      if (!read(line, beat, why)) return refuse(std::string("heartbeat: ") + why);
      prove_life();
      return events_.on_heartbeat(beat);
    }
    case FrameType::receipts: {
      std::string_view root;
      if (!read_receipts(line, root, why)) return refuse(std::string("receipts: ") + why);
      return events_.on_receipts(root);
    }
    case FrameType::other:
      return;
    default:
      events_.on_frame(frame.type, line);
      break;
  }
  acknowledge(frame.stamp.seq);
}

void GatewayEnd::take_hello(std::string_view line) {
  Hello hello;
  const char* why = nullptr;
  if (!read(line, hello, why)) return refuse(std::string("hello: ") + why);
  if (hello.site != own_.site) return refuse("hello of another site than the certificate's");
  if (hello.minor_min > minor_spoken) return refuse("the agent speaks only newer versions");
  hello_ = true;
  prove_life();
  Welcome welcome = own_.welcome;
  welcome.minor = std::min(minor_spoken, hello.minor_max);
  welcome.time_ms = clock_.wall_ms();
  control("/trib/1/welcome", write(welcome));
  events_.on_hello(hello);
}

void GatewayEnd::take_capacity(std::string_view line) {
  Capacity page;
  const char* why = nullptr;
  if (!read(line, page, why)) return refuse(std::string("capacity: ") + why);
  if (page.page == 1) {
    arriving_.clear();
    if (!page.full) arriving_ = offers_;
    arriving_revision_ = page.revision;
    next_page_ = 1;
  }
  // A page of a revision whose beginning was not seen waits for the next full one.
  if (page.revision != arriving_revision_ || page.page != next_page_) return;
  ++next_page_;
  for (const auto& id : page.gone) arriving_.erase(id);
  for (auto& offer : page.offers) {
    if (offer.leaves_ns != 0) offer.leaves_ns += now_ns();
    arriving_[offer.id] = std::move(offer);
  }
  if (arriving_.size() > offers_max) return refuse("more than 4096 offers");
  if (page.page != page.pages) return;
  offers_ = std::move(arriving_);
  arriving_.clear();
  next_page_ = 0;
  std::vector<fleet::AgentOffer> all;
  all.reserve(offers_.size());
  for (const auto& [id, offer] : offers_) all.push_back(offer);
  events_.on_capacity(std::move(all));
}

void GatewayEnd::take_reclaim(std::string_view line) {
  Reclaim reclaim;
  const char* why = nullptr;
  if (!read(line, reclaim, why)) return refuse(std::string("reclaim: ") + why);
  if (reclaim.phase == "begin") {
    for (auto& [stream, call] : calls_) {
      const auto& taken = reclaim.attempts;
      if (std::find(taken.begin(), taken.end(), call->attempt_) != taken.end())
        call->reclaimed_ = true;
    }
  }
  events_.on_reclaim(reclaim);
}

// One acknowledgement is under way at a time; the next says how far it has come by then.
void GatewayEnd::acknowledge(std::uint64_t seq) {
  ack_due_ = std::max(ack_due_, seq);
  if (ack_out_ || ack_due_ <= acked_ || doomed()) return;
  ack_out_ = true;
  acked_ = ack_due_;
  control("/trib/1/ack", write_ack(acked_));
}

// ---- the end -----------------------------------------------------------------------------------

void GatewayEnd::on_goaway() {
  if (leaving_) return;
  leaving_ = true;
  events_.on_leaving();
  if (calls_.empty()) close("the agent left");
}

void GatewayEnd::drain() {
  if (lost() || doomed()) return;
  leaving_ = true;
  if (calls_.empty()) close("drained");
}

void GatewayEnd::close(std::string why) {
  if (lost()) return;
  const Turn turn(*this, Ends::may_break);
  doom({FaultKind::tunnel_lost, Side::gateway, Retry::elsewhere, std::move(why)}, Reset::no_error);
}

void GatewayEnd::on_check() {
  const std::int64_t now = now_ns();
  if (!hello_ && now - born_ns_ >= own_.hello_ms_max * ms) return refuse("no hello");
  for (const auto& [stream, control] : controls_) {
    if (now - control.since_ns >= control_ms_max * ms)
      return refuse(control.path + " was not answered");
  }
}

void GatewayEnd::on_broken(const Fault& fault) {
  fail_calls(fault);
  events_.on_lost(fault);
}

void GatewayEnd::fail_calls(const Fault& fault) {
  while (!calls_.empty()) {
    const auto [stream, call] = *calls_.begin();
    settle(stream, *call, fault);
  }
}

}  // namespace trib::tunnel

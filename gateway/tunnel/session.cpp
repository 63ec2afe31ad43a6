#include "gateway/tunnel/session.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstring>
#include <vector>

namespace trib::tunnel {
namespace {

constexpr std::size_t unsent_bytes_max = 64u << 10;  // frames wait in nghttp2 beyond this
constexpr std::int64_t ms = 1'000'000;

std::string_view view(const std::uint8_t* bytes, std::size_t count) {
  return {reinterpret_cast<const char*>(bytes), count};
}

}  // namespace

struct SessionCallbacks {
  static Session& self(void* user) { return *static_cast<Session*>(user); }

  // nghttp2 takes pushes until our settings are acknowledged; we never do.
  static int begin_frame(nghttp2_session*, const nghttp2_frame_hd* head, void* user) {
    if (head->type == NGHTTP2_PUSH_PROMISE) {
      self(user).doom({FaultKind::tunnel_lost, Side::site, Retry::elsewhere, "http/2: a push"});
    }
    return 0;
  }

  static int begin_headers(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    if (!self(user).doomed_) self(user).on_begin(frame->hd.stream_id);
    return 0;
  }

  static int header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name,
                    std::size_t name_bytes, const std::uint8_t* value, std::size_t value_bytes,
                    std::uint8_t, void* user) {
    if (!self(user).doomed_)
      self(user).on_field(frame->hd.stream_id, view(name, name_bytes), view(value, value_bytes));
    return 0;
  }

  static int data_chunk(nghttp2_session* h2, std::uint8_t, std::int32_t stream,
                        const std::uint8_t* bytes, std::size_t count, void* user) {
    // The connection's credit at once: only the stream that is not read may stop.
    nghttp2_session_consume_connection(h2, count);
    if (!self(user).doomed_) self(user).on_data(stream, view(bytes, count));
    return 0;
  }

  static int frame_recv(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    Session& s = self(user);
    if (s.doomed_) return 0;
    const bool ends = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    switch (frame->hd.type) {
      case NGHTTP2_HEADERS:
        s.on_fields_end(frame->hd.stream_id);
        if (ends && !s.doomed_) s.on_stream_end(frame->hd.stream_id);
        break;
      case NGHTTP2_DATA:
        if (frame->hd.length == frame->data.padlen && !ends) s.count_idle_frame();
        if (ends) s.on_stream_end(frame->hd.stream_id);
        break;
      case NGHTTP2_PING:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) != 0) {
          pong(s, frame->ping.opaque_data);
        } else {
          s.control_frame();
        }
        break;
      case NGHTTP2_SETTINGS:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) == 0) s.control_frame();
        break;
      case NGHTTP2_GOAWAY:
        s.on_goaway();
        break;
      case NGHTTP2_WINDOW_UPDATE:
        break;
      default:
        s.count_idle_frame();
        break;
    }
    return 0;
  }

  static void pong(Session& s, const std::uint8_t* opaque) {
    std::uint64_t number = 0;
    std::memcpy(&number, opaque, sizeof number);
    if (!s.ping_out_ || number != s.pings_) return s.count_idle_frame();
    s.ping_out_ = false;
    s.round_trip_ns_ = std::max<std::int64_t>(1, s.now_ns() - s.pinged_ns_);
    s.prove_life();
  }

  static int stream_close(nghttp2_session*, std::int32_t stream, std::uint32_t code, void* user) {
    self(user).on_closed(stream, static_cast<Reset>(code));
    return 0;
  }

  static int frame_send(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    if (frame->hd.type == NGHTTP2_HEADERS) self(user).on_head_sent(frame->hd.stream_id);
    return 0;
  }

  static nghttp2_session_callbacks* table() {
    static nghttp2_session_callbacks* callbacks = [] {
      nghttp2_session_callbacks* c = nullptr;
      nghttp2_session_callbacks_new(&c);
      nghttp2_session_callbacks_set_on_begin_frame_callback(c, begin_frame);
      nghttp2_session_callbacks_set_on_begin_headers_callback(c, begin_headers);
      nghttp2_session_callbacks_set_on_header_callback(c, header);
      nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, data_chunk);
      nghttp2_session_callbacks_set_on_frame_recv_callback(c, frame_recv);
      nghttp2_session_callbacks_set_on_stream_close_callback(c, stream_close);
      nghttp2_session_callbacks_set_on_frame_send_callback(c, frame_send);
      return c;
    }();
    return callbacks;
  }
};

bool Session::Bucket::take(std::int64_t now) {
  const std::int64_t back = std::min((now - since_ns) / ms * per_s / 1000, spent);
  if (back > 0 || spent == 0) {
    spent -= back;
    since_ns = now;
  }
  return ++spent <= burst;
}

Session::Session(std::unique_ptr<Stream> stream, TimerWheel& wheel, const Clock& clock,
                 SessionTerms terms)
    : wheel_(wheel), clock_(clock), terms_(std::move(terms)), stream_(std::move(stream)) {
  heard_ns_ = proof_ns_ = pinged_ns_ = now_ns();
  nghttp2_option* option = nullptr;
  TRIB_ASSERT(nghttp2_option_new(&option) == 0);
  nghttp2_option_set_no_auto_window_update(option, 1);
  nghttp2_option_set_no_closed_streams(option, 1);
  nghttp2_option_set_max_outbound_ack(option, 64);
  nghttp2_option_set_max_settings(option, 32);
  nghttp2_option_set_max_deflate_dynamic_table_size(option, 4096);
  const int rc = terms_.server
                     ? nghttp2_session_server_new2(&h2_, SessionCallbacks::table(), this, option)
                     : nghttp2_session_client_new2(&h2_, SessionCallbacks::table(), this, option);
  nghttp2_option_del(option);
  TRIB_ASSERT(rc == 0);
}

Session::~Session() {
  nghttp2_session_del(h2_);
}

void Session::start() {
  std::vector<nghttp2_settings_entry> settings{
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, terms_.stream_window_bytes},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, head_bytes_max},
      {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
  };
  if (terms_.server) {
    settings.push_back({NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, terms_.streams_max});
  } else {
    settings.push_back({NGHTTP2_SETTINGS_ENABLE_PUSH, 0});
  }
  nghttp2_submit_settings(h2_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  nghttp2_session_set_local_window_size(h2_, NGHTTP2_FLAG_NONE, 0, connection_window_bytes);
  stream_->set_handler(*this);
  stream_->resume();
  arm(now_ns());
}

void Session::doom(Fault fault, Reset code) {
  if (doomed_) return;
  doomed_ = true;
  fault_ = std::move(fault);
  nghttp2_session_terminate_session(h2_, static_cast<std::uint32_t>(code));
}

void Session::on_bytes(std::string_view bytes) {
  if (lost_) return;
  heard_ns_ = now_ns();
  if (terms_.liveness.any_byte_proves) prove_life();
  const Turn turn(*this, Ends::may_break);
  const auto rc = nghttp2_session_mem_recv(h2_, reinterpret_cast<const std::uint8_t*>(bytes.data()),
                                           bytes.size());
  if (rc < 0) {
    doom({FaultKind::tunnel_lost, Side::site, Retry::elsewhere,
          std::string("http/2: ") + nghttp2_strerror(static_cast<int>(rc))},
         rc == NGHTTP2_ERR_FLOODED ? Reset::enhance_your_calm : Reset::protocol_error);
  }
}

void Session::on_drained() {
  flush();
}

void Session::on_end() {
  if (lost_) return;
  const Turn turn(*this, Ends::may_break);
  doom({FaultKind::tunnel_lost, Side::site_network, Retry::elsewhere,
        "the other end closed the connection"},
       Reset::no_error);
}

void Session::on_error(const Fault& fault) {
  if (lost_) return;
  const Turn turn(*this, Ends::may_break);  // inside a write the outer turn carries it out
  doom({FaultKind::tunnel_lost, Side::site_network, Retry::elsewhere, fault.detail},
       Reset::no_error);
}

void Session::flush() {
  if (lost_) return;
  const Turn turn(*this, Ends::may_break);
}

void Session::leave(Ends ends) {
  if (depth_ > 1 || lost_) {
    --depth_;
    return;
  }
  if (ends == Ends::deferred && terms_.on_dirty) {
    --depth_;
    return terms_.on_dirty();
  }
  pump();
  --depth_;
  if (!doomed_) return;
  if (ends == Ends::may_break) return break_off();
  wheel_.arm(timer_, wheel_.now_ns());  // the caller still stands on us; break off at the next tick
}

// Still inside the turn, so that what handlers do meanwhile is gathered too.
void Session::pump() {
  for (;;) {
    out_.clear();
    while (out_.size() + stream_->unsent_bytes() < unsent_bytes_max) {
      const std::uint8_t* bytes = nullptr;
      const auto n = nghttp2_session_mem_send(h2_, &bytes);
      if (n < 0)
        doom({FaultKind::tunnel_lost, Side::gateway, Retry::elsewhere,
              nghttp2_strerror(static_cast<int>(n))});
      if (n <= 0) break;
      out_.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(n));
    }
    if (out_.empty()) break;
    stream_->write(out_);
    on_flushed();
  }
  if (out_.capacity() > unsent_bytes_max / 4) std::string().swap(out_);
  if (!doomed_ && nghttp2_session_want_read(h2_) == 0 && nghttp2_session_want_write(h2_) == 0) {
    doom({FaultKind::tunnel_lost, Side::site, Retry::elsewhere, "http/2: the session ended"},
         Reset::no_error);
  }
}

void Session::break_off() {
  if (lost_) return;
  lost_ = true;
  timer_.cancel();
  stream_->shutdown();
  on_broken(fault_);  // may destroy us
}

void Session::prove_life() {
  proof_ns_ = now_ns();
  if (!suspect_) return;
  suspect_ = false;
  on_suspect(false);
}

void Session::credit(std::int32_t stream, std::size_t bytes) {
  if (bytes > 0) nghttp2_session_consume_stream(h2_, stream, bytes);
}

void Session::reset(std::int32_t stream, Reset code) {
  nghttp2_submit_rst_stream(h2_, NGHTTP2_FLAG_NONE, stream, static_cast<std::uint32_t>(code));
}

void Session::count_idle_frame() {
  if (idle_.take(now_ns())) return;
  doom(
      {FaultKind::tunnel_lost, Side::site, Retry::elsewhere, "a flood of frames that move nothing"},
      Reset::enhance_your_calm);
}

void Session::control_frame() {
  if (control_.take(now_ns())) return;
  doom({FaultKind::tunnel_lost, Side::site, Retry::elsewhere, "a flood of PING or SETTINGS"},
       Reset::enhance_your_calm);
}

void Session::check() {
  if (lost_) return;
  const Turn turn(*this, Ends::may_break);
  const Liveness& l = terms_.liveness;
  const std::int64_t now = now_ns();
  if (doomed_) return;
  if (now - proof_ns_ >= l.dead_ms * ms) {
    return doom({FaultKind::tunnel_lost, Side::site_network, Retry::elsewhere,
                 "silent for " + std::to_string(l.dead_ms / 1000) + " s"},
                Reset::no_error);
  }
  if (!suspect_ && l.suspect_ms > 0 && now - proof_ns_ >= l.suspect_ms * ms) {
    suspect_ = true;
    on_suspect(true);
  }
  on_check();
  const bool quiet =
      now - heard_ns_ >= l.ping_after_ms * ms || now - proof_ns_ >= (l.ping_after_ms + 2'000) * ms;
  if (!ping_out_ && (quiet || now - pinged_ns_ >= l.ping_every_ms * ms)) {
    ++pings_;
    std::uint8_t opaque[8];
    std::memcpy(opaque, &pings_, sizeof opaque);
    nghttp2_submit_ping(h2_, NGHTTP2_FLAG_NONE, opaque);
    ping_out_ = true;
    pinged_ns_ = now;
  }
  arm(now);
}

void Session::arm(std::int64_t now) {
  const Liveness& l = terms_.liveness;
  std::int64_t due = proof_ns_ + l.dead_ms * ms;
  if (!suspect_ && l.suspect_ms > 0) due = std::min(due, proof_ns_ + l.suspect_ms * ms);
  if (!ping_out_) {
    due = std::min({due, heard_ns_ + l.ping_after_ms * ms,
                    proof_ns_ + (l.ping_after_ms + 2'000) * ms, pinged_ns_ + l.ping_every_ms * ms});
  }
  wheel_.arm(timer_, std::max(due, now + ms));
}

}  // namespace trib::tunnel

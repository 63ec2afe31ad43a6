// What both ends of a tunnel share: one nghttp2 session over one Stream, turns that gather all
// frames into one write, credit, floods, liveness. Sans-I/O: a test drives it over in-memory pipes.
// One thread. The two ends (gateway_end.h, agent_end.h) derive from it.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "gateway/base/base.h"

struct nghttp2_session;

namespace trib::tunnel {

inline constexpr std::size_t head_bytes_max = 16u << 10;  // MAX_HEADER_LIST_SIZE, both ways
inline constexpr std::int32_t connection_window_bytes = 4 << 20;

// HTTP/2 error codes that this protocol gives a meaning.
enum class Reset : std::uint32_t {
  no_error = 0,
  protocol_error = 1,
  internal_error = 2,     // agent: the engine crashed
  refused_stream = 7,     // nothing ran: safe to repeat
  cancel = 8,             // gateway: the customer left; agent: the owner took the seat back
  enhance_your_calm = 11  // a flood
};

struct Liveness {
  std::int64_t ping_after_ms;  // of silence
  std::int64_t ping_every_ms;  // at least; a sample of the round trip
  std::int64_t suspect_ms;     // without proof of life; 0: never
  std::int64_t dead_ms;
  bool any_byte_proves;  // else only heartbeats and answered PINGs do
};

struct SessionTerms {
  bool server = false;
  std::uint32_t stream_window_bytes = 64u << 10;  // what this end takes of a stream unread
  std::uint32_t streams_max = 0;                  // servers only
  Liveness liveness{5'000, 30'000, 10'000, 15'000, false};
  // Called when frames wait because a call from outside made them; the owner then calls flush()
  // once at the end of its loop's turn. Empty: they are written at once.
  std::function<void()> on_dirty;
};

class Session : private StreamHandler {
 public:
  virtual ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void flush();  // may end in on_broken
  bool lost() const { return lost_; }
  bool suspect() const { return suspect_; }
  std::int64_t round_trip_ns() const { return round_trip_ns_; }  // 0: no sample yet
  std::string peer() const { return stream_->peer(); }

 protected:
  Session(std::unique_ptr<Stream> stream, TimerWheel& wheel, const Clock& clock,
          SessionTerms terms);
  void start();  // settings out, reading on; called once by the end's constructor, after its own

  // What arrives. None of these may destroy the session; on_broken may, and is the last call.
  virtual void on_begin(std::int32_t stream) = 0;
  virtual void on_field(std::int32_t stream, std::string_view name, std::string_view value) = 0;
  virtual void on_fields_end(std::int32_t stream) = 0;  // a head or trailers are complete
  virtual void on_data(std::int32_t stream, std::string_view bytes) = 0;
  virtual void on_stream_end(std::int32_t stream) = 0;  // the peer's side of it
  virtual void on_closed(std::int32_t stream, Reset code) = 0;
  virtual void on_goaway() = 0;
  virtual void on_head_sent(std::int32_t) {}
  virtual void on_check() {}  // at each look at the clock
  virtual void on_suspect(bool) {}
  virtual void on_flushed() {}  // frames were written
  virtual void on_broken(const Fault& fault) = 0;

  // Everything that makes frames from outside of the calls above happens inside a Turn: frames are
  // gathered and written when the outermost one ends. `deferred` waits for flush() where there is
  // an on_dirty; after `may_break` the session may be gone; the others never break off.
  enum class Ends : std::uint8_t { deferred, written, may_break };
  class Turn {
   public:
    explicit Turn(Session& session, Ends ends = Ends::deferred) : session_(session), ends_(ends) {
      ++session_.depth_;
    }
    ~Turn() { session_.leave(ends_); }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    Session& session_;
    Ends ends_;
  };

  // The end of the tunnel, carried out when the turn ends; the first reason stays.
  void doom(Fault fault, Reset code = Reset::protocol_error);
  bool doomed() const { return doomed_; }
  void prove_life();
  void credit(std::int32_t stream, std::size_t bytes);
  void reset(std::int32_t stream, Reset code);
  void count_idle_frame();  // one that moved nothing; too many end the tunnel
  std::int64_t now_ns() const { return clock_.mono_ns(); }

  nghttp2_session* h2_ = nullptr;
  TimerWheel& wheel_;
  const Clock& clock_;
  const SessionTerms terms_;

 private:
  friend struct SessionCallbacks;
  // Counts up to `burst` at once and `per_s` in the long run.
  struct Bucket {
    std::int64_t per_s, burst;
    std::int64_t spent = 0, since_ns = 0;
    bool take(std::int64_t now_ns);
  };

  void on_bytes(std::string_view bytes) override;
  void on_drained() override;
  void on_end() override;
  void on_error(const Fault& fault) override;
  void leave(Ends ends);
  void pump();
  void break_off();
  void check();
  void arm(std::int64_t now);
  void control_frame();

  std::unique_ptr<Stream> stream_;
  std::string out_;
  int depth_ = 0;
  bool doomed_ = false, lost_ = false, suspect_ = false, ping_out_ = false;
  Fault fault_;
  std::uint64_t pings_ = 0;
  std::int64_t heard_ns_, proof_ns_, pinged_ns_, round_trip_ns_ = 0;
  Bucket control_{10, 40}, idle_{1000, 2000};
  MemberTimer<Session, &Session::check> timer_{*this};
};

}  // namespace trib::tunnel

// The gateway's end of a tunnel: HTTP/2's client on a connection that a site's agent dialled.
// Created when TLS is done and the certificate's site is known; speaks first. One worker's thread
// owns it; others reach it through that worker.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "gateway/http/http.h"
#include "gateway/tunnel/frames.h"
#include "gateway/tunnel/session.h"

namespace trib::tunnel {

// What a tunnel tells, on its thread. None of these may destroy the tunnel, except on_lost, which
// is the last call; calls' own events (http::CallEvents) may not either.
class TunnelEvents {
 public:
  virtual void on_hello(
      const Hello& hello) = 0;  // its site is the certificate's; welcome is on its way
  virtual void on_capacity(std::vector<fleet::AgentOffer> offers) = 0;  // all that is offered now
  virtual void on_heartbeat(const Heartbeat&) {}
  // The owner takes a seat back. Calls that it ends then fault with `reclaimed`.
  virtual void on_reclaim(const Reclaim&) {}
  // A durable frame that has no call of its own yet. It is acknowledged when this returns.
  virtual void on_frame(FrameType, std::string_view /*line*/) {}
  // The agent's answer to tell(): 204 taken, 409 they contradict what the site holds, else not now.
  virtual void on_checkpoints(int /*status*/) {}
  // A signed root of receipts, as JSON, which points into what arrived.
  virtual void on_receipts(std::string_view /*root*/) {}
  virtual void on_suspect(bool) {}               // true: no new work until false follows
  virtual void on_leaving() {}                   // the agent goes; open calls may still end
  virtual void on_lost(const Fault& fault) = 0;  // every open call has had its fault

 protected:
  ~TunnelEvents() = default;
};

struct GatewayTerms {
  std::string site;  // of the certificate; a hello that says another ends the tunnel
  Welcome welcome;   // time and minor are filled in
  std::uint64_t answer_bytes_max = 64u << 20;
  std::int64_t hello_ms_max = 10'000;
  std::function<void()> on_dirty;  // see SessionTerms
};

class GatewayEnd final : public Session {
 public:
  // Destroying it faults the open calls, without on_lost.
  GatewayEnd(std::unique_ptr<Stream> stream, TunnelEvents& events, TimerWheel& wheel,
             const Clock& clock, GatewayTerms terms);
  ~GatewayEnd();

  // One request on an offer of this agent. Null: no call can begin now (no hello yet, the tunnel is
  // leaving or lost, or the agent's streams are all taken) and nothing was sent. `events` hears
  // nothing from within this call. The call may outlive the tunnel.
  std::unique_ptr<http::Call> call(std::string_view offer, http::CallRequest request,
                                   http::CallEvents& events);
  // One page at a time, to an agent whose hello names a checkpoint; on_checkpoints follows.
  void tell(const CheckpointPage& page);
  // To an agent whose hello names receipts.
  void tell(const ReceiptsHeld& held);
  std::size_t open_calls() const { return calls_.size(); }

  // Ends the tunnel after the frames that are queued: open calls fault, on_lost follows. Not from
  // within events.
  void close(std::string why);
  // Says that no new calls come; on_lost follows when the open ones have ended. May be called
  // twice.
  void drain();

 private:
  class OneCall;

  void on_begin(std::int32_t stream) override;
  void on_field(std::int32_t stream, std::string_view name, std::string_view value) override;
  void on_fields_end(std::int32_t stream) override;
  void on_data(std::int32_t stream, std::string_view bytes) override;
  void on_stream_end(std::int32_t stream) override;
  void on_closed(std::int32_t stream, Reset code) override;
  void on_goaway() override;
  void on_head_sent(std::int32_t stream) override;
  void on_check() override;
  void on_suspect(bool suspect) override { events_.on_suspect(suspect); }
  void on_broken(const Fault& fault) override;

  void ask_for_events();
  void control(std::string_view path, std::string body);
  void read_lines(std::string_view bytes);
  void take_line(std::string_view line);
  void take_hello(std::string_view line);
  void take_capacity(std::string_view line);
  void take_reclaim(std::string_view line);
  void acknowledge(std::uint64_t seq);
  void refuse(std::string why);  // the agent broke the protocol
  void settle(std::int32_t stream, OneCall& call, const Fault& fault);
  void fail_calls(const Fault& fault);
  OneCall* find(std::int32_t stream);

  TunnelEvents& events_;
  GatewayTerms own_;
  std::unordered_map<std::int32_t, OneCall*> calls_;
  struct Control {
    std::string path, body;
    std::int64_t since_ns = 0;
    int status = 0;
  };
  std::unordered_map<std::int32_t, Control> controls_;
  std::int32_t events_stream_ = 0;
  int events_status_ = 0;
  std::string line_;
  std::int64_t born_ns_;
  bool hello_ = false, leaving_ = false;
  std::uint64_t ack_due_ = 0, acked_ = 0;
  bool ack_out_ = false;
  // Capacity: what stands, and the pages of the revision that is arriving.
  std::map<std::string, fleet::AgentOffer> offers_, arriving_;
  std::uint64_t arriving_revision_ = 0;
  std::uint32_t next_page_ = 1;
  std::int64_t lines_allowed_ = 2000, lines_at_ns_;
};

}  // namespace trib::tunnel

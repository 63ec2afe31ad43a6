// The agent's end of a tunnel: HTTP/2's server on a connection that the agent dialled. It tells
// events (hello, heartbeats, capacity) and answers the gateway's requests. One thread.
#pragma once
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "gateway/http/http.h"
#include "gateway/tunnel/frames.h"
#include "gateway/tunnel/session.h"

namespace trib::tunnel {

// An inference request as it came, body complete.
struct AgentRequest {
  std::string offer, path;  // the offer's id; the engine path with its leading '/'
  std::string content_type, accept, attempt;
  std::int64_t deadline_ms = 0, gap_ms = 0;  // 0: not said
  std::string body;
};

// One request that is being answered. It belongs to the tunnel and lives until end(), refuse(), fail()
// or reset() returns, or on_cancel was called for it: the handler forgets it then.
class Answer {
 public:
  virtual const AgentRequest& request() const = 0;
  virtual std::string take_body() = 0;  // moves the request's body out
  virtual void head(int status, std::span<const http::Field> fields) = 0;  // once, before any body
  virtual void body(std::string_view bytes) = 0;
  virtual void end() = 0;  // complete: the trailer says so
  // Instead of head(): an error of the agent's own making, such as 503 "seat_gone".
  virtual void refuse(int status, std::string_view type, std::string_view message) = 0;
  // Not complete, because of its engine: what was passed on before it still goes out. Before head() too.
  virtual void fail(FaultKind kind) = 0;
  virtual void reset(Reset code) = 0;  // not complete
  // Bytes that wait for the gateway's window. Above `high`, stop reading the engine until on_room.
  virtual std::size_t queued_bytes() const = 0;
  static constexpr std::size_t high_bytes = 64u << 10;
  void* owner = nullptr;  // the handler's own

 protected:
  ~Answer() = default;
};

class AgentHandler {
 public:
  virtual void on_request(Answer& answer) = 0;
  virtual void on_room(Answer& answer) = 0;    // queued_bytes has fallen again
  virtual void on_cancel(Answer& answer) = 0;  // the gateway gave it up, or the tunnel is lost
  virtual void on_welcome(const Welcome&) {}
  // The newest checkpoint that this site holds, for the hello; none: it takes none.
  virtual std::optional<std::uint64_t> checkpoint_held() { return std::nullopt; }
  enum class Taken : std::uint8_t { kept, contradicted, not_now };
  virtual Taken on_checkpoints(const CheckpointPage&) { return Taken::not_now; }
  // The newest root of receipts that this site has signed, for the hello; none: it tells none.
  virtual std::optional<std::uint64_t> receipts_newest() { return std::nullopt; }
  virtual void on_receipts_held(const ReceiptsHeld&) {}  // and may be sent more, by receipts()
  virtual void on_goaway() {}                    // the gateway leaves: dial again
  virtual void on_lost(const Fault& fault) = 0;  // last call; may destroy the tunnel

 protected:
  ~AgentHandler() = default;
};

struct AgentTerms {
  Hello hello;
  // Allowed: what customers ask for, and what going on with an answer needs. Nothing else reaches an engine.
  std::vector<std::string> paths{"/v1/chat/completions", "/v1/completions", "/v1/embeddings",
                                 "/tokenize", "/detokenize", "/apply-template"};
  std::uint64_t bodies_bytes_max = 256u
                                   << 20;     // of all requests held; above it new ones are refused
  std::uint64_t events_bytes_max = 1u << 20;  // unread by the gateway; above it the tunnel ends
  std::int64_t capacity_every_ms = 60'000;
  std::function<void()> on_dirty;
};

class AgentEnd final : public Session {
 public:
  AgentEnd(std::unique_ptr<Stream> stream, AgentHandler& handler, TimerWheel& wheel,
           const Clock& clock, Rng& rng, AgentTerms terms);
  ~AgentEnd();

  // All that is offered from now on; requests for others are refused. Told to the gateway, and where the
  // offers are the same but for some, those alone.
  void offer(std::vector<fleet::AgentOffer> offers);
  bool offers(std::string_view id) const;
  bool welcomed() const { return welcomed_; }
  std::size_t open_requests() const;
  // A durable frame: kept until acknowledged.
  void reclaim(std::string seat, std::string phase, std::vector<std::string> attempts);
  // A signed root. Lines of the other kinds go first; whoever sends bounds how many are under way.
  void receipts(std::string_view root);
  void drain();                 // GOAWAY: open requests may end, no new ones come
  void close(std::string why);  // on_lost follows; not from within the handler's calls

 private:
  class OneAnswer;
  friend class OneAnswer;
  struct Arriving;

  void on_begin(std::int32_t stream) override;
  void on_field(std::int32_t stream, std::string_view name, std::string_view value) override;
  void on_fields_end(std::int32_t stream) override;
  void on_data(std::int32_t stream, std::string_view bytes) override;
  void on_stream_end(std::int32_t stream) override;
  void on_closed(std::int32_t stream, Reset code) override;
  void on_goaway() override;
  void on_flushed() override;
  void on_broken(const Fault& fault) override;

  void serve(OneAnswer& answer);
  void serve_events(std::int32_t stream);
  void answer_plainly(OneAnswer& answer, int status);
  const char* route(OneAnswer& answer);
  void tell(std::string line);
  void tell_capacity();
  bool tell_changes(const std::vector<fleet::AgentOffer>& before);
  void beat();
  void cancel_all();
  Stamp stamp() const;
  OneAnswer* find(std::int32_t stream);

  AgentHandler& handler_;
  AgentTerms own_;
  Rng& rng_;
  std::unordered_map<std::int32_t, std::unique_ptr<OneAnswer>> answers_;
  std::int32_t events_stream_ = 0;
  std::string events_;  // lines that wait for the window
  std::size_t events_at_ = 0;
  std::deque<std::string> pages_;  // of the last capacity, not yet among the lines
  std::deque<std::string> roots_;  // of receipts, likewise: they wait behind all else
  bool welcomed_ = false, draining_ = false;
  std::uint32_t heartbeat_s_ = 5;
  std::vector<fleet::AgentOffer> offers_;
  std::uint64_t revision_ = 0, seq_ = 0, held_bytes_ = 0;
  std::int64_t capacity_ns_ = 0;
  std::deque<std::pair<std::uint64_t, std::string>> unacked_;
  std::vector<std::int32_t> roomy_;
  std::unordered_set<std::string> attempts_;  // the recent ones, never to be run twice
  std::deque<std::string> attempts_order_;
  MemberTimer<AgentEnd, &AgentEnd::beat> beat_timer_{*this};
};

}  // namespace trib::tunnel

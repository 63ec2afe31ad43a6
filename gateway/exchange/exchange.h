// One request end to end: dispatch, silent retry before the first byte, relay with counting, an honest
// end. A state machine over the interfaces of its worker; it knows no sockets, threads or clocks of
// its own, and the simulation runs it as it stands.
//
// Order of durable things (ledger.md 4.1): ADMIT and ATTEMPT are appended at once and the first byte
// waits for both; FINAL is appended when all is known and the last byte waits for it.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "backends/engines/engines.h"
#include "gateway/base/base.h"
#include "gateway/config/config.h"
#include "gateway/exchange/release.h"
#include "gateway/fleet/fleet.h"
#include "gateway/http/http.h"
#include "gateway/ledger/ledger.h"
#include "gateway/metering/metering.h"
#include "gateway/net/net.h"
#include "gateway/routing/routing.h"
#include "gateway/telemetry/telemetry.h"
#include "gateway/tenancy/tenancy.h"

namespace trib::exchange {

struct Figures;  // counters and histograms, registered once

// What an exchange needs of the worker it runs on. Outlives every exchange.
class World {
 public:
  virtual ~World() = default;
  virtual Clock& clock() = 0;
  virtual TimerWheel& wheel() = 0;
  virtual Rng& rng() = 0;
  virtual routing::Router& router() = 0;
  virtual metering::Journal& journal() = 0;
  virtual ReleaseQueue& releases() = 0;
  virtual Figures& figures() = 0;
  virtual std::shared_ptr<const fleet::FleetSnapshot> fleet() = 0;
  // Opens a call to an offer, dialled or tunnelled. Events come later, never from within.
  virtual std::unique_ptr<http::Call> call(const fleet::Offer& offer, http::CallRequest request,
                                           http::CallEvents& events) = 0;
  // Bytes of unary answers held in all workers; false when `limits.buffers` would be passed.
  virtual bool hold_bytes(std::int64_t change) = 0;
};

struct Terms {  // of the configuration snapshot the request came under
  config::Deadlines deadlines;
  config::Limits limits;
  unsigned continuations = 3;  // sites that may go on with a broken stream; 0: none
  routing::Rules routing;
};

// An admitted request: checked, held, not yet dispatched. The exchange settles the hold.
struct Order {
  engines::RequestFacts facts;
  std::string body;
  std::shared_ptr<tenancy::Tenant> tenant;
  config::Privacy privacy = config::Privacy::dc;
  metering::Admit admit;
  std::shared_ptr<const ledger::Book> book;
  const ledger::PriceVersion* price = nullptr;  // in `book`
  tenancy::Hold hold;           // of `tenant`, which outlives it
  std::uint64_t input_max = 0;   // what the prompt can have in tokens
  std::uint64_t output_max = 0;  // tokens that were asked for; more than either is not billed
  std::uint32_t context = 0;
  std::shared_ptr<const Terms> terms;
  // Told when FINAL is appended and the hold is settled, and once more, as failed and free of charge,
  // should the journal fail before it is released; may not touch the exchange.
  std::function<void(const metering::Final&, money::Amount charge)> concluded;
};

// The answer of one admitted request. `responder` is the session's, or one that also keeps a copy.
class Exchange final : public net::Operation, private http::CallEvents, private Waiter, private routing::Waiter {
 public:
  Exchange(World& world, Order order, net::Responder& responder);
  ~Exchange() override;
  // Above what malloc keeps at hand, and made for each request: a worker keeps a few blocks itself.
  static void* operator new(std::size_t size);
  static void operator delete(void* block, std::size_t size);
  // Appends ADMIT and dispatches. The answer never completes from within.
  void start();

  void on_drained() override;
  void on_gone(const Fault& fault) override;
  void on_drain_expired() override;

 private:
  enum class Mode : std::uint8_t { waiting, events, unary, unary_committed, error_body, ended };

  void on_head(const http::ResponseHead& head) override;
  void on_body(std::string_view bytes) override;
  void on_end() override;
  void on_fault(const Fault& fault) override;
  void on_released() override;
  void on_journal_failed() override;

  bool on_asked() override;
  void on_turn() override { dispatch(); }
  void on_sent_away(std::int64_t retry_after_ms) override;
  routing::Choice find_offer();
  routing::Choice choose(std::span<const std::string> excluded, bool going_on);
  void tell_router_of(const fleet::OfferPtr& offer, const Fault& fault, std::int64_t retry_after_ms);
  bool wait_for_turn(routing::Why why);
  void dispatch();
  void send_to(fleet::OfferPtr offer, std::string path, std::string body);
  bool begin_attempt(fleet::OfferPtr offer);
  class Steps;
  bool go_on(const Fault& fault);
  bool may_go_on(const Fault& fault) const;
  void leave_seam();
  Fault record_attempt(const fleet::Offer& offer);
  http::CallRequest request_for(const fleet::Offer& offer, std::string path, std::string body) const;
  std::int64_t first_due_ms() const;
  bool fits(std::string_view content_type) const;
  class Rival;
  void start_rival();
  void take_rival();
  void drop_rival(const Fault& fault);
  void rival_failed(const Fault& fault);
  void follow(const engines::AnswerFacts& facts);
  void drop_uncleared();
  void note_retry_after(std::int64_t for_ms);
  void end_attempt(const Fault& fault);
  void tell_router(const Fault& fault);
  void attempt_failed(Fault fault);
  void forget_attempt();
  void give_up(const Fault& fault);
  void break_off(const Fault& fault);
  void read_events(std::string_view bytes);
  bool take_event(const http::SseEvent& event, std::string& out);
  bool forward(std::string& out);
  void take_unary(std::string_view bytes);
  void commit_unary();
  void pass_committed();
  void finish_committed();
  void finish_events();
  void finish_unary();
  void conclude(metering::Outcome outcome, int status);
  std::uint64_t input_before_seams() const;
  const config::Policies& policies() const;
  bool bills_input_alone(metering::Outcome outcome) const;
  std::uint64_t pieces_of_a_leaver() const;
  void cut_delivered(std::uint64_t output);
  metering::TokenCounts billed(metering::Outcome outcome, metering::CountSource& source) const;
  metering::TokenCounts counted(metering::Outcome outcome, metering::CountSource& source) const;
  void note_progress();
  void note_progress_now();
  void let_go();
  void send_tail();
  bool first_due() const;
  void arm();
  void on_timer();
  std::int64_t now() { return world_.clock().mono_ns(); }
  metering::AttemptResult& result() { return final_.results[current_]; }

  World& world_;
  Order order_;
  net::Responder& responder_;
  Mode mode_ = Mode::waiting;
  const bool stream_;
  std::int64_t started_ns_;
  std::int64_t call_deadline_ns_ = 0;   // of the first token, or of a unary answer
  std::int64_t last_byte_ns_ = 0;
  std::int64_t gap_from_ns_ = 0;        // the last event or byte of a body; comments do not count
  std::int64_t last_sent_ns_ = 0;

  // Attempts, as dispatched.
  fleet::OfferPtr offer_;
  std::unique_ptr<http::Call> call_;
  fleet::OfferPtr turn_;  // found for it while it waited in line, and held by open_
  fleet::OpenAttempt open_;
  std::size_t current_ = 0;    // of the attempts, the one whose answer is read
  std::int64_t attempt_ns_ = 0;  // when it was dispatched; 0: none, or the router knows already
  std::int64_t first_ns_ = 0;    // its first token
  bool slowed_ = false;          // the customer held it up: its pace is not the engine's
  fleet::OfferPtr crashed_;      // the first that broke in its site's hands
  metering::Final final_;      // grows with the request: its pins, attempts and what came of them
  std::vector<std::string> excluded_;
  std::uint64_t conversation_ = 0;  // its head, once it was asked for
  unsigned crashes_ = 0;       // attempts that broke in the site's hands; two blame the request
  std::int64_t retry_after_ms_ = 0;  // the smallest that any site gave; 0: none
  std::int64_t refused_for_ms_ = 0;  // what the last refusal said; 0: nothing
  Fault last_fault_;
  int engine_status_ = 0;
  engines::ErrorFacts engine_error_;

  // The answer so far.
  bool head_sent_ = false;
  bool cleared_ = false;        // this attempt's bytes may leave: its ATTEMPT is released
  bool paused_ = false;
  bool done_seen_ = false;
  std::uint64_t finishes_ = 0;  // choices that have said their finish
  bool tail_ready_ = false;     // FINAL is appended; the tail goes once it is released
  metering::Lsn wait_first_ = 0;  // the first byte waits for this
  metering::Lsn wait_last_ = 0;
  std::int64_t ended_ns_ = 0;  // when that was appended
  http::SseScanner scanner_;
  std::string held_;            // events before the first release; a unary body; an error body
  std::string role_event_;      // the first role delta waits for the first text
  std::string id_, created_;    // raw JSON of the first attempt's, for events of our own

  // ---- a second site beside the first, before the first byte (hedge.cpp)
  std::unique_ptr<Rival> rival_;     // at work beside call_
  std::unique_ptr<Rival> relay_;     // has become call_, whose events come through it
  std::int64_t hedge_due_ns_ = 0;    // 0: no second site, or not yet dispatched
  bool hedged_ = false;
  bool spoke_ = false;               // the current attempt has sent a byte of its answer

  // ---- going on elsewhere with a stream that broke (continue.cpp)
  std::unique_ptr<Steps> steps_;  // of an attempt that goes on: what it asks (steps.cpp)
  bool followed_ = false;       // text_ is all that was said; it may be gone on from
  std::string text_;            // of the answer, decoded; what is held for the first release among it
  std::size_t text_sent_ = 0;   // of it, when the attempt began
  std::int64_t text_held_ = 0;  // counted against limits.buffers
  unsigned seams_ = 0;          // attempts that went on
  bool seam_shown_ = true;      // the comment that marks the last seam is out
  std::int64_t broken_ns_ = 0;  // when the last seam began
  std::uint64_t before_pieces_ = 0, before_bytes_ = 0;      // delivered by earlier attempts
  std::optional<metering::TokenCounts> first_claim_;        // what the first attempt said of the prompt
  std::string tail_;            // the last piece
  std::string unary_head_;      // fields of the answer's head
  int status_ = 200;
  std::uint64_t pieces_ = 0, bytes_ = 0, pieces_noted_ = 0;
  std::uint64_t sent_bytes_ = 0;  // of the answer's body, given to the responder
  std::int64_t noted_ns_ = 0;
  engines::UsageState usage_ = engines::UsageState::absent;
  metering::TokenCounts claimed_;
  std::int64_t held_bytes_ = 0;
  MemberTimer<Exchange, &Exchange::on_timer> timer_{*this};
};

// {"error":{"message":…,"type":…,"param":…,"code":…}}: OpenAI's error body. Empty param or code: null.
std::string error_json(std::string_view message, std::string_view type, std::string_view param, std::string_view code);
// The type that goes with a status: "invalid_request_error", "authentication_error", ...
std::string_view error_type(int status);

struct Figures {
  explicit Figures(telemetry::Registry& registry);
  telemetry::Registry& registry;
  telemetry::Counter& events;
  telemetry::Counter& tokens_in;
  telemetry::Counter& tokens_out;
  telemetry::Histogram& first_token;
  telemetry::Histogram& gap;
  telemetry::Histogram& seam;
  telemetry::Histogram& journal_wait;
  telemetry::Counter& continuations;
  telemetry::Counter& hedges;
  telemetry::Gauge& open;
  telemetry::Counter& outcome(metering::Outcome outcome) { return *outcomes_[static_cast<std::size_t>(outcome)]; }
  telemetry::Counter& fault(const Fault& fault);

 private:
  telemetry::Counter* outcomes_[7];
};

}  // namespace trib::exchange

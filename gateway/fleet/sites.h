// Sites and what they offer. The registry changes rarely and on one thread; what routing reads is an
// immutable FleetSnapshot, swapped whole.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "gateway/base/base.h"
#include "gateway/config/config.h"
#include "gateway/fleet/capabilities.h"
#include "gateway/fleet/freeze.h"

namespace trib::fleet {

struct Dialled {
  Endpoint endpoint;
  std::string base_path;
};
struct Tunnelled {
  std::uint64_t tunnel = 0;  // of the live connection; a new dial has a new number
  std::string offer;         // the agent's offer id
};

// Live figures, shared by all snapshots and workers. Lock-free: each is one relaxed atomic, and a lost
// update costs one sample. The load is the engine's, whatever the model; the others are the offer's own.
struct OfferLoad {
  std::atomic<std::uint32_t> in_flight{0};
};
// What the engine's own metrics page said last, for all offers of the engine. `neutral`: not known, and
// neither full nor free. A hint beside the load, which is the gateway's own count and always right about it.
struct OfferFigures {
  static constexpr std::int64_t neutral = -1;
  std::atomic<std::int64_t> running{neutral}, waiting{neutral}, kv_use_ppm{neutral};
  void set(const EngineFigures& figures);  // what is missing becomes neutral
};
struct OfferRest {
  std::atomic<std::int64_t> until_ns{0};  // no new work before (a 429, a refused connection)
};
// What attempts have shown, smoothed. routing/pace.h writes and reads it.
struct OfferPace {
  std::atomic<std::uint32_t> token_us{0};       // between two tokens on the idle machine; 0: not known
  std::atomic<std::uint32_t> first_us{0};       // to the first token on the idle machine; 0: not known
  std::atomic<std::uint32_t> answer_tokens{0};  // length of a whole answer; 0: not known
  std::atomic<std::uint32_t> samples{0};        // stops at 255
  std::atomic<std::uint32_t> refusals{0};       // "full" in a row, though by our count it was not
  std::atomic<std::int64_t> heard_ns{0};        // the last sample
  std::atomic<std::int64_t> leaves_ns{0};       // lent until then, most likely; 0: not known
};
// One word, so that a change is one exchange. routing/breaker.h packs it.
struct OfferBreaker {
  std::atomic<std::uint64_t> word{0};
};
// Ways of going on that the engine has refused for this model, though its record promised them. They are
// tried again after an hour: it may have been the request, or another engine stands there by then.
class OfferWays {
 public:
  static constexpr std::int64_t closed_ns = 3'600'000'000'000;
  void close(Ways ways, std::int64_t now_ns) {
    closed_.store(static_cast<Ways>(closed_at(now_ns) | ways), std::memory_order_relaxed);
    until_ns_.store(now_ns + closed_ns, std::memory_order_relaxed);
  }
  Ways closed_at(std::int64_t now_ns) const {
    return now_ns < until_ns_.load(std::memory_order_relaxed) ? closed_.load(std::memory_order_relaxed) : Ways{0};
  }
  void forget() { until_ns_.store(0, std::memory_order_relaxed); }

 private:
  std::atomic<Ways> closed_{0};
  std::atomic<std::int64_t> until_ns_{0};
};

struct Offer {
  std::string id;            // unique in the fleet: "dc-one/0/smollm2-135m"
  std::string site;
  config::SiteKind kind = config::SiteKind::datacenter;
  std::string seat;          // empty for dialled sites
  std::string device;        // key of the first device, or empty
  std::string vendor;        // whose chips; empty: unknown
  std::string region;        // where it stands; empty: not said
  std::string contract;
  std::string model;         // public name
  std::string engine_model;  // the engine's own name
  std::uint32_t capacity = 1;
  Capabilities can;
  std::variant<Dialled, Tunnelled> link;
  std::shared_ptr<OfferLoad> load = std::make_shared<OfferLoad>();
  std::shared_ptr<OfferRest> rest = std::make_shared<OfferRest>();
  std::shared_ptr<OfferFigures> figures = std::make_shared<OfferFigures>();
  std::shared_ptr<OfferPace> pace = std::make_shared<OfferPace>();
  std::shared_ptr<OfferBreaker> breaker = std::make_shared<OfferBreaker>();
  std::shared_ptr<OfferWays> ways = std::make_shared<OfferWays>();

  // How it may be asked to go on: by its record, without what it has refused.
  Ways ways_left(std::int64_t now_ns) const { return static_cast<Ways>(ways_of(can) & ~ways->closed_at(now_ns)); }
};

// Counts one open attempt on its offer for as long as it lives.
class OpenAttempt {
 public:
  OpenAttempt() = default;
  explicit OpenAttempt(std::shared_ptr<OfferLoad> load) : load_(std::move(load)) {
    if (load_) load_->in_flight.fetch_add(1, std::memory_order_relaxed);
  }
  OpenAttempt(OpenAttempt&& other) noexcept : load_(std::move(other.load_)) {}
  OpenAttempt& operator=(OpenAttempt&& other) noexcept {
    release();
    load_ = std::move(other.load_);
    return *this;
  }
  ~OpenAttempt() { release(); }
  void release() {
    if (load_) load_->in_flight.fetch_sub(1, std::memory_order_relaxed);
    load_.reset();
  }

 private:
  std::shared_ptr<OfferLoad> load_;
};

using OfferPtr = std::shared_ptr<const Offer>;

struct FleetSnapshot {
  std::uint64_t revision = 0;
  std::unordered_map<std::string, std::vector<OfferPtr>> by_model;  // public name -> offers
  std::size_t offers = 0;
  std::shared_ptr<BlameFreeze> freeze;  // shared by all snapshots; null: blame is never frozen
};

enum class SiteState { invited, probation, active, suspended, revoked };
std::string_view name(SiteState state);

struct DeviceClaim {  // what an agent says it has; a claim, not a fact
  std::string key, vendor, name, driver;
  std::uint64_t memory_bytes = 0;
  std::string plugin;
};

struct SiteView {
  std::string id;
  config::SiteKind kind = config::SiteKind::datacenter;
  std::string vendor, contract;
  SiteState state = SiteState::active;
  bool dialled = true;
  bool connected = false;           // dialled: at least one engine healthy; agent: a live tunnel
  std::string check_words;          // of the agent's key
  std::vector<DeviceClaim> devices;
  std::vector<OfferPtr> offers;
};

// A line of an agent's `capacity` frame.
struct AgentOffer {
  std::string id, model, engine_model, seat, device, vendor;
  std::uint32_t slots = 1;
  Capabilities can;
  // Of the moment: the engine's own figures, and until when it is likely to be lent (monotonic clock of
  // whoever holds this; 0: not known).
  EngineFigures figures;
  std::int64_t leaves_ns = 0;
  bool operator==(const AgentOffer&) const = default;
  bool same_offer(const AgentOffer& other) const;  // whatever the moment
};

// Thread-safe (one lock; never taken per request). Every change publishes a new snapshot.
class Fleet {
 public:
  // The sites of a configuration: new ones appear, gone ones lose their offers. Sites without engines
  // are agents'; they start `invited`, or as `states` (the durable record) says.
  void configure(const config::ConfigSnapshot& config, const std::map<std::string, SiteState>& states);

  std::shared_ptr<const FleetSnapshot> snapshot() const;
  std::vector<SiteView> sites() const;
  std::optional<SiteView> site(const std::string& id) const;
  // Which sites dial in, as of now: they have an agent, and so a second meter.
  std::function<bool(const std::string& site)> dialling_in() const;

  void set_state(const std::string& site, SiteState state);
  void set_check_words(const std::string& site, std::string words);

  // Dialled engines: what a probe found (`index` is the engine's place in the site's list).
  void engine_found(const std::string& site, std::size_t index, const Capabilities& can,
                    const std::vector<std::string>& engine_models);
  // What a trial has shown of one of its models, by the engine's name for it. Forgotten when the engine changes.
  void model_tried(const std::string& site, std::size_t index, const std::string& engine_model, const Capabilities& can);
  void engine_lost(const std::string& site, std::size_t index);
  void engine_figures(const std::string& site, std::size_t index, const EngineFigures& figures);

  // Tunnels. `tunnel` is the connection's number; a newer one replaces an older one of the same site.
  void tunnel_up(const std::string& site, std::uint64_t tunnel, std::vector<DeviceClaim> devices);
  // All that is offered now. Where only figures of the moment differ, no new snapshot is published.
  void tunnel_offers(const std::string& site, std::uint64_t tunnel, std::vector<AgentOffer> offers);
  void tunnel_down(const std::string& site, std::uint64_t tunnel);  // its offers go at once

 private:
  struct Entry;
  void publish();  // with the lock held
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Entry>> entries_;
  Published<FleetSnapshot> snapshot_{std::make_shared<const FleetSnapshot>()};
  std::uint64_t revision_ = 0;
  std::shared_ptr<BlameFreeze> freeze_ = std::make_shared<BlameFreeze>();
};

}  // namespace trib::fleet

#include "gateway/app/rig.h"

#include <boost/asio/post.hpp>

namespace trib::app {
namespace {

constexpr std::int64_t second_ns = 1'000'000'000;
constexpr std::int64_t handshake_ns = 10 * second_ns;

net::PoolLimits pool_limits_of(const config::GatewayConfig& config) {
  net::PoolLimits out;
  out.connect_ms = config.deadlines.connect_ms;
  out.head = {config.limits.head_bytes, config.limits.headers};
  return out;
}

telemetry::Gauge& gauge(Shared& shared, unsigned worker, std::string_view name, std::string_view help) {
  return shared.registry.gauge(name, help, {{"worker", std::to_string(worker)}});
}

}  // namespace

// A connection at the sites' door that has not finished its handshake: an agent or an enrolment?
class Rig::Arrival final : public StreamHandler, private Timer {
 public:
  Arrival(Rig& rig, std::unique_ptr<Stream> stream_in) : stream(std::move(stream_in)), rig_(rig) {
    rig_.wheel().arm(*this, rig_.wheel().now_ns() + handshake_ns);
    stream->set_handler(*this);
  }
  void on_open() override { rig_.settle_arrival(*this, true); }
  void on_bytes(std::string_view) override {}
  void on_end() override { rig_.settle_arrival(*this, false); }
  void on_error(const Fault&) override { rig_.settle_arrival(*this, false); }
  std::unique_ptr<Stream> stream;

 private:
  void on_timer() override { rig_.settle_arrival(*this, false); }
  Rig& rig_;
};

Rig::Rig(unsigned index, Shared& shared)
    : shared_(shared), worker_(index, shared.clock), transport_(worker_),
      pool_(transport_, worker_.wheel(), pool_limits_of(shared.config)), releases_(shared.journal, [this] { help_journal(); }), router_(worker_, shared.line),
      session_limits_(api::session_limits(shared.config)), api_(*shared.services, *this, worker_, 0),
      enrol_door_(*shared.services, worker_), customers_(worker_), sites_(worker_),
      holds_expired_(shared.registry.counter("tributary_holds_expired_total", "Holds that outlived every deadline of their request and were taken back.")),
      pool_open_(gauge(shared, index, "tributary_pool_connections", "Connections to dialled engines.")),
      pool_idle_(gauge(shared, index, "tributary_pool_connections_idle", "Connections to dialled engines that wait for work.")),
      pool_dialled_(gauge(shared, index, "tributary_pool_dialled", "Connections dialled so far.")),
      pool_reused_(gauge(shared, index, "tributary_pool_reused", "Calls so far that found a pooled connection.")) {}

Rig::~Rig() = default;

// The journal's wake comes with the next turn only; those whose sync is done by now need not wait for the rest of this one.
void Rig::serve_released() {
  if (!releases_.due()) return;
  worker_.clock().turn();
  releases_.advance();
}

void Rig::start() {
  worker_.poller().between([this] { serve_released(); });
  customers_.start([this](net::Socket socket) { accept_customer(std::move(socket)); });
  sites_.start([this](net::Socket socket) { accept_site(std::move(socket)); });
  worker_.wheel().arm(second_, worker_.wheel().now_ns() + second_ns);
  thread_ = std::thread([this] {
    name_thread(("worker " + std::to_string(worker_.index())).c_str());
    worker_.run();
  });
}

void Rig::stop() { worker_.stop(); }

void Rig::drain() {
  worker_.post([this] {
    draining_ = true;
    std::vector<net::ClientSession*> all;
    for (const auto& [session, owned] : sessions_) all.push_back(session);
    for (auto* const session : all) session->drain();
  });
}

void Rig::drain_expired() {
  worker_.post([this] {
    std::vector<net::ClientSession*> all;
    for (const auto& [session, owned] : sessions_) all.push_back(session);
    for (auto* const session : all)
      if (sessions_.contains(session)) session->drain_expired();
  });
}

void Rig::wake_if_waiting() {
  if (!releases_.waiting() || wake_posted_.exchange(true)) return;
  worker_.post([this] {
    wake_posted_.store(false);
    if (!shared_.config.journal.sync_always) shared_.journal.help();
    releases_.advance();
  });
}

// At the end of this turn: everything that the turn appended goes out in one write, or one sync.
void Rig::help_journal() {
  if (help_posted_) return;
  help_posted_ = true;
  boost::asio::post(worker_.io(), [this] {
    help_posted_ = false;
    shared_.journal.help();
    serve_released();
  });
}

std::unique_ptr<http::Call> Rig::call(const fleet::Offer& offer, http::CallRequest request, http::CallEvents& events) {
  if (const auto* const dialled = std::get_if<fleet::Dialled>(&offer.link))
    return pool_.call(dialled->endpoint, std::move(request), events);
  return shared_.hub->call(worker_, std::get<fleet::Tunnelled>(offer.link), std::move(request), events);
}

bool Rig::hold_bytes(std::int64_t change) {
  const auto held = shared_.held_bytes.fetch_add(change, std::memory_order_relaxed) + change;
  if (change <= 0 || held <= static_cast<std::int64_t>(shared_.config.limits.buffers_bytes)) return true;
  shared_.held_bytes.fetch_sub(change, std::memory_order_relaxed);
  return false;
}

void Rig::accept_customer(net::Socket socket) {
  if (shared_.connections.load(std::memory_order_relaxed) >= shared_.config.limits.connections) {
    shared_.registry.counter("tributary_connections_refused_total", "Connections closed because limits.connections was reached.").add();
    return;  // closed with the socket
  }
  serve(net::adopt_socket(worker_, std::move(socket), shared_.customers_tls), api_);
}

void Rig::accept_site(net::Socket socket) {
  if (shared_.connections.load(std::memory_order_relaxed) >= shared_.config.limits.connections) return;
  auto arrival = std::make_unique<Arrival>(*this, net::adopt_socket(worker_, std::move(socket), shared_.sites_tls));
  arrivals_.emplace(arrival.get(), std::move(arrival));
}

void Rig::settle_arrival(Arrival& arrival, bool greeted) {
  auto stream = std::move(arrival.stream);
  // It is on the stack: it goes with the next turn.
  worker_.post([this, gone = &arrival] { arrivals_.erase(gone); });
  if (!greeted || stream == nullptr) {
    worker_.post([dropped = std::make_shared<std::unique_ptr<Stream>>(std::move(stream))] { dropped->reset(); });
    return;
  }
  const auto* const tls = net::tls_of(*stream);
  const auto peer = tls->peer();
  if (tls->is_agent() && peer) {
    shared_.hub->adopt(worker_, std::move(stream), *peer);
  } else {
    serve(std::move(stream), enrol_door_);
  }
}

void Rig::serve(std::unique_ptr<Stream> stream, net::RequestHandler& handler) {
  shared_.connections.fetch_add(1, std::memory_order_relaxed);
  auto session = std::make_unique<net::ClientSession>(std::move(stream), handler, session_limits_, worker_.wheel(),
                                                      [this](net::ClientSession& done) { closed(done); });
  auto& started = *session;
  sessions_.emplace(&started, std::move(session));
  if (draining_) started.drain(false);
  started.start();
}

void Rig::closed(net::ClientSession& session) {
  const auto found = sessions_.find(&session);
  if (found == sessions_.end()) return;
  shared_.connections.fetch_sub(1, std::memory_order_relaxed);
  worker_.post([kept = std::make_shared<std::unique_ptr<net::ClientSession>>(std::move(found->second))] { kept->reset(); });
  sessions_.erase(found);
}

// None should ever be found: every request ends at its last deadline.
void Rig::expire_holds() {
  for (const auto& [id, tenant] : shared_.services->live.load()->tenants->known()) {
    for (const RequestId& request : tenant->expire(worker_.clock().mono_ns())) {
      holds_expired_.add();
      telemetry::log(telemetry::Level::error, "hold_expired", {{"tenant", id}, {"request", request.text()}});
    }
  }
}

void Rig::on_second() {
  const auto figures = pool_.figures();
  pool_open_.set(static_cast<std::int64_t>(figures.open));
  pool_idle_.set(static_cast<std::int64_t>(figures.idle));
  pool_dialled_.set(static_cast<std::int64_t>(figures.dialled));
  pool_reused_.set(static_cast<std::int64_t>(figures.reused));
  if (shared_.journal.failed()) releases_.advance();
  if (worker_.index() == 0) expire_holds();
  worker_.wheel().arm(second_, worker_.wheel().now_ns() + second_ns);
}

}  // namespace trib::app

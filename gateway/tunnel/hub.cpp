#include "gateway/tunnel/hub.h"

#include "gateway/telemetry/telemetry.h"

namespace trib::tunnel {
namespace {

Fault lost(std::string why) { return {FaultKind::tunnel_lost, Side::site_network, Retry::elsewhere, std::move(why)}; }

// The caller's half of a call that another loop carries out. Both halves keep this alive.
struct Front {
  explicit Front(Loop& owner) : loop(owner) {}
  Loop& loop;
  http::CallEvents* events = nullptr;  // the caller's thread only; null once it has let go or been told the end
  std::atomic<bool> sent{false};
};

// The tunnel's half, on the tunnel's loop: hands every event to the caller's.
class Back final : public http::CallEvents, public std::enable_shared_from_this<Back> {
 public:
  Back(Loop& on, std::shared_ptr<Front> front) : loop(on), front_(std::move(front)) {}

  void on_head(const http::ResponseHead& head) override {
    struct Kept {
      int status;
      std::vector<std::pair<std::string, std::string>> fields;
    };
    auto kept = std::make_shared<Kept>();
    kept->status = head.status;
    for (const auto& field : head.fields) kept->fields.emplace_back(field.name, field.value);
    tell([kept](http::CallEvents& to) {
      std::vector<http::Field> fields;
      for (const auto& [name, value] : kept->fields) fields.push_back({name, value});
      http::ResponseHead copy;
      copy.status = kept->status;
      copy.framing = http::Framing::until_close;
      copy.fields = fields;
      to.on_head(copy);
    });
  }
  void on_body(std::string_view bytes) override {
    tell([copy = std::string(bytes)](http::CallEvents& to) { to.on_body(copy); });
  }
  void on_end() override {
    finish([](http::CallEvents& to) { to.on_end(); });
  }
  void on_fault(const Fault& fault) override {
    finish([fault](http::CallEvents& to) { to.on_fault(fault); });
  }

  Loop& loop;
  std::unique_ptr<http::Call> call;

 private:
  template <class Say>
  void tell(Say say) {
    if (call != nullptr && call->sent()) front_->sent.store(true, std::memory_order_relaxed);
    front_->loop.post([front = front_, say = std::move(say)] {
      if (front->events != nullptr) say(*front->events);
    });
  }
  template <class Say>
  void finish(Say say) {
    tell([front = front_, say = std::move(say)](http::CallEvents& to) {
      front->events = nullptr;
      say(to);
    });
    // Not within its own event: the call may still be on the stack.
    loop.post([self = shared_from_this()] { self->call.reset(); });
  }
  std::shared_ptr<Front> front_;
};

class RemoteCall final : public http::Call {
 public:
  RemoteCall(std::shared_ptr<Front> front, std::shared_ptr<Back> back) : front_(std::move(front)), back_(std::move(back)) {}
  ~RemoteCall() override {
    front_->events = nullptr;
    back_->loop.post([back = back_] { back->call.reset(); });
  }
  void pause() override {
    back_->loop.post([back = back_] {
      if (back->call != nullptr) back->call->pause();
    });
  }
  void resume() override {
    back_->loop.post([back = back_] {
      if (back->call != nullptr) back->call->resume();
    });
  }
  bool sent() const override { return front_->sent.load(std::memory_order_relaxed); }

 private:
  std::shared_ptr<Front> front_;
  std::shared_ptr<Back> back_;
};

}  // namespace

// One tunnel, on its loop.
struct Hub::Tunnel final : TunnelEvents, std::enable_shared_from_this<Tunnel> {
  Tunnel(Hub& of, Loop& on, std::string of_site, std::uint64_t as)
      : hub(of), loop(on), site(std::move(of_site)), number(as) {}

  void on_hello(const Hello& hello) override {
    hub.fleet_.tunnel_up(site, number, hello.devices);
    telemetry::log(telemetry::Level::info, "tunnel_up",
                   {{"site", site}, {"peer", end->peer()}, {"agent", hello.agent_version}, {"tunnel", static_cast<std::int64_t>(number)}});
    held = hello.checkpoint;
    tell_checkpoints();
    if (hello.receipts && hub.receipts_.held) end->tell(ReceiptsHeld{hub.receipts_.held(site).upto, {}});
  }
  // Acknowledged once it is on the disk, for which a look every 50 ms is soon enough.
  void on_receipts(std::string_view root) override {
    if (!hub.receipts_.take || receipts_refused) return;
    if (auto why = hub.receipts_.take(site, root); !why.empty()) {
      receipts_refused = true;
      telemetry::log(telemetry::Level::error, "receipts_refused", {{"site", site}, {"why", why}});
      return end->tell(ReceiptsHeld{hub.receipts_.held(site).upto, why});
    }
    acknowledge_receipts();
  }
  void acknowledge_receipts() {
    if (end == nullptr || receipts_refused) return;
    const auto now = hub.receipts_.held(site);
    if (!now.settled) return loop.wheel().arm(receipts_timer, loop.wheel().now_ns() + TimerWheel::tick_ns);
    end->tell(ReceiptsHeld{now.upto, {}});
  }
  // Page by page what came after the site's newest. A gateway that knows less than the site says so: the
  // site then reports that history went back.
  void tell_checkpoints() {
    if (!hub.checkpoints_ || !held || telling || refused || end == nullptr) return;
    auto page = hub.checkpoints_(*held + 1);
    if (page.last == *held) return;
    telling = true;
    upto = *held + page.checkpoints.size();
    end->tell(page);
  }
  void on_checkpoints(int status) override {
    telling = false;
    if (status == 409) {
      refused = true;
      hub.checkpoints_refused_.fetch_add(1);
      telemetry::log(telemetry::Level::error, "checkpoints_refused",
                     {{"site", site}, {"held", static_cast<std::int64_t>(*held)},
                      {"why", "they contradict what the site holds: the ledger was put back or rewritten"}});
    }
    if (status != 204) return;  // told again when there is a new one, or at the next connection
    held = upto;
    tell_checkpoints();
  }
  void on_capacity(std::vector<fleet::AgentOffer> now) override {
    offers = std::move(now);
    hub.fleet_.tunnel_offers(site, number, suspect ? std::vector<fleet::AgentOffer>{} : offers);
  }
  void on_suspect(bool is) override {  // no new work on a silent tunnel
    suspect = is;
    hub.fleet_.tunnel_offers(site, number, suspect ? std::vector<fleet::AgentOffer>{} : offers);
  }
  void on_reclaim(const Reclaim& reclaim) override {
    telemetry::log(telemetry::Level::info, "reclaim", {{"site", site}, {"seat", reclaim.seat}, {"phase", reclaim.phase}});
    if (reclaim.phase != "begin") return;
    std::erase_if(offers, [&](const fleet::AgentOffer& offer) { return offer.seat == reclaim.seat; });
    hub.fleet_.tunnel_offers(site, number, offers);
  }
  void on_leaving() override { hub.fleet_.tunnel_offers(site, number, {}); }
  void on_lost(const Fault& fault) override {
    hub.fleet_.tunnel_down(site, number);
    telemetry::log(telemetry::Level::info, "tunnel_down", {{"site", site}, {"why", fault.detail}});
    // The end is on the stack: it goes with the next turn.
    receipts_timer.cancel();
    loop.post([self = shared_from_this()] { self->end.reset(); });
    hub.forget(number);
  }

  Hub& hub;
  Loop& loop;
  const std::string site;
  const std::uint64_t number;
  std::vector<fleet::AgentOffer> offers;
  std::optional<std::uint64_t> held;  // newest checkpoint of the site; none: it takes none
  std::uint64_t upto = 0;             // of the page that is under way
  bool telling = false, refused = false;
  bool suspect = false;
  bool dirty = false;
  bool receipts_refused = false;  // until the site dials again
  MemberTimer<Tunnel, &Tunnel::acknowledge_receipts> receipts_timer{*this};
  std::unique_ptr<GatewayEnd> end;
};

Hub::Hub(fleet::Fleet& fleet, fleet::SiteRegistry& registry, Clock& clock, std::vector<std::string> hosts,
         std::uint64_t answer_bytes_max)
    : fleet_(fleet), registry_(registry), clock_(clock), hosts_(std::move(hosts)), answer_bytes_max_(answer_bytes_max) {}

Hub::~Hub() { clear(); }

void Hub::clear() {
  std::map<std::uint64_t, std::shared_ptr<Tunnel>> all;
  {
    const std::lock_guard lock(mutex_);
    all.swap(tunnels_);
  }
  for (auto& [number, tunnel] : all) tunnel->end.reset();
}

std::shared_ptr<Hub::Tunnel> Hub::find(std::uint64_t number) const {
  const std::lock_guard lock(mutex_);
  const auto found = tunnels_.find(number);
  return found == tunnels_.end() ? nullptr : found->second;
}

void Hub::forget(std::uint64_t number) {
  const std::lock_guard lock(mutex_);
  tunnels_.erase(number);
}

std::size_t Hub::open() const {
  const std::lock_guard lock(mutex_);
  return tunnels_.size();
}

void Hub::adopt(Loop& loop, std::unique_ptr<Stream> stream, const net::TlsPeer& peer) {
  const auto admission = registry_.admit(peer.site, peer.serial);
  if (admission != fleet::Admission::admitted) {
    telemetry::log(telemetry::Level::warning, "tunnel_refused",
                   {{"site", peer.site}, {"peer", stream->peer()}, {"why", std::string(fleet::name(admission))}});
    return;  // closed with the stream
  }
  const auto number = next_.fetch_add(1);
  auto tunnel = std::make_shared<Tunnel>(*this, loop, peer.site, number);
  GatewayTerms terms;
  terms.site = peer.site;
  terms.answer_bytes_max = answer_bytes_max_;
  terms.welcome.gateway = "tributary";
  terms.welcome.tunnel = number;
  terms.welcome.hosts = hosts_;
  const auto state = registry_.states();
  const auto found = state.find(peer.site);
  terms.welcome.state = fleet::name(found == state.end() ? fleet::SiteState::invited : found->second);
  terms.on_dirty = [&loop, weak = std::weak_ptr<Tunnel>(tunnel)] {
    const auto alive = weak.lock();
    if (alive == nullptr || alive->dirty) return;
    alive->dirty = true;
    loop.post([weak] {
      const auto same = weak.lock();
      if (same == nullptr) return;
      same->dirty = false;
      if (same->end != nullptr) same->end->flush();
    });
  };
  // An older connection of the same site ends: the new one speaks for it.
  std::shared_ptr<Tunnel> older;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [other, candidate] : tunnels_)
      if (candidate->site == peer.site) older = candidate;
    tunnels_.emplace(number, tunnel);
  }
  tunnel->end = std::make_unique<GatewayEnd>(std::move(stream), *tunnel, loop.wheel(), clock_, std::move(terms));
  if (older != nullptr) {
    older->loop.post([older] {
      if (older->end != nullptr) older->end->close("replaced by a newer connection");
    });
  }
}

std::unique_ptr<http::Call> Hub::call(Loop& from, const fleet::Tunnelled& to, http::CallRequest request,
                                      http::CallEvents& events) {
  const auto tunnel = find(to.tunnel);
  if (tunnel == nullptr) return nullptr;
  if (&tunnel->loop == &from) {
    if (tunnel->end == nullptr) return nullptr;
    return tunnel->end->call(to.offer, std::move(request), events);
  }
  auto front = std::make_shared<Front>(from);
  front->events = &events;
  auto back = std::make_shared<Back>(tunnel->loop, front);
  auto sent = std::make_shared<std::pair<std::string, http::CallRequest>>(to.offer, std::move(request));
  tunnel->loop.post([tunnel, back, sent] {
    if (tunnel->end != nullptr) back->call = tunnel->end->call(sent->first, std::move(sent->second), *back);
    if (back->call == nullptr) back->on_fault(lost("the tunnel takes no call now"));
  });
  return std::make_unique<RemoteCall>(std::move(front), std::move(back));
}

void Hub::close_site(const std::string& site, const std::string& why) {
  std::vector<std::shared_ptr<Tunnel>> found;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [number, tunnel] : tunnels_)
      if (tunnel->site == site) found.push_back(tunnel);
  }
  for (const auto& tunnel : found) {
    tunnel->loop.post([tunnel, why] {
      if (tunnel->end != nullptr) tunnel->end->close(why);
    });
  }
}

void Hub::checkpoints_grew() {
  std::vector<std::shared_ptr<Tunnel>> all;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [number, tunnel] : tunnels_) all.push_back(tunnel);
  }
  for (const auto& tunnel : all) tunnel->loop.post([tunnel] { tunnel->tell_checkpoints(); });
}

void Hub::drain() {
  std::vector<std::shared_ptr<Tunnel>> all;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [number, tunnel] : tunnels_) all.push_back(tunnel);
  }
  for (const auto& tunnel : all) {
    tunnel->loop.post([tunnel] {
      if (tunnel->end != nullptr) tunnel->end->drain();
    });
  }
}

}  // namespace trib::tunnel

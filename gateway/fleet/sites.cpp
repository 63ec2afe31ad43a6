#include "gateway/fleet/sites.h"

#include <algorithm>
#include <set>

namespace trib::fleet {

// One site's whole state. Offers are rebuilt from it at each change; their load figures are kept.
struct Fleet::Entry {
  config::SiteConfig config;
  SiteState state = SiteState::active;
  std::string check_words;
  struct Engine {
    bool found = false;
    Capabilities can;
    std::vector<std::string> models;
    std::map<std::string, Capabilities> tried;  // by the engine's name of the model
  };
  std::vector<Engine> engines;  // of dialled sites, same order as config.engines
  std::uint64_t tunnel = 0;     // 0: none
  std::vector<DeviceClaim> devices;
  std::vector<AgentOffer> agent_offers;
  std::vector<OfferPtr> offers;
  std::map<std::string, std::shared_ptr<OfferLoad>> loads;
  std::map<std::size_t, std::shared_ptr<OfferFigures>> figures;  // by the engine's place

  std::shared_ptr<OfferFigures> figures_of(std::size_t engine) {
    auto& slot = figures[engine];
    if (slot == nullptr) slot = std::make_shared<OfferFigures>();
    return slot;
  }
  struct Own {  // an offer's
    OfferRest rest;
    OfferPace pace;
    OfferBreaker breaker;
    OfferWays ways;
    std::string engine;  // and version: another one has refused nothing yet
    OfferFigures figures;  // of an agent's; a dialled engine's are shared by its offers
  };
  std::map<std::string, std::shared_ptr<Own>> owns;

  std::shared_ptr<OfferLoad> load(const std::string& offer) {
    auto& slot = loads[offer];
    if (slot == nullptr) slot = std::make_shared<OfferLoad>();
    return slot;
  }
  // Another engine stands where this one did: nothing of the old one's is its.
  void forget_engine(std::size_t index) {
    engines[index] = {};
    const std::string engine_id = config.id + '/' + std::to_string(index);
    loads.erase(engine_id);
    figures.erase(index);
    std::erase_if(owns, [&](const auto& own) { return own.first.starts_with(engine_id + '/'); });
  }
  void rebuild();
  void take_moment();
  void prune();
};

namespace {

constexpr std::size_t offers_per_site_max = 4096;

}  // namespace

void OfferFigures::set(const EngineFigures& figures) {
  const auto put = [](std::atomic<std::int64_t>& to, const std::optional<std::uint32_t>& value) {
    to.store(value ? std::int64_t{*value} : neutral, std::memory_order_relaxed);
  };
  put(running, figures.running);
  put(waiting, figures.waiting);
  put(kv_use_ppm, figures.kv_use_ppm);
}

bool AgentOffer::same_offer(const AgentOffer& other) const {
  return id == other.id && model == other.model && engine_model == other.engine_model && seat == other.seat &&
         device == other.device && vendor == other.vendor && slots == other.slots && can == other.can;
}

std::string_view name(SiteState state) {
  switch (state) {
    case SiteState::invited: return "invited";
    case SiteState::probation: return "probation";
    case SiteState::active: return "active";
    case SiteState::suspended: return "suspended";
    case SiteState::revoked: return "revoked";
  }
  return "unknown";
}

void Fleet::Entry::rebuild() {
  offers.clear();
  if (state != SiteState::active) return;
  const auto take = [&](Offer& offer, const Capabilities& can) {
    offer.can = can;
    auto& own = *owns.at(offer.id);
    if (auto engine = can.engine + ' ' + can.version; engine != own.engine) {
      own.engine = std::move(engine);
      own.ways.forget();
    }
  };
  const auto base = [&](std::string id, std::string model, std::string engine_model) {
    auto offer = std::make_shared<Offer>();
    offer->id = std::move(id);
    offer->site = config.id;
    offer->kind = config.kind;
    offer->vendor = config.vendor;
    offer->region = config.region;
    offer->contract = config.contract;
    auto& own = owns[offer->id];
    if (own == nullptr) own = std::make_shared<Own>();
    offer->rest = {own, &own->rest};
    offer->pace = {own, &own->pace};
    offer->breaker = {own, &own->breaker};
    offer->ways = {own, &own->ways};
    offer->model = std::move(model);
    offer->engine_model = std::move(engine_model);
    return offer;
  };
  for (std::size_t i = 0; i < engines.size(); ++i) {
    if (!engines[i].found) continue;
    const auto& engine = config.engines[i];
    const std::string engine_id = config.id + '/' + std::to_string(i);
    // The engine's slots are one pool, whatever the model.
    const auto shared_load = load(engine_id);
    auto served = engine.models;
    if (served.empty())  // all that the engine lists, under its own names
      for (const auto& listed : engines[i].models) served.emplace_back(listed, listed);
    for (const auto& [model, engine_model] : served) {
      auto offer = base(engine_id + '/' + model, model, engine_model);
      offer->capacity = engine.capacity;
      const auto tried = engines[i].tried.find(engine_model);
      take(*offer, tried != engines[i].tried.end() ? tried->second : engines[i].can);
      offer->link = Dialled{engine.endpoint, engine.base_path};
      offer->load = shared_load;
      offer->figures = figures_of(i);
      offers.push_back(std::move(offer));
    }
  }
  if (tunnel == 0) return;
  for (const auto& said : agent_offers) {
    if (offers.size() >= offers_per_site_max) break;
    auto offer = base(config.id + '/' + said.id, said.model, said.engine_model);
    offer->seat = said.seat;
    offer->device = said.device;
    if (offer->vendor.empty()) offer->vendor = said.vendor;
    offer->capacity = std::max<std::uint32_t>(1, said.slots);
    take(*offer, said.can);
    offer->link = Tunnelled{tunnel, said.id};
    offer->load = load(said.id);
    const auto& own = owns[offer->id];
    offer->figures = {own, &own->figures};
    offers.push_back(std::move(offer));
  }
  take_moment();
  prune();
}

// What the agent says of its engines and its hours, into the live figures that every snapshot shares.
void Fleet::Entry::take_moment() {
  for (const auto& said : agent_offers) {
    const auto found = owns.find(config.id + '/' + said.id);
    if (found == owns.end()) continue;  // beyond the bound
    found->second->figures.set(said.figures);
    found->second->pace.leaves_ns.store(said.leaves_ns, std::memory_order_relaxed);
  }
}

// An agent may name ever new offers: what nobody uses any more is not kept for ever.
void Fleet::Entry::prune() {
  const auto unused = [](const auto& figure) { return figure.second.use_count() == 1; };
  if (loads.size() > offers_per_site_max) std::erase_if(loads, unused);
  if (owns.size() > offers_per_site_max) std::erase_if(owns, unused);
}

void Fleet::configure(const config::ConfigSnapshot& config, const std::map<std::string, SiteState>& states) {
  const std::lock_guard lock(mutex_);
  std::map<std::string, std::shared_ptr<Entry>> next;
  for (const auto& site : config.sites) {
    const auto known = entries_.find(site.id);
    auto entry = std::make_shared<Entry>();
    if (known != entries_.end()) *entry = *known->second;
    for (std::size_t i = 0; i < entry->engines.size(); ++i) {
      const bool stays = i < site.engines.size() && entry->config.engines[i].endpoint == site.engines[i].endpoint;
      if (!stays) entry->forget_engine(i);
    }
    entry->engines.resize(site.engines.size());
    entry->config = site;
    const auto state = states.find(site.id);
    if (state != states.end()) {
      entry->state = state->second;
    } else if (known == entries_.end()) {
      entry->state = site.engines.empty() ? SiteState::invited : SiteState::active;
    }
    entry->rebuild();
    next.emplace(site.id, std::move(entry));
  }
  entries_ = std::move(next);
  publish();
}

std::shared_ptr<const FleetSnapshot> Fleet::snapshot() const { return snapshot_.load(); }

void Fleet::publish() {
  auto next = std::make_shared<FleetSnapshot>();
  next->revision = ++revision_;
  for (const auto& [id, entry] : entries_) {
    for (const auto& offer : entry->offers) next->by_model[offer->model].push_back(offer);
    next->offers += entry->offers.size();
  }
  next->freeze = freeze_;
  snapshot_.store(std::move(next));
}

std::function<bool(const std::string&)> Fleet::dialling_in() const {
  auto out = std::make_shared<std::set<std::string>>();
  for (const SiteView& site : sites())
    if (!site.dialled) out->insert(site.id);
  return [out](const std::string& site) { return out->contains(site); };
}

std::vector<SiteView> Fleet::sites() const {
  const std::lock_guard lock(mutex_);
  std::vector<SiteView> out;
  for (const auto& [id, entry] : entries_) {
    SiteView view;
    view.id = id;
    view.kind = entry->config.kind;
    view.vendor = entry->config.vendor;
    view.contract = entry->config.contract;
    view.state = entry->state;
    view.dialled = !entry->config.engines.empty();
    view.connected = view.dialled ? std::any_of(entry->engines.begin(), entry->engines.end(),
                                                [](const auto& engine) { return engine.found; })
                                  : entry->tunnel != 0;
    view.check_words = entry->check_words;
    view.devices = entry->devices;
    view.offers = entry->offers;
    out.push_back(std::move(view));
  }
  return out;
}

std::optional<SiteView> Fleet::site(const std::string& id) const {
  for (auto& view : sites())
    if (view.id == id) return view;
  return std::nullopt;
}

void Fleet::set_state(const std::string& site, SiteState state) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(site);
  if (found == entries_.end()) return;
  found->second->state = state;
  found->second->rebuild();
  publish();
}

void Fleet::set_check_words(const std::string& site, std::string words) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(site);
  if (found != entries_.end()) found->second->check_words = std::move(words);
}

void Fleet::engine_found(const std::string& site, std::size_t index, const Capabilities& can,
                         const std::vector<std::string>& engine_models) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(site);
  if (found == entries_.end() || index >= found->second->engines.size()) return;
  auto& engine = found->second->engines[index];
  engine.found = true;
  if (engine.can != can) engine.tried.clear();
  engine.can = can;
  engine.models = engine_models;
  found->second->rebuild();
  publish();
}

void Fleet::model_tried(const std::string& site, std::size_t index, const std::string& engine_model, const Capabilities& can) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(site);
  if (found == entries_.end() || index >= found->second->engines.size() || !found->second->engines[index].found) return;
  auto& tried = found->second->engines[index].tried;
  if (tried.size() >= offers_per_site_max) return;
  tried[engine_model] = can;
  found->second->rebuild();
  publish();
}

void Fleet::engine_lost(const std::string& site, std::size_t index) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(site);
  if (found == entries_.end() || index >= found->second->engines.size()) return;
  found->second->engines[index].found = false;
  found->second->figures_of(index)->set({});
  found->second->rebuild();
  publish();
}

void Fleet::engine_figures(const std::string& site, std::size_t index, const EngineFigures& figures) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(site);
  if (found == entries_.end() || index >= found->second->engines.size()) return;
  found->second->figures_of(index)->set(figures);
}

void Fleet::tunnel_up(const std::string& site, std::uint64_t tunnel, std::vector<DeviceClaim> devices) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(site);
  if (found == entries_.end()) return;
  Entry& entry = *found->second;
  if (tunnel < entry.tunnel) return;  // an older connection speaking late
  entry.tunnel = tunnel;
  entry.devices = std::move(devices);
  entry.agent_offers.clear();
  entry.rebuild();
  publish();
}

void Fleet::tunnel_offers(const std::string& site, std::uint64_t tunnel, std::vector<AgentOffer> offers) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(site);
  if (found == entries_.end() || found->second->tunnel != tunnel) return;
  auto& known = found->second->agent_offers;
  const bool same = std::equal(known.begin(), known.end(), offers.begin(), offers.end(),
                               [](const AgentOffer& a, const AgentOffer& b) { return a.same_offer(b); });
  known = std::move(offers);
  if (same) return found->second->take_moment();
  found->second->rebuild();
  publish();
}

void Fleet::tunnel_down(const std::string& site, std::uint64_t tunnel) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(site);
  if (found == entries_.end() || found->second->tunnel != tunnel) return;
  found->second->tunnel = 0;
  found->second->agent_offers.clear();
  found->second->rebuild();
  publish();
}

}  // namespace trib::fleet

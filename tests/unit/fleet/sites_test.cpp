// Sites, what they offer, and the snapshots that routing reads.
#include "gateway/fleet/sites.h"

#include <thread>

#include "tests/catch.h"

using namespace trib;
using namespace trib::fleet;

namespace {

config::SiteConfig dialled(const std::string& id, std::vector<std::vector<std::string>> engines) {
  config::SiteConfig site;
  site.id = id;
  site.contract = "standard";
  site.vendor = "nvidia";
  std::uint16_t port = 9000;
  for (const auto& models : engines) {
    config::EngineConfig engine;
    engine.endpoint = {id, ++port, false, "", ""};
    engine.capacity = 4;
    for (const auto& model : models) engine.models.emplace_back(model, "engine-" + model);
    site.engines.push_back(engine);
  }
  return site;
}

config::SiteConfig agents(const std::string& id, config::SiteKind kind = config::SiteKind::cafe) {
  config::SiteConfig site;
  site.id = id;
  site.kind = kind;
  site.contract = "cafe";
  return site;
}

config::ConfigSnapshot config_of(std::vector<config::SiteConfig> sites) {
  config::ConfigSnapshot out;
  out.sites = std::move(sites);
  return out;
}

AgentOffer agent_offer(const std::string& id, const std::string& model = "m", std::uint32_t slots = 2) {
  AgentOffer out;
  out.id = id;
  out.model = model;
  out.engine_model = "e-" + model;
  out.seat = "seat-1";
  out.device = "gpu-1";
  out.vendor = "amd";
  out.slots = slots;
  out.can.dialect = "llamacpp";
  return out;
}

std::vector<std::string> offered(const Fleet& fleet, const std::string& model = "m") {
  std::vector<std::string> out;
  const auto snapshot = fleet.snapshot();
  const auto found = snapshot->by_model.find(model);
  if (found == snapshot->by_model.end()) return out;
  for (const auto& offer : found->second) out.push_back(offer->id);
  return out;
}

OfferPtr offer(const Fleet& fleet, const std::string& id) {
  for (const auto& [model, offers] : fleet.snapshot()->by_model)
    for (const auto& one : offers)
      if (one->id == id) return one;
  return nullptr;
}

using Ids = std::vector<std::string>;

}  // namespace

TEST_CASE("a dialled engine is offered once it was found, and no longer once it is lost") {
  Fleet fleet;
  CHECK(fleet.snapshot()->by_model.empty());
  fleet.configure(config_of({dialled("dc", {{"m"}, {"m", "n"}})}), {});
  CHECK(offered(fleet).empty());
  CHECK_FALSE(fleet.site("dc")->connected);
  CHECK(fleet.site("dc")->dialled);
  CHECK(fleet.site("dc")->state == SiteState::active);
  Capabilities can;
  can.engine = "vllm";
  can.dialect = "vllm";
  fleet.engine_found("dc", 1, can, {"whatever"});
  CHECK(offered(fleet) == Ids{"dc/1/m"});
  CHECK(offered(fleet, "n") == Ids{"dc/1/n"});
  const auto m = offer(fleet, "dc/1/m");
  CHECK(m->site == "dc");
  CHECK(m->vendor == "nvidia");
  CHECK(m->contract == "standard");
  CHECK(m->engine_model == "engine-m");
  CHECK(m->capacity == 4);
  CHECK(m->can.dialect == "vllm");
  CHECK(std::get<Dialled>(m->link).endpoint.port == 9002);
  CHECK(m->load == offer(fleet, "dc/1/n")->load);  // one engine's slots, whatever the model
  CHECK(m->rest != offer(fleet, "dc/1/n")->rest);
  fleet.engine_found("dc", 0, can, {});
  CHECK(offered(fleet) == Ids{"dc/0/m", "dc/1/m"});
  CHECK(offer(fleet, "dc/0/m")->load != offer(fleet, "dc/1/m")->load);
  fleet.engine_lost("dc", 1);
  CHECK(offered(fleet) == Ids{"dc/0/m"});
  CHECK(fleet.site("dc")->connected);
  fleet.engine_lost("dc", 0);
  CHECK(offered(fleet).empty());
  CHECK_FALSE(fleet.site("dc")->connected);
  fleet.engine_found("dc", 7, can, {});
  fleet.engine_lost("dc", 7);
  fleet.engine_found("nobody", 0, can, {});
  CHECK(offered(fleet).empty());
}

TEST_CASE("an engine's own figures stand at all its offers, and are neutral where nothing is known") {
  constexpr auto neutral = OfferFigures::neutral;
  Fleet fleet;
  fleet.configure(config_of({dialled("dc", {{"m", "n"}, {"m"}}), agents("cafe")}), {{"cafe", SiteState::active}});
  fleet.engine_found("dc", 0, {}, {});
  fleet.engine_found("dc", 1, {}, {});
  const auto m = offer(fleet, "dc/0/m");
  CHECK(m->figures->running == neutral);
  CHECK(m->figures == offer(fleet, "dc/0/n")->figures);
  fleet.engine_figures("dc", 0, {3, std::nullopt, 250'000});
  CHECK(m->figures->running == 3);
  CHECK(m->figures->waiting == neutral);
  CHECK(m->figures->kv_use_ppm == 250'000);
  CHECK(offer(fleet, "dc/1/m")->figures->running == neutral);
  fleet.engine_found("dc", 0, {}, {});  // republished: the figures stay
  CHECK(offer(fleet, "dc/0/m")->figures == m->figures);
  fleet.engine_lost("dc", 0);
  CHECK(m->figures->running == neutral);
  fleet.engine_figures("dc", 7, {1, 1, 1});
  fleet.engine_figures("nobody", 0, {1, 1, 1});
  fleet.tunnel_up("cafe", 1, {});
  fleet.tunnel_offers("cafe", 1, {agent_offer("o")});
  CHECK(offer(fleet, "cafe/o")->figures->waiting == neutral);
}

TEST_CASE("an engine without models in the configuration offers what it lists") {
  Fleet fleet;
  fleet.configure(config_of({dialled("dc", {{}})}), {});
  fleet.engine_found("dc", 0, {}, {"m", "n"});
  CHECK(offered(fleet) == Ids{"dc/0/m"});
  CHECK(offer(fleet, "dc/0/n")->engine_model == "n");
  fleet.engine_found("dc", 0, {}, {"n"});
  CHECK(offered(fleet).empty());
}

TEST_CASE("loads and rests outlive what is republished") {
  Fleet fleet;
  const auto config = config_of({dialled("dc", {{"m"}}), agents("cafe")});
  fleet.configure(config, {{"cafe", SiteState::active}});
  fleet.engine_found("dc", 0, {}, {});
  fleet.tunnel_up("cafe", 1, {});
  fleet.tunnel_offers("cafe", 1, {agent_offer("o")});
  const auto dc = offer(fleet, "dc/0/m"), cafe = offer(fleet, "cafe/o");
  OpenAttempt open(dc->load);
  cafe->rest->until_ns = 77;
  const auto check = [&] {
    REQUIRE(offer(fleet, "dc/0/m") != nullptr);
    CHECK(offer(fleet, "dc/0/m")->load->in_flight == 1);
    REQUIRE(offer(fleet, "cafe/o") != nullptr);
    CHECK(offer(fleet, "cafe/o")->rest->until_ns == 77);
  };
  SECTION("by a reload") { fleet.configure(config, {{"cafe", SiteState::active}}); }
  SECTION("by an engine that comes back") {
    fleet.engine_lost("dc", 0);
    fleet.engine_found("dc", 0, {}, {});
  }
  SECTION("by a new tunnel") {
    fleet.tunnel_down("cafe", 1);
    CHECK(offer(fleet, "cafe/o") == nullptr);
    fleet.tunnel_up("cafe", 2, {});
    fleet.tunnel_offers("cafe", 2, {agent_offer("o")});
    CHECK(std::get<Tunnelled>(offer(fleet, "cafe/o")->link).tunnel == 2);
  }
  SECTION("by a suspension that ends") {
    fleet.set_state("dc", SiteState::suspended);
    CHECK(offer(fleet, "dc/0/m") == nullptr);
    fleet.set_state("dc", SiteState::active);
  }
  check();
  open.release();
  CHECK(offer(fleet, "dc/0/m")->load->in_flight == 0);
}

TEST_CASE("a reload applies what changed and keeps what did not") {
  Fleet fleet;
  fleet.configure(config_of({dialled("a", {{"m"}, {"m"}}), dialled("b", {{"m"}}), agents("cafe")}), {{"cafe", SiteState::active}});
  for (const char* const site : {"a", "b"}) fleet.engine_found(site, 0, {}, {});
  fleet.engine_found("a", 1, {}, {});
  fleet.tunnel_up("cafe", 5, {});
  fleet.tunnel_offers("cafe", 5, {agent_offer("o")});
  CHECK(offered(fleet) == Ids{"a/0/m", "a/1/m", "b/0/m", "cafe/o"});

  auto a = dialled("a", {{"m"}, {"m"}});
  a.engines[1].endpoint.port = 7777;  // another engine now: it must be found first
  a.engines[0].capacity = 99;
  a.contract = "better";
  fleet.configure(config_of({a, agents("cafe"), dialled("c", {{"m"}})}), {{"cafe", SiteState::active}});
  CHECK(offered(fleet) == Ids{"a/0/m", "cafe/o"});
  CHECK(offer(fleet, "a/0/m")->capacity == 99);
  CHECK(offer(fleet, "a/0/m")->contract == "better");
  CHECK_FALSE(fleet.site("b"));
  CHECK(fleet.site("c"));
  fleet.engine_found("a", 1, {}, {});
  CHECK(std::get<Dialled>(offer(fleet, "a/1/m")->link).endpoint.port == 7777);

  fleet.configure(config_of({dialled("a", {{"m"}})}), {});  // fewer engines
  CHECK(offered(fleet) == Ids{"a/0/m"});
  fleet.configure(config_of({dialled("a", {{"m"}, {"m"}, {"m"}})}), {});  // more: the known one serves on
  CHECK(offered(fleet) == Ids{"a/0/m"});
  fleet.engine_found("a", 2, {}, {});
  CHECK(offered(fleet) == Ids{"a/0/m", "a/2/m"});
  fleet.configure(config_of({agents("a")}), {});  // an agent's site now
  CHECK(offered(fleet).empty());
}

TEST_CASE("the load of an engine that was replaced is not the new one's") {
  Fleet fleet;
  auto site = dialled("a", {{"m"}});
  fleet.configure(config_of({site}), {});
  fleet.engine_found("a", 0, {}, {});
  const OpenAttempt open(offer(fleet, "a/0/m")->load);
  offer(fleet, "a/0/m")->rest->until_ns = 99;
  site.engines[0].endpoint.host = "another";
  fleet.configure(config_of({site}), {});
  fleet.engine_found("a", 0, {}, {});
  CHECK(offer(fleet, "a/0/m")->load->in_flight == 0);
  CHECK(offer(fleet, "a/0/m")->rest->until_ns == 0);
}

TEST_CASE("an agent's site begins invited and earns nothing until it is active") {
  Fleet fleet;
  fleet.configure(config_of({agents("cafe")}), {});
  CHECK(fleet.site("cafe")->state == SiteState::invited);
  CHECK_FALSE(fleet.site("cafe")->dialled);
  fleet.tunnel_up("cafe", 1, {{"gpu-1", "nvidia", "RTX", "1.2", 8, "cuda"}});
  fleet.tunnel_offers("cafe", 1, {agent_offer("o")});
  CHECK(offered(fleet).empty());
  CHECK(fleet.site("cafe")->connected);
  CHECK(fleet.site("cafe")->devices.size() == 1);
  for (const auto state : {SiteState::probation, SiteState::suspended, SiteState::revoked, SiteState::invited}) {
    fleet.set_state("cafe", state);
    CHECK(offered(fleet).empty());
  }
  fleet.set_state("cafe", SiteState::active);
  CHECK(offered(fleet) == Ids{"cafe/o"});
  const auto o = offer(fleet, "cafe/o");
  CHECK(o->kind == config::SiteKind::cafe);
  CHECK(o->seat == "seat-1");
  CHECK(o->device == "gpu-1");
  CHECK(o->vendor == "amd");  // the contract's site names none
  CHECK(o->capacity == 2);
  CHECK(std::get<Tunnelled>(o->link).offer == "o");
  fleet.configure(config_of({agents("cafe")}), {{"cafe", SiteState::suspended}});
  CHECK(offered(fleet).empty());
  fleet.set_state("nobody", SiteState::active);
  fleet.set_check_words("cafe", "a b c");
  fleet.set_check_words("nobody", "x");
  CHECK(fleet.site("cafe")->check_words == "a b c");
}

TEST_CASE("the newest tunnel speaks for a site, older ones are not heard") {
  Fleet fleet;
  fleet.configure(config_of({agents("cafe")}), {{"cafe", SiteState::active}});
  fleet.tunnel_up("cafe", 3, {});
  fleet.tunnel_offers("cafe", 3, {agent_offer("old")});
  fleet.tunnel_up("cafe", 4, {});
  CHECK(offered(fleet).empty());  // it has said nothing yet
  fleet.tunnel_offers("cafe", 3, {agent_offer("late")});
  fleet.tunnel_up("cafe", 3, {});
  CHECK(offered(fleet).empty());
  fleet.tunnel_offers("cafe", 4, {agent_offer("new")});
  fleet.tunnel_down("cafe", 3);  // the old connection ends now
  CHECK(offered(fleet) == Ids{"cafe/new"});
  CHECK(fleet.site("cafe")->connected);
  fleet.tunnel_down("cafe", 4);
  CHECK(offered(fleet).empty());
  CHECK_FALSE(fleet.site("cafe")->connected);
  fleet.tunnel_offers("cafe", 4, {agent_offer("ghost")});
  CHECK(offered(fleet).empty());
  fleet.tunnel_up("nobody", 9, {});
  fleet.tunnel_offers("nobody", 9, {agent_offer("o")});
  fleet.tunnel_down("nobody", 9);
}

TEST_CASE("each tunnel_offers says all that is offered") {
  Fleet fleet;
  fleet.configure(config_of({agents("cafe")}), {{"cafe", SiteState::active}});
  fleet.tunnel_up("cafe", 1, {});
  fleet.tunnel_offers("cafe", 1, {agent_offer("a"), agent_offer("b", "n"), agent_offer("c", "m", 0)});
  CHECK(offered(fleet) == Ids{"cafe/a", "cafe/c"});
  CHECK(offer(fleet, "cafe/c")->capacity == 1);  // never none
  fleet.tunnel_offers("cafe", 1, {agent_offer("b", "n")});
  CHECK(offered(fleet).empty());
  CHECK(offered(fleet, "n") == Ids{"cafe/b"});
  std::vector<AgentOffer> many;
  for (int i = 0; i < 5000; ++i) many.push_back(agent_offer("o" + std::to_string(i)));
  fleet.tunnel_offers("cafe", 1, many);
  CHECK(offered(fleet).size() == 4096);
}

TEST_CASE("what an agent says of the moment is seen at once, without a new snapshot") {
  Fleet fleet;
  fleet.configure(config_of({agents("cafe")}), {{"cafe", SiteState::active}});
  fleet.tunnel_up("cafe", 1, {});
  auto said = agent_offer("o");
  fleet.tunnel_offers("cafe", 1, {said});
  const auto before = offer(fleet, "cafe/o");
  const auto revision = fleet.snapshot()->revision;
  CHECK(before->figures->running == OfferFigures::neutral);
  CHECK(before->pace->leaves_ns == 0);
  said.figures = {5, 1, 900'000};
  said.leaves_ns = 77;
  fleet.tunnel_offers("cafe", 1, {said});
  CHECK(fleet.snapshot()->revision == revision);
  CHECK(before->figures->running == 5);
  CHECK(before->figures->waiting == 1);
  CHECK(before->figures->kv_use_ppm == 900'000);
  CHECK(before->pace->leaves_ns == 77);
  said.slots = 7;
  said.figures.running.reset();
  fleet.tunnel_offers("cafe", 1, {said});
  CHECK(fleet.snapshot()->revision > revision);
  CHECK(offer(fleet, "cafe/o")->capacity == 7);
  CHECK(offer(fleet, "cafe/o")->figures->running == OfferFigures::neutral);  // missing is neutral
  CHECK(offer(fleet, "cafe/o")->figures->waiting == 1);
  fleet.tunnel_up("cafe", 2, {});
  fleet.tunnel_offers("cafe", 2, {agent_offer("o")});
  CHECK(offer(fleet, "cafe/o")->figures->waiting == OfferFigures::neutral);  // nothing of an older tunnel's
  CHECK(offer(fleet, "cafe/o")->pace->leaves_ns == 0);
}

TEST_CASE("an agent that names ever new offers does not fill the memory") {
  Fleet fleet;
  fleet.configure(config_of({agents("cafe")}), {{"cafe", SiteState::active}});
  fleet.tunnel_up("cafe", 1, {});
  std::vector<std::weak_ptr<OfferLoad>> loads;
  std::vector<std::weak_ptr<OfferRest>> rests;
  fleet.tunnel_offers("cafe", 1, {agent_offer("kept")});
  const OpenAttempt open(offer(fleet, "cafe/kept")->load);
  for (int round = 0; round < 20; ++round) {
    std::vector<AgentOffer> fresh;
    for (int i = 0; i < 1000; ++i) fresh.push_back(agent_offer(std::to_string(round) + "-" + std::to_string(i)));
    fleet.tunnel_offers("cafe", 1, fresh);
    for (const auto& one : fleet.snapshot()->by_model.at("m")) {
      loads.push_back(one->load);
      rests.push_back(one->rest);
    }
  }
  const auto alive = [](const auto& all) { return std::count_if(all.begin(), all.end(), [](const auto& one) { return !one.expired(); }); };
  CHECK(alive(loads) < 10'000);
  CHECK(alive(rests) < 10'000);
  fleet.tunnel_offers("cafe", 1, {agent_offer("kept")});
  CHECK(offer(fleet, "cafe/kept")->load->in_flight == 1);  // one in use stays
}

TEST_CASE("a snapshot never changes") {
  Fleet fleet;
  fleet.configure(config_of({dialled("dc", {{"m"}})}), {});
  fleet.engine_found("dc", 0, {}, {});
  const auto before = fleet.snapshot();
  const auto one = before->by_model.at("m").at(0);
  Capabilities other;
  other.engine = "other";
  fleet.engine_found("dc", 0, other, {});
  fleet.engine_lost("dc", 0);
  CHECK(before->by_model.at("m").size() == 1);
  CHECK(before->by_model.at("m").at(0) == one);
  CHECK(one->can.engine.empty());
  CHECK(fleet.snapshot()->revision > before->revision);
  CHECK(fleet.snapshot() != before);
}

TEST_CASE("attempts are counted while they live, however they are moved") {
  const auto load = std::make_shared<OfferLoad>(), other = std::make_shared<OfferLoad>();
  {
    OpenAttempt a(load);
    CHECK(load->in_flight == 1);
    OpenAttempt b(std::move(a));
    CHECK(load->in_flight == 1);
    OpenAttempt c(other);
    c = std::move(b);
    CHECK(other->in_flight == 0);
    CHECK(load->in_flight == 1);
    c = OpenAttempt(other);
    CHECK(load->in_flight == 0);
    c.release();
    c.release();
    CHECK(other->in_flight == 0);
    OpenAttempt none;
    const OpenAttempt null{std::shared_ptr<OfferLoad>()};
  }
  CHECK(load->in_flight == 0);
  CHECK(other->in_flight == 0);
}

TEST_CASE("snapshots are read while sites come and go") {
  Fleet fleet;
  fleet.configure(config_of({dialled("dc", {{"m"}}), agents("cafe")}), {{"cafe", SiteState::active}});
  std::atomic<bool> stop{false};
  std::atomic<int> torn{0};
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; ++i) {
    readers.emplace_back([&] {
      std::uint64_t last = 0;
      while (!stop.load()) {
        const auto snapshot = fleet.snapshot();
        if (snapshot->revision < last) ++torn;
        last = snapshot->revision;
        const auto found = snapshot->by_model.find("m");
        if (found == snapshot->by_model.end()) continue;
        for (const auto& one : found->second) {
          const OpenAttempt open(one->load);
          if (one->model != "m") ++torn;
        }
        fleet.sites();
      }
    });
  }
  for (int i = 1; i < 300; ++i) {
    const auto tunnel = static_cast<std::uint64_t>(i);
    fleet.engine_found("dc", 0, {}, {});
    fleet.tunnel_up("cafe", tunnel, {});
    fleet.tunnel_offers("cafe", tunnel, {agent_offer("a"), agent_offer("b")});
    fleet.engine_lost("dc", 0);
    fleet.tunnel_down("cafe", tunnel);
  }
  stop = true;
  for (auto& reader : readers) reader.join();
  CHECK(torn == 0);
}

// Policies, filters, affinity, trials and the freeze: the Router as the exchange uses it.
#include <map>
#include <set>

#include "gateway/routing/routing.h"
#include "tests/catch.h"

using namespace trib;
using namespace trib::routing;

namespace {

constexpr std::int64_t second = 1'000'000'000;

struct Yard {
  std::shared_ptr<fleet::Offer> add(const std::string& site, std::uint32_t capacity = 10) {
    auto offer = std::make_shared<fleet::Offer>();
    offer->id = site + "/0/m";
    offer->site = site;
    offer->model = "m";
    offer->capacity = capacity;
    snapshot.by_model["m"].push_back(offer);
    ++snapshot.revision;
    ++snapshot.offers;
    return offer;
  }
  void pace(const fleet::Offer& offer, std::uint32_t token_us) {
    offer.pace->token_us = token_us;
    offer.pace->samples = 200;
    offer.pace->heard_ns = now;
  }
  Wish wish() {
    Wish out{model};
    out.rules = &rules;
    return out;
  }
  Choice choose(const Wish& wish) { return router.choose(snapshot, wish, rng, now); }
  Choice choose() { return choose(wish()); }
  std::map<std::string, int> draw(int times) {
    std::map<std::string, int> out;
    for (int i = 0; i < times; ++i) {
      const auto choice = choose();
      ++out[choice.offer == nullptr ? "" : choice.offer->site];
    }
    return out;
  }
  void fail(const fleet::OfferPtr& offer, FaultKind kind = FaultKind::status_server, Side side = Side::engine) {
    router.report(snapshot, {offer, kind, side, 0, {}}, rng, now);
  }
  void fail3(const fleet::OfferPtr& offer) {
    for (int i = 0; i < 3; ++i) fail(offer);
  }
  std::string model = "m";
  fleet::FleetSnapshot snapshot;
  config::ModelRouting rules;
  Router router;
  SeededRng rng{1};
  std::int64_t now = 1000 * second;
};

std::uint32_t by_site(const void*, const fleet::Offer& offer) { return offer.site == "cheap" ? 500'000 : 700'000; }

}  // namespace

TEST_CASE("balanced: the faster machine, until its queue eats the advantage") {
  Yard yard;
  const auto slow = yard.add("slow"), fast = yard.add("fast");
  yard.pace(*slow, 40'000);
  yard.pace(*fast, 30'000);
  CHECK(yard.draw(50)["fast"] == 50);
  fast->load->in_flight = 9;
  CHECK(yard.draw(50)["slow"] == 50);
}

TEST_CASE("big sites are not starved: draws go by slots and speed") {
  Yard yard;
  for (int i = 0; i < 99; ++i) yard.add("small" + std::to_string(i), 1);
  yard.add("big", 100);
  CHECK(yard.draw(1000)["big"] > 300);  // uniform draws would find it in 20
}

TEST_CASE("a new machine among known ones gets its share, and so does the silent slow one, seldom") {
  Yard yard;
  for (int i = 0; i < 30; ++i) yard.pace(*yard.add("known" + std::to_string(i)), 20'000);
  yard.add("new");
  CHECK(yard.draw(3000)["new"] > 30);
  const auto slow = yard.add("slow");
  yard.pace(*slow, 400'000);
  CHECK(yard.draw(3000)["slow"] < 10);
  slow->pace->heard_ns = yard.now - 3600 * second;
  yard.now += 2 * second;
  CHECK(yard.draw(3000)["slow"] > 30);
}

TEST_CASE("cheapest takes the smaller part, fastest the sooner finish whatever it costs, balanced weighs") {
  Yard yard;
  const auto cheap = yard.add("cheap"), dear = yard.add("dear");
  yard.pace(*cheap, 30'000);
  yard.pace(*dear, 10'000);
  auto wish = yard.wish();
  wish.supplier_ppm = by_site;
  const auto all = [&](const char* site) {
    for (int i = 0; i < 30; ++i)
      if (yard.choose(wish).offer->site != site) return false;
    return true;
  };
  yard.rules.policy = config::RoutingPolicy::cheapest;
  CHECK(all("cheap"));
  yard.rules.policy = config::RoutingPolicy::fastest;
  CHECK(all("dear"));
  yard.rules.policy = config::RoutingPolicy::balanced;
  CHECK(all("dear"));
  yard.pace(*cheap, 10'200);  // 2 % slower, 20 points cheaper
  CHECK(all("cheap"));
  cheap->load->in_flight = 10;
  yard.rules.policy = config::RoutingPolicy::cheapest;
  CHECK(all("dear"));
}

TEST_CASE("region, vendor, price ceiling and context remove, and say so") {
  Yard yard;
  const auto a = yard.add("a");
  a->region = "east";
  a->vendor = "ascend";
  yard.rules.regions = {"west", "north"};
  CHECK(yard.choose().why == Why::constraint);
  yard.rules.regions = {"east"};
  yard.rules.vendors = {"nvidia"};
  CHECK(yard.choose().why == Why::constraint);
  yard.rules.vendors = {"nvidia", "ascend"};
  CHECK(yard.choose().offer == a);
  yard.rules.supplier_ppm_max = 600'000;
  auto wish = yard.wish();
  CHECK(yard.choose(wish).offer == a);  // its price is not known
  wish.supplier_ppm = by_site;
  CHECK(yard.choose(wish).why == Why::price);
  yard.rules.supplier_ppm_max = 700'000;
  CHECK(yard.choose(wish).offer == a);
}

TEST_CASE("a request goes to a window it fits; where nobody has one, the engine shall say so") {
  Yard yard;
  const auto small = yard.add("small"), large = yard.add("large");
  small->can.context = 2048;
  large->can.context = 32'768;
  auto wish = yard.wish();
  wish.prompt_tokens = 2000;
  wish.answer_tokens = 100;
  for (int i = 0; i < 30; ++i) REQUIRE(yard.choose(wish).offer == large);
  wish.prompt_tokens = 100'000;
  CHECK(yard.choose(wish).offer != nullptr);
}

TEST_CASE("a seat that will leave before the end is taken only when nothing better is there") {
  Yard yard;
  const auto stays = yard.add("stays"), leaves = yard.add("leaves");
  yard.pace(*stays, 22'000);
  yard.pace(*leaves, 20'000);
  CHECK(yard.draw(20)["leaves"] == 20);
  leaves->pace->leaves_ns = yard.now + 2 * second;
  CHECK(yard.draw(20)["stays"] == 20);
  auto brief = yard.wish();
  brief.answer_tokens = 10;  // over before it leaves
  CHECK(yard.choose(brief).offer == leaves);
}

TEST_CASE("a conversation stays at its machine while that is not busier than the others") {
  Yard yard;
  for (int i = 0; i < 200; ++i) yard.add("s" + std::to_string(i));
  auto wish = yard.wish();
  wish.head = conversation_head(R"({"messages":[{"role":"user","content":"hello"}]})", "acme");
  std::map<std::string, int> where;
  for (int i = 0; i < 100; ++i) ++where[yard.choose(wish).offer->site];
  REQUIRE(where.size() == 1);
  const auto home = yard.choose(wish).offer;
  home->load->in_flight = 5;
  CHECK(yard.choose(wish).offer != home);
  home->load->in_flight = 0;
  CHECK(yard.choose(wish).offer == home);
  // A machine that goes away moves its own conversations only.
  std::map<std::uint64_t, std::string> before;
  for (std::uint64_t head = 1; head <= 300; ++head) {
    wish.head = head;
    before[head] = yard.choose(wish).offer->site;
  }
  auto& offers = yard.snapshot.by_model["m"];
  std::erase_if(offers, [&](const auto& offer) { return offer == home; });
  ++yard.snapshot.revision;
  int moved = 0, were_there = 0;
  for (const auto& [head, site] : before) {
    wish.head = head;
    were_there += site == home->site;
    moved += yard.choose(wish).offer->site != site;
  }
  CHECK(moved == were_there);
}

TEST_CASE("a head that everybody shares spills over instead of piling up") {
  Yard yard;
  for (int i = 0; i < 50; ++i) yard.add("s" + std::to_string(i), 10);
  auto wish = yard.wish();
  wish.head = 42;
  std::uint32_t most = 0;
  for (int i = 0; i < 250; ++i) {
    const auto chosen = yard.choose(wish).offer;
    most = std::max(most, chosen->load->in_flight.fetch_add(1) + 1);
    yard.now += second / 10;
  }
  CHECK(most <= 8);  // five on average
}

TEST_CASE("the head: what all turns of one conversation share, and others do not") {
  const std::string first = R"({"model":"m","messages":[{"role":"system","content":"S"},{"role":"user","content":"a \"}\" b"}],"stream":true})";
  const std::string later = R"({"stream":false,"messages":[{"role":"system","content":"S"},{"role":"user","content":"a \"}\" b"},{"role":"assistant","content":"x"},{"role":"user","content":"more"}]})";
  const std::string other = R"({"model":"m","messages":[{"role":"system","content":"S"},{"role":"user","content":"a \"}\" c"}]})";
  CHECK(conversation_head(first, "t") == conversation_head(later, "t"));
  CHECK(conversation_head(first, "t") != conversation_head(other, "t"));
  CHECK(conversation_head(first, "t") != conversation_head(first, "u"));
  for (const auto* const odd : {"", "{", "\"messages\"", "{\"messages\":[{\"role\":\"user\"", "\"messages\"\"user\"\\"})
    CHECK(conversation_head(odd, "t") != 0);
}

TEST_CASE("an open breaker takes no traffic, then one request of low value, then all") {
  Yard yard;
  const auto a = yard.add("a"), b = yard.add("b");
  yard.fail3(a);
  CHECK(yard.draw(50)["a"] == 0);
  yard.now += 31 * second;
  auto dear = yard.wish();
  dear.low_value = false;
  for (int i = 0; i < 20; ++i) REQUIRE(yard.choose(dear).offer == b);
  b->load->in_flight = 5;
  CHECK(yard.draw(50)["a"] == 1);
  yard.router.report(yard.snapshot, {a, FaultKind::none, Side::none, 0, {}}, yard.rng, yard.now);
  CHECK(yard.draw(50)["a"] == 50);
}

TEST_CASE("when all are broken, the one broken longest gets one trial a second") {
  Yard yard;
  const auto a = yard.add("a");
  yard.fail3(a);
  yard.now += second;
  const auto b = yard.add("b");
  yard.fail3(b);
  CHECK(yard.choose().offer == a);
  CHECK(yard.choose().why == Why::broken);
  yard.now += second;
  CHECK(yard.choose().offer == b);  // a's trial is still out
  yard.router.report(yard.snapshot, {b, FaultKind::none, Side::none, 0, {}}, yard.rng, yard.now);
  CHECK(yard.choose().offer == b);
}

TEST_CASE("when three sites are broken at once and nobody else is left, they serve") {
  Yard yard;
  const auto a = yard.add("a"), b = yard.add("b"), c = yard.add("c"), sound = yard.add("sound");
  for (const auto& offer : {a, b, c}) yard.fail3(offer);
  CHECK(yard.draw(50)["sound"] == 50);
  sound->load->in_flight = sound->capacity;
  auto drawn = yard.draw(60);
  CHECK(drawn["sound"] == 0);
  CHECK((drawn["a"] > 0 && drawn["b"] > 0 && drawn["c"] > 0));
  c->rest->until_ns = yard.now + 100 * second;  // two are left: one trial a second again
  yard.choose();
  CHECK(yard.choose().why == Why::full);
}

TEST_CASE("a customer's 4xx never opens one, nor does a full engine: that rests it, and ever longer") {
  Yard yard;
  const auto a = yard.add("a");
  for (int i = 0; i < 100; ++i) {
    yard.fail(a, FaultKind::status_client, Side::client);
    yard.fail(a, FaultKind::context_length, Side::client);
  }
  CHECK(yard.choose().offer == a);
  yard.router.report(yard.snapshot, {a, FaultKind::status_busy, Side::engine, 7'000, {}}, yard.rng, yard.now);
  CHECK(yard.choose().why == Why::resting);
  CHECK(yard.choose().retry_after_ms == 7'001);
  std::int64_t last = 0;
  for (int i = 0; i < 6; ++i) {
    yard.now += 3600 * second;
    yard.fail(a, FaultKind::status_busy);
    const auto rests = yard.choose().retry_after_ms;
    CHECK(rests >= last);
    CHECK(rests <= 30'001);
    last = rests;
  }
  CHECK(last == 30'001);
  yard.now += 3600 * second;
  CHECK(yard.choose().offer == a);
}

TEST_CASE("many sites failing at once freeze blame, take back what they were blamed for, and it thaws") {
  Yard yard;
  yard.snapshot.freeze = std::make_shared<fleet::BlameFreeze>();
  std::vector<fleet::OfferPtr> offers;
  for (int i = 0; i < 40; ++i) offers.push_back(yard.add("s" + std::to_string(i)));
  for (int i = 0; i < 9; ++i) yard.fail3(offers[static_cast<std::size_t>(i)]);
  CHECK_FALSE(yard.snapshot.freeze->frozen(yard.now));
  CHECK(Breaker::unpack(offers[0]->breaker->word).phase == Breaker::Phase::open);
  yard.fail(offers[9]);
  CHECK(yard.snapshot.freeze->frozen(yard.now));
  for (const auto& offer : offers) {
    CHECK(Breaker::unpack(offer->breaker->word) == Breaker{});
    yard.fail3(offer);
    CHECK(Breaker::unpack(offer->breaker->word) == Breaker{});
  }
  yard.now += fleet::BlameFreeze::thaw_ns;
  CHECK_FALSE(yard.snapshot.freeze->frozen(yard.now));
  yard.fail3(offers[3]);
  CHECK(Breaker::unpack(offers[3]->breaker->word).phase == Breaker::Phase::open);
}

TEST_CASE("a lost tunnel opens nothing, but many at once freeze blame") {
  Yard yard;
  yard.snapshot.freeze = std::make_shared<fleet::BlameFreeze>();
  for (int i = 0; i < 20; ++i) {
    const auto offer = yard.add("s" + std::to_string(i));
    for (int k = 0; k < 5; ++k) yard.fail(offer, FaultKind::tunnel_lost, Side::site_network);
    CHECK(offer->breaker->word == 0);
    CHECK(yard.snapshot.freeze->frozen(yard.now) == (i >= 9));
  }
}

TEST_CASE("few machines, few sites or a small share of the fleet freeze nothing") {
  const auto frozen = [](int machines, int sites, std::size_t in_fleet) {
    fleet::BlameFreeze freeze;
    bool out = false;
    for (int i = 0; i < machines; ++i)
      out = freeze.marked(std::make_shared<fleet::OfferBreaker>(), static_cast<std::uint64_t>(i % sites), in_fleet, 1);
    return out;
  };
  CHECK_FALSE(frozen(9, 9, 9));
  CHECK_FALSE(frozen(100, 2, 100));
  CHECK_FALSE(frozen(50, 50, 1000));
  CHECK(frozen(51, 50, 1000));
  CHECK(frozen(10, 3, 10));
  fleet::BlameFreeze slow;  // the same number, but not in one minute
  for (int i = 0; i < 1000; ++i)
    CHECK_FALSE(slow.marked(std::make_shared<fleet::OfferBreaker>(), static_cast<std::uint64_t>(i), 20, i * 7 * second));
}

TEST_CASE("for any state of a fleet: what is chosen passes every filter, and nothing is refused while one passes") {
  for (std::uint64_t seed = 1; seed <= 150; ++seed) {
    Yard yard;
    yard.rng = SeededRng(seed);
    auto& rng = yard.rng;
    const auto n = 1 + rng.below(60);
    std::vector<std::shared_ptr<fleet::Offer>> offers;
    for (std::uint64_t i = 0; i < n; ++i) {
      auto offer = yard.add("s" + std::to_string(rng.below(n)), static_cast<std::uint32_t>(1 + rng.below(4)));
      offer->id += std::to_string(i);
      offer->kind = static_cast<config::SiteKind>(rng.below(5));
      offer->region = rng.below(2) == 0 ? "east" : "west";
      offer->load->in_flight = static_cast<std::uint32_t>(rng.below(5));
      if (rng.below(3) == 0) offer->rest->until_ns = yard.now + static_cast<std::int64_t>(rng.below(second));
      if (rng.below(2) == 0) yard.pace(*offer, static_cast<std::uint32_t>(1 + rng.below(400'000)));
      if (rng.below(4) == 0) yard.fail3(offer);
      offers.push_back(offer);
    }
    if (rng.below(2) == 0) yard.rules.regions = {"east"};
    yard.rules.policy = static_cast<config::RoutingPolicy>(rng.below(3));
    const std::vector<std::string> excluded{"s0"};
    for (int step = 0; step < 20; ++step) {
      auto wish = yard.wish();
      wish.privacy = rng.below(2) == 0 ? config::Privacy::any : config::Privacy::dc;
      wish.head = rng.below(4);
      wish.excluded_sites = excluded;
      const auto may = [&](const fleet::Offer& offer) {
        return tier_allows(offer.kind, wish.privacy) && (yard.rules.regions.empty() || offer.region == "east") && offer.site != "s0" &&
               offer.rest->until_ns <= yard.now && offer.load->in_flight < offer.capacity;
      };
      int whole = 0, broken = 0;
      for (const auto& offer : offers)
        if (may(*offer)) ++(Breaker::unpack(offer->breaker->word).phase == Breaker::Phase::closed ? whole : broken);
      const auto choice = yard.choose(wish);
      if (whole > 0) REQUIRE(choice.offer != nullptr);
      if (whole == 0 && broken == 0) REQUIRE(choice.offer == nullptr);
      if (choice.offer == nullptr) continue;
      REQUIRE(choice.why == Why::chosen);
      REQUIRE(may(*choice.offer));
    }
  }
}

// Who may be chosen, who is, and why nobody was.
#include "gateway/routing/routing.h"

#include <map>

#include "tests/catch.h"

using namespace trib;
using namespace trib::routing;
using config::Privacy;
using config::SiteKind;

namespace {

struct Yard {
  std::shared_ptr<fleet::Offer> add(const std::string& site, SiteKind kind = SiteKind::datacenter, std::uint32_t capacity = 10,
                                    std::uint32_t in_flight = 0, const std::string& model = "m") {
    auto offer = std::make_shared<fleet::Offer>();
    offer->id = site + "/" + std::to_string(++n);
    offer->site = site;
    offer->kind = kind;
    offer->model = model;
    offer->capacity = capacity;
    offer->load->in_flight = in_flight;
    snapshot.by_model[model].push_back(offer);
    ++snapshot.revision;
    return offer;
  }
  Choice choose(Privacy privacy = Privacy::any, const std::vector<std::string>& excluded = {}, const std::string& model = "m") {
    return router.choose(snapshot, {model, privacy, excluded}, rng, now);
  }
  std::map<std::string, int> draw(int times, const std::vector<std::string>& excluded = {}) {
    std::map<std::string, int> out;
    for (int i = 0; i < times; ++i) {
      const auto choice = choose(Privacy::any, excluded);
      ++out[choice.offer == nullptr ? "" : choice.offer->site];
    }
    return out;
  }
  fleet::FleetSnapshot snapshot;
  Router router;
  SeededRng rng{1};
  std::int64_t now = 1'000'000'000;
  int n = 0;
};

}  // namespace

TEST_CASE("which kinds of site a tier allows") {
  for (const auto kind : {SiteKind::hosted, SiteKind::datacenter, SiteKind::lab, SiteKind::edge, SiteKind::cafe}) {
    const bool servers = kind == SiteKind::hosted || kind == SiteKind::datacenter;
    CHECK(tier_allows(kind, Privacy::any));
    CHECK(tier_allows(kind, Privacy::dc) == servers);
    CHECK_FALSE(tier_allows(kind, Privacy::tee));
    Yard yard;
    yard.add("s", kind);
    CHECK((yard.choose(Privacy::any).offer != nullptr));
    CHECK((yard.choose(Privacy::dc).offer != nullptr) == servers);
    const auto tee = yard.choose(Privacy::tee);
    CHECK(tee.offer == nullptr);
    CHECK(tee.why == Why::tier);
    CHECK(tee.retry_after_ms == 0);
  }
}

TEST_CASE("nobody is chosen, and the last filter says why") {
  Yard yard;
  CHECK(yard.choose().why == Why::unknown_model);
  yard.snapshot.by_model["m"];  // known, with no offers left
  CHECK(yard.choose().why == Why::unknown_model);
  yard.add("other", SiteKind::datacenter, 10, 0, "m2");
  CHECK(yard.choose().why == Why::unknown_model);
  const auto cafe = yard.add("cafe", SiteKind::cafe);
  CHECK(yard.choose(Privacy::dc).why == Why::tier);
  const auto a = yard.add("a");
  CHECK(yard.choose(Privacy::dc, {"a"}).why == Why::excluded);
  a->rest->until_ns = yard.now + 1'500'000'000;
  auto choice = yard.choose(Privacy::dc);
  CHECK(choice.why == Why::resting);
  CHECK(choice.retry_after_ms == 1501);
  const auto b = yard.add("b");
  b->rest->until_ns = yard.now + 400'000'000;
  choice = yard.choose(Privacy::dc);
  CHECK(choice.why == Why::resting);
  CHECK(choice.retry_after_ms == 401);  // the soonest
  b->load->in_flight = 10;              // it rests first, whatever its load
  CHECK(yard.choose(Privacy::dc).why == Why::resting);
  b->rest->until_ns = 0;
  choice = yard.choose(Privacy::dc);
  CHECK(choice.why == Why::full);
  CHECK(choice.offer == nullptr);
  b->load->in_flight = 9;
  choice = yard.choose(Privacy::dc);
  CHECK(choice.why == Why::chosen);
  CHECK(choice.offer == b);
  CHECK(yard.choose(Privacy::any).offer != nullptr);
  (void)cafe;
}

TEST_CASE("a rest ends at its moment") {
  Yard yard;
  const auto a = yard.add("a");
  a->rest->until_ns = yard.now + 1;
  CHECK(yard.choose().offer == nullptr);
  CHECK(yard.choose().retry_after_ms == 1);
  yard.now += 1;
  CHECK(yard.choose().offer == a);
}

TEST_CASE("every offer of an excluded site is excluded, and no others") {
  Yard yard;
  yard.add("a");
  yard.add("a");
  yard.add("b");
  const auto drawn = yard.draw(200, {"a"});
  CHECK(drawn.size() == 1);
  CHECK(drawn.contains("b"));
  CHECK(yard.draw(10, {"a", "b"}).contains(""));
}

TEST_CASE("of two the less loaded by capacity is always taken") {
  Yard yard;
  yard.add("small", SiteKind::datacenter, 4, 2);    // half full
  yard.add("large", SiteKind::datacenter, 100, 49);  // a little less
  CHECK(yard.draw(100)["large"] == 100);
}

TEST_CASE("equals are drawn evenly") {
  for (const int sites : {2, 3, 5, 17}) {
    Yard yard;
    for (int i = 0; i < sites; ++i) yard.add("s" + std::to_string(i));
    const int times = 2000 * sites;
    const auto drawn = yard.draw(times);
    CHECK(drawn.size() == static_cast<std::size_t>(sites));
    for (const auto& [site, n] : drawn) {
      INFO(site << " of " << sites);
      CHECK(n > 1750);  // 2000 with a deviation of about 45
      CHECK(n < 2250);
    }
  }
}

TEST_CASE("each pair is drawn equally often: the k-th best of n by its share of pairs") {
  // With loads 0..n-1, the k-th least loaded wins against n-1-k others: 2(n-1-k)/(n(n-1)) of the draws.
  constexpr int n = 6, times = 30'000;
  Yard yard;
  for (int i = 0; i < n; ++i) yard.add("s" + std::to_string(i), SiteKind::datacenter, 100, static_cast<std::uint32_t>(i));
  auto drawn = yard.draw(times);
  for (int k = 0; k < n; ++k) {
    const double want = 2.0 * (n - 1 - k) / (n * (n - 1.0)) * times;
    INFO(k);
    CHECK(drawn["s" + std::to_string(k)] > want * 0.93 - 1);
    CHECK(drawn["s" + std::to_string(k)] < want * 1.07 + 1);
  }
  CHECK(drawn["s5"] == 0);
}

TEST_CASE("load levels out by capacity") {
  Yard yard;
  const auto a = yard.add("a", SiteKind::datacenter, 10), b = yard.add("b", SiteKind::datacenter, 30);
  for (int i = 0; i < 36; ++i) yard.choose().offer->load->in_flight.fetch_add(1);
  CHECK(a->load->in_flight >= 8);
  CHECK(a->load->in_flight <= 10);
  CHECK(b->load->in_flight >= 26);
  for (int i = 0; i < 4; ++i) yard.choose().offer->load->in_flight.fetch_add(1);
  CHECK(yard.choose().why == Why::full);
  CHECK(a->load->in_flight == 10);
  CHECK(b->load->in_flight == 30);
}

TEST_CASE("a choice is the same from the same seed") {
  Yard one, two;
  for (auto* const yard : {&one, &two})
    for (int i = 0; i < 9; ++i) yard->add("s" + std::to_string(i));
  for (int i = 0; i < 200; ++i) REQUIRE(one.choose().offer->site == two.choose().offer->site);
}

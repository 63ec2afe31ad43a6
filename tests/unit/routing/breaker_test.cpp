// The breaker: every transition by example, then what holds for any sequence of verdicts.
#include <algorithm>
#include <deque>
#include <thread>
#include <vector>

#include "gateway/routing/routing.h"
#include "tests/catch.h"

using namespace trib;
using namespace trib::routing;
using Phase = Breaker::Phase;

namespace {

Breaker after(std::initializer_list<Verdict> verdicts, Breaker from = {}, std::uint32_t now = 1000) {
  for (const auto verdict : verdicts) from = from.told(verdict, now);
  return from;
}
constexpr auto good = Verdict::good, bad = Verdict::bad, neutral = Verdict::neutral;

Verdict any(Rng& rng) { return static_cast<Verdict>(rng.below(3)); }

}  // namespace

TEST_CASE("three failures in a row open it, two do not, and what is neutral neither counts nor breaks the row") {
  CHECK(after({bad, bad}).phase == Phase::closed);
  CHECK(after({bad, bad, good, bad, bad}).phase == Phase::closed);
  CHECK(after({bad, bad, bad}).phase == Phase::open);
  CHECK(after({bad, neutral, bad, neutral, bad}).phase == Phase::open);
  Breaker breaker;
  for (int i = 0; i < 1000; ++i) breaker = breaker.told(neutral, 1000);
  CHECK(breaker == Breaker{});
}

TEST_CASE("half of the last failures open it, of eight at least") {
  CHECK(after({bad, good, bad, good, bad, good, bad}).phase == Phase::closed);  // seven
  CHECK(after({bad, good, bad, good, bad, good, good, bad}).phase == Phase::open);
  CHECK(after({good, good, good, good, good, bad, good, bad, good, bad}).phase == Phase::closed);
}

TEST_CASE("open, it admits one of low value after its time, any other ten seconds later") {
  const auto open = after({bad, bad, bad});
  CHECK_FALSE(open.admits(1000, true));
  CHECK_FALSE(open.admits(1299, true));
  CHECK(open.admits(1300, true));
  CHECK_FALSE(open.admits(1399, false));
  CHECK(open.admits(1400, false));
  const auto trying = open.trying(1300);
  CHECK(trying.phase == Phase::half_open);
  CHECK_FALSE(trying.admits(1300, true));  // one at a time
  CHECK_FALSE(trying.admits(1899, true));
  CHECK(trying.admits(1900, true));  // the first trial is lost
}

TEST_CASE("a trial closes it, opens it for twice as long, or tells nothing") {
  const auto trying = after({bad, bad, bad}).trying(1300);
  CHECK(trying.told(good, 1310).phase == Phase::closed);
  CHECK(trying.told(neutral, 1310).admits(1310, true));
  auto again = trying.told(bad, 1310);
  CHECK_FALSE(again.admits(1310 + 599, true));
  CHECK(again.admits(1310 + 600, true));
  for (int i = 0; i < 10; ++i) again = again.trying(5000).told(bad, 5000);
  CHECK(again.until_ds == 5000 + (300u << 5));  // sixteen minutes, and no more
}

TEST_CASE("one that flaps is tried ever more seldom, until sixteen good answers in a row") {
  auto breaker = after({bad, bad, bad}).trying(1300).told(good, 1300);
  CHECK(after({bad, bad, bad}, breaker, 2000).until_ds == 2600);
  for (int i = 0; i < 15; ++i) breaker = breaker.told(good, 1400);
  CHECK(breaker.doublings == 1);
  breaker = breaker.told(good, 1400);
  CHECK(breaker.doublings == 0);
}

TEST_CASE("what began before it opened says nothing") {
  const auto open = after({bad, bad, bad});
  CHECK(open.told(good, 1100) == open);
  CHECK(open.told(bad, 1100) == open);
}

TEST_CASE("a failure that was the request's is taken back") {
  CHECK(after({bad, bad}).forgiven() == Breaker{Phase::closed, 1, 0, 2, 2, 0});
  CHECK(Breaker{}.forgiven() == Breaker{});
  const auto open = after({bad, bad, bad});
  CHECK(open.forgiven() == open);
}

TEST_CASE("for any sequence: it packs, stays in bounds, opens only on a failure, and one trial is out at most") {
  SeededRng rng(7);
  for (int run = 0; run < 200; ++run) {
    Breaker breaker;
    std::uint32_t now = 0;
    std::uint32_t trial_until = 0;
    for (int step = 0; step < 200; ++step) {
      now += static_cast<std::uint32_t>(rng.below(200));
      const auto before = breaker;
      if (rng.below(3) == 0) {
        if (!breaker.admits(now, rng.below(2) == 0)) continue;
        breaker = breaker.trying(now);
        if (before.phase == Phase::closed) {
          REQUIRE(breaker == before);
        } else {
          REQUIRE(now >= trial_until);  // an earlier one was heard of, or is lost
          trial_until = now + Breaker::trial_ds;
        }
      } else {
        const auto verdict = any(rng);
        breaker = breaker.told(verdict, now);
        if (before.phase != Phase::open) trial_until = 0;
        if (breaker.phase == Phase::open && before.phase == Phase::closed) REQUIRE(verdict == bad);
        if (breaker.phase == Phase::closed && before.phase != Phase::closed) REQUIRE(verdict == good);
      }
      REQUIRE(Breaker::unpack(breaker.pack()) == breaker);
      REQUIRE(breaker.in_a_row < Breaker::in_a_row_max);
      REQUIRE(breaker.doublings <= Breaker::doublings_max);
      REQUIRE(breaker.seen <= Breaker::window);
      REQUIRE(breaker.admits(breaker.until_ds + Breaker::patience_ds, false));  // never shut for ever
    }
  }
}

TEST_CASE("any share of failures below a third with no three in a row leaves it closed") {
  SeededRng rng(8);
  for (int run = 0; run < 100; ++run) {
    Breaker breaker;
    std::deque<bool> last;
    for (int step = 0; step < 500; ++step) {
      const auto recent = std::count(last.begin(), last.end(), true);
      const bool fail = recent * 3 < static_cast<std::ptrdiff_t>(last.size()) && last.size() >= 7 && recent < 2 && rng.below(2) == 0;
      breaker = breaker.told(fail ? bad : good, 0);
      last.push_back(fail);
      if (last.size() > 7) last.pop_front();
      REQUIRE(breaker.phase == Phase::closed);
    }
  }
}

TEST_CASE("workers that report at once lose no opening, and one of them alone gets the trial") {
  fleet::OfferBreaker shared;
  const auto tell = [&] {
    for (int i = 0; i < 1000; ++i) change(shared.word, [](const Breaker& breaker) { return breaker.told(Verdict::bad, 100); });
  };
  std::thread one(tell), two(tell);
  one.join();
  two.join();
  CHECK(Breaker::unpack(shared.word.load()).phase == Phase::open);
  std::atomic<int> won{0};
  const auto attempt = [&] {
    if (change(shared.word, [](const Breaker& breaker) { return breaker.admits(400, true) ? breaker.trying(400) : breaker; })) ++won;
  };
  std::vector<std::thread> many;
  for (int i = 0; i < 4; ++i) many.emplace_back(attempt);
  for (auto& thread : many) thread.join();
  CHECK(won == 1);
}

TEST_CASE("who is blamed, for every kind and side of fault") {
  // What the customer, the owner or the gateway did never counts; a full engine neither.
  for (const auto kind : {FaultKind::client_gone, FaultKind::client_stall, FaultKind::status_client, FaultKind::status_busy,
                          FaultKind::context_length, FaultKind::reclaimed, FaultKind::refused_stream, FaultKind::no_capacity,
                          FaultKind::draining, FaultKind::journal, FaultKind::internal, FaultKind::total_timeout,
                          FaultKind::bad_usage, FaultKind::tunnel_lost})
    for (const auto side : {Side::none, Side::client, Side::site_network, Side::site, Side::seat, Side::engine, Side::gateway})
      CHECK(verdict(kind, side) == Verdict::neutral);
  for (const auto kind : {FaultKind::connect_refused, FaultKind::reset_before_head, FaultKind::head_timeout,
                          FaultKind::first_token_timeout, FaultKind::gap_timeout, FaultKind::cut, FaultKind::status_server,
                          FaultKind::bad_chunk, FaultKind::bad_event, FaultKind::status_config}) {
    CHECK(verdict(kind, Side::engine) == Verdict::bad);
    CHECK(verdict(kind, Side::site_network) == Verdict::bad);
    CHECK(verdict(kind, Side::gateway) == Verdict::neutral);
    CHECK(verdict(kind, Side::client) == Verdict::neutral);
  }
  CHECK(verdict(FaultKind::none, Side::none) == Verdict::good);
}

// Holds, credit and budgets under races: real threads, and schedules drawn from a seed that is printed.
#include <atomic>
#include <barrier>
#include <set>
#include <thread>

#include "gateway/tenancy/tenancy.h"
#include "tests/catch.h"

using namespace trib;
using namespace trib::tenancy;
using money::Amount;

namespace {

constexpr std::int64_t day_ms = 86'400'000;
constexpr std::int64_t noon = 1'764'302'400'000;  // 2025-11-28T12:00+08:00

Amount pico(std::uint64_t n) { return Amount::pico(static_cast<money::int128>(n)); }

config::TenantConfig unlimited(const char* credit = "0") {
  config::TenantConfig out;
  out.id = "acme";
  out.limits = {0, 0, 0};
  out.credit = *Amount::parse(credit);
  return out;
}

Sha256 key_of(unsigned n) { return sha256("key " + std::to_string(n)); }

// So many threads at once run `body(thread)`.
template <class Body>
void race(unsigned threads, Body&& body) {
  std::barrier start(static_cast<std::ptrdiff_t>(threads));
  std::vector<std::thread> all;
  for (unsigned t = 0; t < threads; ++t) {
    all.emplace_back([&, t] {
      start.arrive_and_wait();
      body(t);
    });
  }
  for (auto& one : all) one.join();
}

}  // namespace

TEST_CASE("invariant 16: N racing admissions on one balance, a credit or a budget get exactly what it covers", "[invariant]") {
  struct Bound {
    const char* what;
    const char *balance, *credit, *budget_day, *budget_month, *key_day;
    Refused refused;
    unsigned admitted;
  };
  // Each asks for 0.07; eight threads ask twenty times.
  const Bound bound = GENERATE(Bound{"balance", "1", "0", "0", "0", "0", Refused::balance, 14},
                               Bound{"credit", "0.5", "0.5", "0", "0", "0", Refused::balance, 14},
                               Bound{"credit alone", "-0.3", "1", "0", "0", "0", Refused::balance, 10},
                               Bound{"budget of the day", "100", "0", "0.71", "0", "0", Refused::budget, 10},
                               Bound{"budget of the month", "100", "0", "0", "0.7", "0", Refused::budget, 10},
                               Bound{"budget of a key", "100", "0", "0", "0", "0.21", Refused::budget, 6});
  for (int round = 0; round < 40; ++round) {
    Tenant tenant("acme");
    auto config = unlimited(bound.credit);
    config.budgets = {*Amount::parse(bound.budget_day), *Amount::parse(bound.budget_month)};
    for (unsigned k = 0; k < 2; ++k) config.keys.emplace_back(key_of(k), config::Budgets{*Amount::parse(bound.key_day), {}});
    tenant.set_policy(config);
    tenant.set_balance(*Amount::parse(bound.balance));
    std::vector<std::vector<Hold>> holds(8);
    std::atomic<unsigned> wrong{0};
    race(8, [&](unsigned t) {
      for (int i = 0; i < 20; ++i) {
        auto admission = tenant.admit({.wall_ms = noon, .key = key_of(t % 2), .hold = *Amount::parse("0.07")});
        if (admission.refused == Refused::none) {
          holds[t].push_back(std::move(admission.hold));
        } else if (admission.refused != bound.refused) {
          ++wrong;
        }
      }
    });
    std::size_t admitted = 0;
    for (const auto& some : holds) admitted += some.size();
    INFO(bound.what << " round " << round);
    REQUIRE(wrong == 0);
    REQUIRE(admitted == bound.admitted);
    // All of them cost what they held: the limit is met to the pico, never passed.
    race(8, [&](unsigned t) {
      for (Hold& hold : holds[t]) hold.settle({.wall_ms = noon, .output = {}, .charge = *Amount::parse("0.07")});
    });
    const auto view = tenant.view();
    REQUIRE(view.balance + view.credit >= Amount{});
    for (const auto& budget : tenant.budgets(noon)) REQUIRE(budget.spent <= budget.limit);
    REQUIRE(view.held.zero());
    REQUIRE(view.in_flight == 0);
  }
}

TEST_CASE("invariant 16: on any schedule what is available follows an oracle, and stays above the limit", "[invariant]") {
  for (std::uint64_t seed = 1; seed <= 150; ++seed) {
    SeededRng rng(seed);
    INFO("seed " << seed);
    Tenant tenant("acme");
    auto config = unlimited();
    config.credit = pico(rng.below(2) * rng.below(500'000));
    config.budgets = {pico(rng.below(3) * 400'000), pico(rng.below(3) * 900'000)};
    for (unsigned k = 0; k < 3; ++k) config.keys.emplace_back(key_of(k), config::Budgets{pico(rng.below(2) * 200'000), pico(rng.below(2) * 600'000)});
    tenant.set_policy(config);
    Amount balance = pico(rng.below(1'000'000)), held;
    tenant.set_balance(balance);
    struct Open {
      Hold hold;
      Amount amount;
      unsigned key;
      std::int64_t deadline_ns;
    };
    std::vector<Open> open;
    struct Charge {
      std::int64_t wall_ms;
      unsigned key;
      Amount amount;
    };
    std::vector<Charge> charges;
    std::int64_t wall_ms = noon, now_ns = 0;
    const auto held_by = [&](int key) {
      Amount sum;
      for (const Open& one : open)
        if (key < 0 || one.key == static_cast<unsigned>(key)) sum += one.amount;
      return sum;
    };
    const auto spent_by = [&](int key, Span span) {
      Amount sum;
      for (const Charge& one : charges)
        if ((key < 0 || one.key == static_cast<unsigned>(key)) && span_end_ms(span, one.wall_ms) == span_end_ms(span, wall_ms)) sum += one.amount;
      return sum;
    };
    const auto fits = [&](int key, const config::Budgets& budgets, Amount hold) {
      for (const auto& [span, limit] : {std::pair(Span::day, budgets.day), std::pair(Span::month, budgets.month)}) {
        if (limit.zero()) continue;
        if (spent_by(key, span) >= limit || spent_by(key, span) + held_by(key) + hold > limit) return false;
      }
      return true;
    };
    for (int step = 0; step < 300; ++step) {
      now_ns += static_cast<std::int64_t>(rng.below(100));
      wall_ms += static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(day_ms) / 20));
      const auto dice = rng.below(20);
      if (dice < 9) {
        const auto key = static_cast<unsigned>(rng.below(3));
        const Amount hold = pico(rng.below(120'000));
        const std::int64_t deadline = now_ns + static_cast<std::int64_t>(rng.below(3000));
        auto admission = tenant.admit({.now_ns = now_ns, .wall_ms = wall_ms, .key = key_of(key), .hold = hold, .deadline_ns = deadline});
        const Refused expected = hold > balance + config.credit - held ? Refused::balance
                                 : fits(static_cast<int>(key), config.keys[key].budgets, hold) && fits(-1, config.budgets, hold)
                                     ? Refused::none
                                     : Refused::budget;
        REQUIRE(admission.refused == expected);
        if (expected == Refused::budget) {
          CHECK(admission.budget.resets_at_ms > wall_ms);
          CHECK(admission.retry_after_s * 1000 >= admission.budget.resets_at_ms - wall_ms);
        }
        if (expected == Refused::none) {
          open.push_back({std::move(admission.hold), hold, key, deadline});
          held += hold;
        }
      } else if (dice < 17 && !open.empty()) {
        const auto at = static_cast<std::size_t>(rng.below(open.size()));
        Open one = std::move(open[at]);
        open.erase(open.begin() + static_cast<std::ptrdiff_t>(at));
        held -= one.amount;
        if (rng.below(4) == 0) {
          one.hold.drop();
        } else {
          const Amount charge = pico(rng.below(static_cast<std::uint64_t>(one.amount.pico()) + 1));
          if (rng.below(2) == 0) REQUIRE(one.hold.claim());
          REQUIRE(one.hold.settle({.now_ns = now_ns, .wall_ms = wall_ms, .output = {}, .charge = charge}));
          balance -= charge;
          charges.push_back({wall_ms, one.key, charge});
        }
      } else if (dice < 19) {
        const std::size_t ended = tenant.expire(now_ns).size();
        std::size_t due = 0;
        for (auto at = open.begin(); at != open.end();) {
          if (at->deadline_ns > now_ns) {
            ++at;
            continue;
          }
          held -= at->amount;
          ++due;
          at = open.erase(at);
        }
        REQUIRE(ended == due);
      } else {
        const Amount amount = pico(rng.below(300'000));
        tenant.credit(amount);
        balance += amount;
      }
      const auto view = tenant.view();
      REQUIRE(view.balance == balance);
      REQUIRE(view.held == held);
      REQUIRE(view.in_flight == open.size());
      REQUIRE(view.balance - view.held + view.credit >= Amount{});
      for (const auto& budget : tenant.budgets(wall_ms)) REQUIRE(budget.spent <= budget.limit);
    }
  }
}

TEST_CASE("invariant 17: a hold ends at most once, whoever tries again", "[invariant]") {
  Tenant tenant("acme");
  tenant.set_policy(unlimited());
  tenant.set_balance(pico(1000));
  const auto one = [&] { return std::move(tenant.admit({.wall_ms = noon, .hold = pico(600)}).hold); };
  SECTION("settled, then settled, dropped and expired") {
    Hold hold = one();
    CHECK(hold.settle({.wall_ms = noon, .output = {}, .charge = pico(100)}));
    CHECK_FALSE(hold.settle({.wall_ms = noon, .output = {}, .charge = pico(100)}));
    CHECK_FALSE(hold.claim());
    hold.drop();
    CHECK(tenant.expire(INT64_MAX).empty());
    CHECK(tenant.view().balance == pico(900));
  }
  SECTION("void, then settled") {
    Hold hold = one();
    hold.drop();
    CHECK_FALSE(hold.claim());
    CHECK_FALSE(hold.settle({.wall_ms = noon, .output = {}, .charge = pico(100)}));
    CHECK(tenant.view().balance == pico(1000));
  }
  SECTION("a hold that was refused is none: it ends nothing and charges nothing") {
    const Hold first = one();
    auto refused = tenant.admit({.wall_ms = noon, .hold = pico(600)});
    REQUIRE(refused.refused == Refused::balance);
    CHECK_FALSE(refused.hold.claim());
    CHECK_FALSE(refused.hold.settle({.wall_ms = noon, .output = {}, .charge = pico(1)}));
    CHECK(tenant.view().in_flight == 1);
    CHECK(tenant.view().balance == pico(1000));
  }
  SECTION("moved, it ends in its new place alone; forgotten, it is void") {
    {
      Hold hold = one();
      Hold moved = std::move(hold);
      hold.drop();
      CHECK(tenant.view().held == pico(600));
    }
    CHECK(tenant.view().held.zero());
  }
  CHECK(tenant.view().held.zero());
  CHECK(tenant.view().in_flight == 0);
}

TEST_CASE("invariant 18: expiry races the post, and one of them wins", "[invariant]") {
  unsigned expired = 0, charged = 0;
  for (int round = 0; round < 3000; ++round) {
    Tenant tenant("acme");
    tenant.set_policy(unlimited());
    tenant.set_balance(pico(1000));
    Hold hold = std::move(tenant.admit({.wall_ms = noon, .hold = pico(1000), .deadline_ns = 5}).hold);
    bool claimed = false;
    std::size_t ended = 0;
    race(2, [&](unsigned t) {
      if (t == 0) {
        ended = tenant.expire(5).size();
      } else if ((claimed = hold.claim())) {
        tenant.expire(6);  // too late for it
        hold.settle({.wall_ms = noon, .output = {}, .charge = pico(400)});
      }
    });
    REQUIRE(claimed == (ended == 0));
    REQUIRE(tenant.view().balance == pico(claimed ? 600 : 1000));
    REQUIRE(tenant.view().held.zero());
    // What expired may be held anew, and the one that lost charges nothing.
    if (!claimed) REQUIRE_FALSE(hold.settle({.wall_ms = noon, .output = {}, .charge = pico(400)}));
    REQUIRE(tenant.view().balance == pico(claimed ? 600 : 1000));
    (claimed ? charged : expired) += 1;
  }
  INFO(expired << " expired, " << charged << " charged");
  CHECK(expired + charged == 3000);
}

TEST_CASE("invariant 19: no hold outlives its deadline, their sum is that of the open requests, and idle there is none", "[invariant]") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SeededRng rng(seed);
    INFO("seed " << seed);
    Tenant tenant("acme");
    tenant.set_policy(unlimited());
    tenant.set_balance(pico(1'000'000'000));
    struct Open {
      Hold hold;
      Amount amount;
      std::int64_t deadline_ns;
    };
    std::map<std::uint64_t, Open> open;  // requests at work
    std::int64_t now_ns = 0;
    for (std::uint64_t n = 0; n < 4000; ++n) {
      now_ns += 10;
      const Amount amount = pico(rng.below(10'000));
      const std::int64_t deadline_ns = now_ns + 500;
      RequestId id;
      id.hi = n;
      auto admission = tenant.admit({.now_ns = now_ns, .wall_ms = noon, .id = id, .hold = amount, .deadline_ns = deadline_ns});
      REQUIRE(admission.refused == Refused::none);
      open.emplace(n, Open{std::move(admission.hold), amount, deadline_ns});
      // Most end; one in eight is forgotten by whoever ran it.
      for (auto at = open.begin(); at != open.end();) {
        const bool ends = at->first % 8 != 0 && rng.below(20) == 0;
        if (!ends) {
          ++at;
          continue;
        }
        if (at->second.hold.claim()) at->second.hold.settle({.now_ns = now_ns, .wall_ms = noon, .output = {}, .charge = {}});
        at = open.erase(at);
      }
      std::set<std::uint64_t> late;
      for (const auto& [id_open, one] : open)
        if (one.deadline_ns <= now_ns) late.insert(id_open);
      for (const RequestId& request : tenant.expire(now_ns)) {
        REQUIRE(late.erase(request.hi) == 1);
        open.erase(request.hi);
      }
      REQUIRE(late.empty());
      Amount sum;
      for (const auto& [id_open, one] : open) sum += one.amount;
      REQUIRE(tenant.view().held == sum);
      REQUIRE(tenant.view().in_flight == open.size());
    }
    open.clear();
    CHECK(tenant.view().held.zero());
    CHECK(tenant.view().in_flight == 0);
  }
}

TEST_CASE("a budget begins anew at midnight and on the first of the month in Shanghai, to the millisecond") {
  Tenant tenant("acme");
  auto config = unlimited();
  config.budgets = {pico(100), pico(250)};
  tenant.set_policy(config);
  tenant.set_balance(pico(10'000));
  const std::int64_t midnight = 1'764'345'600'000;  // 2025-11-29T00:00+08:00
  const auto spend = [&](std::int64_t wall_ms, std::uint64_t n) {
    auto admission = tenant.admit({.wall_ms = wall_ms, .hold = pico(n)});
    if (admission.refused == Refused::none) admission.hold.settle({.wall_ms = wall_ms, .output = {}, .charge = pico(n)});
    return admission.refused;
  };
  CHECK(spend(midnight - 1, 100) == Refused::none);
  CHECK(spend(midnight - 1, 1) == Refused::budget);
  CHECK(tenant.admit({.wall_ms = midnight - 1, .hold = pico(1)}).budget.resets_at_ms == midnight);
  CHECK(spend(midnight, 100) == Refused::none);
  CHECK(spend(midnight - 5, 1) == Refused::budget);  // a clock that steps back finds yesterday's
  CHECK(spend(midnight + day_ms, 51) == Refused::budget);  // the month's, of which 200 are spent
  const auto month = tenant.admit({.wall_ms = midnight + day_ms, .hold = pico(51)});
  CHECK(month.budget.span == Span::month);
  CHECK(month.budget.resets_at_ms == midnight + 2 * day_ms);  // 2025-12-01
  CHECK(spend(midnight + day_ms, 50) == Refused::none);
  CHECK(spend(midnight + 2 * day_ms, 100) == Refused::none);
}

TEST_CASE("a request that runs across midnight counts where it ends, and is held on both sides") {
  Tenant tenant("acme");
  auto config = unlimited();
  config.keys.emplace_back(key_of(1), config::Budgets{pico(100), {}});
  tenant.set_policy(config);
  tenant.set_balance(pico(10'000));
  const std::int64_t midnight = 1'764'345'600'000;
  auto running = tenant.admit({.wall_ms = midnight - 1000, .key = key_of(1), .hold = pico(80)});
  CHECK(tenant.admit({.wall_ms = midnight, .key = key_of(1), .hold = pico(30)}).refused == Refused::budget);
  CHECK(tenant.admit({.wall_ms = midnight, .key = key_of(2), .hold = pico(30)}).refused == Refused::none);
  running.hold.settle({.wall_ms = midnight + 1, .output = {}, .charge = pico(50)});
  CHECK(tenant.budgets(midnight - 1).at(0).spent.zero());
  CHECK(tenant.budgets(midnight).at(0).spent == pico(50));
  CHECK(tenant.admit({.wall_ms = midnight, .key = key_of(1), .hold = pico(50)}).refused == Refused::none);
}

TEST_CASE("what the ledger knows of earlier processes counts against the budgets") {
  Tenant tenant("acme");
  auto config = unlimited();
  config.budgets = {pico(100), pico(150)};
  tenant.set_policy(config);
  tenant.set_balance(pico(10'000));
  tenant.spent_before(key_of(1), noon - 3 * day_ms, pico(90));
  tenant.spent_before(key_of(2), noon - 1000, pico(40));
  CHECK(tenant.admit({.wall_ms = noon, .hold = pico(21)}).refused == Refused::budget);
  CHECK(tenant.admit({.wall_ms = noon, .hold = pico(20)}).refused == Refused::none);
}

TEST_CASE("an estimate needs a hundred answers of the key, and lies at most a quarter above its p99") {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    SeededRng rng(seed);
    INFO("seed " << seed);
    Lengths lengths;
    std::vector<std::uint64_t> all;
    const std::uint64_t longest = 1 + rng.below(100'000);
    for (int i = 0; i < 1000; ++i) {
      CHECK(lengths.p99().has_value() == (i >= 100));
      all.push_back(rng.below(longest));
      lengths.add(all.back());
    }
    std::sort(all.begin(), all.end());
    const std::uint64_t exact = all[989];  // 10 of 1000 are longer
    CHECK(*lengths.p99() >= exact);
    CHECK(*lengths.p99() <= exact + exact / 4 + 1);
  }
}

TEST_CASE("invariant 16: refunds race requests for the same money, and a credit is never refunded", "[invariant]") {
  for (int round = 0; round < 200; ++round) {
    Tenant tenant("acme");
    tenant.set_policy(unlimited("1"));
    tenant.set_balance(*Amount::parse("1"));
    std::vector<std::optional<Hold>> asides(4);
    std::vector<std::vector<Hold>> holds(4);
    race(8, [&](unsigned t) {
      if (t < 4) {
        asides[t] = tenant.set_aside(*Amount::parse("0.3"));
        if (!asides[t]) return;
        tenant.credit(-*Amount::parse("0.3"));  // as the poster tells it
        asides[t]->drop();
      } else {
        for (int i = 0; i < 20; ++i) {
          auto admission = tenant.admit({.wall_ms = noon, .hold = *Amount::parse("0.1")});
          if (admission.refused == Refused::none) holds[t - 4].push_back(std::move(admission.hold));
        }
      }
    });
    const auto view = tenant.view();
    REQUIRE(view.balance - view.held + view.credit >= Amount{});
    REQUIRE(view.balance >= *Amount::parse("0.1"));  // 0.3 three times at most
    for (auto& some : holds) some.clear();
    REQUIRE(tenant.view().held.zero());
  }
}

// Random interleavings against an oracle that knows only sums.
#include <atomic>
#include <deque>
#include <thread>

#include "gateway/tenancy/tenancy.h"
#include "tests/catch.h"

using namespace trib;
using namespace trib::tenancy;
using money::Amount;

namespace {

Amount random_amount(Rng& rng, std::uint64_t pico_below) {
  return Amount::pico(static_cast<money::int128>(rng.below(pico_below)));
}

struct Open {
  Amount amount;
  Hold hold;
};

}  // namespace

TEST_CASE("under any interleaving of threads no hold is given twice and every sum closes") {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    Tenant tenant("acme");
    tenant.set_policy(config::Privacy::dc, {0, 0, 40});
    tenant.set_balance(Amount::pico(1'000'000));
    constexpr int workers = 4;
    std::vector<Amount> charged(workers), credited(workers);
    std::atomic<bool> broken{false};
    std::vector<std::thread> threads;
    for (int w = 0; w < workers; ++w) {
      threads.emplace_back([&, w] {
        SeededRng rng(seed * 100 + static_cast<std::uint64_t>(w));
        std::deque<Open> open;
        for (int step = 0; step < 3000; ++step) {
          const bool end = open.size() > 20 || (!open.empty() && rng.below(2) == 0);
          if (end) {
            Open last = std::move(open.front());
            open.pop_front();
            // Never above the hold: then what is available can never fall below zero.
            const auto hold = static_cast<std::uint64_t>(last.amount.pico());
            const Amount charge = random_amount(rng, hold / 8 + 1);
            broken = broken || !last.hold.settle({.now_ns = step, .output = {}, .charge = charge});
            charged[static_cast<std::size_t>(w)] += charge;
          } else if (rng.below(50) == 0) {
            const Amount amount = random_amount(rng, 1000);
            tenant.credit(amount);
            credited[static_cast<std::size_t>(w)] += amount;
          } else {
            const Amount amount = random_amount(rng, 100'000);
            auto admission = tenant.admit({.now_ns = step, .tokens = rng.below(100), .hold = amount});
            if (admission.refused == Refused::none) open.push_back({amount, std::move(admission.hold)});
          }
          const Tenant::View view = tenant.view();
          if (view.balance - view.held < Amount{} || view.in_flight > 40) broken = true;
        }
        open.clear();  // void
      });
    }
    for (std::thread& thread : threads) thread.join();
    Amount expected = Amount::pico(1'000'000);
    for (int w = 0; w < workers; ++w) {
      expected =
          expected - charged[static_cast<std::size_t>(w)] + credited[static_cast<std::size_t>(w)];
    }
    INFO("seed " << seed);
    CHECK_FALSE(broken.load());
    CHECK(tenant.view().balance == expected);
    CHECK(tenant.view().held.zero());
    CHECK(tenant.view().in_flight == 0);
  }
}

TEST_CASE("step by step the balance follows the oracle, overruns included") {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    SeededRng rng(seed);
    Tenant tenant("acme");
    tenant.set_policy(config::Privacy::dc, {0, 0, 5});
    Amount balance = random_amount(rng, 1'000'000), held;
    tenant.set_balance(balance);
    std::deque<Open> open;
    for (int step = 0; step < 500; ++step) {
      INFO("seed " << seed << " step " << step);
      const std::uint64_t dice = rng.below(10);
      if (dice < 5) {
        const Amount amount = random_amount(rng, 300'000);
        const Refused expected = open.size() >= 5             ? Refused::in_flight
                                 : amount > balance - held ? Refused::balance
                                                              : Refused::none;
        auto admission = tenant.admit({.now_ns = step, .hold = amount});
        REQUIRE(admission.refused == expected);
        if (expected == Refused::none) {
          open.push_back({amount, std::move(admission.hold)});
          held += amount;
        }
      } else if (dice < 9 && !open.empty()) {
        Open last = std::move(open.front());
        open.pop_front();
        const Amount charge =
            random_amount(rng, static_cast<std::uint64_t>(last.amount.pico()) + 50'000);
        REQUIRE(last.hold.settle({.now_ns = step, .output = {}, .charge = charge}));
        held -= last.amount;
        balance -= charge;
      } else if (dice == 9) {
        const Amount amount = random_amount(rng, 400'000);
        tenant.credit(amount);
        balance += amount;
      }
      REQUIRE(tenant.view().balance == balance);
      REQUIRE(tenant.view().held == held);
    }
  }
}

TEST_CASE("no window holds more requests than the burst and what its time refills") {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    SeededRng rng(seed);
    const auto rpm = static_cast<std::uint32_t>(1 + rng.below(100));
    Tenant tenant("acme");
    tenant.set_policy(config::Privacy::dc, {rpm, 0, 0});
    std::vector<std::int64_t> admitted;
    std::int64_t now = 0;
    for (int step = 0; step < 400; ++step) {
      now += static_cast<std::int64_t>(rng.below(2'000'000'000));
      if (tenant.admit({.now_ns = now}).refused == Refused::none) admitted.push_back(now);  // its hold goes at once
    }
    bool kept = true;
    for (std::size_t i = 0; i < admitted.size(); ++i) {
      for (std::size_t j = i; j < admitted.size(); ++j) {
        const std::int64_t window_ns = admitted[j] - admitted[i];
        // Integers: (count - burst) * 60 s <= rpm * window, with one part in a million for
        // rounding.
        const auto over = static_cast<std::int64_t>(j - i + 1) - rpm;
        kept = kept && over * 60'000'000'000 <= rpm * window_ns + 60'000;
      }
    }
    INFO("seed " << seed << " rpm " << rpm);
    CHECK(kept);
  }
}

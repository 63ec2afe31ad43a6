#include <deque>

#include "gateway/tenancy/tenancy.h"
#include "tests/catch.h"

using namespace trib;
using namespace trib::tenancy;
using money::Amount;

namespace {

constexpr std::int64_t second = 1'000'000'000;
Amount cny(const char* text) {
  return *Amount::parse(text);
}

// A tenant and the holds that it gave, oldest first.
struct Yard {
  Tenant tenant{"acme"};
  std::deque<Hold> holds;
  Tenant* operator->() { return &tenant; }
  Admission admit(std::int64_t now_ns, std::uint64_t tokens, Amount hold) {
    auto out = tenant.admit({.now_ns = now_ns, .tokens = tokens, .hold = hold});
    if (out.refused == Refused::none) holds.push_back(std::move(out.hold));
    return out;
  }
  void settle(std::int64_t now_ns, std::uint64_t used, Amount charge) {
    REQUIRE(holds.front().settle({.now_ns = now_ns, .tokens_used = used, .output = {}, .charge = charge}));
    holds.pop_front();
  }
};

std::unique_ptr<Yard> tenant(config::TenantLimits limits, const char* balance = "100") {
  auto t = std::make_unique<Yard>();
  t->tenant.set_policy(config::Privacy::any, limits);
  t->tenant.set_balance(cny(balance));
  return t;
}

}  // namespace

TEST_CASE("a hold comes off what is available and a charge off the balance") {
  auto t = tenant({0, 0, 0}, "1.00");
  REQUIRE(t->admit(0, 0, cny("0.75")).refused == Refused::none);
  CHECK(t->tenant.view().balance == cny("1"));
  CHECK(t->tenant.view().held == cny("0.75"));
  CHECK(t->tenant.view().in_flight == 1);
  CHECK(t->admit(0, 0, cny("0.250000000001")).refused == Refused::balance);
  REQUIRE(t->admit(0, 0, cny("0.25")).refused == Refused::none);
  t->settle(0, 0, cny("0.10"));
  t->settle(0, 0, Amount{});
  CHECK(t->tenant.view().balance == cny("0.90"));
  CHECK(t->tenant.view().held.zero());
  CHECK(t->tenant.view().in_flight == 0);
}

TEST_CASE("at a balance of zero only what is free is admitted; a top-up helps") {
  auto t = tenant({0, 0, 0}, "0");
  CHECK(t->admit(0, 0, Amount{}).refused == Refused::none);
  CHECK(t->admit(0, 0, Amount::pico(1)).refused == Refused::balance);
  t->tenant.credit(Amount::pico(1));
  CHECK(t->admit(0, 0, Amount::pico(1)).refused == Refused::none);
}

TEST_CASE("an overrun is booked, and what it owes refuses the next") {
  auto t = tenant({0, 0, 0}, "1");
  REQUIRE(t->admit(0, 0, cny("1")).refused == Refused::none);
  t->settle(0, 0, cny("1.5"));
  CHECK(t->tenant.view().balance == cny("-0.5"));
  CHECK(t->admit(0, 0, Amount::pico(1)).refused == Refused::balance);
  CHECK(t->admit(0, 0, Amount{}).refused == Refused::balance);
  t->tenant.credit(cny("0.5"));
  CHECK(t->admit(0, 0, Amount{}).refused == Refused::none);
}

TEST_CASE("requests start with a minute's burst, then come back evenly") {
  auto t = tenant({6, 0, 0});
  for (int i = 0; i < 6; ++i) REQUIRE(t->admit(5 * second, 0, {}).refused == Refused::none);
  const Admission refused = t->admit(5 * second, 0, {});
  CHECK(refused.refused == Refused::requests_per_minute);
  CHECK(refused.retry_after_s == 10);
  CHECK(t->admit(14 * second + second / 2, 0, {}).retry_after_s == 1);
  CHECK(t->admit(15 * second, 0, {}).refused == Refused::none);
  CHECK(t->admit(15 * second, 0, {}).refused == Refused::requests_per_minute);
  // Idling saves up one minute's allowance, never more.
  for (int i = 0; i < 6; ++i) CHECK(t->admit(10'000 * second, 0, {}).refused == Refused::none);
  CHECK(t->admit(10'000 * second, 0, {}).refused == Refused::requests_per_minute);
}

TEST_CASE("who waits as long as Retry-After says is admitted") {
  for (std::uint32_t rpm : {1u, 7u, 59u, 60u, 61u, 600u, 100'000u}) {
    auto t = tenant({rpm, 0, 0});
    std::int64_t now = 17;
    for (std::uint32_t i = 0; i < rpm; ++i) t->admit(now, 0, {});
    const Admission refused = t->admit(now, 0, {});
    REQUIRE(refused.refused == Refused::requests_per_minute);
    CHECK(refused.retry_after_s >= 1);
    CHECK(t->admit(now + refused.retry_after_s * second, 0, {}).refused == Refused::none);
  }
}

TEST_CASE("unused tokens return at settlement, and more than was asked is taken") {
  auto t = tenant({0, 600, 0});
  REQUIRE(t->admit(0, 600, {}).refused == Refused::none);
  const Admission refused = t->admit(0, 100, {});
  CHECK(refused.refused == Refused::tokens_per_minute);
  CHECK(refused.retry_after_s == 10);
  t->settle(0, 500, {});
  CHECK(t->admit(0, 100, {}).refused == Refused::none);
  t->settle(0, 160, {});
  CHECK(t->admit(0, 1, {}).retry_after_s == 7);  // 61 tokens at 10 a second
}

TEST_CASE("one that asks for more than a minute's tokens waits for a full bucket") {
  auto t = tenant({0, 60, 0});
  REQUIRE(t->admit(0, 90, {}).refused == Refused::none);
  CHECK(t->admit(0, 90, {}).retry_after_s == 90);
  CHECK(t->admit(89 * second, 90, {}).refused == Refused::tokens_per_minute);
  CHECK(t->admit(90 * second, 90, {}).refused == Refused::none);
}

TEST_CASE("requests in flight are counted until they are settled") {
  auto t = tenant({0, 0, 2});
  REQUIRE(t->admit(0, 0, {}).refused == Refused::none);
  REQUIRE(t->admit(0, 0, {}).refused == Refused::none);
  const Admission refused = t->admit(0, 0, {});
  CHECK(refused.refused == Refused::in_flight);
  CHECK(refused.retry_after_s == 1);
  t->settle(0, 0, {});
  CHECK(t->admit(0, 0, {}).refused == Refused::none);
}

TEST_CASE("a refusal takes nothing") {
  auto t = tenant({2, 100, 1}, "1");
  for (int i = 0; i < 50; ++i) {
    CHECK(t->admit(0, 10, cny("2")).refused == Refused::balance);
  }
  CHECK(t->tenant.view().held.zero());
  CHECK(t->tenant.view().in_flight == 0);
  REQUIRE(t->admit(0, 100, cny("1")).refused == Refused::none);
  t->settle(0, 0, {});
  CHECK(t->admit(0, 100, cny("1")).refused == Refused::none);
}

TEST_CASE("a clock of another worker that lags gives and takes nothing") {
  auto t = tenant({1, 0, 0});
  REQUIRE(t->admit(100 * second, 0, {}).refused == Refused::none);
  CHECK(t->admit(50 * second, 0, {}).refused == Refused::requests_per_minute);
  CHECK(t->admit(159 * second, 0, {}).refused == Refused::requests_per_minute);
  CHECK(t->admit(160 * second, 0, {}).refused == Refused::none);
}

TEST_CASE("new limits act at once") {
  auto t = tenant({1, 0, 0});
  REQUIRE(t->admit(0, 0, {}).refused == Refused::none);
  t->tenant.set_policy(config::Privacy::tee, {0, 0, 0});
  CHECK(t->tenant.privacy() == config::Privacy::tee);
  CHECK(t->admit(0, 0, {}).refused == Refused::none);
  t->tenant.set_policy(config::Privacy::tee, {3, 0, 0});
  for (int i = 0; i < 3; ++i) CHECK(t->admit(0, 0, {}).refused == Refused::none);
  CHECK(t->admit(0, 0, {}).refused == Refused::requests_per_minute);
  t->tenant.set_policy(config::Privacy::tee, {1, 0, 0});
  CHECK(t->admit(600 * second, 0, {}).refused == Refused::none);
  CHECK(t->admit(600 * second, 0, {}).refused == Refused::requests_per_minute);
}

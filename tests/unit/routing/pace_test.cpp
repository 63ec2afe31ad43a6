// Measured speed: what is learned, what is believed of the new and the silent.
#include "gateway/routing/pace.h"

#include <thread>

#include "gateway/routing/routing.h"
#include "tests/catch.h"

using namespace trib;
using namespace trib::routing;

namespace {

constexpr std::int64_t ms = 1'000'000;
constexpr std::int64_t minute = 60'000 * ms;
const Speed neutral{20'000, 500'000, 300};

fleet::Offer machine(std::uint32_t capacity = 10, std::uint32_t in_flight = 0) {
  fleet::Offer offer;
  offer.capacity = capacity;
  offer.load->in_flight = in_flight;
  return offer;
}
// 101 tokens at `token_ms`.
Sample sample(std::int64_t token_ms, std::int64_t first_ms = 100) { return {first_ms * ms, 100 * token_ms * ms, 101, true}; }

}  // namespace

TEST_CASE("a new machine is neutral, and its own figures win with each sample") {
  const auto offer = machine();
  CHECK(believe(*offer.pace, neutral, 0).token_us == 20'000);
  std::uint32_t before = 20'000;
  for (int i = 0; i < 8; ++i) {
    learn(offer, sample(2), 0);
    const auto now = believe(*offer.pace, neutral, 0).token_us;
    CHECK(now < before);
    before = now;
  }
  CHECK(offer.pace->token_us == 2'000);
  CHECK(before == Approx(2'000 * 0.8 + 20'000 * 0.2).epsilon(0.01));
}

TEST_CASE("one odd sample moves a known machine by an eighth") {
  const auto offer = machine();
  for (int i = 0; i < 50; ++i) learn(offer, sample(10), 0);
  learn(offer, sample(90), 0);
  CHECK(offer.pace->token_us == 20'000);
}

TEST_CASE("a sample under load tells of the idle machine, an estimate of the loaded one") {
  const auto offer = machine(10, 10);
  learn(offer, sample(40, 800), 0);
  CHECK(offer.pace->token_us == 20'000);
  CHECK(offer.pace->first_us == 400'000);
  offer.load->in_flight = 0;
  const Speed speed{10'000, 100'000, 300};
  CHECK(finish_us(offer, speed, 100) == 1'100'000);
  offer.load->in_flight = 5;
  CHECK(finish_us(offer, speed, 100) == 1'650'000);
}

TEST_CASE("who was silent drifts back to neutral, and is neutral after half an hour") {
  const auto offer = machine();
  for (int i = 0; i < 8; ++i) learn(offer, sample(200), 0);
  const auto at = [&](std::int64_t minutes) { return believe(*offer.pace, neutral, minutes * minute).token_us; };
  CHECK(at(0) == at(5));
  CHECK(at(10) < at(5));
  CHECK(at(29) < at(10));
  CHECK(at(30) == 20'000);
  CHECK(at(100'000) == 20'000);
}

TEST_CASE("what has no tokens, or too few, teaches no speed") {
  const auto offer = machine();
  learn(offer, {}, 5);
  learn(offer, {10 * ms, 0, 0, false}, 5);
  CHECK(offer.pace->samples == 0);
  learn(offer, {10 * ms, 5 * ms, 3, false}, 5);
  CHECK(offer.pace->token_us == 0);
  CHECK(offer.pace->answer_tokens == 0);  // it was cut: not an answer's length
  CHECK(offer.pace->first_us == 10'000);
}

TEST_CASE("weight is slots by speed; each 'full' halves it, each answer restores") {
  const auto offer = machine(4);
  const auto full = weight(offer, {10'000, 1, 1});
  CHECK(weight(machine(8), {10'000, 1, 1}) == 2 * full);
  CHECK(weight(offer, {20'000, 1, 1}) == full / 2);
  refused(*offer.pace);
  CHECK(weight(offer, {10'000, 1, 1}) == full / 2);
  for (int i = 0; i < 50; ++i) refused(*offer.pace);
  CHECK(weight(offer, {10'000, 1, 1}) == full / 8);
  for (int i = 0; i < 6; ++i) learn(offer, sample(10), 0);
  CHECK(weight(offer, {10'000, 1, 1}) == full);
  CHECK(weight(machine(1), {UINT32_MAX, 1, 1}) == 1);
}

TEST_CASE("figures written by many workers stay within what was said") {
  const auto offer = machine();
  const auto tell = [&](std::int64_t token_ms) {
    for (int i = 0; i < 2000; ++i) learn(offer, sample(token_ms), i);
  };
  std::thread one(tell, 10), two(tell, 30);
  one.join();
  two.join();
  CHECK(offer.pace->token_us >= 10'000);
  CHECK(offer.pace->token_us <= 30'000);
  CHECK(offer.pace->samples == 255);
}

TEST_CASE("for any samples an estimate lies between the slowest said and neutral, and never overflows") {
  SeededRng rng(3);
  for (int run = 0; run < 500; ++run) {
    const auto offer = machine(static_cast<std::uint32_t>(1 + rng.below(64)));
    std::int64_t now = 0;
    for (int i = 0; i < 30; ++i) {
      now += static_cast<std::int64_t>(rng.below(20 * static_cast<std::uint64_t>(minute)));
      const Sample said{static_cast<std::int64_t>(rng.next() >> 4), static_cast<std::int64_t>(rng.next() >> 4), rng.below(100'000), rng.below(2) == 0};
      learn(offer, said, now);
      const auto speed = believe(*offer.pace, neutral, now + static_cast<std::int64_t>(rng.below(60 * static_cast<std::uint64_t>(minute))));
      REQUIRE(speed.token_us >= 1);
      REQUIRE(weight(offer, speed) >= 1);
      REQUIRE(finish_us(offer, speed, 16u << 20) >= first_us(offer, speed));
    }
  }
}

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "gateway/base/base.h"
#include "tests/catch.h"

using namespace trib;

TEST_CASE("request ids round-trip as 32 lower-case hex digits") {
  SeededRng rng(1);
  const auto id = mint_request_id(1'700'000'000'123, 7, rng);
  const auto text = id.text();
  REQUIRE(text.size() == 32);
  REQUIRE(RequestId::parse(text) == id);
  REQUIRE((id.hi >> 16) == 1'700'000'000'123);
  REQUIRE((id.hi & 0xffff) == 7);
  REQUIRE_FALSE(RequestId::parse(text.substr(1)));
  REQUIRE_FALSE(RequestId::parse("ABCDEF00ABCDEF00ABCDEF00ABCDEF00"));
}

TEST_CASE("request ids of later milliseconds sort later") {
  SeededRng rng(2);
  REQUIRE(mint_request_id(1000, 9, rng) < mint_request_id(1001, 1, rng));
}

TEST_CASE("sha256 and crc32c give the published check values") {
  REQUIRE(to_hex(sha256("abc")) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  REQUIRE(sha256("ab", "c") == sha256("abc"));
  REQUIRE(crc32c("123456789") == 0xe3069283u);
  REQUIRE(crc32c("6789", crc32c("12345")) == 0xe3069283u);
}

TEST_CASE("base64url and hex round-trip and refuse what is not theirs") {
  for (const std::string text : {"", "f", "fo", "foo", "foob", "\xff\xfe\x00z"}) {
    REQUIRE(from_base64url(to_base64url(text)) == text);
    REQUIRE(from_hex(to_hex(text)) == text);
  }
  REQUIRE_FALSE(from_base64url("a"));
  REQUIRE_FALSE(from_base64url("Zh"));  // non-zero spare bits: a second text for "f"
  REQUIRE_FALSE(from_base64url("Zg=="));
  REQUIRE_FALSE(from_hex("abc"));
}

namespace {
struct Probe final : Timer {
  int fired = 0;
  std::function<void()> then;
  void on_timer() override {
    ++fired;
    if (then) then();
  }
};
constexpr std::int64_t ms = 1'000'000;
}  // namespace

TEST_CASE("a deadline fires within a tick and never early") {
  SeededRng rng(3);
  TimerWheel wheel(0);
  for (int round = 0; round < 200; ++round) {
    Probe probe;
    const std::int64_t due = wheel.now_ns() + static_cast<std::int64_t>(rng.below(60'000)) * ms;
    wheel.arm(probe, due);
    wheel.advance(due - 1);
    const bool early = probe.fired != 0 && due % TimerWheel::tick_ns != 0 && wheel.now_ns() < due;
    REQUIRE_FALSE(early);
    wheel.advance(due + TimerWheel::tick_ns);
    REQUIRE(probe.fired == 1);
  }
}

TEST_CASE("a long jump fires everything due and keeps the rest") {
  TimerWheel wheel(0);
  Probe near, far;
  wheel.arm(near, 100 * ms);
  wheel.arm(far, 3'600'000 * ms);
  wheel.advance(3'000'000 * ms);
  REQUIRE(near.fired == 1);
  REQUIRE(far.fired == 0);
  wheel.advance(3'600'050 * ms);
  REQUIRE(far.fired == 1);
}

TEST_CASE("a handler may re-arm itself and cancel its neighbours") {
  TimerWheel wheel(0);
  Probe first, second;
  first.then = [&] {
    second.cancel();
    if (first.fired < 3) wheel.arm(first, wheel.now_ns() + 100 * ms);
  };
  wheel.arm(first, 100 * ms);
  wheel.arm(second, 100 * ms);
  for (int i = 1; i < 20; ++i) wheel.advance(i * 50 * ms);
  REQUIRE(first.fired == 3);
  REQUIRE(second.fired == 0);
}

TEST_CASE("endpoints differ in their key whenever they differ") {
  const Endpoint plain{"a", 1, false, "", ""};
  Endpoint tls = plain;
  tls.tls = true;
  Endpoint named = tls;
  named.server_name = "b";
  REQUIRE(plain.key() != tls.key());
  REQUIRE(tls.key() != named.key());
}

TEST_CASE("a background thread has its name, gives way to others, and no other thread does") {
  const int before = ::getpriority(PRIO_PROCESS, 0);
  int background = before, named = before;
  char name[16] = {};
  std::thread([&] {
    name_background_thread("sweeper");
    background = ::getpriority(PRIO_PROCESS, 0);
    ::pthread_getname_np(::pthread_self(), name, sizeof name);
  }).join();
  std::thread([&] {
    name_thread("server");
    named = ::getpriority(PRIO_PROCESS, 0);
  }).join();
  CHECK(background == std::min(before + 5, 19));
  CHECK(std::string(name) == "sweeper");
  CHECK(named == before);
  CHECK(::getpriority(PRIO_PROCESS, 0) == before);
}

namespace {

std::int64_t cpu_us_of_this_thread() {
  rusage used{};
  ::getrusage(RUSAGE_THREAD, &used);
  return (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * std::int64_t{1'000'000} + used.ru_utime.tv_usec + used.ru_stime.tv_usec;
}

void share_one_processor() {
  cpu_set_t allowed, one;
  CPU_ZERO(&one);
  REQUIRE(::sched_getaffinity(0, sizeof allowed, &allowed) == 0);
  for (int cpu = 0; CPU_COUNT(&one) == 0; ++cpu)
    if (CPU_ISSET(cpu, &allowed)) CPU_SET(cpu, &one);
  REQUIRE(::sched_setaffinity(0, sizeof one, &one) == 0);
}

}  // namespace

// A yield alone would leave it a fortieth, where the scheduler takes a whole slice for it.
TEST_CASE("a background thread that gives way beside one that is always busy still gets its part") {
  std::atomic<bool> begun{false}, done{false};
  std::int64_t background_us = 0, other_us = 0;
  std::thread other([&] {
    share_one_processor();
    begun.store(true);
    begun.notify_one();
    while (!done.load()) {
    }
    other_us = cpu_us_of_this_thread();
  });
  std::thread([&] {
    share_one_processor();
    name_background_thread("busy");
    begun.wait(false);
    while ((background_us = cpu_us_of_this_thread()) < 50'000) {
      for (int i = 0; i < 64; ++i) give_way();
    }
    done.store(true);
  }).join();
  other.join();
  CHECK(other_us < background_us * 10);
}

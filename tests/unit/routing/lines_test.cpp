// The lines of one worker: who is asked, who is told, and that nobody is told from within or after he left.
#include "gateway/routing/lines.h"

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tests/catch.h"

using namespace trib;
using namespace trib::routing;

namespace {

constexpr std::int64_t second = 1'000'000'000;

struct HandLoop final : Loop {
  void post(std::function<void()> task) override { tasks.push_back(std::move(task)); }
  TimerWheel& wheel() override { return wheel_; }
  Rng& rng() override { return rng_; }
  void turn() {
    for (const auto& task : std::exchange(tasks, {})) task();
  }
  void pass(std::int64_t for_ns) {
    for (; for_ns > 0; for_ns -= 50'000'000) {
      wheel_.advance(wheel_.now_ns() + 50'000'000);
      turn();
    }
  }
  std::vector<std::function<void()>> tasks;
  TimerWheel wheel_{0};
  SeededRng rng_{1};
};

struct Guest final : Waiter {
  bool on_asked() override {
    ++asked;
    return *free > 0 && --*free >= 0;
  }
  void on_turn() override {
    ++turns;
    if (then) then();
  }
  void on_sent_away(std::int64_t retry_after_ms) override {
    retry_ms = retry_after_ms;
    if (then) then();
  }
  explicit Guest(int& places) : free(&places) {}
  int* free;
  int asked = 0, turns = 0;
  std::int64_t retry_ms = 0;
  std::function<void()> then;
};

struct Room {
  explicit Room(std::uint32_t length = 4) : lines(loop, {length, 2 * second}) {}
  std::optional<std::int64_t> wait(Guest& guest, const std::string& tenant = "t", const std::string& model = "m") {
    return lines.wait(guest, model, {tenant, Priority::normal, 10, INT64_MAX}, loop.wheel_.now_ns());
  }
  HandLoop loop;
  Lines lines;
  int free = 0;
};

}  // namespace

TEST_CASE("without lines nobody waits, and nothing is said of when") {
  Lines off;
  int free = 1;
  Guest guest(free);
  CHECK(off.wait(guest, "m", {"t", Priority::normal, 1, INT64_MAX}, 0) == 0);
  CHECK_FALSE(off.any("m"));
  off.freed();
}

TEST_CASE("one that waits is asked at once, at each end of an attempt, and every 50 ms; told later than asked") {
  Room room;
  Guest guest(room.free);
  CHECK_FALSE(room.wait(guest));
  CHECK(room.lines.any("m"));
  CHECK_FALSE(room.lines.any("other"));
  CHECK(guest.asked == 0);  // never from within
  room.loop.turn();
  CHECK(guest.asked == 1);
  room.lines.freed();
  CHECK(guest.asked == 1);
  room.loop.turn();
  CHECK(guest.asked == 2);
  room.free = 1;  // another worker's doing
  room.loop.pass(100'000'000);
  CHECK(guest.turns == 1);
  CHECK_FALSE(room.lines.any("m"));
  CHECK(room.free == 0);
}

TEST_CASE("one whose time is up is sent away with a Retry-After, once") {
  Room room;
  Guest guest(room.free);
  room.wait(guest);
  room.loop.pass(1'900'000'000);
  CHECK(guest.retry_ms == 0);
  room.loop.pass(200'000'000);
  CHECK(guest.retry_ms >= 1000);
  room.free = 1;
  room.loop.pass(second);
  CHECK(guest.turns == 0);
}

TEST_CASE("who leaves is neither asked nor told, wherever he stood") {
  Room room;
  room.free = 2;
  auto first = std::make_unique<Guest>(room.free), second_guest = std::make_unique<Guest>(room.free);
  room.wait(*first);
  room.wait(*second_guest);
  first->then = [&] { second_guest.reset(); };  // asked already, about to be told
  room.loop.turn();
  CHECK(first->turns == 1);
  Guest third(room.free);
  room.free = 1;
  room.wait(third);
  room.lines.leave(third);
  room.lines.leave(third);
  room.loop.pass(second);
  CHECK(third.asked == 0);
  CHECK(room.free == 1);
}

TEST_CASE("one that is told may come back into the line") {
  Room room;
  Guest guest(room.free);
  guest.then = [&] { if (guest.turns == 1) CHECK_FALSE(room.wait(guest)); };
  room.free = 1;
  room.wait(guest);
  room.loop.turn();
  CHECK(guest.turns == 1);
  CHECK(room.lines.any("m"));
  room.free = 1;
  room.loop.turn();
  CHECK(guest.turns == 2);
}

TEST_CASE("one that gives way is told from the loop") {
  Room room(2);
  Guest a(room.free), b(room.free), c(room.free), d(room.free);
  room.wait(a);
  room.wait(b);
  CHECK(room.wait(c).value_or(0) >= 1000);
  CHECK_FALSE(room.wait(d, "another"));
  CHECK(b.retry_ms == 0);
  room.loop.turn();
  CHECK(b.retry_ms >= 1000);
  CHECK(a.retry_ms == 0);
}

TEST_CASE("for any sequence each guest ends exactly once, and every place is used") {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    SeededRng rng(seed);
    Room room(static_cast<std::uint32_t>(1 + rng.below(8)));
    std::vector<std::unique_ptr<Guest>> guests;
    std::set<Guest*> waiting;
    for (int step = 0; step < 300; ++step) {
      switch (rng.below(4)) {
        case 0: {
          auto guest = std::make_unique<Guest>(room.free);
          auto* const raw = guest.get();
          guest->then = [&waiting, raw] { REQUIRE(waiting.erase(raw) == 1); };
          if (!room.wait(*guest, std::to_string(rng.below(3)), rng.below(2) == 0 ? "m" : "n")) waiting.insert(raw);
          guests.push_back(std::move(guest));
          break;
        }
        case 1:
          room.free = static_cast<int>(rng.below(3));
          room.lines.freed();
          break;
        case 2:
          room.loop.pass(static_cast<std::int64_t>(rng.below(second)));
          break;
        case 3:
          if (!guests.empty()) {
            const auto at = guests.begin() + static_cast<std::ptrdiff_t>(rng.below(guests.size()));
            waiting.erase(at->get());
            guests.erase(at);
          }
          break;
      }
    }
    room.free = 1000;
    room.loop.pass(second);
    REQUIRE(waiting.empty());
    for (const auto& guest : guests) REQUIRE(guest->turns + (guest->retry_ms > 0 ? 1 : 0) <= 1);
  }
}

TEST_CASE("one that has had its turn is charged what it took, once, and one that has not nothing") {
  Room room(16);
  const auto serve = [&](Guest& guest, const std::string& tenant) {
    CHECK_FALSE(room.wait(guest, tenant));
    room.free = 1;
    room.loop.turn();
    REQUIRE(guest.turns == 1);
  };
  Guest first(room.free);
  serve(first, "a");  // charged ten
  room.lines.ended(first, "m", "a", Priority::normal, 25);
  room.lines.ended(first, "m", "a", Priority::normal, 1'000'000);  // it has ended already
  Guest never(room.free);
  room.lines.ended(never, "m", "b", Priority::normal, 1'000'000);
  std::vector<std::unique_ptr<Guest>> guests;
  std::string order;
  for (int i = 0; i < 3; ++i) {
    for (const char* tenant : {"b", "a"}) {
      guests.push_back(std::make_unique<Guest>(room.free));
      guests.back()->then = [&order, tenant] { order += tenant; };
      CHECK_FALSE(room.wait(*guests.back(), tenant));
    }
  }
  room.free = 4;
  room.loop.turn();
  CHECK(order == "bbba");  // fifteen more than was thought
}

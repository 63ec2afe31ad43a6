// The waiting line: who is next, who is sent away and with what, and what holds for any sequence.
#include "gateway/routing/line.h"

#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "gateway/base/base.h"
#include "tests/catch.h"

using namespace trib;
using namespace trib::routing;
using Ticket = Line::Ticket;

namespace {

constexpr std::int64_t second = 1'000'000'000;

struct Door {
  explicit Door(Line::Limits limits = {256, 10 * second}) : line(limits) {}
  Ticket enter(const std::string& tenant, std::uint64_t tokens = 100, Priority priority = Priority::normal) {
    place = line.enter({tenant, priority, tokens, now + 60 * second}, now);
    if (place.ticket != 0) owner[place.ticket] = tenant;
    return place.ticket;
  }
  std::string serve(int n = 1) {  // the tenants served, in order
    std::string out;
    line.pump(now, [&](Ticket ticket) {
      if (n == 0) return false;
      --n;
      out += owner.at(ticket);
      return true;
    });
    return out;
  }
  Line line;
  Line::Place place;
  std::map<Ticket, std::string> owner;
  std::int64_t now = 1000 * second;
};

}  // namespace

TEST_CASE("one tenant's requests go in the order they came") {
  Door door;
  const auto a = door.enter("a"), b = door.enter("a"), c = door.enter("a");
  std::vector<Ticket> order;
  door.line.pump(door.now, [&](Ticket ticket) { order.push_back(ticket); return true; });
  CHECK(order == std::vector<Ticket>{a, b, c});
  CHECK(door.line.empty());
}

TEST_CASE("a tenant that sends more does not get more") {
  Door door;
  for (int i = 0; i < 10; ++i) door.enter("a");
  for (int i = 0; i < 3; ++i) door.enter("b");
  CHECK(door.serve(6) == "ababab");
  CHECK(door.serve(3) == "aaa");
}

TEST_CASE("tokens count, not requests") {
  Door door;
  for (int i = 0; i < 4; ++i) door.enter("a", 300);
  for (int i = 0; i < 9; ++i) door.enter("b", 100);
  const auto served = door.serve(12);
  CHECK(std::count(served.begin(), served.end(), 'b') == 9);
  CHECK(std::count(served.begin(), served.end(), 'a') == 3);
}

TEST_CASE("who was away has saved nothing up, and its debt is kept") {
  Door door;
  for (int i = 0; i < 8; ++i) door.enter("a");
  CHECK(door.serve(6) == "aaaaaa");
  for (int i = 0; i < 4; ++i) door.enter("b");  // it does not get six before a
  CHECK(door.serve(4) == "abab");
  Door other;
  other.enter("a", 1000);
  other.serve();
  other.enter("b", 10);
  other.enter("a", 10);  // gone and back: still a thousand tokens ahead
  CHECK(other.serve(2) == "ba");
}

TEST_CASE("a high priority gets four times the share, a low one a quarter, and none starves") {
  Door door;
  for (int i = 0; i < 80; ++i) {
    door.enter("h", 100, Priority::high);
    door.enter("n", 100, Priority::normal);
    door.enter("l", 100, Priority::low);
  }
  const auto served = door.serve(63);
  CHECK(std::count(served.begin(), served.end(), 'h') == 48);
  CHECK(std::count(served.begin(), served.end(), 'n') == 12);
  CHECK(std::count(served.begin(), served.end(), 'l') == 3);
}

TEST_CASE("one that cannot be served now hides neither its own tenant's next nor the others") {
  Door door;
  const auto stuck = door.enter("a");
  const auto next = door.enter("a"), other = door.enter("b");
  std::vector<Ticket> served;
  door.line.pump(door.now, [&](Ticket ticket) {
    if (ticket == stuck) return false;
    served.push_back(ticket);
    return true;
  });
  CHECK(served == std::vector<Ticket>{next, other});
  CHECK(door.line.size() == 1);
}

TEST_CASE("a pump asks a bounded number in vain") {
  Door door({1000, 10 * second});
  for (int i = 0; i < 500; ++i) door.enter("t" + std::to_string(i));
  int asked = 0;
  door.line.pump(door.now, [&](Ticket) { ++asked; return false; });
  CHECK(asked == Line::misses_max);
}

TEST_CASE("deadlines: the earlier of its own and the line's, each reported once") {
  Door door({10, 2 * second});
  const auto own = door.line.enter({"a", Priority::normal, 1, door.now + second}, door.now).ticket;
  const auto lines = door.line.enter({"a", Priority::normal, 1, door.now + 100 * second}, door.now).ticket;
  CHECK_FALSE(door.line.expired(door.now + second - 1));
  CHECK(door.line.expired(door.now + second) == own);
  CHECK_FALSE(door.line.expired(door.now + second));
  CHECK(door.line.expired(door.now + 2 * second) == lines);
  CHECK(door.line.empty());
  CHECK(door.line.enter({"a", Priority::normal, 1, door.now}, door.now).ticket == 0);  // no time at all
}

TEST_CASE("length 0: nobody waits") {
  Door door({0, second});
  CHECK(door.enter("a") == 0);
  CHECK(door.place.retry_after_ms >= 1000);
}

TEST_CASE("a full line sends away, unless somebody holds far more of it than the newcomer") {
  Door door({4, 10 * second});
  for (int i = 0; i < 4; ++i) REQUIRE(door.enter("a") != 0);
  const auto last = door.place.ticket;
  CHECK(door.enter("a") == 0);
  CHECK(door.place.retry_after_ms >= 1000);
  CHECK(door.enter("b") != 0);
  CHECK(door.place.pushed_out == last);
  CHECK(door.enter("b") != 0);
  CHECK(door.place.pushed_out != 0);
  CHECK(door.enter("b") == 0);  // two and two
  CHECK(door.line.size() == 4);
}

TEST_CASE("Retry-After comes from the measured drain") {
  Door door({20, 10 * second});
  for (int i = 0; i < 20; ++i) door.enter("a");
  CHECK(door.enter("a") == 0);
  CHECK(door.place.retry_after_ms == 10'000);  // nothing measured: as long as one may wait
  for (int i = 0; i < 40; ++i) {               // two a second
    door.now += second / 2;
    door.serve();
    if (i < 38) door.enter("a");
  }
  CHECK(door.line.wait_ns("a", Priority::normal, door.now) == Approx(19 * second / 2).margin(1e9));
  while (door.enter("a") != 0) {
  }
  // The line holds what may be served within 10 s at that rate, and no more.
  CHECK(door.line.size() >= 18);
  CHECK(door.place.retry_after_ms >= 1000);
  CHECK(door.place.retry_after_ms <= 2000);
  // It stands still: whoever comes now hears a longer time.
  door.now += 40 * second;
  CHECK(door.line.retry_after_ms("a", Priority::normal, door.now) > 60'000);
}

TEST_CASE("a wait that would pass the deadline is refused at once, for the heavy tenant and not for the light") {
  Door door({256, 10 * second});
  for (int i = 0; i < 12; ++i) door.enter("a");
  for (int i = 0; i < 8; ++i) {
    door.now += second;
    door.serve();
    door.enter("a");
  }
  while (door.enter("a") != 0) {
  }
  CHECK(door.line.size() < 15);
  CHECK(door.line.enter({"b", Priority::normal, 1, door.now + 5 * second}, door.now).ticket != 0);
}

TEST_CASE("for any sequence: the bound holds, each ticket ends once, and nobody with a share is passed over") {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    SeededRng rng(seed);
    const Line::Limits limits{static_cast<std::uint32_t>(1 + rng.below(40)), static_cast<std::int64_t>(1 + rng.below(60)) * second};
    Line line(limits);
    std::int64_t now = 0;
    std::set<Ticket> waiting;
    std::map<Ticket, std::int64_t> deadlines;
    for (int step = 0; step < 400; ++step) {
      now += static_cast<std::int64_t>(rng.below(second));
      while (const auto gone = line.expired(now)) {
        REQUIRE(waiting.erase(*gone) == 1);
        REQUIRE(deadlines.at(*gone) <= now);
      }
      for (const auto ticket : waiting) REQUIRE(deadlines.at(ticket) > now);
      switch (rng.below(4)) {
        case 0:
        case 1: {
          const auto wait = static_cast<std::int64_t>(rng.below(20 * second));
          const auto place = line.enter({std::string(1, static_cast<char>('a' + rng.below(5))), static_cast<Priority>(rng.below(3)),
                                         1 + rng.below(1000), now + wait}, now);
          if (place.pushed_out != 0) REQUIRE(waiting.erase(place.pushed_out) == 1);
          if (place.ticket != 0) {
            REQUIRE(waiting.insert(place.ticket).second);
            deadlines[place.ticket] = now + std::min(wait, limits.wait_ns_max);
          } else {
            REQUIRE(place.pushed_out == 0);
            REQUIRE(place.retry_after_ms >= 1000);
          }
          break;
        }
        case 2:
          if (!waiting.empty()) {
            const auto gone = *std::next(waiting.begin(), static_cast<std::ptrdiff_t>(rng.below(waiting.size())));
            line.leave(gone);
            line.leave(gone);
            waiting.erase(gone);
          }
          break;
        case 3: {
          auto free = rng.below(3);
          line.pump(now, [&](Ticket ticket) {
            if (free == 0 || rng.below(4) == 0) return false;
            --free;
            REQUIRE(waiting.erase(ticket) == 1);
            return true;
          });
          break;
        }
      }
      REQUIRE(line.size() == waiting.size());
      REQUIRE(line.size() <= limits.length_max);
    }
  }
}

TEST_CASE("for any backlog: no two tenants' weighted service drifts apart by more than one request each") {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    SeededRng rng(seed);
    Line line({100'000, 1'000'000 * second});
    std::map<Ticket, std::pair<std::size_t, std::uint64_t>> of;
    const std::size_t tenants = 2 + rng.below(6);
    constexpr std::uint64_t tokens_max = 500;
    std::vector<Priority> priority(tenants);
    for (std::size_t tenant = 0; tenant < tenants; ++tenant) {
      priority[tenant] = static_cast<Priority>(rng.below(3));
      for (int i = 0; i < 300; ++i) {
        const auto tokens = 1 + rng.below(tokens_max);
        const auto place = line.enter({std::to_string(tenant), priority[tenant], tokens, 1'000'000 * second}, 0);
        of[place.ticket] = {tenant, tokens};
      }
    }
    std::vector<std::uint64_t> service(tenants);  // tokens, weighted
    constexpr std::uint64_t costs[] = {16, 4, 1};
    int left = 150;  // nobody's backlog runs out
    line.pump(0, [&](Ticket ticket) {
      if (left-- <= 0) return false;
      const auto [tenant, tokens] = of.at(ticket);
      service[tenant] += tokens * costs[static_cast<std::size_t>(priority[tenant])];
      return true;
    });
    for (std::size_t a = 0; a < tenants; ++a)
      for (std::size_t b = 0; b < tenants; ++b)
        if (service[a] > service[b])
          REQUIRE(service[a] - service[b] <= tokens_max * costs[static_cast<std::size_t>(priority[a])]);
  }
}

TEST_CASE("what was charged by estimate becomes what it took") {
  Door door;
  door.enter("a", 1000);
  door.serve();
  door.line.correct("a", Priority::normal, 1000, 10);  // its answer was short after all
  for (int i = 0; i < 2; ++i) door.enter("a", 10), door.enter("b", 10);
  CHECK(door.serve(4) == "abab");
  Door longer;
  longer.enter("a", 10);
  longer.serve();
  longer.line.correct("a", Priority::normal, 10, 25);
  for (int i = 0; i < 4; ++i) longer.enter("b", 10), longer.enter("a", 10);
  CHECK(longer.serve(4) == "bbba");
  longer.line.correct("nobody", Priority::low, 1, 2);
}

TEST_CASE("a correction gives back what was charged, and no share of the time that one was away") {
  Door door;
  door.enter("a", 1000);
  door.serve();
  for (int i = 0; i < 8; ++i) door.enter("b", 100);
  CHECK(door.serve(6) == "bbbbbb");
  for (int i = 0; i < 4; ++i) door.enter("a", 100);     // it comes back, still ahead by four hundred
  door.line.correct("a", Priority::normal, 1000, 0);  // its debt is gone; it is level with b, not behind
  CHECK(door.serve(4) == "abab");
}

TEST_CASE("for any backlog and any estimates: what the tenants took drifts apart by no more than one request each") {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    SeededRng rng(seed);
    Line line({100'000, 1'000'000 * second});
    std::map<Ticket, std::pair<std::size_t, std::uint64_t>> of;
    const std::size_t tenants = 2 + rng.below(4);
    constexpr std::uint64_t tokens_max = 500;
    for (std::size_t tenant = 0; tenant < tenants; ++tenant) {
      for (int i = 0; i < 200; ++i) {
        const auto tokens = 1 + rng.below(tokens_max);
        of[line.enter({std::to_string(tenant), Priority::normal, tokens, 1'000'000 * second}, 0).ticket] = {tenant, tokens};
      }
    }
    std::vector<std::uint64_t> took(tenants);
    for (int round = 0; round < 120; ++round) {
      Ticket served = 0;
      line.pump(0, [&](Ticket ticket) { return served == 0 && (served = ticket) != 0; });
      REQUIRE(served != 0);
      const auto [tenant, charged] = of.at(served);
      // Some tenants' answers are always shorter than they might be, some longer.
      const std::uint64_t actual = std::min<std::uint64_t>(tokens_max, charged * (1 + tenant) / 2);
      line.correct(std::to_string(tenant), Priority::normal, charged, actual);
      took[tenant] += actual;
    }
    const auto [least, most] = std::minmax_element(took.begin(), took.end());
    REQUIRE(*most - *least <= tokens_max);
  }
}

// Who waits for the journal is told once, in order, and may do anything from within.
#include <ctime>
#include <functional>

#include "tests/unit/exchange/bench.h"

using namespace trib;
using namespace trib::test;
using exchange::ReleaseQueue;

namespace {

struct One final : exchange::Waiter {
  void on_released() override {
    ++released;
    if (act) act();
  }
  void on_journal_failed() override {
    ++failed;
    if (act) act();
  }
  int released = 0, failed = 0;
  std::function<void()> act;
};

metering::Record some() { return metering::Command{"id", "kind", 0, "{}"}; }

struct Yard {
  Yard() {
    journal.at_once = false;
    for (int i = 0; i < 10; ++i) journal.append(some());
  }
  HandJournal journal;
  int asked = 0;
  ReleaseQueue queue{journal, [this] { ++asked; }};
};

}  // namespace

TEST_CASE("a wait for what is released, for nothing, and for what has failed, ends at once") {
  Yard yard;
  One one;
  yard.journal.release(3);
  CHECK(yard.queue.wait(one, 3) == ReleaseQueue::Now::released);
  CHECK(yard.queue.wait(one, 0) == ReleaseQueue::Now::failed);  // the journal took no record
  CHECK_FALSE(yard.queue.waiting());
  yard.journal.fail();
  CHECK(yard.queue.wait(one, 4) == ReleaseQueue::Now::failed);
  CHECK(yard.queue.wait(one, 2) == ReleaseQueue::Now::released);  // durable before it failed
  CHECK(yard.asked == 0);
  yard.queue.advance();
  CHECK(one.released + one.failed == 0);
}

TEST_CASE("each is told when its own record is there, once") {
  Yard yard;
  One a, b, c;
  CHECK(yard.queue.wait(a, 2) == ReleaseQueue::Now::waiting);
  CHECK(yard.queue.wait(b, 4) == ReleaseQueue::Now::waiting);
  CHECK(yard.queue.wait(c, 3) == ReleaseQueue::Now::waiting);
  CHECK(yard.asked == 3);  // the journal is at work on the first one's, and shall go on with the others'
  CHECK(yard.queue.waiting());
  yard.queue.advance();
  CHECK(a.released == 0);
  CHECK_FALSE(yard.queue.due());
  yard.journal.release(3);
  CHECK(yard.queue.due());
  yard.queue.advance();
  CHECK_FALSE(yard.queue.due());
  CHECK(a.released == 1);
  CHECK(b.released == 0);
  CHECK(c.released == 1);
  yard.journal.release();
  CHECK(yard.queue.due());
  yard.queue.advance();
  CHECK_FALSE(yard.queue.due());  // nobody is left
  yard.queue.advance();
  CHECK(a.released == 1);
  CHECK(b.released == 1);
  CHECK_FALSE(yard.queue.waiting());
}

TEST_CASE("a second wait replaces the first") {
  Yard yard;
  One one;
  CHECK(yard.queue.wait(one, 2) == ReleaseQueue::Now::waiting);
  CHECK(yard.queue.wait(one, 5) == ReleaseQueue::Now::waiting);
  yard.journal.release(4);
  yard.queue.advance();
  CHECK(one.released == 0);
  yard.journal.release(5);
  yard.queue.advance();
  CHECK(one.released == 1);
}

TEST_CASE("waiters come and go from within") {
  Yard yard;
  SECTION("one ends the others") {
    auto a = std::make_unique<One>(), b = std::make_unique<One>(), c = std::make_unique<One>();
    for (auto* const one : {a.get(), b.get(), c.get()}) CHECK(yard.queue.wait(*one, 1) == ReleaseQueue::Now::waiting);
    int told = 0;
    const auto end_all = [&] {
      ++told;
      for (auto* const one : {&a, &b, &c})
        if (*one != nullptr && (*one)->released == 0) one->reset();
    };
    a->act = b->act = c->act = end_all;
    yard.journal.release();
    yard.queue.advance();
    CHECK(told == 1);
    CHECK_FALSE(yard.queue.waiting());
  }
  SECTION("one ends itself") {
    auto a = std::make_unique<One>();
    One b;
    CHECK(yard.queue.wait(*a, 1) == ReleaseQueue::Now::waiting);
    CHECK(yard.queue.wait(b, 1) == ReleaseQueue::Now::waiting);
    a->act = [&] { a.reset(); };
    yard.journal.release();
    yard.queue.advance();
    CHECK(a == nullptr);
    CHECK(b.released == 1);
  }
  SECTION("one waits anew, and so does a newcomer") {
    One a, b;
    CHECK(yard.queue.wait(a, 1) == ReleaseQueue::Now::waiting);
    a.act = [&] {
      if (a.released > 1) return;
      CHECK(yard.queue.wait(a, 6) == ReleaseQueue::Now::waiting);
      CHECK(yard.queue.wait(b, 7) == ReleaseQueue::Now::waiting);
    };
    yard.journal.release(2);
    yard.queue.advance();
    CHECK(a.released == 1);
    CHECK(b.released == 0);
    yard.journal.release();
    yard.queue.advance();
    CHECK(a.released == 2);
    CHECK(b.released == 1);
  }
  SECTION("one makes another wait for something later") {
    One a, b;
    CHECK(yard.queue.wait(a, 1) == ReleaseQueue::Now::waiting);
    CHECK(yard.queue.wait(b, 1) == ReleaseQueue::Now::waiting);
    a.act = [&] { CHECK(yard.queue.wait(b, 9) == ReleaseQueue::Now::waiting); };
    b.act = [&] { CHECK(yard.queue.wait(a, 9) == ReleaseQueue::Now::waiting); };
    yard.journal.release(3);
    yard.queue.advance();
    CHECK(a.failed + b.failed == 0);  // nothing has failed
    CHECK(a.released + b.released == 1);
    a.act = b.act = {};
    yard.journal.release();
    yard.queue.advance();
    CHECK(a.released + b.released == 2);
  }
}

TEST_CASE("a failure tells those whose records are lost, and the others that theirs are there") {
  Yard yard;
  One a, b;
  CHECK(yard.queue.wait(a, 2) == ReleaseQueue::Now::waiting);
  CHECK(yard.queue.wait(b, 8) == ReleaseQueue::Now::waiting);
  yard.journal.release(5);
  yard.journal.fail();
  yard.queue.advance();
  CHECK(a.released == 1);
  CHECK(b.failed == 1);
}

TEST_CASE("many who wait for one commit are told in one short turn") {
  Yard yard;
  std::vector<std::unique_ptr<One>> all;
  for (int i = 0; i < 20'000; ++i) {
    all.push_back(std::make_unique<One>());
    REQUIRE(yard.queue.wait(*all.back(), 5) == ReleaseQueue::Now::waiting);
  }
  yard.journal.release();
  const std::clock_t begun = std::clock();
  yard.queue.advance();
  const auto took = std::clock() - begun;
  for (const auto& one : all) REQUIRE(one->released == 1);
  CHECK(took < CLOCKS_PER_SEC / 10);  // 1 or 2 ms; a search of all for each took some hundred
}

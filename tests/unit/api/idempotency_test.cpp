// Idempotency keys: every verdict, every bound, what is kept and how.
#include "gateway/api/idempotency.h"

#include <thread>

#include "tests/catch.h"

using namespace trib;
using namespace trib::api;
using Found = IdempotencyTable::Found;

namespace {

constexpr std::int64_t hour_ms = 3'600'000;
const Sha256 body = sha256("body"), other = sha256("other");

RequestId id(std::uint64_t n) { return {n, n}; }

KeptAnswer answer(std::string text = "{\"a\":1}", int status = 200) { return {status, "application/json", std::move(text)}; }

}  // namespace

TEST_CASE("a key's life: fresh, running, replayed") {
  IdempotencyTable table({});
  CHECK(table.begin("k", body, id(1), 0).found == Found::fresh);
  auto verdict = table.begin("k", body, id(2), 1);
  CHECK(verdict.found == Found::running);
  CHECK(verdict.earlier == id(1));
  CHECK_FALSE(verdict.answer);
  CHECK(table.begin("k", other, id(3), 1).found == Found::other_body);
  table.finish("k", answer("{\"text\":\"\n\n\\u0000\"}", 201));
  for (int i = 0; i < 3; ++i) {
    verdict = table.begin("k", body, id(4), 2);
    REQUIRE(verdict.found == Found::replay);
    CHECK(verdict.earlier == id(1));
    CHECK(verdict.answer->status == 201);
    CHECK(verdict.answer->content_type == "application/json");
    CHECK(verdict.answer->body == "{\"text\":\"\n\n\\u0000\"}");
  }
  verdict = table.begin("k", other, id(5), 3);
  CHECK(verdict.found == Found::other_body);
  CHECK(verdict.earlier == id(1));
  CHECK_FALSE(verdict.answer);
  CHECK(table.begin("K", body, id(6), 3).found == Found::fresh);  // another key is another key
}

TEST_CASE("what was charged but is not kept stays bound; what was not charged is free again") {
  IdempotencyTable table({});
  table.begin("lost", body, id(1), 0);
  table.lose("lost");
  auto verdict = table.begin("lost", body, id(2), 1);
  CHECK(verdict.found == Found::gone);
  CHECK(verdict.earlier == id(1));
  CHECK(table.begin("lost", other, id(2), 1).found == Found::other_body);
  table.begin("free", body, id(3), 0);
  table.release("free");
  CHECK(table.begin("free", other, id(4), 1).found == Found::fresh);
  // Ends of keys that are not there are nothing.
  table.finish("nobody", answer());
  table.lose("nobody");
  table.release("nobody");
  CHECK(table.begin("nobody", body, id(5), 1).found == Found::fresh);
}

TEST_CASE("an answer above its bound is not kept, one at it is") {
  IdempotencyTable table({.answer_bytes = 10});
  table.begin("a", body, id(1), 0);
  table.finish("a", answer(std::string(10, 'x')));
  CHECK(table.begin("a", body, id(9), 0).found == Found::replay);
  table.begin("b", body, id(2), 0);
  table.finish("b", answer(std::string(11, 'x')));
  CHECK(table.begin("b", body, id(9), 0).found == Found::gone);
  table.begin("c", body, id(3), 0);
  table.finish("c", answer(""));
  CHECK(table.begin("c", body, id(9), 0).answer->body.empty());
}

TEST_CASE("the oldest answers go when all of them are too many, their keys stay") {
  IdempotencyTable table({.answer_bytes = 1000, .total_bytes = 3500});
  for (std::uint64_t i = 0; i < 10; ++i) {
    table.begin("k" + std::to_string(i), body, id(i), 0);
    table.finish("k" + std::to_string(i), answer(std::string(1000, 'x')));
  }
  for (std::uint64_t i = 0; i < 10; ++i) {
    const auto verdict = table.begin("k" + std::to_string(i), body, id(99), 0);
    INFO(i);
    CHECK(verdict.found == (i < 7 ? Found::gone : Found::replay));
    CHECK(verdict.earlier == id(i));
  }
  // One that is running is no answer yet and is passed over.
  IdempotencyTable small({.answer_bytes = 1000, .total_bytes = 1500});
  small.begin("running", body, id(1), 0);
  for (const char* const key : {"a", "b"}) {
    small.begin(key, body, id(2), 0);
    small.finish(key, answer(std::string(1000, 'x')));
  }
  CHECK(small.begin("running", body, id(9), 0).found == Found::running);
  CHECK(small.begin("a", body, id(9), 0).found == Found::gone);
  CHECK(small.begin("b", body, id(9), 0).found == Found::replay);
  small.finish("running", answer(std::string(1000, 'y')));
  CHECK(small.begin("running", body, id(9), 0).found == Found::replay);
}

TEST_CASE("keys expire after a day, and only then") {
  IdempotencyTable table({});
  table.begin("k", body, id(1), 1000);
  table.finish("k", answer());
  CHECK(table.begin("k", body, id(2), 1000 + 24 * hour_ms - 1).found == Found::replay);
  CHECK(table.begin("k", other, id(3), 1000 + 24 * hour_ms).found == Found::fresh);
  table.release("k");
}

TEST_CASE("one that has not ended does not hold up the expiry of others for ever, nor is it lost") {
  IdempotencyTable table({.keys = 3});
  table.begin("long", body, id(1), 0);
  table.begin("a", body, id(2), 0);
  table.finish("a", answer());
  const auto later = 25 * hour_ms;
  CHECK(table.begin("long", body, id(3), later).found == Found::running);
  CHECK(table.begin("a", other, id(4), later).found == Found::fresh);
  table.finish("long", answer());
  CHECK(table.begin("long", body, id(5), later).found == Found::fresh);  // its day was over
}

TEST_CASE("there are no more keys than the bound, and room again when some expire or are freed") {
  IdempotencyTable table({.keys = 2});
  CHECK(table.begin("a", body, id(1), 0).found == Found::fresh);
  CHECK(table.begin("b", body, id(2), 0).found == Found::fresh);
  CHECK(table.begin("c", body, id(3), 0).found == Found::full);
  CHECK(table.begin("a", body, id(4), 0).found == Found::running);  // known ones are judged as ever
  table.release("b");
  CHECK(table.begin("c", body, id(5), 0).found == Found::fresh);
  table.lose("a");
  table.lose("c");
  CHECK(table.begin("d", body, id(6), 1).found == Found::full);
  CHECK(table.begin("d", body, id(6), 24 * hour_ms).found == Found::fresh);
}

TEST_CASE("what the journal knew at start") {
  IdempotencyTable table({.keys = 3});
  table.restore("k", body, id(1), 5 * hour_ms);
  auto verdict = table.begin("k", body, id(2), 6 * hour_ms);
  CHECK(verdict.found == Found::gone);
  CHECK(verdict.earlier == id(1));
  CHECK(table.begin("k", other, id(2), 6 * hour_ms).found == Found::other_body);
  table.restore("k", other, id(7), 6 * hour_ms);  // the first stands
  CHECK(table.begin("k", body, id(2), 6 * hour_ms).earlier == id(1));
  for (int i = 0; i < 10; ++i) table.restore("more" + std::to_string(i), body, id(8), 6 * hour_ms);
  CHECK(table.begin("new", body, id(9), 6 * hour_ms).found == Found::full);
  CHECK(table.begin("k", body, id(2), 29 * hour_ms).found == Found::fresh);
}

TEST_CASE("many threads, one winner a key") {
  IdempotencyTable table({.answer_bytes = 100, .total_bytes = 5000, .keys = 500});
  std::atomic<int> fresh{0}, replays{0}, wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 2000; ++i) {
        const auto key = "k" + std::to_string(i % 200);
        const auto verdict = table.begin(key, body, id(static_cast<std::uint64_t>(t * 10'000 + i)), 0);
        if (verdict.found == Found::fresh) {
          ++fresh;
          table.finish(key, answer(key + std::string(20, 'x')));
        } else if (verdict.found == Found::replay) {
          ++replays;
          if (verdict.answer->body != key + std::string(20, 'x')) ++wrong;
        } else if (verdict.found != Found::running && verdict.found != Found::gone) {
          ++wrong;
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(fresh == 200);
  CHECK(replays > 0);
  CHECK(wrong == 0);
}

// A second site beside a silent first, for tenants that ask for it: one answer, one bill, the loser cancelled.
#include "tests/unit/exchange/bench.h"

using namespace trib;
using namespace trib::test;

namespace {

struct Two {
  explicit Two(bool stream = true, std::int64_t after_ms = 500) {
    bench.hedge_after_ms = after_ms;
    bench.ask(ask_text(stream));
  }
  // Both are asked and silent.
  void both() {
    bench.pass(450);
    REQUIRE(bench.calls.size() == 1);
    bench.pass(100);
    REQUIRE(bench.calls.size() == 2);
    CHECK(bench.calls[0]->offer->site != bench.calls[1]->offer->site);
    CHECK(bench.calls[0]->events != nullptr);
  }
  void answer(std::size_t who) {
    auto& far = *bench.calls[who];
    far.head(200, "text/event-stream");
    far.body(role_chunk() + text_chunk("from" + std::to_string(who)) + finish_chunk() + usage_chunk(usage_of(12, 1)) + "data: [DONE]\n\n");
    far.end();
  }
  const metering::Final& final() { return final_of(bench); }
  Bench bench;
};

}  // namespace

TEST_CASE("whoever speaks first answers; the other is cancelled, on record and free") {
  const std::size_t winner = GENERATE(std::size_t{0}, std::size_t{1});
  Two two;
  two.both();
  const std::size_t loser = 1 - winner;
  const bool loser_has_head = GENERATE(false, true);
  if (loser_has_head) two.bench.calls[loser]->head(200, "text/event-stream");
  two.answer(winner);
  CHECK(two.bench.calls[loser]->events == nullptr);
  two.bench.check_closed();
  CHECK(two.bench.body_text.find("from" + std::to_string(winner)) != std::string::npos);
  CHECK(two.bench.body_text.ends_with("data: [DONE]\n\n"));
  REQUIRE(two.final().results.size() == 2);
  CHECK(two.final().outcome == metering::Outcome::completed);
  CHECK(two.final().results[winner].fault == "none");
  CHECK(two.final().results[winner].delivered == 1);
  CHECK(two.final().results[loser].fault == "outrun");
  CHECK(two.final().results[loser].side == "none");
  CHECK(two.final().results[loser].delivered == 0);
  CHECK(two.final().counts.input == 12);
}

TEST_CASE("no second site without the tenant's wish, before its time, or when the first has spoken") {
  SECTION("not wished") {
    Two two(true, 0);
    two.bench.pass(5000);
    CHECK(two.bench.calls.size() == 1);
    two.bench.customer_leaves();
  }
  SECTION("the first has spoken") {
    Two two;
    two.bench.far().head(200, "text/event-stream");
    two.bench.far().body(role_chunk());
    two.bench.pass(2000);
    CHECK(two.bench.calls.size() == 1);
    two.bench.customer_leaves();
  }
  SECTION("there is no second") {
    Bench bench;
    bench.keep_sites(1);
    bench.hedge_after_ms = 500;
    bench.ask(ask_text(true));
    bench.pass(2000);
    CHECK(bench.calls.size() == 1);
    bench.customer_leaves();
    bench.check_closed();
  }
  SECTION("one second site is enough") {
    Two two;
    two.both();
    two.bench.pass(3000);
    CHECK(two.bench.calls.size() == 2);
    two.bench.customer_leaves();
    two.bench.check_closed();
  }
}

TEST_CASE("when one fails the other carries on alone, without a third") {
  const std::size_t fails = GENERATE(std::size_t{0}, std::size_t{1});
  const int how = GENERATE(0, 1, 2, 3);
  Two two;
  two.both();
  auto& far = *two.bench.calls[fails];
  const auto break_it = [&] {
    switch (how) {
      case 0: far.fault(FaultKind::connect_refused); break;
      case 1: far.fault(FaultKind::tunnel_lost); break;
      case 2:
        far.head(503, "application/json", "2");
        far.body("{\"error\":{\"message\":\"full\"}}");
        far.end();
        break;
      default:
        far.head(200, "text/html");
        far.body("<html>");
        far.end();
        break;
    }
  };
  break_it();
  CHECK(two.bench.alive());
  CHECK(two.bench.calls.size() == 2);
  two.answer(1 - fails);
  two.bench.check_closed();
  CHECK(two.bench.body_text.find("from" + std::to_string(1 - fails)) != std::string::npos);
  CHECK(two.final().results[fails].fault != "none");
  CHECK(two.final().results[fails].fault != "outrun");
  CHECK(two.final().results[1 - fails].delivered == 1);
}

TEST_CASE("a refusal that the request earned is told at once") {
  Two two;
  two.both();
  two.bench.calls[0]->head(400, "application/json");
  two.bench.calls[0]->body("{\"error\":{\"message\":\"no such field\",\"type\":\"invalid_request_error\"}}");
  two.bench.calls[0]->end();
  CHECK(two.bench.status == 400);
  CHECK(two.bench.calls[1]->events == nullptr);
  two.bench.check_closed();
  CHECK(two.bench.charged.zero());
}

TEST_CASE("both cancelled when the customer leaves, and when the journal fails") {
  Two two;
  two.both();
  SECTION("leaves") {
    two.bench.customer_leaves();
    CHECK(two.bench.charged.zero());
  }
  SECTION("fails") {
    two.bench.journal().at_once = false;
    two.bench.calls[1]->head(200, "text/event-stream");
    two.bench.fail_journal();
    two.bench.calls[1]->body(text_chunk());
    two.bench.pass(60'000);
  }
  CHECK(two.bench.calls[0]->events == nullptr);
}

TEST_CASE("an answer that is no stream is hedged as well") {
  const std::size_t winner = GENERATE(std::size_t{0}, std::size_t{1});
  Two two(false);
  two.both();
  auto& far = *two.bench.calls[winner];
  far.head(200, "application/json");
  far.body(unary_body("hello", ",\"usage\":" + usage_of(12, 3)));
  far.end();
  two.bench.check_closed();
  CHECK(two.bench.status == 200);
  CHECK(two.final().counts.output == 3);
  CHECK(two.final().results[1 - winner].fault == "outrun");
}

TEST_CASE("after the winner breaks in mid-stream the answer goes on at a third") {
  Two two;
  for (auto& offer : two.bench.offers) offer->can.continue_mode = fleet::ContinueMode::auto_prefill;
  two.both();
  two.bench.calls[1]->head(200, "text/event-stream");
  two.bench.calls[1]->body(text_chunk("one "));
  two.bench.calls[1]->fault(FaultKind::cut);
  REQUIRE(two.bench.calls.size() == 3);
  two.bench.calls[2]->head(200, "text/event-stream");
  two.bench.calls[2]->body(text_chunk("two") + finish_chunk() + "data: [DONE]\n\n");
  two.bench.calls[2]->end();
  two.bench.check_closed();
  CHECK(two.final().outcome == metering::Outcome::completed);
  CHECK(two.final().counts.output == 2);
}

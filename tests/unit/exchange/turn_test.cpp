// What an exchange does when nothing is free, and what the router learns of each attempt.
#include "tests/unit/exchange/bench.h"

using namespace trib;
using namespace trib::test;

namespace {

void answer(Bench& bench) {
  bench.far().head(200, "text/event-stream");
  bench.far().body(role_chunk() + text_chunk() + finish_chunk() + usage_chunk(usage_of(12, 1)) + "data: [DONE]\n\n");
  bench.far().end();
}

}  // namespace

TEST_CASE("who finds nothing free waits, and goes as soon as something is") {
  for (const bool stream : {true, false}) {
    Bench bench;
    bench.use_lines(4, 10'000);
    bench.fill(8);
    bench.ask(ask_text(stream));
    CHECK(bench.calls.empty());
    bench.pass(5'000);
    CHECK(bench.calls.empty());
    CHECK(bench.status == 0);
    bench.offers[2]->load->in_flight = 7;
    bench.pass(100);
    REQUIRE(bench.calls.size() == 1);
    CHECK(bench.far().offer == bench.offers[2]);
    CHECK(bench.offers[2]->load->in_flight == 8);  // counted once
    if (stream) answer(bench); else bench.customer_leaves();
    bench.fill(0);
    if (stream) CHECK(bench.status == 200);
    bench.check_closed();
  }
}

TEST_CASE("who has waited is charged in line what his answer took, not what it might have") {
  struct Guest final : routing::Waiter {
    explicit Guest(std::string& told, char as) : order(told), tenant(as) {}
    bool on_asked() override { return true; }
    void on_turn() override { order += tenant; }
    void on_sent_away(std::int64_t) override {}
    std::string& order;
    const char tenant;
  };
  Bench bench;
  bench.use_lines(16, 10'000);
  bench.fill(8);
  bench.ask(ask_text(true));  // some two thousand tokens at most
  bench.offers[0]->load->in_flight = 7;
  bench.pass(100);
  REQUIRE(bench.calls.size() == 1);
  answer(bench);  // thirteen
  bench.fill(0);
  bench.check_closed();
  std::string order;
  std::vector<std::unique_ptr<Guest>> guests;
  const auto enter = [&](const char* tenant) {
    guests.push_back(std::make_unique<Guest>(order, *tenant));
    CHECK_FALSE(bench.router().lines().wait(*guests.back(), "m", {tenant, routing::Priority::normal, 10, INT64_MAX}, bench.clock_.now_ns));
  };
  for (int i = 0; i < 4; ++i) enter("other");
  for (int i = 0; i < 2; ++i) enter("acme");
  bench.pass(100);
  CHECK(order == "ooaoao");
}

TEST_CASE("its time in line up, a request is refused with a Retry-After, and costs nothing") {
  Bench bench;
  bench.use_lines(4, 2'000);
  bench.fill(8);
  bench.ask(ask_text(true));
  bench.pass(2'200);
  CHECK(bench.status == 503);
  CHECK(bench.fields.find("Retry-After: ") != std::string::npos);
  CHECK(bench.calls.empty());
  bench.fill(0);
  bench.check_closed();
  CHECK(bench.charged.zero());
}

TEST_CASE("nobody waits where the line has no room, or for what only rests") {
  for (const bool rests : {true, false}) {
    Bench bench;
    bench.use_lines(rests ? 4 : 0, 2'000);
    if (rests) {
      for (const auto& offer : bench.offers) offer->rest->until_ns = bench.clock_.now_ns + 2'000'000'000;
    } else {
      bench.fill(8);
    }
    bench.ask(ask_text(true));
    CHECK(bench.status == 503);
    bench.fill(0);
    bench.check_closed();
  }
}

TEST_CASE("in line a customer leaves, the gateway drains, the journal fails: each ends it once") {
  for (const int what : {0, 1, 2}) {
    INFO(what);
    Bench bench;
    bench.use_lines(4, 10'000);
    bench.fill(8);
    bench.ask(ask_text(true));
    if (what == 0) bench.customer_leaves();
    if (what == 1) bench.drain_expired();
    if (what == 2) bench.fail_journal();
    bench.fill(0);
    bench.pass(1'000);
    CHECK(bench.calls.empty());
    if (what == 1) CHECK(bench.status == 503);
    if (what == 2) continue;
    bench.check_closed();
  }
}

TEST_CASE("one that lost its first attempt waits for the second, without the first one's deadlines") {
  Bench bench;
  bench.deadlines.first_token_ms = 1'000;
  bench.use_lines(4, 10'000);
  bench.fill(8);
  bench.offers[0]->load->in_flight = 7;
  bench.ask(ask_text(true));
  REQUIRE(bench.calls.size() == 1);
  bench.far().fault(FaultKind::reset_before_head);
  bench.offers[0]->load->in_flight = 7;
  bench.pass(3'000);
  CHECK(bench.calls.size() == 1);  // never the same site
  CHECK(bench.status == 0);
  bench.offers[1]->load->in_flight = 7;
  bench.pass(100);
  REQUIRE(bench.calls.size() == 2);
  CHECK(bench.far().offer == bench.offers[1]);
  answer(bench);
  CHECK(bench.status == 200);
  bench.fill(0);
  bench.check_closed();
}

TEST_CASE("an attempt teaches its offer's pace, unless the customer held it up") {
  for (const bool held_up : {false, true}) {
    Bench bench;
    bench.keep_sites(1);
    bench.ask(ask_text(true));
    bench.far().head(200, "text/event-stream");
    bench.pass(500);
    bench.far().body(role_chunk() + text_chunk());
    for (int i = 0; i < 10; ++i) {
      bench.pass(100);
      if (held_up && i == 4) {
        bench.unsent = 1u << 20;
        bench.far().body(text_chunk());
        bench.customer_took_all();
        continue;
      }
      bench.far().body(text_chunk());
    }
    bench.far().body(finish_chunk() + "data: [DONE]\n\n");
    bench.far().end();
    CHECK(bench.offers[0]->pace->first_us == 500'000);
    CHECK(bench.offers[0]->pace->token_us == (held_up ? 0u : 100'000u));
    CHECK(bench.offers[0]->pace->answer_tokens == 11);
    bench.check_closed();
  }
}

TEST_CASE("a site's failures open its breaker; those of a request that two sites fail on are taken back") {
  Bench bench;
  for (const auto& offer : bench.offers) offer->rest->until_ns = 0;
  bench.ask(ask_text(true));
  const auto first = bench.far().offer;
  bench.far().fault(FaultKind::reset_before_head);
  CHECK(first->breaker->word != 0);
  const auto second = bench.far().offer;
  REQUIRE(second != first);
  bench.far().fault(FaultKind::reset_before_head);
  for (const auto& offer : {first, second}) CHECK(routing::Breaker::unpack(offer->breaker->word).in_a_row == 0);
  CHECK(bench.status == 502);
  bench.check_closed();
}

// What waits for what: the first byte for ADMIT and ATTEMPT, the last for FINAL; and what becomes of
// a request when the journal, the customer or the clock comes in between.
#include "tests/unit/exchange/bench.h"

using namespace trib;
using namespace trib::test;

namespace {

std::string large_head() {  // above unary_hold
  return "{\"model\":\"m\",\"choices\":[{\"message\":{\"content\":\"" + std::string(1'200'000, 'x');
}
const std::string large_tail = "\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":1000}}";

}  // namespace

TEST_CASE("a stream's bytes leave record by record") {
  Bench bench;
  bench.journal().at_once = false;
  bench.ask(ask_text(true));
  REQUIRE(bench.journal().records.size() == 2);  // ADMIT, ATTEMPT: at once, before any answer
  bench.far().head(200, "text/event-stream");
  bench.far().body(role_chunk() + text_chunk("one ") + text_chunk("two "));
  CHECK(bench.status == 0);
  bench.release(1);
  CHECK(bench.status == 0);  // the ADMIT alone is not enough
  bench.release(2);
  CHECK(bench.status == 200);
  CHECK(bench.body_text.find("one ") != std::string::npos);
  CHECK(bench.body_text.find("two ") != std::string::npos);
  bench.far().body(text_chunk("three "));
  CHECK(bench.body_text.find("three ") != std::string::npos);
  bench.far().body(finish_chunk() + usage_chunk(usage_of(12, 3)) + "data: [DONE]\n\n");
  bench.far().end();
  CHECK(bench.body_text.find("[DONE]") == std::string::npos);
  CHECK(bench.alive());
  REQUIRE(bench.journal().all<metering::Final>().size() == 1);
  bench.release(bench.journal().last() - 1);
  CHECK_FALSE(bench.over());
  bench.release();
  CHECK(bench.body_text.ends_with("data: [DONE]\n\n"));
  bench.check_closed();
}

TEST_CASE("a stream that ends before anything was released leaves in one go") {
  Bench bench;
  bench.journal().at_once = false;
  bench.ask(ask_text(true));
  bench.far().head(200, "text/event-stream");
  bench.far().body(role_chunk() + text_chunk() + finish_chunk() + "data: [DONE]\n\n");
  bench.far().end();
  bench.release(2);
  CHECK(bench.status == 0);  // it waits for FINAL now, which comes after
  bench.release();
  CHECK(bench.status == 200);
  CHECK(bench.writes == 2);
  bench.check_closed();
}

TEST_CASE("a body in one piece waits for FINAL whole") {
  Bench bench;
  bench.journal().at_once = false;
  bench.ask(ask_text(false));
  bench.far().head(200, "application/json");
  bench.far().body(unary_body("tok tok tok", ",\"usage\":" + usage_of(12, 3)));
  bench.release();
  CHECK(bench.status == 0);
  bench.far().end();
  CHECK(bench.status == 0);
  bench.release();
  CHECK(bench.status == 200);
  CHECK(bench.length == bench.body_text.size());
  bench.check_closed();
}

TEST_CASE("a refusal waits for FINAL too") {
  Bench bench;
  bench.journal().at_once = false;
  bench.keep_sites(1);
  bench.ask(ask_text(true));
  bench.far().fault(FaultKind::connect_refused);
  CHECK(bench.status == 0);
  bench.release(2);
  CHECK(bench.status == 0);
  bench.release();
  CHECK(bench.status == 503);
  bench.check_closed();
}

TEST_CASE("a large body's head waits for its attempt, its end for FINAL") {
  Bench bench;
  bench.journal().at_once = false;
  bench.ask(ask_text(false));
  bench.far().head(200, "application/json");
  bench.far().body(large_head());
  CHECK(bench.status == 0);
  CHECK(bench.far().paused);  // nothing grows while the disk is slow
  bench.release();
  CHECK(bench.status == 200);
  CHECK_FALSE(bench.length);
  CHECK_FALSE(bench.far().paused);
  CHECK(bench.held_bytes == 0);  // gone to the customer
  bench.far().body(large_tail);
  bench.far().end();
  CHECK_FALSE(bench.over());
  CHECK_FALSE(json::valid(bench.body_text));  // the end of it is kept back
  bench.release();
  CHECK(bench.last);
  CHECK(json::valid(bench.body_text));
  bench.check_closed();
}

TEST_CASE("a further site's first byte waits for its own attempt") {
  Bench bench;
  bench.journal().at_once = false;
  bench.ask(ask_text(true));
  bench.far().head(200, "text/event-stream");
  bench.far().body(text_chunk("lost "));  // waits for records 1 and 2
  bench.far().fault(FaultKind::cut);
  REQUIRE(bench.calls.size() == 2);
  bench.far().head(200, "text/event-stream");
  SECTION("the first attempt is released before the second has spoken") {
    bench.release(2);
    CHECK(bench.status == 0);
    bench.far().body(role_chunk());
    bench.release(2);
    CHECK(bench.status == 0);
    bench.far().body(text_chunk("kept "));
  }
  SECTION("or after it") {
    bench.far().body(text_chunk("kept "));
    bench.release(2);
  }
  CHECK(bench.status == 0);
  bench.release(3);
  CHECK(bench.status == 200);
  CHECK(bench.body_text.find("kept ") != std::string::npos);
  CHECK(bench.body_text.find("lost ") == std::string::npos);
  bench.far().body(finish_chunk() + "data: [DONE]\n\n");
  bench.release();
  bench.check_closed();
  const auto& final = final_of(bench);
  CHECK(final.counts.output == 1);
  CHECK(final.results[0].pieces == 1);  // waste, on the record
  CHECK(final.results[0].bytes == 5);
  CHECK(final.results[0].delivered == 0);
  CHECK(final.results[1].delivered == 1);
}

TEST_CASE("a large body that breaks before its head has left is asked for elsewhere") {
  Bench bench;
  bench.journal().at_once = false;
  bench.ask(ask_text(false));
  bench.far().head(200, "application/json");
  bench.far().body(large_head());
  bench.far().fault(FaultKind::cut);
  REQUIRE(bench.calls.size() == 2);
  CHECK(bench.held_bytes == 0);
  bench.far().head(200, "application/json");
  bench.far().body(unary_body("tok tok tok", ",\"usage\":" + usage_of(12, 3)));
  bench.far().end();
  bench.release();
  CHECK(bench.status == 200);
  bench.check_closed();
  CHECK(final_of(bench).counts.output == 3);
}

TEST_CASE("a large body that breaks before its head, with nobody left, costs nothing") {
  Bench bench;
  bench.journal().at_once = false;
  bench.keep_sites(1);
  bench.ask(ask_text(false));
  bench.far().head(200, "application/json");
  bench.far().body(large_head());
  bench.far().fault(FaultKind::cut);
  bench.release();
  CHECK(bench.status == 502);
  CHECK(json::valid(bench.body_text));
  bench.check_closed();
  CHECK(bench.charged.zero());
}

TEST_CASE("a slow disk is not the engine's fault") {
  Bench bench;
  bench.journal().at_once = false;
  bench.ask(ask_text(true));
  bench.far().head(200, "text/event-stream");
  bench.far().body(text_chunk());
  for (int i = 0; i < 4; ++i) {
    bench.pass(10'000);
    bench.far().body(text_chunk());
  }
  CHECK(bench.calls.size() == 1);
  bench.release();
  CHECK(bench.status == 200);
  bench.far().body(finish_chunk() + "data: [DONE]\n\n");
  bench.release();
  bench.check_closed();
}

TEST_CASE("nothing more than a window of text waits for the first release") {
  Bench bench;
  bench.journal().at_once = false;
  bench.ask(ask_text(true));
  bench.far().head(200, "text/event-stream");
  for (int i = 0; i < 1000 && !bench.far().paused; ++i) bench.far().body(text_chunk(std::string(1000, 'x')));
  CHECK(bench.far().paused);
  CHECK(bench.far().pauses == 1);
  SECTION("bytes of an earlier answer that leave are nothing to it") {
    bench.customer_took_all();
    CHECK(bench.far().paused);
  }
  SECTION("it goes on once released") {
    bench.release();
    CHECK(bench.status == 200);
    CHECK_FALSE(bench.far().paused);
  }
  SECTION("a further site begins unpaused, and is held in turn") {
    bench.far().fault(FaultKind::cut);
    REQUIRE(bench.calls.size() == 2);
    CHECK_FALSE(bench.far().paused);
    bench.far().head(200, "text/event-stream");
    for (int i = 0; i < 1000 && !bench.far().paused; ++i) bench.far().body(text_chunk(std::string(1000, 'x')));
    CHECK(bench.far().paused);
  }
  bench.customer_leaves();
  bench.check_closed();
}

TEST_CASE("the journal fails") {
  Bench bench;
  bench.journal().at_once = false;
  bool stream = true;
  SECTION("before the first byte: found while it waits") {
    bench.ask(ask_text(true));
    bench.far().head(200, "text/event-stream");
    bench.far().body(text_chunk());
    bench.fail_journal();
    CHECK(bench.status == 503);
  }
  SECTION("before the first byte: found when it wants to leave") {
    bench.ask(ask_text(true));
    bench.far().head(200, "text/event-stream");
    bench.fail_journal();
    bench.far().body(role_chunk() + text_chunk() + text_chunk());
    CHECK(bench.status == 503);
  }
  SECTION("before the first byte of a large body") {
    stream = false;
    bench.ask(ask_text(false));
    bench.far().head(200, "application/json");
    bench.fail_journal();
    bench.far().body(large_head());
    CHECK(bench.status == 503);
  }
  SECTION("while FINAL waits, in a stream") {
    bench.ask(ask_text(true));
    bench.far().head(200, "text/event-stream");
    bench.far().body(text_chunk());
    bench.release();
    bench.far().body(finish_chunk() + "data: [DONE]\n\n");
    bench.fail_journal();
    CHECK(bench.status == 200);
    CHECK(bench.last);
    CHECK(bench.body_text.find("stream_broken") != std::string::npos);
    CHECK(bench.body_text.find("[DONE]") == std::string::npos);
  }
  SECTION("while FINAL waits, in one piece") {
    stream = false;
    bench.ask(ask_text(false));
    bench.far().head(200, "application/json");
    bench.far().body(unary_body("tok", ""));
    bench.far().end();
    bench.fail_journal();
    CHECK(bench.status == 503);
    CHECK(bench.body_text.find("journal_unavailable") != std::string::npos);
    CHECK(bench.body_text.find("tok") == std::string::npos);
  }
  CHECK_FALSE(bench.alive());
  const auto view = bench.tenant->view();
  CHECK(view.held.zero());
  CHECK(view.in_flight == 0);
  CHECK(bench.held_bytes == 0);
  for (const auto& offer : bench.offers) CHECK(offer->load->in_flight == 0);
  (void)stream;
}

TEST_CASE("the customer leaves while FINAL waits") {
  Bench bench;
  bench.journal().at_once = false;
  bench.ask(ask_text(true));
  bench.far().head(200, "text/event-stream");
  bench.far().body(text_chunk() + finish_chunk() + "data: [DONE]\n\n");
  bench.customer_leaves();
  bench.release();
  CHECK(bench.status == 0);
  bench.check_closed();
  CHECK(final_of(bench).outcome == metering::Outcome::completed);  // it was whole: a FINAL never changes
}

TEST_CASE("the grace ends while FINAL waits") {
  Bench bench;
  bench.journal().at_once = false;
  bench.ask(ask_text(true));
  bench.far().head(200, "text/event-stream");
  bench.far().body(text_chunk() + finish_chunk() + "data: [DONE]\n\n");
  bench.drain_expired();
  bench.release();
  CHECK(bench.body_text.ends_with("[DONE]\n\n"));
  bench.check_closed();
}

TEST_CASE("a customer who leaves cancels the engine's call at once") {
  for (const bool stream : {false, true}) {
    Bench bench;
    bench.ask(ask_text(stream));
    REQUIRE(bench.far().events != nullptr);
    bench.customer_leaves();
    CHECK(bench.far().events == nullptr);
    bench.check_closed();
  }
}

TEST_CASE("a refusal lets the site rest as long as it said, at most half a minute") {
  struct Row {
    const char* retry_after;
    std::int64_t rest_s;
  };
  for (const auto& row : {Row{"", 1}, {"0", 1}, {"3", 3}, {"30", 30}, {"3600", 30}, {"soon", 1}, {"-5", 1}, {"99999999999999999999", 1}}) {
    INFO(row.retry_after);
    Bench bench;
    bench.keep_sites(1);
    bench.ask(ask_text(true));
    const auto before = bench.clock_.now_ns;
    bench.far().head(429, "application/json", row.retry_after);
    bench.far().end();
    CHECK(bench.offers[0]->rest->until_ns - before == row.rest_s * 1'000'000'000);
    CHECK(bench.status == 503);
    bench.check_closed();
  }
}

TEST_CASE("a rest is never shortened, and others are not made to rest") {
  Bench bench;
  bench.keep_sites(1);
  bench.offers[0]->rest->until_ns = 0;
  bench.ask(ask_text(true));
  const auto long_rest = bench.clock_.now_ns + 20'000'000'000;
  bench.offers[0]->rest->until_ns = long_rest;  // another request was refused meanwhile
  bench.far().head(429, "application/json", "2");
  bench.far().end();
  CHECK(bench.offers[0]->rest->until_ns == long_rest);

  for (const auto kind : {FaultKind::connect_refused, FaultKind::reset_before_head, FaultKind::reclaimed, FaultKind::cut}) {
    Bench other;
    other.ask(ask_text(true));
    const auto first = other.calls[0]->offer;
    other.far().fault(kind);
    CHECK((first->rest->until_ns > 0) == (kind == FaultKind::connect_refused));
    other.customer_leaves();
  }
}

TEST_CASE("an error text is the last site's own, never another's") {
  Bench bench;
  bench.ask(ask_text(true));
  bench.far().head(500, "application/json");
  bench.far().body("{\"error\":{\"message\":\"secret of the first\"}}");
  bench.far().end();
  bench.far().head(400, "application/json");
  bench.far().fault(FaultKind::cut);  // before its words came
  CHECK(bench.status == 400);
  CHECK(bench.body_text.find("secret") == std::string::npos);
  bench.check_closed();
}

TEST_CASE("an endless error body is bounded in bytes and time") {
  Bench bench;
  bench.keep_sites(1);
  bench.ask(ask_text(true));
  bench.far().head(500, "application/json");
  for (int i = 0; i < 600; ++i) {
    bench.far().body(std::string(10'000, 'e'));
    bench.pass(50);
  }
  CHECK(bench.over());
  CHECK(bench.body_text.size() < 1000);
  bench.check_closed();
}

TEST_CASE("the whole request has a deadline, whatever the phase") {
  Bench bench;
  bench.deadlines.total_ms = 60'000;
  SECTION("a stream that goes on and on") {
    bench.ask(ask_text(true));
    bench.far().head(200, "text/event-stream");
    for (int i = 0; i < 61; ++i) {
      bench.far().body(text_chunk());
      bench.pass(1'000);
    }
    CHECK(bench.body_text.find("stream_broken") != std::string::npos);
    CHECK(final_of(bench).results[0].fault == "total_timeout");
  }
  SECTION("a stream whose customer takes slowly") {
    bench.ask(ask_text(true));
    bench.far().head(200, "text/event-stream");
    bench.far().body(text_chunk());
    bench.unsent = 100'000;
    bench.far().body(text_chunk());
    CHECK(bench.far().paused);
    bench.pass(60'100);
    CHECK(final_of(bench).results[0].fault == "total_timeout");
  }
  SECTION("site after site") {
    bench.ask(ask_text(true));
    bench.pass(30'100);
    REQUIRE(bench.calls.size() == 2);
    bench.pass(29'950);
    CHECK(bench.calls.size() == 2);
    CHECK(bench.status == 504);
  }
  SECTION("a refusal at the very end is not moved") {
    bench.ask(ask_text(true));
    bench.pass(29'950);
    bench.far().head(200, "text/event-stream");
    bench.pass(100);  // the first token's deadline
    REQUIRE(bench.calls.size() == 2);
    bench.clock_.now_ns += 40'000'000'000;  // the wheel has not turned yet
    bench.far().fault(FaultKind::connect_refused);
    CHECK(bench.calls.size() == 2);
    CHECK(bench.over());
  }
  bench.check_closed();
}

// Going on with a broken stream elsewhere: for any cut at any byte the customer's text is that of the
// uncut stream, said once, by one answer, and what each site is paid for sums to what was delivered.
#include "tests/unit/exchange/streams.h"

using namespace trib;
using namespace trib::test;

TEST_CASE("for any cut at any byte the customer's text is that of the uncut stream") {
  const bool at_once = GENERATE(true, false);
  for (const auto& script : scripts()) {
    const std::string whole = stream_of(script, 0, "first", 12);
    for (std::size_t cut = 0; cut <= whole.size(); ++cut) {
      INFO(script.name << ", cut at byte " << cut << (at_once ? "" : ", released late"));
      Bench bench;
      all_continue(bench);
      bench.journal().at_once = at_once;
      bench.ask(ask_text(true, ",\"stream_options\":{\"include_usage\":true}"));
      bench.far().head(200, "text/event-stream");
      bench.far().body(std::string_view(whole).substr(0, cut));
      if (!at_once && cut % 2 == 0) bench.release();
      bench.far().fault(FaultKind::cut);
      if (!at_once) bench.release();
      std::string from;
      if (!bench.over()) {
        REQUIRE(bench.calls.size() == 2);
        const bool begun = bench.far().request.body.find("\"role\":\"assistant\"") != std::string::npos;
        from = begun ? asked_from(bench.far().request) : "";
        const auto pieces = pieces_in(script, from);
        REQUIRE(pieces);  // on a piece's border
        bench.far().head(200, "text/event-stream");
        // Byte by byte, so that nothing hangs on how events arrive.
        for (const char c : stream_of(script, begun ? *pieces : 0, "second-one", 12 + *pieces)) bench.far().body({&c, 1});
        bench.far().end();
        if (!at_once) bench.release();
      }
      bench.check_closed();
      const auto& final = check_whole(bench, script);
      if (!from.empty() && script.in_one == 1) {
        const auto said = static_cast<std::uint64_t>(std::count_if(script.pieces.begin(), script.pieces.end(), [](const auto& p) { return !p.empty(); }));
        const std::uint64_t silent = script.pieces.size() - said;
        CHECK(final.counts.output >= said);
        CHECK(final.counts.output <= said + silent);  // a claim may count what says nothing
      }
    }
  }
}

TEST_CASE("three seams, and no more than are allowed") {
  const Script& script = scripts()[0];
  const unsigned allowed = GENERATE(0u, 1u, 2u, 3u);
  Bench bench;
  all_continue(bench);
  bench.continuations = allowed;
  bench.ask(ask_text(true));
  std::size_t said = 0;
  while (!bench.over()) {
    REQUIRE(bench.calls.size() == said + 1);
    bench.far().head(200, "text/event-stream");
    bench.far().body(role_chunk() + text_chunk(script.pieces[said]));
    ++said;
    bench.far().fault(FaultKind::cut);
  }
  bench.check_closed();
  CHECK(said == allowed + 1);
  const auto got = heard(bench.body_text);
  CHECK(got.text == plain(script, said));
  CHECK(got.done == 0);
  CHECK(got.errors == 1);
  const auto& final = final_of(bench);
  CHECK(final.outcome == metering::Outcome::partial);
  CHECK(final.counts.output == said);
  CHECK(final.counts.input == 0);  // the supply side broke it
  for (const auto& result : final.results) CHECK(result.delivered == 1);
}

TEST_CASE("what is left of the limit is asked for, and the text stands as it was") {
  Bench bench;
  all_continue(bench);
  bench.ask(ask_text(true));
  bench.far().head(200, "text/event-stream");
  bench.far().body(text_chunk("a\\\"b") + text_chunk("\\u00e9") + text_chunk("\\n"));
  bench.far().fault(FaultKind::tunnel_lost);
  REQUIRE(bench.calls.size() == 2);
  CHECK(bench.far().request.body.find("\"max_tokens\":61") != std::string::npos);
  CHECK(asked_from(bench.far().request) == "a\"bé\n");
  CHECK(bench.far().request.path == "/base/v1/chat/completions");
  bench.customer_leaves();
  bench.check_closed();
}

TEST_CASE("a limit that is reached by our count is not gone on from") {
  Bench bench;
  all_continue(bench);
  bench.ask("{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"max_tokens\":2,\"stream\":true}");
  bench.far().head(200, "text/event-stream");
  bench.far().body(text_chunk() + text_chunk());
  bench.far().fault(FaultKind::cut);
  CHECK(bench.over());
  CHECK(heard(bench.body_text).errors == 1);
  bench.check_closed();
}

TEST_CASE("where going on would be a guess the stream ends in a typed error") {
  struct Case {
    const char* name;
    std::string more;   // of the request
    std::string said;   // before the cut
  };
  const std::vector<Case> cases = {
      {"a tool call in flight", "", text_chunk() + chunk("{\"tool_calls\":[{\"index\":0,\"id\":\"t\",\"function\":{\"name\":\"f\",\"arguments\":\"{\"}}]}")},
      {"reasoning", "", chunk("{\"reasoning_content\":\"hm\"}") + text_chunk()},
      {"a refusal", "", chunk("{\"refusal\":\"no\"}")},
      {"a JSON schema", ",\"response_format\":{\"type\":\"json_object\"}", text_chunk()},
      {"a grammar", ",\"guided_regex\":\"a+\"", text_chunk()},
      {"log probabilities", ",\"logprobs\":true", text_chunk()},
      {"a stop sequence that has begun", ",\"stop\":[\"xyz\",\"tok tok\"]", text_chunk()},
      {"one stop sequence, begun", ",\"stop\":\" .\"", text_chunk()},
      {"several choices", ",\"n\":2", text_chunk()},
  };
  for (const auto& one : cases) {
    INFO(one.name);
    Bench bench;
    all_continue(bench);
    bench.ask(ask_text(true, one.more));
    bench.far().head(200, "text/event-stream");
    bench.far().body(role_chunk() + one.said);
    bench.far().fault(FaultKind::cut);
    CHECK(bench.calls.size() == 1);
    REQUIRE(bench.over());
    const auto got = heard(bench.body_text);
    CHECK(got.errors == 1);
    CHECK(got.done == 0);
    CHECK(bench.body_text.find("stream_broken") != std::string::npos);
    bench.check_closed();
  }
}

TEST_CASE("a stop sequence that has not begun is no obstacle") {
  Bench bench;
  all_continue(bench);
  bench.ask(ask_text(true, ",\"stop\":[\"###\"]"));
  bench.far().head(200, "text/event-stream");
  bench.far().body(text_chunk());
  bench.far().fault(FaultKind::cut);
  CHECK(bench.calls.size() == 2);
  bench.customer_leaves();
}

TEST_CASE("only a site that can goes on, and none that failed this request") {
  Bench bench;
  bench.keep_sites(3);
  bench.ask(ask_text(true));
  const std::string first = bench.far().offer->site;
  for (auto& offer : bench.offers)
    if (offer->site != first) {
      offer->can.continue_mode = fleet::ContinueMode::continue_final;
      break;
    }
  bench.far().head(200, "text/event-stream");
  bench.far().body(text_chunk());
  bench.far().fault(FaultKind::cut);
  REQUIRE(bench.calls.size() == 2);
  CHECK(bench.far().offer->can.continue_mode == fleet::ContinueMode::continue_final);
  CHECK(bench.far().request.body.find("\"continue_final_message\":true") != std::string::npos);
  bench.far().head(503, "application/json");
  bench.far().body("{}");
  bench.far().end();
  REQUIRE(bench.over());  // the third cannot
  CHECK(heard(bench.body_text).errors == 1);
  bench.check_closed();
}

TEST_CASE("a seam that fails before its bytes may leave shows nothing of it") {
  Bench bench;
  all_continue(bench);
  bench.journal().at_once = false;
  bench.ask(ask_text(true));
  bench.far().head(200, "text/event-stream");
  bench.far().body(text_chunk("one "));
  bench.release();
  bench.far().fault(FaultKind::cut);
  REQUIRE(bench.calls.size() == 2);
  bench.far().head(200, "text/event-stream");
  bench.far().body(text_chunk("lost "));  // its ATTEMPT is not released
  bench.far().fault(FaultKind::cut);
  REQUIRE(bench.calls.size() == 3);
  CHECK(asked_from(bench.far().request) == "one ");
  bench.release();
  bench.far().head(200, "text/event-stream");
  bench.far().body(text_chunk("two") + finish_chunk() + "data: [DONE]\n\n");
  bench.far().end();
  bench.release();
  bench.check_closed();
  CHECK(heard(bench.body_text).text == "one two");
  const auto& final = final_of(bench);
  CHECK(final.counts.output == 2);
  CHECK(final.results[1].delivered == 0);
  CHECK(final.results[1].pieces == 1);  // waste, on record
}

TEST_CASE("while the next site is silent the customer hears comments, and its deadline is that of a first token") {
  Bench bench;
  bench.keep_sites(2);
  all_continue(bench);
  bench.deadlines.keepalive_ms = 1000;
  bench.deadlines.first_token_ms = 4000;
  bench.ask(ask_text(true));
  bench.far().head(200, "text/event-stream");
  bench.far().body(text_chunk());
  bench.far().fault(FaultKind::cut);
  REQUIRE(bench.calls.size() == 2);
  bench.pass(3500);
  CHECK(bench.alive());
  CHECK(bench.body_text.find(": keep-alive\n\n: keep-alive\n\n") != std::string::npos);
  bench.pass(1000);
  REQUIRE(bench.over());
  CHECK(heard(bench.body_text).errors == 1);
  bench.check_closed();
}

TEST_CASE("the customer's usage is that of one request") {
  struct Case {
    std::string first_usage;  // running, before the cut; or none
    std::uint64_t prompt, second_prompt;
  };
  const auto one = GENERATE(Case{usage_of(12, 2), 12, 900}, Case{"", 30, 32}, Case{"", 9, 1});
  Bench bench;
  all_continue(bench);
  bench.ask(ask_text(true, ",\"stream_options\":{\"include_usage\":true}"));
  bench.far().head(200, "text/event-stream");
  bench.far().body(text_chunk() + text_chunk() + (one.first_usage.empty() ? "" : usage_chunk(one.first_usage)));
  bench.far().fault(FaultKind::cut);
  bench.far().head(200, "text/event-stream");
  bench.far().body(text_chunk() + finish_chunk() + usage_chunk(usage_of(static_cast<std::int64_t>(one.second_prompt), 1)) + "data: [DONE]\n\n");
  bench.far().end();
  bench.check_closed();
  const auto got = heard(bench.body_text);
  CHECK(got.prompt == one.prompt);
  CHECK(got.completion == 3);
}

TEST_CASE("a text that outgrows its bound is no longer followed, and nothing stays held") {
  Bench bench;
  all_continue(bench);
  const bool by_buffers = GENERATE(false, true);
  if (by_buffers) bench.held_bytes_max = 8192;
  else bench.limits.unary_hold_bytes = 8192;
  bench.ask(ask_text(true));
  bench.far().head(200, "text/event-stream");
  for (int i = 0; i < 100; ++i) bench.far().body(text_chunk(std::string(100, 'x')));
  bench.far().fault(FaultKind::cut);
  CHECK(bench.calls.size() == 1);
  CHECK(heard(bench.body_text).errors == 1);
  bench.check_closed();
}

TEST_CASE("the raw route goes on with a longer prompt") {
  Bench bench;
  all_continue(bench, fleet::ContinueMode::raw_text);
  bench.ask("{\"model\":\"m\",\"prompt\":\"Once\",\"max_tokens\":9,\"stream\":true}", engines::Operation::completions);
  bench.far().head(200, "text/event-stream");
  bench.far().body("data: {\"id\":\"c\",\"created\":1,\"model\":\"engine-m\",\"choices\":[{\"index\":0,\"text\":\" upon\",\"finish_reason\":null}]}\n\n");
  bench.far().fault(FaultKind::cut);
  REQUIRE(bench.calls.size() == 2);
  CHECK(bench.far().request.body.find("\"prompt\":\"Once upon\"") != std::string::npos);
  CHECK(bench.far().request.body.find("\"max_tokens\":8") != std::string::npos);
  bench.customer_leaves();
  bench.check_closed();
}

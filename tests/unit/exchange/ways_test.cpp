// Going on in every way that an engine may be asked: the same text, one answer, one bill, whatever the way;
// and what becomes of a way that the engine refuses.
#include "tests/unit/engines/toy_engine.h"
#include "tests/unit/exchange/streams.h"

using namespace trib;
using namespace trib::test;
using fleet::ContinueMode;
using fleet::TemplateAccess;

namespace {

const std::string prompt = "<|u|>How do you do?<|a|>";

void all_by(Bench& bench, TemplateAccess access, ContinueMode mode) {
  for (auto& offer : bench.offers) {
    offer->can.template_access = access;
    offer->can.token_input = fleet::TokenInput::completions;
    offer->can.continue_mode = mode;
    offer->can.dialect = access == TemplateAccess::tokenize_chat ? "vllm" : "llamacpp";
    offer->can.unknown_fields = fleet::UnknownFields::ignore;
  }
}

bool question(const Far& far) {
  return far.request.path.ends_with("tokenize") || far.request.path.ends_with("/apply-template");
}

// Answers what the site is asked until it is the request itself.
void answer_questions(Bench& bench, ToyEngine& toy, bool by_bytes = false) {
  for (int i = 0; i < 20 && !bench.over() && question(bench.far()); ++i) {
    const auto far = bench.calls.back();
    REQUIRE(far->request.path.starts_with("/base/"));
    const auto [status, body] = toy.answer(std::string_view(far->request.path).substr(5), far->request.body);
    far->head(status, "application/json");
    if (by_bytes) {
      for (const char c : body) far->body({&c, 1});
    } else {
      far->body(body);
    }
    far->end();
  }
}

void close_all(Bench& bench, ContinueMode mode) {
  for (auto& offer : bench.offers) offer->ways->close(fleet::way(mode), bench.clock().mono_ns());
}

void refuse(Bench& bench) {
  bench.far().head(400, "application/json");
  bench.far().body("{\"error\":{\"message\":\"no\"}}");
  bench.far().end();
}

void break_after_one(Bench& bench, std::string_view more = "") {
  bench.ask(ask_text(true, more));
  bench.far().head(200, "text/event-stream");
  bench.far().body(role_chunk() + text_chunk("tok "));
  bench.far().fault(FaultKind::cut);
}

}  // namespace

TEST_CASE("by ids and by text, for any cut at any byte the customer's text is that of the uncut stream") {
  const auto access = GENERATE(TemplateAccess::apply, TemplateAccess::tokenize_chat);
  const auto mode = GENERATE(ContinueMode::token_ids, ContinueMode::raw_text);
  // Every byte for both ways and for both templates; of the other pairs one in seven.
  const std::size_t by = (access == TemplateAccess::apply) == (mode == ContinueMode::token_ids) ? 1 : 7;
  for (const auto& script : scripts()) {
    const std::string whole = stream_of(script, 0, "first", 12);
    for (std::size_t cut = 0; cut <= whole.size(); cut += by) {
      INFO(script.name << ", cut at byte " << cut << ", by " << fleet::name(mode) << ", template " << fleet::name(access));
      Bench bench;
      all_by(bench, access, ContinueMode::auto_prefill);
      close_all(bench, ContinueMode::auto_prefill);
      if (mode == ContinueMode::raw_text) close_all(bench, ContinueMode::token_ids);
      ToyEngine toy{.shape = access, .missing = {}, .asked = {}};
      bench.ask(ask_text(true, ",\"stream_options\":{\"include_usage\":true}"));
      bench.far().head(200, "text/event-stream");
      bench.far().body(std::string_view(whole).substr(0, cut));
      bench.far().fault(FaultKind::cut);
      answer_questions(bench, toy);
      if (!bench.over()) {
        const auto& request = bench.far().request;
        const bool begun = request.path == "/base/v1/completions";
        CHECK(begun == !toy.asked.empty());
        std::size_t from = 0;
        if (begun) {
          const auto asked = toy.prompt_of(request.body);
          REQUIRE(asked.starts_with(prompt));
          const auto pieces = pieces_in(script, asked.substr(prompt.size()));
          REQUIRE(pieces);  // on a piece's border
          from = *pieces;
          CHECK((request.body.find("\"prompt\":[") != std::string::npos) == (mode == ContinueMode::token_ids));
        }
        bench.far().head(200, "text/event-stream");
        for (const char c : stream_of(script, from, "second-one", 12 + from, begun)) bench.far().body({&c, 1});
        bench.far().end();
      }
      bench.check_closed();
      check_whole(bench, script);
      CHECK(bench.body_text.find("text_completion") == std::string::npos);
    }
  }
}

TEST_CASE("a site's questions and the request have numbers of their own, and one attempt") {
  Bench bench;
  all_by(bench, TemplateAccess::apply, ContinueMode::auto_prefill);
  for (auto& offer : bench.offers) offer->link = fleet::Tunnelled{1, "0.0.m"};
  ToyEngine toy;
  bench.ask(ask_text(true));
  bench.far().head(200, "text/event-stream");
  bench.far().body(text_chunk("tok "));
  bench.far().fault(FaultKind::tunnel_lost);
  for (int i = 0; i < 20 && question(bench.far()); ++i) {
    const auto far = bench.calls.back();
    CHECK(far->request.deadline_ms == engines::question_ms);
    const auto [status, body] = toy.answer(far->request.path, far->request.body);
    far->head(status, "application/json");
    far->body(body);
    far->end();
  }
  std::vector<std::string> numbers;
  for (const auto& call : bench.calls) numbers.push_back(call->request.attempt);
  CHECK(numbers == std::vector<std::string>{bench.id + "-1", bench.id + "-2", bench.id + "-2.1", bench.id + "-2.2", bench.id + "-2.3", bench.id + "-2.4",
                                            bench.id + "-2.5"});
  CHECK(bench.journal().all<metering::Attempt>().size() == 2);
  bench.customer_leaves();
  bench.check_closed();
}

TEST_CASE("questions that are not answered in time, or at all, lead to the next way") {
  enum class How { silent, fault, missing, rubbish, too_much };
  const auto how = GENERATE(How::silent, How::fault, How::missing, How::rubbish, How::too_much);
  Bench bench;
  all_by(bench, TemplateAccess::apply, ContinueMode::auto_prefill);
  break_after_one(bench);
  REQUIRE(bench.far().request.path == "/base/apply-template");
  switch (how) {
    case How::silent:
      bench.pass(engines::question_ms + 100);
      break;
    case How::fault:
      bench.far().fault(FaultKind::reset_before_head);
      break;
    case How::missing:
      bench.far().head(404, "application/json");
      bench.far().body("{}");
      bench.far().end();
      break;
    case How::rubbish:
      bench.far().head(200, "text/html");
      bench.far().body("<html>");
      bench.far().end();
      break;
    case How::too_much:
      bench.far().head(200, "application/json");
      for (int i = 0; i < 100 && question(bench.far()); ++i) bench.far().body(std::string(4096, ' '));
      break;
  }
  REQUIRE(bench.far().request.path == "/base/v1/chat/completions");
  CHECK(asked_from(bench.far().request) == "tok ");
  bench.far().head(200, "text/event-stream");
  bench.far().body(text_chunk("two") + finish_chunk() + "data: [DONE]\n\n");
  bench.far().end();
  bench.check_closed();
  CHECK(heard(bench.body_text).text == "tok two");
  const auto& final = final_of(bench);
  REQUIRE(final.results.size() == 2);
  CHECK(final.results[1].fault == "none");
  const auto left = bench.calls.back()->offer->ways_left(bench.clock().mono_ns());
  CHECK(((left & fleet::way(ContinueMode::token_ids)) == 0) == (how == How::missing));
}

TEST_CASE("a way that is refused corrects the record, blames nobody, and another is tried at the same site") {
  Bench bench;
  bench.keep_sites(2);
  all_by(bench, TemplateAccess::apply, ContinueMode::auto_prefill);
  ToyEngine toy;
  break_after_one(bench);
  answer_questions(bench, toy);
  const auto second = bench.far().offer;
  REQUIRE(bench.far().request.path == "/base/v1/completions");
  refuse(bench);
  REQUIRE(bench.far().request.path == "/base/v1/chat/completions");
  CHECK(bench.far().offer == second);
  refuse(bench);
  REQUIRE(bench.far().request.path == "/base/v1/completions");  // as text
  CHECK(toy.prompt_of(bench.far().request.body) == prompt + "tok ");
  bench.far().head(200, "text/event-stream");
  bench.far().body(event("{\"id\":\"x\",\"choices\":[{\"index\":0,\"text\":\"two\",\"finish_reason\":null}]}"));
  bench.far().body(event("{\"id\":\"x\",\"choices\":[{\"index\":0,\"text\":\"\",\"finish_reason\":\"stop\"}]}") + "data: [DONE]\n\n");
  bench.far().end();
  bench.check_closed();
  CHECK(heard(bench.body_text).text == "tok two");
  const auto& final = final_of(bench);
  REQUIRE(final.results.size() == 2);
  CHECK(final.results[1].fault == "none");
  CHECK(final.results[1].delivered == 1);
  CHECK(fleet::words_of(second->ways_left(bench.clock().mono_ns())) == "raw_text");
  CHECK(fleet::words_of(second->ways_left(bench.clock().mono_ns() + fleet::OfferWays::closed_ns)) == "token_ids auto_prefill raw_text");
}

TEST_CASE("a site that refuses every way is left for a third, and is not blamed") {
  const bool third = GENERATE(true, false);
  Bench bench;
  bench.keep_sites(third ? 3 : 2);
  all_by(bench, TemplateAccess::none, ContinueMode::auto_prefill);
  break_after_one(bench);
  REQUIRE(bench.calls.size() == 2);
  const auto second = bench.far().offer;
  refuse(bench);
  CHECK(second->ways_left(bench.clock().mono_ns()) == 0);
  if (third) {
    REQUIRE(bench.calls.size() == 3);
    CHECK(asked_from(bench.far().request) == "tok ");
    bench.far().head(200, "text/event-stream");
    bench.far().body(text_chunk("two") + finish_chunk() + "data: [DONE]\n\n");
    bench.far().end();
  }
  bench.check_closed();
  const auto got = heard(bench.body_text);
  CHECK(got.done == (third ? 1 : 0));
  CHECK(got.errors == (third ? 0 : 1));
  const auto& final = final_of(bench);
  CHECK(final.results[1].fault == "continuation_refused");
  CHECK(final.results[1].side == name(Side::none));
  CHECK(second->breaker->word.load() == 0);

  Bench again;  // who has refused every way is not asked in vain
  again.keep_sites(2);
  all_by(again, TemplateAccess::none, ContinueMode::auto_prefill);
  close_all(again, ContinueMode::auto_prefill);
  break_after_one(again);
  CHECK(again.calls.size() == 1);
  CHECK(again.over());
}

TEST_CASE("refusals count against the continuations of a request") {
  Bench bench;
  all_by(bench, TemplateAccess::none, ContinueMode::auto_prefill);
  bench.continuations = 2;
  break_after_one(bench);
  refuse(bench);
  REQUIRE(bench.calls.size() == 3);
  refuse(bench);
  CHECK(bench.calls.size() == 3);
  CHECK(heard(bench.body_text).errors == 1);
  bench.check_closed();
}

TEST_CASE("who leaves, and what runs out, while a question is open") {
  enum class How { leaves, total, drain, first_token, tunnel, memory, journal };
  const auto how = GENERATE(How::leaves, How::total, How::drain, How::first_token, How::tunnel, How::memory, How::journal);
  Bench bench;
  bench.keep_sites(2);
  all_by(bench, TemplateAccess::apply, ContinueMode::token_ids);
  if (how == How::total) bench.deadlines.total_ms = 1000;
  if (how == How::first_token) bench.deadlines.first_token_ms = 1000;
  break_after_one(bench);
  REQUIRE(question(bench.far()));
  switch (how) {
    case How::leaves: bench.customer_leaves(); break;
    case How::total:
    case How::first_token: bench.pass(1500); break;
    case How::drain: bench.drain_expired(); break;
    case How::tunnel:
      bench.lost_tunnels = 9;
      bench.far().head(200, "application/json");
      bench.far().body("{\"prompt\":\"<|a|>\"}");
      bench.far().end();
      break;
    case How::memory:
      bench.held_bytes_max = bench.held_bytes;
      bench.far().head(200, "application/json");
      bench.far().body("{\"prompt\":\"<|a|>\"}");
      break;
    case How::journal:
      bench.fail_journal();
      bench.drain_expired();
      break;
  }
  for (int i = 0; i < 10 && !bench.over() && !bench.left; ++i) bench.far().fault(FaultKind::reset_before_head);
  bench.check_closed();
  if (how != How::leaves) {
    const auto got = heard(bench.body_text);
    CHECK(got.errors == 1);
    CHECK(got.done == 0);
    CHECK(got.text == "tok ");
  }
}

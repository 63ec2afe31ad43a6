// Going on with a broken stream elsewhere: for any cut at any byte the customer's text is that of the
// uncut stream, said once, by one answer, and what each site is paid for sums to what was delivered.
#include <algorithm>
#include <sstream>

#include "tests/unit/exchange/bench.h"

using namespace trib;
using namespace trib::test;

namespace {

// A whole answer as an engine would stream it: its pieces, and how they stand in events.
struct Script {
  const char* name;
  std::vector<std::string> pieces;  // JSON-escaped text of each piece
  bool role_event = true;           // the role alone first; else with each piece
  bool usage = true;
  bool done = true;
  bool null_content = false;        // the first delta says content null
  std::size_t in_one = 1;           // pieces an event
};

const std::vector<Script>& scripts() {
  static const std::vector<Script> all = {
      {"plain", {"Once", " upon", " a", " time", " there", " was", " a", " tide", "."}},
      {"a role in each delta", {"Ja", ",", " ", "ja"}, false},
      {"escapes", {"line\\n", "\\\"quoted\\\"", "tab\\t", "back\\\\slash", "\\u00e9t\\u00e9", "\\ud83d\\ude00", " end"}},
      {"many bytes a sign", {"你好", "，", "世界", "！", "😀", "é"}},
      {"no usage", {"a", "b", "c"}, true, false},
      {"no end", {"a", "b", "c"}, true, true, false},
      {"null content first", {"x", " y", " z"}, true, true, true, true},
      {"several pieces in one event", {"one ", "two ", "three ", "four ", "five "}, true, true, true, false, 2},
      {"repeats itself", {"la ", "la ", "la ", "la ", "la "}},
      {"empty pieces", {"", "a", "", "b", ""}},
  };
  return all;
}

std::string plain(std::string_view escaped) {
  std::string out;
  json::unescape(escaped, out);
  return out;
}
std::string plain(const Script& script, std::size_t pieces = SIZE_MAX) {
  std::string out;
  for (std::size_t i = 0; i < std::min(pieces, script.pieces.size()); ++i) out += plain(script.pieces[i]);
  return out;
}

// What engine `who` streams from piece `from` on, and where each byte stands: piece count after each event.
std::string stream_of(const Script& script, std::size_t from, const std::string& who, std::uint64_t prompt) {
  const auto chunk_by = [&](const std::string& delta, const std::string& finish) {
    return "data: {\"id\":\"id-" + who + "\",\"object\":\"chat.completion.chunk\",\"created\":17" + std::to_string(who.size()) +
           ",\"model\":\"engine-m\",\"choices\":[{\"index\":0,\"delta\":" + delta + ",\"finish_reason\":" + finish + "}]}\n\n";
  };
  std::string out;
  if (script.role_event) out += chunk_by(script.null_content ? "{\"role\":\"assistant\",\"content\":null}" : "{\"role\":\"assistant\",\"content\":\"\"}", "null");
  std::size_t said = 0;
  for (std::size_t i = from; i < script.pieces.size(); i += script.in_one) {
    std::string text;
    for (std::size_t k = i; k < std::min(i + script.in_one, script.pieces.size()); ++k, ++said) text += script.pieces[k];
    out += chunk_by((script.role_event ? "{\"content\":\"" : "{\"role\":\"assistant\",\"content\":\"") + text + "\"}", "null");
  }
  out += chunk_by("{}", "\"stop\"");
  if (script.usage)
    out += "data: {\"id\":\"id-" + who + "\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"engine-m\",\"choices\":[],\"usage\":" +
           usage_of(static_cast<std::int64_t>(prompt), static_cast<std::int64_t>(said)) + "}\n\n";
  if (script.done) out += "data: [DONE]\n\n";
  return out;
}

struct Heard {
  std::string text;
  std::size_t roles = 0, finishes = 0, done = 0, errors = 0, usages = 0;
  std::vector<std::string> ids, models, createds;
  std::uint64_t prompt = 0, completion = 0;
};

Heard heard(std::string_view bytes) {
  Heard out;
  http::SseScanner scanner;
  http::SseEvent event;
  while (scanner.next(bytes, event) != http::SseScanner::Status::need_more) {
    if (event.data.empty()) continue;
    if (event.data == "[DONE]") {
      ++out.done;
      continue;
    }
    engines::AnswerFacts facts;
    facts.text = &out.text;
    REQUIRE(engines::read_answer(event.data, false, facts));
    REQUIRE(out.done == 0);
    if (facts.error) {
      ++out.errors;
      continue;
    }
    out.roles += facts.role ? 1u : 0u;
    out.finishes += facts.finishes;
    const auto once = [](std::vector<std::string>& all, std::string_view one) {
      if (std::find(all.begin(), all.end(), one) == all.end()) all.emplace_back(one);
    };
    once(out.ids, facts.id);
    once(out.models, facts.model);
    if (facts.choices) once(out.createds, facts.created);
    if (facts.usage == engines::UsageState::valid) {
      ++out.usages;
      out.prompt = facts.counts.input;
      out.completion = facts.counts.output;
    }
  }
  CHECK(scanner.held_bytes() == 0);
  return out;
}

// The assistant's text that a continuation was asked to go on from.
std::string asked_from(const http::CallRequest& request) {
  json::Cursor in(request.body);
  std::string text;
  std::string_view key;
  REQUIRE(in.enter_object());
  while (in.next_key(key)) {
    if (key != "messages") {
      in.skip();
      continue;
    }
    REQUIRE(in.enter_array());
    while (in.next_element()) {
      REQUIRE(in.enter_object());
      std::string_view inner;
      while (in.next_key(inner)) {
        if (inner == "content") {
          text.clear();
          in.read_string(text);
        } else {
          in.skip();
        }
      }
    }
  }
  REQUIRE(in.ok());
  return text;
}

void all_continue(Bench& bench, fleet::ContinueMode mode = fleet::ContinueMode::auto_prefill) {
  for (auto& offer : bench.offers) {
    offer->can.continue_mode = mode;
    offer->can.tools = true;
  }
}

// How many pieces the text is; none: it is cut within one.
std::optional<std::size_t> pieces_in(const Script& script, const std::string& text) {
  std::string so_far;
  for (std::size_t i = 0; i <= script.pieces.size(); i += i == 0 && script.in_one > 1 ? script.in_one : 1) {
    so_far = plain(script, i);
    if (so_far == text) {
      std::size_t last = i;  // pieces that say nothing: the furthest that fits
      while (last < script.pieces.size() && script.pieces[last].empty()) ++last;
      return last;
    }
  }
  return std::nullopt;
}

}  // namespace

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
      const auto got = heard(bench.body_text);
      CHECK(got.text == plain(script));
      CHECK(got.done == 1);
      CHECK(got.errors == 0);
      CHECK(got.finishes == 1);
      CHECK(got.ids.size() == 1);
      CHECK(got.createds.size() == 1);
      CHECK(got.models == std::vector<std::string>{"m"});
      if (script.role_event) CHECK(got.roles == 1);
      REQUIRE(got.usages == 1);
      const auto& final = final_of(bench);
      CHECK(final.outcome == metering::Outcome::completed);
      CHECK(final.counts.input == got.prompt);
      CHECK(final.counts.output == got.completion);
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

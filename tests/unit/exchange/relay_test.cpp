// The relay: what engines say and what customers get.
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/unit/exchange/bench.h"

using namespace trib;
using namespace trib::test;

namespace {

std::size_t count(std::string_view text, std::string_view of) {
  std::size_t n = 0;
  for (std::size_t at = 0; (at = text.find(of, at)) != text.npos; at += of.size()) ++n;
  return n;
}

// The data of each event a customer got; each must be JSON or [DONE].
std::vector<std::string> events(std::string_view text) {
  http::SseScanner scanner;
  http::SseEvent event;
  std::vector<std::string> out;
  while (true) {
    const auto status = scanner.next(text, event);
    if (status == http::SseScanner::Status::need_more) break;
    if (status != http::SseScanner::Status::event) continue;
    out.emplace_back(event.data);
    if (event.data != "[DONE]") {
      INFO(event.data);
      CHECK(json::valid(event.data));
    }
  }
  CHECK(scanner.held_bytes() == 0);
  return out;
}

std::string stream(Bench& bench, std::string_view bytes, std::string_view more = "") {
  bench.ask(ask_text(true, more));
  bench.far().head(200, "text/event-stream");
  bench.far().body(bytes);
  bench.far().end();
  bench.check_closed();
  return bench.body_text;
}

std::string unary(Bench& bench, std::string_view body) {
  bench.ask(ask_text(false));
  bench.far().head(200, "application/json; charset=utf-8");
  bench.far().body(body);
  bench.far().end();
  bench.check_closed();
  CHECK(json::valid(bench.body_text));
  return bench.body_text;
}

}  // namespace

TEST_CASE("the engine is asked in its own words") {
  Bench bench;
  const bool tunnelled = GENERATE(false, true);
  if (tunnelled)
    for (auto& offer : bench.offers) offer->link = fleet::Tunnelled{7, "o"};
  bench.ask(ask_text(true, ",\"unknown\":[1,2]"));
  const auto& request = bench.far().request;
  CHECK(request.method == "POST");
  CHECK(request.path == (tunnelled ? "/v1/chat/completions" : "/base/v1/chat/completions"));
  CHECK(request.content_type == "application/json");
  CHECK(json::valid(request.body, {64, true}));
  CHECK(request.body.find("\"model\":\"engine-m\"") != std::string::npos);
  CHECK(request.body.find("\"include_usage\":true") != std::string::npos);
  CHECK(request.body.find("\"unknown\":[1,2]") != std::string::npos);
  CHECK(request.attempt == (tunnelled ? bench.id + "-1" : ""));
  bench.far().fault(FaultKind::connect_refused);
  CHECK(bench.far().request.attempt == (tunnelled ? bench.id + "-2" : ""));
  bench.customer_leaves();
  bench.check_closed();
}

TEST_CASE("invariant 17: an engine that sends or claims more than was asked for is not the customer's to pay", "[invariant]") {
  Bench bench;
  const bool claims = GENERATE(false, true);
  bench.ask(ask_text(true));  // at most 64 tokens
  bench.far().head(200, "text/event-stream");
  std::string events;
  for (int i = 0; i < 70; ++i) events += text_chunk();
  bench.far().body(events + finish_chunk() + (claims ? "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":70,\"total_tokens\":73}}\n\n" : "") +
                   "data: [DONE]\n\n");
  const auto finals = bench.journal().all<metering::Final>();
  REQUIRE(finals.size() == 1);
  CHECK(finals[0]->counts.output == 64);
  CHECK(finals[0]->source == metering::CountSource::estimate);
  CHECK(finals[0]->results[0].delivered == 64);
  bench.check_closed();
}

TEST_CASE("invariant 18: a request whose hold has expired ends without a charge", "[invariant]") {
  Bench bench;
  bench.ask(ask_text(true));
  bench.far().head(200, "text/event-stream");
  bench.far().body(text_chunk());
  REQUIRE(bench.tenant->expire(INT64_MAX).size() == 1);
  CHECK(bench.tenant->view().held.zero());
  bench.far().body(finish_chunk() + "data: [DONE]\n\n");
  const auto finals = bench.journal().all<metering::Final>();
  REQUIRE(finals.size() == 1);
  CHECK(finals[0]->outcome == metering::Outcome::failed);
  CHECK(finals[0]->counts.total() == 0);
  CHECK(finals[0]->results[0].delivered == 0);
  CHECK(bench.tenant->view().balance == *money::Amount::parse("100"));
  CHECK(bench.tenant->view().in_flight == 0);
}

TEST_CASE("the head is the gateway's own") {
  Bench bench;
  stream(bench, text_chunk() + finish_chunk() + "data: [DONE]\n\n");
  CHECK(bench.status == 200);
  CHECK_FALSE(bench.length);
  CHECK(bench.fields == "Content-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\nx-request-id: " + bench.id + "\r\n");
}

TEST_CASE("events that need nothing pass as bytes, others have only what is the gateway's own put in place") {
  Bench bench;
  const std::string plain = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\\u00e9\"}}],\"model\":\"m\" , \"x\":{\"y\":[ ]}}\n\n";
  const std::string other = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"b\"}}], \"model\" : \"engine-m\" , \"x\":{\"y\":[ ]}}\r\n\r\n";
  const auto got = stream(bench, plain + other + finish_chunk() + "data: [DONE]\n\n");
  CHECK(got.starts_with(plain + "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"b\"}}], \"model\" : \"m\" , \"x\":{\"y\":[ ]}}\n\n"));
  CHECK(got.find("engine-m") == std::string::npos);
  CHECK(count(got, "[DONE]") == 1);
}

TEST_CASE("a public name that needs quoting is quoted") {
  Bench bench;
  bench.ask("{\"model\":\"m\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}");
  bench.far().head(200, "text/event-stream");
  bench.far().body("data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}],\"model\":\"\\u006d\"}\n\n");
  CHECK(bench.body_text == "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}],\"model\":\"m\"}\n\n");
  bench.customer_leaves();
}

TEST_CASE("an event whose data stands on several lines stays one event when it is edited") {
  Bench bench;
  const auto got = stream(bench, "data: {\"model\":\"engine-m\",\ndata: \"choices\":[{\"delta\":\ndata: {\"content\":\"x\"}}]}\n\n" +
                                     finish_chunk() + "data: [DONE]\n\n");
  const auto data = events(got);
  REQUIRE(data.size() == 3);
  CHECK(data[0].find("\"content\":\"x\"") != std::string::npos);
  CHECK(data[0].find("\"model\":\"m\"") != std::string::npos);
}

TEST_CASE("usage and timings are cut out of events wherever they stand") {
  const std::string usage = "\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":1}", timings = "\"timings\":{\"predicted_ms\":1.5}";
  const std::string choices = "\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]", model = "\"model\":\"engine-m\"";
  std::vector<std::string> members{usage, timings, choices, model};
  std::sort(members.begin(), members.end());
  int orders = 0;
  do {
    for (const std::string comma : {",", " , ", ",\n "}) {
      std::string object = "{";
      for (const auto& member : members) object += (object.size() > 1 ? comma : "") + member;
      object += comma == "," ? "}" : " }";
      if (comma == ",\n ") {
        std::string lines = "data: ";
        for (const char c : object) lines += c == '\n' ? "\ndata: " : std::string(1, c);
        object = lines.substr(6);
      }
      INFO(object);
      Bench bench;
      const auto got = stream(bench, "data: " + object + "\n\ndata: [DONE]\n\n");
      const auto data = events(got);
      REQUIRE(data.size() == 2);
      CHECK(data[0].find("usage") == std::string::npos);
      CHECK(data[0].find("timings") == std::string::npos);
      CHECK(data[0].find("\"model\":\"m\"") != std::string::npos);
      CHECK(data[0].find(choices) != std::string::npos);
      CHECK(final_of(bench).counts.input == 12);
      ++orders;
    }
  } while (std::next_permutation(members.begin(), members.end()));
  CHECK(orders == 72);
}

TEST_CASE("usage in a whole body is the billed one wherever it stands, and timings go") {
  const std::string timings = "\"timings\":{\"predicted_ms\":1.5}", model = "\"model\":\"engine-m\"";
  const std::string choices = "\"choices\":[{\"index\":0,\"message\":{\"content\":\"tok tok\"},\"finish_reason\":\"stop\"}]";
  for (const std::string claim : {"\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":9999}", "\"usage\":null",
                                  "\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":2}", ""}) {
    std::vector<std::string> members{timings, choices, model};
    if (!claim.empty()) members.push_back(claim);
    std::sort(members.begin(), members.end());
    do {
      std::string object = "{";
      for (const auto& member : members) object += (object.size() > 1 ? ", " : " ") + member;
      object += " }\n";
      INFO(object);
      Bench bench;
      const auto got = unary(bench, object);
      CHECK(got.find("timings") == std::string::npos);
      CHECK(got.find("\"model\":\"m\"") != std::string::npos);
      CHECK(count(got, "\"usage\"") == 1);
      const auto& counts = final_of(bench).counts;
      const auto want = claim.find("9999") != std::string::npos || claim.find(":2}") != std::string::npos ? 12u : 9u;
      CHECK(counts.input == want);
      CHECK(counts.output == 2);
      CHECK(got.find("\"prompt_tokens\":" + std::to_string(want)) != std::string::npos);
      CHECK(got.find("\"completion_tokens\":2") != std::string::npos);
      CHECK(got.find("9999") == std::string::npos);
    } while (std::next_permutation(members.begin(), members.end()));
  }
}

TEST_CASE("a member that stands twice is refused: who counts and who reads might differ") {
  for (const std::string body : {"{\"choices\":[{\"delta\":{\"content\":\"aaaa\"}}],\"choices\":[{\"delta\":{\"content\":\"b\"}}]}",
                                 "{\"choices\":[{\"delta\":{\"content\":\"aaaa\",\"content\":\"b\"}}]}",
                                 "{\"choices\":[{\"delta\":{\"content\":\"aaaa\"},\"delta\":{\"content\":\"b\"}}]}",
                                 "{\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"usage\":{},\"us\\u0061ge\":null}",
                                 "{\"model\":\"a\",\"model\":\"b\",\"choices\":[{\"delta\":{\"content\":\"a\"}}]}"}) {
    INFO(body);
    Bench bench;
    bench.keep_sites(1);
    bench.ask(ask_text(true));
    bench.far().head(200, "text/event-stream");
    bench.far().body("data: " + body + "\n\n");
    CHECK(bench.status == 502);
    bench.check_closed();
    CHECK(final_of(bench).results[0].fault == "bad_event");
  }
}

TEST_CASE("the usage chunk comes to those who asked, and says what is billed") {
  const std::string answer = role_chunk() + text_chunk() + finish_chunk() + usage_chunk(usage_of(12, 1)) + "data: [DONE]\n\n";
  SECTION("asked") {
    Bench bench;
    const auto data = events(stream(bench, answer, ",\"stream_options\":{\"include_usage\":true}"));
    REQUIRE(data.size() == 5);
    CHECK(data[3] == "{\"id\":\"cmpl-7\",\"object\":\"chat.completion.chunk\",\"created\":1767225600,\"model\":\"m\",\"choices\":[],"
                     "\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":1,\"total_tokens\":13,\"prompt_tokens_details\":{\"cached_tokens\":0}}}");
  }
  SECTION("not asked") {
    Bench bench;
    const auto got = stream(bench, answer);
    CHECK(got.find("usage") == std::string::npos);
    CHECK(events(got).size() == 4);
  }
  SECTION("asked, and the engine gave none or nonsense") {
    for (const std::string usage : {"", "null", "{\"prompt_tokens\":-1,\"completion_tokens\":1}", "{\"prompt_tokens\":12,\"completion_tokens\":777}"}) {
      Bench bench;
      const auto data = events(stream(bench, role_chunk() + text_chunk() + finish_chunk() + (usage.empty() ? "" : usage_chunk(usage)) + "data: [DONE]\n\n",
                                      ",\"stream_options\":{\"include_usage\":true}"));
      REQUIRE(data.size() == 5);
      const auto& counts = final_of(bench).counts;
      CHECK(data[3].find(engines::usage_json(counts, engines::Operation::chat)) != std::string::npos);
      CHECK(counts.output == 1);
    }
  }
  SECTION("asked, by an engine that gives no ids") {
    Bench bench;
    const auto data = events(stream(bench, "data: {\"choices\":[{\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
                                    ",\"stream_options\":{\"include_usage\":true}"));
    REQUIRE(data.size() == 3);
    CHECK(data[1].find("\"id\":\"" + bench.id + "\"") != std::string::npos);
  }
}

TEST_CASE("the role waits for the first text, whatever comes between, and nothing is lost") {
  Bench bench;
  bench.ask(ask_text(true, ",\"n\":2"));
  bench.far().head(200, "text/event-stream");
  const auto of = [](int index, const char* delta, const char* finish = "null") {
    return event("{\"model\":\"m\",\"choices\":[{\"index\":" + std::to_string(index) + ",\"delta\":" + delta + ",\"finish_reason\":" + finish + "}]}");
  };
  bench.far().body(of(0, "{\"role\":\"assistant\"}"));
  bench.far().body(of(1, "{\"role\":\"assistant\"}"));
  bench.far().body(of(0, "{\"content\":\"\"}"));
  CHECK(bench.status == 0);
  bench.far().body(of(1, "{\"content\":\"one\"}"));
  CHECK(bench.status == 200);
  CHECK(count(bench.body_text, "\"role\"") == 2);  // each choice's own
  bench.far().body(event("{\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\"},\"logprobs\":{\"content\":[{\"token\":\"x\"}]}}]}"));
  CHECK(bench.body_text.find("\"token\":\"x\"") != std::string::npos);  // an empty text may carry more
  bench.far().body(of(0, "{\"content\":\"zero\"}"));
  bench.far().body(of(1, "{}", "\"stop\""));
  CHECK(bench.alive());
  SECTION("whole when every choice has finished") {
    bench.far().body(of(0, "{}", "\"length\""));
    bench.far().end();
    CHECK(bench.body_text.ends_with("data: [DONE]\n\n"));
  }
  SECTION("cut when one has not") {
    bench.far().end();
    CHECK(bench.body_text.find("stream_broken") != std::string::npos);
    CHECK(final_of(bench).outcome == metering::Outcome::partial);
  }
  bench.check_closed();
}

TEST_CASE("a finish_reason that is empty is none") {
  Bench bench;
  bench.ask(ask_text(true));
  bench.far().head(200, "text/event-stream");
  bench.far().body(chunk("{\"content\":\"x\"}", "\"\""));
  bench.far().end();
  CHECK(bench.body_text.find("stream_broken") != std::string::npos);
  bench.check_closed();
}

TEST_CASE("an engine that never says anything but empty deltas is held in bounded memory") {
  Bench bench;
  bench.keep_sites(1);
  bench.ask(ask_text(true));
  bench.far().head(200, "text/event-stream");
  for (int i = 0; i < 20'000; ++i) bench.far().body(role_chunk());
  bench.pass(30'100);
  CHECK(bench.status == 504);
  bench.check_closed();
}

TEST_CASE("keep-alive comments come only after the head, while the engine thinks") {
  Bench bench;
  bench.ask(ask_text(true));
  bench.pass(11'000);
  bench.far().head(200, "text/event-stream");
  bench.far().body(role_chunk());
  bench.pass(11'000);
  CHECK(bench.writes == 0);
  bench.far().body(text_chunk());
  const auto before = bench.body_text;
  bench.pass(4'900);
  CHECK(bench.body_text == before);
  bench.pass(200);
  CHECK(bench.body_text == before + ": keep-alive\n\n");
  bench.pass(5'000);
  CHECK(bench.body_text == before + ": keep-alive\n\n: keep-alive\n\n");
  SECTION("not into a queue that is not taken") {
    bench.unsent = 10;
    bench.pass(4'800);
    CHECK(count(bench.body_text, ": keep-alive") == 2);
  }
  bench.customer_leaves();
  bench.check_closed();
}

TEST_CASE("a large body has no comments in it") {
  Bench bench;
  bench.ask(ask_text(false));
  bench.far().head(200, "application/json");
  bench.far().body("{\"choices\":[{\"message\":{\"content\":\"" + std::string(1'100'000, 'x'));
  REQUIRE(bench.status == 200);
  const auto writes = bench.writes;
  bench.pass(14'000);
  CHECK(bench.writes == writes);
  bench.far().body("\"},\"finish_reason\":\"stop\"}]}");
  bench.far().end();
  CHECK(json::valid(bench.body_text));
  bench.check_closed();
}

TEST_CASE("the engine is read no further than the customer takes") {
  for (const bool as_stream : {true, false}) {
    Bench bench;
    bench.ask(ask_text(as_stream));
    bench.far().head(200, as_stream ? "text/event-stream" : "application/json");
    if (as_stream) {
      bench.far().body(text_chunk());
    } else {
      bench.far().body("{\"choices\":[{\"message\":{\"content\":\"" + std::string(1'100'000, 'x'));
    }
    REQUIRE(bench.status == 200);
    const auto more = [&] { bench.far().body(as_stream ? text_chunk() : std::string(20'000, 'x')); };
    bench.unsent = 64u << 10;
    more();
    CHECK_FALSE(bench.far().paused);
    bench.unsent = (64u << 10) + 1;
    more();
    CHECK(bench.far().paused);
    more();  // what one read still brings
    CHECK(bench.far().pauses == 1);
    bench.pass(20'000);  // its gap does not run while nobody reads it
    CHECK(bench.alive());
    bench.customer_took_all();
    CHECK_FALSE(bench.far().paused);
    bench.pass(14'000);  // and runs from now
    CHECK(bench.alive());
    bench.pass(1'200);
    CHECK_FALSE(bench.alive());
    bench.check_closed();
  }
}

TEST_CASE("marks follow the counts: every 32 pieces or each second") {
  Bench bench;
  bench.ask(ask_text(true));
  bench.far().head(200, "text/event-stream");
  for (int i = 0; i < 100; ++i) bench.far().body(text_chunk());
  auto marks = bench.journal().all<metering::Progress>();
  REQUIRE(marks.size() == 3);
  CHECK(marks[0]->pieces == 32);
  CHECK(marks[0]->bytes == 128);
  CHECK(marks[2]->pieces == 96);
  bench.pass(1'000);
  CHECK(bench.journal().all<metering::Progress>().size() == 3);  // nothing new, nothing to mark
  bench.far().body(text_chunk());
  marks = bench.journal().all<metering::Progress>();
  REQUIRE(marks.size() == 4);
  CHECK(marks[3]->pieces == 101);
  CHECK(marks[3]->n == 1);
  bench.customer_leaves();
  bench.check_closed();
}

TEST_CASE("no mark is made of what has not left: a recovery would bill it") {
  Bench bench;
  bench.journal().at_once = false;
  bench.ask(ask_text(true));
  bench.far().head(200, "text/event-stream");
  for (int i = 0; i < 100; ++i) {
    bench.far().body(text_chunk());
    bench.pass(50);
  }
  CHECK(bench.journal().all<metering::Progress>().empty());
  bench.release();
  CHECK(bench.status == 200);
  bench.far().body(text_chunk());
  const auto marks = bench.journal().all<metering::Progress>();
  REQUIRE(marks.size() == 1);
  CHECK(marks[0]->pieces == 101);
  bench.customer_leaves();
  bench.check_closed();
}

TEST_CASE("an embeddings answer") {
  const auto ask = [](Bench& bench) { bench.ask("{\"model\":\"m\",\"input\":\"How do you do?\"}", engines::Operation::embeddings); };
  SECTION("whole: the prompt is billed") {
    Bench bench;
    ask(bench);
    CHECK(bench.far().request.path == "/base/v1/embeddings");
    bench.far().head(200, "application/json");
    bench.far().body("{\"object\":\"list\",\"model\":\"engine-m\",\"data\":[{\"embedding\":[0.1]}],\"usage\":{\"prompt_tokens\":6,\"total_tokens\":6}}");
    bench.far().end();
    CHECK(bench.body_text == "{\"object\":\"list\",\"model\":\"m\",\"data\":[{\"embedding\":[0.1]}],\"usage\":{\"prompt_tokens\":6,\"total_tokens\":6}}");
    bench.check_closed();
    CHECK(final_of(bench).counts.input == 6);
    CHECK(final_of(bench).counts.output == 0);
  }
  SECTION("without usage") {
    Bench bench;
    ask(bench);
    bench.far().head(200, "application/json");
    bench.far().body("{\"data\":[{\"embedding\":[0.1]}]}");
    bench.far().end();
    CHECK(bench.body_text == "{\"data\":[{\"embedding\":[0.1]}],\"usage\":{\"prompt_tokens\":5,\"total_tokens\":5}}");
    bench.check_closed();
  }
  SECTION("without data it is none") {
    for (const char* const body : {"{}", "{\"object\":\"list\"}", "{\"data\":null}", "{\"data\":[]}", "{\"usage\":{\"prompt_tokens\":5}}"}) {
      Bench bench;
      bench.keep_sites(1);
      ask(bench);
      bench.far().head(200, "application/json");
      bench.far().body(body);
      bench.far().end();
      INFO(body);
      CHECK(bench.status == 502);
      CHECK(bench.charged.zero());
      bench.check_closed();
    }
  }
}

TEST_CASE("old completions are relayed too") {
  Bench bench;
  bench.ask("{\"model\":\"m\",\"prompt\":\"How\",\"stream\":true,\"stream_options\":{\"include_usage\":true}}", engines::Operation::completions);
  bench.far().head(200, "text/event-stream");
  bench.far().body("data: {\"id\":\"c\",\"created\":1,\"model\":\"engine-m\",\"choices\":[{\"text\":\"a b\",\"index\":0,\"finish_reason\":null}]}\n\n");
  bench.far().body("data: {\"choices\":[{\"text\":\"\",\"index\":0,\"finish_reason\":\"length\"}]}\n\ndata: [DONE]\n\n");
  const auto data = events(bench.body_text);
  REQUIRE(data.size() == 4);
  CHECK(data[2].find("\"object\":\"text_completion\"") != std::string::npos);
  bench.check_closed();
}

// ---- every cut --------------------------------------------------------------------------------------

namespace {

struct Outcome {
  int status = 0;
  std::string body;
  metering::Outcome outcome{};
  metering::TokenCounts counts;
  std::size_t calls = 0;
  bool operator==(const Outcome&) const = default;
};

// One exchange at one site whose answer arrives in these pieces, then ends.
template <class Pieces>
Outcome relayed(bool as_stream, const Pieces& pieces, bool at_once) {
  Bench bench;
  bench.journal().at_once = at_once;
  bench.keep_sites(1);
  bench.ask(ask_text(as_stream, as_stream ? ",\"stream_options\":{\"include_usage\":true}" : ""));
  bench.release();  // else what breaks in the first read is silently asked for elsewhere
  bench.far().head(200, as_stream ? "text/event-stream" : "application/json");
  for (const auto& piece : pieces) {
    bench.far().body(piece);
    if (!at_once) bench.release();
  }
  bench.far().end();
  bench.release();
  bench.check_closed();
  auto body = bench.body_text;
  for (std::size_t at = 0; (at = body.find(bench.id, at)) != std::string::npos;) body.replace(at, bench.id.size(), "ID");
  const auto& final = final_of(bench);
  return {bench.status, body, final.outcome, final.counts, bench.calls.size()};
}

void cut_everywhere(const std::string& name, bool as_stream, const std::string& bytes) {
  INFO(name);
  const std::vector<std::string> whole_pieces{bytes};
  const auto whole = relayed(as_stream, whole_pieces, true);
  REQUIRE(whole.status != 0);
  for (const bool at_once : {true, false}) {
    for (std::size_t at = 1; at < bytes.size(); ++at) {
      const std::vector<std::string> pieces{bytes.substr(0, at), bytes.substr(at)};
      INFO(at);
      REQUIRE(relayed(as_stream, pieces, at_once) == whole);
    }
    std::vector<std::string> single;
    for (const char c : bytes) single.emplace_back(1, c);
    REQUIRE(relayed(as_stream, single, at_once) == whole);
  }
}

std::string with_line_ends(std::string_view text, std::string_view end) {
  std::string out;
  for (const char c : text) c == '\n' ? out.append(end) : out.append(1, c);
  return out;
}

}  // namespace

TEST_CASE("an exchange is the same however its answer is cut") {
  std::size_t exchanges = 0;
  for (const auto& file : std::filesystem::directory_iterator("tests/corpus/sse")) {
    std::ifstream in(file.path(), std::ios::binary);
    std::stringstream text;
    text << in.rdbuf();
    cut_everywhere(file.path().filename().string(), true, text.str());
    ++exchanges;
  }
  CHECK(exchanges >= 10);
  const std::string done = "data: [DONE]\n\n";
  const std::pair<const char*, std::string> made[] = {
      {"plain", role_chunk() + text_chunk() + text_chunk() + finish_chunk() + usage_chunk(usage_of(12, 2)) + done},
      {"no [DONE]", role_chunk() + text_chunk() + finish_chunk()},
      {"no finish", role_chunk() + text_chunk()},
      {"[DONE] alone", done},
      {"nothing", ": \n\n"},
      {"comments", ": a\n\n" + role_chunk() + ": b\n" + text_chunk() + ": c\n\n" + finish_chunk() + ": d\n\n" + done + ": e\n\n"},
      {"a tool call", role_chunk() + chunk("{\"tool_calls\":[{\"index\":0,\"id\":\"c\",\"function\":{\"name\":\"f\",\"arguments\":\"\"}}]}") +
                          chunk("{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\\\"a\\\":1}\"}}]}") + finish_chunk("tool_calls") + done},
      {"reasoning", role_chunk() + chunk("{\"reasoning_content\":\"hm\"}") + text_chunk() + finish_chunk() + done},
      {"usage in every event", chunk("{\"content\":\"a\"}", "null", ",\"usage\":" + usage_of(12, 1)) + chunk("{\"content\":\"b\"}", "\"stop\"", ",\"usage\":" + usage_of(12, 2)) + done},
      {"usage null in every event", chunk("{\"content\":\"a\"}", "null", ",\"usage\":null") + finish_chunk() + done},
      {"timings", chunk("{\"content\":\"a\"}", "\"stop\"", ",\"usage\":" + usage_of(12, 1) + ",\"timings\":{\"prompt_n\":1}") + done},
      {"an error in the middle", role_chunk() + text_chunk() + event("{\"error\":{\"message\":\"m\"}}") + text_chunk()},
      {"rubbish in the middle", role_chunk() + text_chunk() + event("{\"choices\":") + text_chunk()},
      {"rubbish first", event("x") + text_chunk()},
      {"a torn end", role_chunk() + text_chunk() + finish_chunk() + "data: {\"cho"},
      {"several lines", "event: message\nid: 7\ndata: {\"choices\":[{\"delta\":\ndata: {\"content\":\"x\"},\ndata: \"finish_reason\":\"stop\"}]}\n\n" + done},
      {"text beyond ASCII", text_chunk("é中😀\\ud83d\\ude00\\n\\\"") + finish_chunk() + done},
      {"two choices", event("{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}},{\"index\":1,\"delta\":{\"content\":\"b\"}}]}") + finish_chunk() + done},
      {"no blank after the colon", "data:{\"choices\":[{\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]}\n\ndata:[DONE]\n\n"},
      {"fields that are none", "retry: 10\n\nfoo\n\n: x\n\n" + text_chunk() + finish_chunk() + done},
      {"more after the end", text_chunk() + finish_chunk() + done + text_chunk() + done},
  };
  for (const auto& [name, bytes] : made) {
    for (const char* const end : {"\n", "\r\n", "\r"}) {
      if (*end != '\n' && bytes.size() > 900) continue;
      cut_everywhere(name, true, with_line_ends(bytes, end));
      ++exchanges;
    }
  }
  CHECK(exchanges >= 50);
  const std::pair<const char*, std::string> bodies[] = {
      {"plain", unary_body("tok tok", ",\"usage\":" + usage_of(12, 2))},
      {"no usage", unary_body("tok tok", "")},
      {"blanks", " \n" + unary_body("tok tok", " , \"usage\" : null ") + " \r\n"},
      {"timings", unary_body("tok", ",\"timings\":{\"a\":1},\"usage\":" + usage_of(12, 1))},
      {"half", unary_body("tok", "").substr(0, 60)},
      {"rubbish", "<html></html>"},
      {"an error", "{\"error\":{\"message\":\"m\"}}"},
  };
  for (const auto& [name, bytes] : bodies) cut_everywhere(name, false, bytes);
}

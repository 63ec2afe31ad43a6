// The retry matrix: fault x phase -> what the customer sees, what is billed, which sites were asked.
// One table. Every row runs twice: the journal releasing at once, and only after each step. Bench
// checks at every byte and at the end what must hold in all of them.
#include <map>
#include <sstream>

#include "tests/unit/exchange/bench.h"

using namespace trib;
using namespace trib::test;

namespace {

struct Row {
  const char* name;
  const char* script;  // steps; '|' asserts that another site is being asked
  const char* sees;    // status : text or code : end
  const char* billed;  // outcome input+cached>output source
  const char* faults;  // of the attempts, in order
};

std::vector<std::string> split(std::string_view text, char at) {
  std::vector<std::string> out;
  std::istringstream in{std::string(text)};
  for (std::string part; std::getline(in, part, at);)
    if (!part.empty()) out.push_back(part);
  return out;
}

std::string error_body(std::string_view message, std::string_view type = "whatever", std::string_view code = "null") {
  return "{\"error\":{\"message\":\"" + std::string(message) + "\",\"type\":\"" + std::string(type) + "\",\"code\":" + std::string(code) + "}}";
}

void refuse(Far& far, int status, std::string_view retry_after, std::string_view body) {
  far.head(status, "application/json", retry_after);
  far.body(body);
  far.end();
}

void step(Bench& bench, const std::string& word, bool stream) {
  const auto parts = split(word, '/');
  const std::string& what = parts[0];
  const auto number = [&](std::size_t i) { return std::stoll(parts.at(i)); };
  Far& far = bench.far();
  if (what == "head") return far.head(200, stream ? "text/event-stream" : "application/json");
  if (what == "html") return far.head(200, "text/html");
  if (what == "other") return far.head(200, stream ? "application/json" : "text/event-stream");
  if (what == "untyped") return far.head(200, "");
  if (what[0] == 's' && what.size() == 4 && what[1] >= '1' && what[1] <= '9')
    return refuse(far, std::stoi(what.substr(1)), parts.size() > 1 ? parts[1] : "", error_body("says " + what));
  if (what == "ctx") return refuse(far, 400, "", error_body("too long", "x", "\"context_length_exceeded\""));
  if (what == "role") return far.body(role_chunk());
  if (what == "text") return far.body(text_chunk());
  if (what == "think") return far.body(chunk("{\"reasoning_content\":\"hm \"}"));
  if (what == "tool") return far.body(chunk("{\"tool_calls\":[{\"index\":0,\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}"));
  if (what == "empty") return far.body(chunk("{\"content\":\"\"}"));
  if (what == "finish") return far.body(finish_chunk());
  if (what == "filter") return far.body(finish_chunk("content_filter"));
  if (what == "usage") return far.body(usage_chunk(usage_of(number(1), number(2))));
  if (what == "usage!") return far.body(usage_chunk(parts.at(1)));
  if (what == "done") return far.body("data: [DONE]\n\n");
  if (what == "comment") return far.body(": ping\n\n");
  if (what == "badevent") return far.body("data: {\"choices\":[{\n\n");
  if (what == "notjson") return far.body("data: hello\n\n");
  if (what == "errobj") return far.body("data: " + error_body("cuda out of memory") + "\n\n");
  if (what == "big") return far.body("data: " + std::string(2'000'000, 'x'));
  if (what == "torn") return far.body(text_chunk().substr(0, 40));
  if (what == "whole") return far.body(unary_body("tok tok tok", parts.size() == 1 ? "" : ",\"usage\":" + usage_of(number(1), number(2))));
  if (what == "whole!") return far.body(unary_body("tok tok tok", ",\"usage\":" + parts.at(1)));
  if (what == "silent") return far.body(unary_body("", ",\"usage\":" + usage_of(12, 0)));
  if (what == "half") return far.body(unary_body("tok tok tok", "").substr(0, 90));
  if (what == "nochoices") return far.body("{\"object\":\"list\"}");
  if (what == "unfinished") return far.body("{\"choices\":[{\"message\":{\"content\":\"tok\"},\"finish_reason\":null}]}");
  if (what == "errbody") return far.body(error_body("cuda out of memory"));
  if (what == "rubbish") return far.body("<html>");
  if (what == "large") {  // above unary_hold
    far.body("{\"model\":\"m\",\"choices\":[{\"message\":{\"content\":\"" + std::string(1'200'000, 'x'));
    return;
  }
  if (what == "rest") {
    far.body("\"},\"finish_reason\":\"stop\"}],\"usage\":" + usage_of(12, 60) + "}");
    return;
  }
  if (what == "end") return far.end();
  if (what == "cut") return far.fault(FaultKind::cut);
  if (what == "reset") return far.fault(FaultKind::reset_before_head);
  if (what == "refused") return far.fault(FaultKind::connect_refused);
  if (what == "ctimeout") return far.fault(FaultKind::connect_timeout);
  if (what == "cfail") return far.fault(FaultKind::connect_failed);
  if (what == "lost") return far.fault(FaultKind::tunnel_lost);
  if (what == "reclaimed") return far.fault(FaultKind::reclaimed, Side::seat);
  if (what == "notrun") return far.fault(FaultKind::refused_stream, Side::site);
  if (what == "badhead") return far.fault(FaultKind::bad_head, Side::engine);
  if (what == "badchunk") return far.fault(FaultKind::bad_chunk, Side::engine);
  if (what == "silence") return bench.pass(stream ? 30'100 : 36'600);
  if (what == "stall") return bench.pass(15'200);
  if (what == "total") return bench.pass(601'000);
  if (what == "pass") return bench.pass(number(1));
  if (what == "gone") return bench.customer_leaves();
  if (what == "drain") return bench.drain_expired();
  if (what == "jfull") {
    bench.journal().refuse = [](const metering::Record&) { return true; };
    return;
  }
  if (what == "jfail") return bench.fail_journal();
  FAIL("no such step: " << word);
}

// Every JSON text behind `key` in an answer, joined.
std::string texts(const std::string& body, std::string_view key) {
  std::string out;
  const std::string mark = "\"" + std::string(key) + "\":\"";
  for (std::size_t at = 0; (at = body.find(mark, at)) != std::string::npos;) {
    at += mark.size();
    out += body.substr(at, body.find('"', at) - at);
  }
  return out;
}

std::string seen(const Bench& bench, bool stream) {
  if (bench.left && bench.status == 0) return "gone";
  if (!bench.over() && !bench.left) return "pending";
  std::string out = std::to_string(bench.status) + ":";
  if (bench.status != 200) {
    json::Cursor in(bench.body_text, {});
    CHECK(json::valid(bench.body_text));
    out += texts(bench.body_text, "code");
    if (out.ends_with(':')) out += texts(bench.body_text, "message");
    const auto at = bench.fields.find("Retry-After: ");
    if (at != std::string::npos) out += ":" + bench.fields.substr(at + 13, bench.fields.find('\r', at) - at - 13);
    return out;
  }
  auto text = texts(bench.body_text, "content") + texts(bench.body_text, "reasoning_content") + texts(bench.body_text, "arguments");
  if (text.size() > 1000) text = std::to_string(text.size());
  out += text;
  if (bench.left) return out + ":gone";
  if (bench.aborted) return out + ":aborted";
  if (!stream) return out;
  const bool done = bench.body_text.ends_with("data: [DONE]\n\n");
  const bool broken = texts(bench.body_text, "code") == "stream_broken";
  CHECK(done != broken);
  CHECK((bench.body_text.find("[DONE]") != std::string::npos) == done);
  return out + (done ? ":done" : ":broken");
}

std::string billed(Bench& bench) {
  const auto finals = bench.journal().all<metering::Final>();
  if (finals.empty()) return "-";
  const auto& final = *finals.front();
  const auto& c = final.counts;
  std::ostringstream out;
  out << metering::name(final.outcome);
  if (c.total() == 0) return out.str();
  out << ' ' << c.input << '+' << c.cached_input << '>' << c.output + c.reasoning << ' ' << metering::name(final.source);
  return out.str();
}

std::string faults(Bench& bench) {
  std::string out;
  const auto finals = bench.journal().all<metering::Final>();
  if (finals.empty()) return "-";
  for (const auto& result : finals.front()->results) out += (out.empty() ? "" : ",") + result.fault;
  return out;
}

void run(const Row& row, bool stream, bool at_once) {
  INFO(row.name << (at_once ? "" : ", released late") << ": " << row.script);
  Bench bench;
  bench.journal().at_once = at_once;
  auto steps = split(row.script, ' ');
  while (!steps.empty() && steps.front()[0] == '@') {  // how the world is before
    const auto parts = split(steps.front().substr(1), '/');
    if (parts[0] == "sites") bench.keep_sites(static_cast<std::size_t>(std::stoi(parts[1])));
    if (parts[0] == "resting") for (auto& offer : bench.offers) offer->rest->until_ns = bench.clock_.now_ns + std::stoll(parts[1]) * 1'000'000;
    if (parts[0] == "full") for (auto& offer : bench.offers) offer->capacity = 0;
    if (parts[0] == "notunnels") bench.lost_tunnels = std::stoi(parts[1]);
    if (parts[0] == "jfull") bench.journal().refuse = [](const metering::Record&) { return true; };
    if (parts[0] == "noattempt") bench.journal().refuse = [](const metering::Record& r) { return std::holds_alternative<metering::Attempt>(r); };
    if (parts[0] == "nofinal") bench.journal().refuse = [](const metering::Record& r) { return std::holds_alternative<metering::Final>(r); };
    if (parts[0] == "secondfull") bench.journal().refuse = [&bench](const metering::Record& r) { return std::holds_alternative<metering::Attempt>(r) && !bench.calls.empty(); };
    if (parts[0] == "buffers") bench.held_bytes_max = std::stoll(parts[1]);
    if (parts[0] == "tee") bench.privacy = config::Privacy::tee;
    if (parts[0] == "cafes") for (auto& offer : bench.offers) offer->kind = config::SiteKind::cafe;
    steps.erase(steps.begin());
  }
  bench.ask(ask_text(stream));
  std::size_t asked = bench.calls.size();
  for (const auto& word : steps) {
    if (word == "|") {
      CHECK(bench.calls.size() == ++asked);
      continue;
    }
    step(bench, word, stream);
    if (!at_once) bench.release();
  }
  if (!at_once) bench.release();
  if (!bench.calls.empty()) CHECK(bench.calls.size() == asked);
  CHECK(seen(bench, stream) == row.sees);
  CHECK(billed(bench) == row.billed);
  CHECK(faults(bench) == row.faults);
  bench.check_closed();
}

// clang-format off
const Row streams[] = {
    // whole
    {"whole", "head role text text text finish usage/12/3 done end", "200:tok tok tok :done", "completed 12+0>3 claimed", "none"},
    {"whole, the connection closes late", "head role text finish usage/12/1 done", "200:tok :done", "completed 12+0>1 claimed", "none"},
    {"whole, then reset", "head text finish usage/12/1 done cut", "200:tok :done", "completed 12+0>1 claimed", "none"},
    {"more after [DONE]", "head text finish done text end", "200:tok :done", "completed 9+0>1 estimate", "none"},
    {"a tool call", "head role tool finish usage/12/5 done end", "200:{}:done", "completed 12+0>5 claimed", "none"},
    {"reasoning", "head role think text finish done end", "200:tok hm :done", "completed 9+0>2 estimate", "none"},
    {"finish without [DONE]", "head role text text finish usage/12/2 end", "200:tok tok :done", "completed 12+0>2 claimed", "none"},
    {"nothing said", "head role finish usage/12/0 done end", "200::done", "completed", "none"},
    {"content filter", "head role filter usage/12/0 done end", "200::done", "completed", "none"},
    {"content filter in the middle", "head role text filter usage/12/1 done end", "200:tok :done", "completed 12+0>1 claimed", "none"},
    {"comments between", "head comment role comment text comment finish done end", "200:tok :done", "completed 9+0>1 estimate", "none"},
    // usage
    {"no usage", "head text text finish done end", "200:tok tok :done", "completed 9+0>2 estimate", "none"},
    {"usage null", "head text text finish usage!/null done end", "200:tok tok :done", "completed 9+0>2 estimate", "none"},
    {"usage zero", "head text text finish usage/0/0 done end", "200:tok tok :done", "completed 9+0>2 estimate", "none"},
    {"output zero", "head text text finish usage/12/0 done end", "200:tok tok :done", "completed 12+0>2 estimate", "none"},
    {"input zero", "head text text finish usage/0/2 done end", "200:tok tok :done", "completed 9+0>2 estimate", "none"},
    {"usage negative", "head text text finish usage/12/-2 done end", "200:tok tok :done", "completed 9+0>2 estimate", "none"},
    {"usage a fraction", "head text finish usage!/{\"prompt_tokens\":1.5,\"completion_tokens\":1} done end", "200:tok :done", "completed 9+0>1 estimate", "none"},
    {"output huge", "head text text finish usage/12/100000 done end", "200:tok tok :done", "completed 12+0>2 estimate", "none"},
    {"input huge", "head text text finish usage/100000/2 done end", "200:tok tok :done", "completed 9+0>2 estimate", "none"},
    {"usage beyond all bounds", "head text finish usage!/{\"prompt_tokens\":99999999999999999999,\"completion_tokens\":1} done end", "200:tok :done", "completed 9+0>1 estimate", "none"},
    {"more cached than prompt", "head text finish usage!/{\"prompt_tokens\":5,\"completion_tokens\":1,\"prompt_tokens_details\":{\"cached_tokens\":6}} done end", "200:tok :done", "completed 9+0>1 estimate", "none"},
    {"cached", "head text finish usage!/{\"prompt_tokens\":12,\"completion_tokens\":1,\"prompt_tokens_details\":{\"cached_tokens\":8}} done end", "200:tok :done", "completed 4+8>1 claimed", "none"},
    // refusals before the first byte
    {"429 with Retry-After", "s429/3 | head text finish done end", "200:tok :done", "completed 9+0>1 estimate", "status_busy,none"},
    {"429 without", "s429 | head text finish done end", "200:tok :done", "completed 9+0>1 estimate", "status_busy,none"},
    {"503", "s503 | head text finish done end", "200:tok :done", "completed 9+0>1 estimate", "status_busy,none"},
    {"all refuse: the smallest Retry-After", "s429/9 | s503/4 | s429/7", "503:no_capacity:4", "failed", "status_busy,status_busy,status_busy"},
    {"all refuse, first the smallest", "s429/4 | s503/9 | s429/7", "503:no_capacity:4", "failed", "status_busy,status_busy,status_busy"},
    {"all refuse without Retry-After", "s429 | s429 | s429", "503:no_capacity:1", "failed", "status_busy,status_busy,status_busy"},
    {"one site, it refuses", "@sites/1 s429/5", "503:no_capacity:5", "failed", "status_busy"},
    {"two refuse, one of them with a time", "@sites/2 s429/5 | s503", "503:no_capacity:1", "failed", "status_busy,status_busy"},
    {"500", "s500 | head text finish done end", "200:tok :done", "completed 9+0>1 estimate", "status_server,none"},
    {"two 5xx blame the request", "s500 | s502", "502:upstream_error", "failed", "status_server,status_server"},
    {"a refusal between two 5xx", "s500 | s429/2 | s500", "502:upstream_error", "failed", "status_server,status_busy,status_server"},
    {"5xx, and nobody else", "@sites/1 s500", "502:upstream_error", "failed", "status_server"},
    {"400", "s400", "400:says s400", "refused", "status_client"},
    {"413", "s413", "413:says s413", "refused", "status_client"},
    {"422", "s422", "400:says s422", "refused", "status_client"},
    {"401 is the site's", "s401 | head text finish done end", "200:tok :done", "completed 9+0>1 estimate", "status_config,none"},
    {"403, 404, 405: three sites", "s403 | s404 | s405", "502:upstream_error", "failed", "status_config,status_config,status_config"},
    {"context length", "ctx", "400:context_length_exceeded", "refused", "context_length"},
    {"context length after a refusal", "s429 | ctx", "400:context_length_exceeded", "refused", "status_busy,context_length"},
    {"a redirect", "s302 | head text finish done end", "200:tok :done", "completed 9+0>1 estimate", "bad_head,none"},
    // no connection
    {"refused", "refused | head text finish done end", "200:tok :done", "completed 9+0>1 estimate", "connect_refused,none"},
    {"refused everywhere", "refused | refused | refused", "503:no_capacity:1", "failed", "connect_refused,connect_refused,connect_refused"},
    {"connect timeout", "ctimeout | head text finish done end", "200:tok :done", "completed 9+0>1 estimate", "connect_timeout,none"},
    {"connect timeout, nobody else", "@sites/1 ctimeout", "504:upstream_timeout", "failed", "connect_timeout"},
    {"TLS refused", "cfail | head text finish done end", "200:tok :done", "completed 9+0>1 estimate", "connect_failed,none"},
    {"tunnel lost before the head", "lost | head text finish done end", "200:tok :done", "completed 9+0>1 estimate", "tunnel_lost,none"},
    {"three tunnels gone at dispatch", "@notunnels/3", "503:no_capacity:1", "failed", "tunnel_lost,tunnel_lost,tunnel_lost"},
    {"one tunnel gone at dispatch", "@notunnels/1 head text finish done end", "200:tok :done", "completed 9+0>1 estimate", "tunnel_lost,none"},
    {"the owner took the seat", "reclaimed | head text finish done end", "200:tok :done", "completed 9+0>1 estimate", "reclaimed,none"},
    {"nothing ran", "notrun | head text finish done end", "200:tok :done", "completed 9+0>1 estimate", "refused_stream,none"},
    {"reset before the head", "reset | head text finish done end", "200:tok :done", "completed 9+0>1 estimate", "reset_before_head,none"},
    {"two resets blame the request", "reset | reset", "502:upstream_error", "failed", "reset_before_head,reset_before_head"},
    {"reset, nobody else", "@sites/1 reset", "502:upstream_error", "failed", "reset_before_head"},
    {"a bad head", "badhead | head text finish done end", "200:tok :done", "completed 9+0>1 estimate", "bad_head,none"},
    // silence
    {"no head", "silence | head text finish done end", "200:tok :done", "completed 9+0>1 estimate", "head_timeout,none"},
    {"a head, then silence", "head silence | head text finish done end", "200:tok :done", "completed 9+0>1 estimate", "first_token_timeout,none"},
    {"a role, then silence", "head role silence | head role text finish done end", "200:tok :done", "completed 9+0>1 estimate", "first_token_timeout,none"},
    {"comments are no token", "head pass/20000 comment pass/10100 | head text finish done end", "200:tok :done", "completed 9+0>1 estimate", "first_token_timeout,none"},
    {"slow, but in time", "pass/29000 head role text finish done end", "200:tok :done", "completed 9+0>1 estimate", "none"},
    {"two silent sites", "silence | silence", "504:upstream_timeout", "failed", "head_timeout,head_timeout"},
    {"silent, nobody else", "@sites/1 silence", "504:upstream_timeout", "failed", "head_timeout"},
    // wrong answers before the first text
    {"HTML", "html | head text finish done end", "200:tok :done", "completed 9+0>1 estimate", "bad_content_type,none"},
    {"a body where events are due", "other | head text finish done end", "200:tok :done", "completed 9+0>1 estimate", "bad_content_type,none"},
    {"no content type", "untyped | untyped | untyped", "502:upstream_error", "failed", "bad_content_type,bad_content_type,bad_content_type"},
    {"not JSON", "head notjson | head text finish done end", "200:tok :done", "completed 9+0>1 estimate", "bad_event,none"},
    {"half an object", "head role badevent | head text finish done end", "200:tok :done", "completed 9+0>1 estimate", "bad_event,none"},
    {"an error object", "head role errobj | head text finish done end", "200:tok :done", "completed 9+0>1 estimate", "engine_error,none"},
    {"an event too large", "head big | head text finish done end", "200:tok :done", "completed 9+0>1 estimate", "too_large,none"},
    {"a bad chunk", "head role badchunk | head text finish done end", "200:tok :done", "completed 9+0>1 estimate", "bad_chunk,none"},
    {"cut before the text", "head role cut | head role text finish done end", "200:tok :done", "completed 9+0>1 estimate", "cut,none"},
    {"ended before the text", "head role end | head role text finish done end", "200:tok :done", "completed 9+0>1 estimate", "cut,none"},
    {"[DONE] before anything", "head done | head text finish done end", "200:tok :done", "completed 9+0>1 estimate", "cut,none"},
    {"cut twice", "head cut | head cut", "502:upstream_error", "failed", "cut,cut"},
    {"no content type, then a crash", "html | s500 | s500", "502:upstream_error", "failed", "bad_content_type,status_server,status_server"},
    // after the first byte: no retry, a visible end
    {"cut in the middle", "head role text text cut", "200:tok tok :broken", "partial 0+0>2 estimate", "cut"},
    {"ended in the middle", "head role text text end", "200:tok tok :broken", "partial 0+0>2 estimate", "cut"},
    {"a torn event at the end", "head role text torn end", "200:tok :broken", "partial 0+0>1 estimate", "cut"},
    {"a torn event after the finish", "head role text finish torn end", "200:tok :done", "completed 9+0>1 estimate", "cut"},
    {"[DONE] without a finish", "head role text done end", "200:tok :broken", "partial 0+0>1 estimate", "cut"},
    {"stalled", "head role text stall", "200:tok :broken", "partial 0+0>1 estimate", "gap_timeout"},
    {"comments do not feed the gap", "head role text pass/10000 comment pass/5200", "200:tok :broken", "partial 0+0>1 estimate", "gap_timeout"},
    {"slow, but it goes on", "head role text pass/14000 text pass/14000 text finish done end", "200:tok tok tok :done", "completed 9+0>3 estimate", "none"},
    {"a bad chunk in the middle", "head text badchunk", "200:tok :broken", "partial 0+0>1 estimate", "bad_chunk"},
    {"a bad event in the middle", "head text badevent", "200:tok :broken", "partial 0+0>1 estimate", "bad_event"},
    {"an error object in the middle", "head text errobj", "200:tok :broken", "partial 0+0>1 estimate", "engine_error"},
    {"too large in the middle", "head text big", "200:tok :broken", "partial 0+0>1 estimate", "too_large"},
    {"tunnel lost in the middle", "head text lost", "200:tok :broken", "partial 0+0>1 estimate", "tunnel_lost"},
    {"the owner took the seat in the middle", "head text reclaimed", "200:tok :broken", "partial 0+0>1 estimate", "reclaimed"},
    {"a break after usage came", "head text text usage/12/2 cut", "200:tok tok :broken", "partial 0+0>2 estimate", "cut"},
    {"a break at the second site", "s500 | head text cut", "200:tok :broken", "partial 0+0>1 estimate", "status_server,cut"},
    {"total", "head text pass/10000 text pass/10000 total", "200:tok tok :broken", "partial 0+0>2 estimate", "gap_timeout"},
    // the customer leaves
    {"gone before the head", "gone", "gone", "cancelled", "client_gone"},
    {"gone after the head", "head gone", "gone", "cancelled", "client_gone"},
    {"gone after the role", "head role gone", "gone", "cancelled", "client_gone"},
    {"gone in the middle", "head role text text gone", "200:tok tok :gone", "cancelled 9+0>2 estimate", "client_gone"},
    {"gone after the finish", "head text finish gone", "200:tok :gone", "cancelled 9+0>1 estimate", "client_gone"},
    {"gone at the second site", "s500 | head text gone", "200:tok :gone", "cancelled 9+0>1 estimate", "status_server,client_gone"},
    // nowhere to go
    {"no offers", "@sites/0", "503:no_capacity:1", "failed", ""},
    {"all rest", "@resting/2500", "503:no_capacity:3", "failed", ""},
    {"all full", "@full", "503:no_capacity:1", "failed", ""},
    {"the tier allows none", "@tee", "503:no_capacity:1", "failed", ""},
    {"only cafés", "@cafes", "503:no_capacity:1", "failed", ""},
    // the gateway goes down
    {"drained before the head", "drain", "503:no_capacity:1", "failed", "draining"},
    {"drained after the role", "head role drain", "503:no_capacity:1", "failed", "draining"},
    {"drained in the middle", "head role text drain", "200:tok :broken", "partial 0+0>1 estimate", "draining"},
    {"drained twice", "head role text drain drain", "200:tok :broken", "partial 0+0>1 estimate", "draining"},
    // the journal
    {"full at admission", "@jfull", "503:journal_unavailable:5", "-", "-"},
    {"full at the attempt", "@noattempt", "503:journal_unavailable:1", "failed", ""},
    {"full at the second attempt", "@secondfull s500", "503:journal_unavailable:1", "failed", "status_server"},
    {"full at the end", "@nofinal head text finish done end", "200:tok :broken", "-", "-"},
    {"failed after the first text", "head text jfail text finish done end", "200:tok tok :broken", "-", "-"},
};

const Row unaries[] = {
    {"whole", "head whole/12/3 end", "200:tok tok tok", "completed 12+0>3 claimed", "none"},
    {"no usage", "head whole end", "200:tok tok tok", "completed 9+0>3 estimate", "none"},
    {"usage zero", "head whole/0/0 end", "200:tok tok tok", "completed 9+0>3 estimate", "none"},
    {"usage negative", "head whole/-1/3 end", "200:tok tok tok", "completed 9+0>3 estimate", "none"},
    {"output huge", "head whole/12/5000 end", "200:tok tok tok", "completed 12+0>3 estimate", "none"},
    {"usage is a text", "head whole!/\"many\" end", "200:tok tok tok", "completed 9+0>3 estimate", "none"},
    {"nothing said", "head silent end", "200:", "completed", "none"},
    {"429 with Retry-After", "s429/3 | head whole/12/3 end", "200:tok tok tok", "completed 12+0>3 claimed", "status_busy,none"},
    {"500 twice", "s500 | s500", "502:upstream_error", "failed", "status_server,status_server"},
    {"400", "s400", "400:says s400", "refused", "status_client"},
    {"an error body that breaks off", "@sites/2 s500 | head cut", "502:upstream_error", "failed", "status_server,cut"},
    {"reset before the head", "reset | head whole/12/3 end", "200:tok tok tok", "completed 12+0>3 claimed", "reset_before_head,none"},
    {"cut in the body", "head half cut | head whole/12/3 end", "200:tok tok tok", "completed 12+0>3 claimed", "cut,none"},
    {"half a body that claims to be whole", "head half end | head whole/12/3 end", "200:tok tok tok", "completed 12+0>3 claimed", "bad_event,none"},
    {"a bad chunk", "head half badchunk | head whole/12/3 end", "200:tok tok tok", "completed 12+0>3 claimed", "bad_chunk,none"},
    {"rubbish", "head rubbish end | head whole/12/3 end", "200:tok tok tok", "completed 12+0>3 claimed", "bad_event,none"},
    {"HTML", "html | head whole/12/3 end", "200:tok tok tok", "completed 12+0>3 claimed", "bad_content_type,none"},
    {"events where a body is due", "other | head whole/12/3 end", "200:tok tok tok", "completed 12+0>3 claimed", "bad_content_type,none"},
    {"no choices", "head nochoices end | head whole/12/3 end", "200:tok tok tok", "completed 12+0>3 claimed", "bad_event,none"},
    {"unfinished", "head unfinished end | head whole/12/3 end", "200:tok tok tok", "completed 12+0>3 claimed", "cut,none"},
    {"an error in a 200", "head errbody end | head whole/12/3 end", "200:tok tok tok", "completed 12+0>3 claimed", "engine_error,none"},
    {"empty", "head end | head whole/12/3 end", "200:tok tok tok", "completed 12+0>3 claimed", "bad_event,none"},
    {"silence", "silence | head whole/12/3 end", "200:tok tok tok", "completed 12+0>3 claimed", "head_timeout,none"},
    {"a head, then silence", "head silence | head whole/12/3 end", "200:tok tok tok", "completed 12+0>3 claimed", "first_token_timeout,none"},
    {"slow, but in time", "pass/30000 head pass/6000 whole/12/3 end", "200:tok tok tok", "completed 12+0>3 claimed", "none"},
    {"gone before the head", "gone", "gone", "cancelled", "client_gone"},
    {"gone in the body", "head half gone", "gone", "cancelled", "client_gone"},
    {"drained", "head half drain", "503:no_capacity:1", "failed", "draining"},
    {"no room for its bytes", "@buffers/50 head half", "503:no_capacity:1", "failed", "no_capacity"},
    {"larger than unary_hold", "head large rest end", "200:1200000", "completed 12+0>60 claimed", "none"},
    {"larger, cut", "head large cut", "200:1195904:aborted", "partial 0+0>1 estimate", "cut"},
    {"larger, stalled", "head large stall", "200:1195904:aborted", "partial 0+0>1 estimate", "gap_timeout"},
    {"larger, gone", "head large gone", "200:1195904:gone", "cancelled 9+0>1 estimate", "client_gone"},
    {"larger, drained", "head large drain", "200:1195904:aborted", "partial 0+0>1 estimate", "draining"},
    {"larger, cut at the second site", "s500 | head large cut", "200:1195904:aborted", "partial 0+0>1 estimate", "status_server,cut"},
    {"full at admission", "@jfull", "503:journal_unavailable:5", "-", "-"},
    {"full at the end", "@nofinal head whole/12/3 end", "503:journal_unavailable:5", "-", "-"},
    {"failed in the body", "head half jfail rest end", "503:journal_unavailable:5", "-", "-"},
    {"failed in a large body", "head large jfail rest end", "200:1195904:aborted", "-", "-"},
};
// clang-format on

}  // namespace

TEST_CASE("the retry matrix: streams") {
  for (const auto& row : streams)
    for (const bool at_once : {true, false}) run(row, true, at_once);
}

TEST_CASE("the retry matrix: answers in one piece") {
  for (const auto& row : unaries)
    for (const bool at_once : {true, false}) run(row, false, at_once);
}

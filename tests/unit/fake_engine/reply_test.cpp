#include "tools/fakes/engine/reply.h"

#include <boost/json.hpp>
#include <vector>

#include "tests/catch.h"

using namespace trib::fake;

namespace {

struct Seen {
  std::string bytes;
  Then then = Then::wait;
  std::int64_t ended_us = 0;
};

Plan plan(Ill ill, bool stream, std::int64_t tokens = 6) {
  Plan plan;
  plan.call.model = "m";
  plan.call.stream = stream;
  plan.call.include_usage = true;
  plan.call.prompt_tokens = 5;
  plan.script.ill = ill;
  plan.script.tokens = tokens;
  plan.id = "chatcmpl-1";
  return plan;
}

// Runs a reply on a clock of its own until it ends, waits for ever or `until_us` has come.
Seen run(Reply& reply, std::int64_t until_us = 1'000'000'000) {
  Seen seen;
  std::int64_t now = 0;
  for (int i = 0; i < 100'000; ++i) {
    const Step step = reply.step(now, seen.bytes.size() + 65536, seen.bytes);
    seen.then = step.then;
    seen.ended_us = now;
    if (step.then != Then::wait || step.due_us < 0 || step.due_us > until_us) break;
    now = std::max(now, step.due_us);
    if (seen.bytes.size() > 8'000'000) break;
  }
  return seen;
}

Seen run(Plan p) {
  Reply reply(std::move(p), 0);
  return run(reply);
}

// The events of a chunked body; `whole` tells whether the final chunk came.
std::vector<std::string> events(std::string_view bytes, bool& whole) {
  std::string body;
  bytes.remove_prefix(bytes.find("\r\n\r\n") + 4);
  whole = false;
  while (!bytes.empty()) {
    const std::size_t end = bytes.find("\r\n");
    std::size_t size = 0;
    for (const char c : bytes.substr(0, end)) {
      size = size * 16 + static_cast<std::size_t>(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    if (size == 0) {
      whole = true;
      break;
    }
    if (end + 2 + size + 2 > bytes.size()) break;
    body += bytes.substr(end + 2, size);
    bytes.remove_prefix(end + 2 + size + 2);
  }
  std::vector<std::string> found;
  for (std::size_t at = 0; at < body.size();) {
    const std::size_t end = body.find("\n\n", at);
    if (end == std::string::npos) break;
    found.push_back(body.substr(at, end - at));
    at = end + 2;
  }
  return found;
}

std::string text_of(const std::vector<std::string>& from) {
  std::string text;
  for (const std::string& event : from) {
    if (event.find("\"delta\"") == std::string::npos) continue;
    const auto value = boost::json::parse(event.substr(6));
    const auto& delta = value.at("choices").at(0).at("delta").as_object();
    if (const auto* content = delta.if_contains("content"); content && content->is_string()) {
      text += std::string_view(content->get_string());
    }
  }
  return text;
}

std::string_view body_of(const std::string& bytes) {
  return std::string_view(bytes).substr(bytes.find("\r\n\r\n") + 4);
}

}  // namespace

TEST_CASE("a stream is whole, in every dialect and however it is split") {
  for (const Dialect dialect : {Dialect::generic, Dialect::vllm, Dialect::llamacpp}) {
    for (const std::int64_t split : {0, 1, 7}) {
      Plan p = plan(Ill::none, true);
      p.dialect = dialect;
      p.script.split = split;
      const Seen seen = run(p);
      bool whole = false;
      const auto all = events(seen.bytes, whole);
      CHECK(seen.then == Then::keep);
      CHECK(whole);
      CHECK(text_of(all) == "t1 t2 t3 t4 t5 t6");
      REQUIRE(all.size() == 1 + 6 + 3);
      CHECK(all.back() == "data: [DONE]");
      const auto usage = boost::json::parse(all[8].substr(6));
      CHECK(usage.at("choices").as_array().empty());
      CHECK(usage.at("usage").at("completion_tokens").as_int64() == 6);
      CHECK(usage.at("usage").at("total_tokens").as_int64() == 11);
      CHECK(boost::json::parse(all[7].substr(6)).at("choices").at(0).at("finish_reason") == "stop");
    }
  }
}

TEST_CASE("a whole answer has the same text and usage") {
  Plan p = plan(Ill::none, false);
  p.call.max_tokens = 2;
  const auto answer = boost::json::parse(body_of(run(p).bytes));
  CHECK(answer.at("choices").at(0).at("message").at("content") == "t1 t2");
  CHECK(answer.at("choices").at(0).at("finish_reason") == "length");
  CHECK(answer.at("usage").at("completion_tokens").as_int64() == 2);
}

TEST_CASE("tokens come at their time") {
  Plan p = plan(Ill::none, true);
  p.script.interval_us = 20'000;
  p.script.first_us = 100'000;
  CHECK(run(p).ended_us == 200'000);
  p.call.stream = false;
  CHECK(run(p).ended_us == 200'000);
}

TEST_CASE("a cut delivers its tokens and no end") {
  for (const Ill ill : {Ill::cut, Ill::cut_reset, Ill::cut_inside}) {
    Plan p = plan(ill, true, 60);
    p.script.at = 40;
    Reply reply(std::move(p), 0);
    const Seen seen = run(reply);
    bool whole = true;
    const auto all = events(seen.bytes, whole);
    CHECK_FALSE(whole);
    CHECK(all.size() == 41);
    CHECK(reply.tokens_sent() == 40);
    CHECK_FALSE(reply.complete());
    CHECK(seen.then == (ill == Ill::cut_reset ? Then::reset : Then::close));
  }
}

TEST_CASE("a body that is cut is shorter than its length") {
  const Seen seen = run(plan(Ill::cut, false));
  const std::size_t at = seen.bytes.find("Content-Length: ") + 16;
  CHECK(std::stoul(seen.bytes.substr(at)) > body_of(seen.bytes).size());
  CHECK(seen.then == Then::close);
}

TEST_CASE("a stall ends or does not, as told") {
  Plan p = plan(Ill::stall, true);
  p.script.at = 2;
  p.script.interval_us = 1000;
  CHECK(run(p).then == Then::wait);
  p.script.hold_us = 30'000'000;
  const Seen seen = run(p);
  bool whole = false;
  CHECK(text_of(events(seen.bytes, whole)) == "t1 t2 t3 t4 t5 t6");
  CHECK(whole);
  CHECK(seen.ended_us == 30'006'000);
  p.script.ill = Ill::pings;
  CHECK(run(p).bytes.find(": ping\n\n") != std::string::npos);
}

TEST_CASE("a continuation goes on exactly where the text stopped") {
  for (const bool stream : {true, false}) {
    Plan p = plan(Ill::none, stream);
    p.dialect = Dialect::llamacpp;
    p.continues = true;
    p.call.continued = "t1 t2 t3";
    p.call.ends_with_assistant = true;
    const Seen seen = run(p);
    bool whole = false;
    if (stream) {
      CHECK(text_of(events(seen.bytes, whole)) == " t4 t5 t6");
    } else {  // llama.cpp repeats the prefix here
      const auto answer = boost::json::parse(body_of(seen.bytes));
      CHECK(answer.at("choices").at(0).at("message").at("content") == "t1 t2 t3 t4 t5 t6");
      CHECK(answer.at("usage").at("completion_tokens").as_int64() == 3);
    }
  }
}

TEST_CASE("ends that are none") {
  bool whole = false;
  const auto no_done = events(run(plan(Ill::no_done, true)).bytes, whole);
  CHECK(whole);
  CHECK(no_done.back() != "data: [DONE]");
  const auto no_finish = run(plan(Ill::no_finish, true)).bytes;
  CHECK(no_finish.find("\"stop\"") == std::string::npos);
  CHECK(no_finish.find("[DONE]") != std::string::npos);
  const auto no_end = run(plan(Ill::no_end, true)).bytes;
  CHECK(no_end.find("[DONE]") == std::string::npos);
  CHECK(no_end.substr(no_end.size() - 5) == "0\r\n\r\n");
}

TEST_CASE("claims about tokens are wrong as told") {
  const Usage usage{5, 6, 0};
  Script script;
  const auto claim = [&](Ill ill) {
    script.ill = ill;
    return boost::json::parse(usage_text(Dialect::generic, usage, script));
  };
  CHECK(claim(Ill::usage_wrong).at("completion_tokens").as_int64() == 13);
  CHECK(claim(Ill::usage_negative).at("completion_tokens").as_int64() == -7);
  CHECK(claim(Ill::usage_huge).at("prompt_tokens").as_int64() > 1'000'000'000'000);
  CHECK(claim(Ill::usage_zero).at("total_tokens").as_int64() == 0);
  CHECK(claim(Ill::usage_null).is_null());
  script.ill = Ill::usage_missing;
  CHECK(usage_text(Dialect::generic, usage, script).empty());
}

TEST_CASE("refusals have a status and the dialect's shape") {
  struct Row {
    Ill ill;
    const char* status;
    const char* has;
  };
  for (const Row& row :
       {Row{Ill::rate_limit, "429", "Retry-After: 2"}, Row{Ill::status, "500", "server_error"},
        Row{Ill::context_length, "400", "context_length_exceeded"},
        Row{Ill::filter_refusal, "400", "content_filter"}, Row{Ill::html, "200", "<html>"},
        Row{Ill::unknown, "400", "bad_script"}}) {
    const Seen seen = run(plan(row.ill, true));
    CHECK(seen.bytes.substr(9, 3) == row.status);
    CHECK(seen.bytes.find(row.has) != std::string::npos);
  }
  CHECK(run(plan(Ill::rate_limit_bare, true)).bytes.find("Retry-After") == std::string::npos);
  Plan llama = plan(Ill::context_length, true);
  llama.dialect = Dialect::llamacpp;
  CHECK(run(llama).bytes.find("exceed_context_size_error") != std::string::npos);
  Plan fresh = plan(Ill::prefill_refused, true);
  CHECK(run(fresh).bytes.substr(9, 3) == "200");
  fresh.call.ends_with_assistant = true;
  CHECK(run(fresh).bytes.substr(9, 3) == "400");
}

TEST_CASE("what never ends is bounded by the room given") {
  for (const Ill ill : {Ill::endless, Ill::endless_event}) {
    for (const bool stream : {true, false}) {
      Reply reply(plan(ill, stream), 0);
      std::string out;
      for (int i = 0; i < 50; ++i) {
        out.clear();
        const Step step = reply.step(i, 65536, out);
        REQUIRE(step.then == Then::wait);
        REQUIRE(out.size() < 65536 + 8192);
      }
    }
  }
}

TEST_CASE("silence is silent") {
  CHECK(run(plan(Ill::silence, true)).bytes.empty());
  const Seen head = run(plan(Ill::silence_after_head, true));
  CHECK(body_of(head.bytes).empty());
  CHECK(head.then == Then::wait);
}

// What engines answer: counted, located, edited, classed.
#include "backends/engines/engines.h"
#include "tests/catch.h"

using namespace trib;
using namespace trib::engines;

namespace {

AnswerFacts facts_of(std::string_view json, bool whole = false) {
  AnswerFacts out;
  INFO(json);
  REQUIRE(read_answer(json, whole, out));
  return out;
}

std::string at(std::string_view json, Span span) { return std::string(json.substr(span.from, span.to - span.from)); }

UsageState state_of(std::string_view usage) {
  return facts_of("{\"choices\":[],\"usage\":" + std::string(usage) + "}").usage;
}

}  // namespace

TEST_CASE("an event of vLLM") {
  const std::string json =
      "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1767225600,\"model\":\"qwen\",\"choices\":[{\"index\":0,"
      "\"delta\":{\"role\":\"assistant\",\"content\":\"Hel\",\"reasoning_content\":null,\"tool_calls\":[]},\"logprobs\":null,"
      "\"finish_reason\":null,\"stop_reason\":null}],\"usage\":{\"prompt_tokens\":9,\"total_tokens\":10,\"completion_tokens\":1,"
      "\"prompt_tokens_details\":null}}";
  const auto facts = facts_of(json);
  CHECK(facts.choices);
  CHECK(facts.texts == 1);
  CHECK(facts.text_bytes == 3);
  CHECK(facts.role);
  CHECK_FALSE(facts.tool_call);
  CHECK(facts.finishes == 0);
  CHECK_FALSE(facts.error);
  CHECK(facts.id == "\"chatcmpl-1\"");
  CHECK(facts.created == "1767225600");
  CHECK(facts.model == "qwen");
  CHECK(at(json, facts.model_at) == "\"qwen\"");
  CHECK(facts.usage == UsageState::valid);
  CHECK(facts.counts == metering::TokenCounts{9, 0, 0, 1, 0});
  CHECK(at(json, facts.usage_at).starts_with("\"usage\":{"));
  CHECK(at(json, facts.usage_value_at).starts_with("{\"prompt"));
}

TEST_CASE("events of llama.cpp's server") {
  const auto last = facts_of(
      "{\"choices\":[],\"created\":1767225600,\"id\":\"chatcmpl-X\",\"model\":\"smollm2-135m\",\"system_fingerprint\":\"b5000\","
      "\"object\":\"chat.completion.chunk\",\"usage\":{\"completion_tokens\":8,\"prompt_tokens\":36,\"total_tokens\":44},"
      "\"timings\":{\"prompt_n\":36,\"prompt_ms\":12.5}}");
  CHECK_FALSE(last.choices);
  CHECK(last.usage == UsageState::valid);
  CHECK(last.counts == metering::TokenCounts{36, 0, 0, 8, 0});
  CHECK(last.timings_at.present());
  const auto first = facts_of("{\"choices\":[{\"finish_reason\":null,\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":null}}],\"model\":\"m\"}");
  CHECK(first.role);
  CHECK(first.texts == 0);
  const auto finish = facts_of("{\"choices\":[{\"finish_reason\":\"stop\",\"index\":0,\"delta\":{}}],\"model\":\"m\"}");
  CHECK(finish.finishes == 1);
}

TEST_CASE("events of SGLang and TGI") {
  const auto sglang = facts_of(
      "{\"id\":\"a\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":null,"
      "\"content\":\"x\",\"reasoning_content\":null,\"tool_calls\":null},\"logprobs\":null,\"finish_reason\":\"\",\"matched_stop\":null}],\"usage\":null}");
  CHECK(sglang.texts == 1);
  CHECK(sglang.finishes == 0);
  CHECK(sglang.usage == UsageState::absent);
  CHECK(sglang.usage_at.present());
  const auto tgi = facts_of(
      "{\"object\":\"chat.completion.chunk\",\"id\":\"\",\"created\":1,\"model\":\"m\",\"system_fingerprint\":\"3.3.0\",\"choices\":[{\"index\":0,"
      "\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,\"finish_reason\":\"length\"}],"
      "\"usage\":{\"prompt_tokens\":4,\"completion_tokens\":20,\"total_tokens\":24}}");
  CHECK(tgi.finishes == 1);
  CHECK(tgi.texts == 0);
  CHECK(tgi.counts.output == 20);
}

TEST_CASE("text is what the customer gets to read, wherever it stands") {
  const auto count = [](std::string_view choice) { return facts_of("{\"choices\":[" + std::string(choice) + "]}"); };
  CHECK(count("{\"text\":\"old\"}").text_bytes == 3);
  CHECK(count("{\"delta\":{\"reasoning_content\":\"abc\"}}").text_bytes == 3);
  CHECK(count("{\"delta\":{\"reasoning\":\"abc\"}}").text_bytes == 3);
  CHECK(count("{\"delta\":{\"reasoning\":\"abc\",\"reasoning_content\":\"abc\"}}").text_bytes == 3);  // one text under both names
  CHECK(count("{\"delta\":{\"refusal\":\"no\"}}").text_bytes == 2);
  CHECK(count("{\"delta\":{\"content\":\"a\"}},{\"delta\":{\"content\":\"bc\"}}").texts == 2);
  CHECK(count("{\"delta\":{\"content\":\"a\"}},{\"delta\":{\"content\":\"bc\"}}").text_bytes == 3);
  CHECK(count("{\"delta\":{\"content\":\"\"}}").texts == 0);
  CHECK(count("{\"delta\":{\"content\":[{\"text\":\"x\"}]}}").texts == 0);
  CHECK(count("{\"delta\":null}").texts == 0);
  CHECK(count("null").texts == 0);
  CHECK(count("null").choices);
  const auto tool = count("{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"c\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}},7,{\"function\":null}]}}");
  CHECK(tool.tool_call);
  CHECK(tool.texts == 2);
  CHECK(tool.text_bytes == 3);
  CHECK(count("{\"delta\":{\"tool_calls\":null}}").tool_call == false);
  CHECK(count("{\"finish_reason\":\"stop\"},{\"finish_reason\":\"length\"},{\"finish_reason\":\"\"},{\"finish_reason\":7}").finishes == 2);
}

TEST_CASE("escaped text is as long as what it says") {
  SeededRng rng(99);
  for (int round = 0; round < 3000; ++round) {
    std::string raw;
    for (auto n = rng.below(12); n > 0; --n) {
      static const char* const parts[] = {"a", "\\n", "\\\"", "\\\\", "\\/", "\\u0041", "\\u00e9", "\\u4f60", "\\uD83D\\ude00", "é", "你", "😀", "\\u0000", "\\uffff", "\\ud7ff"};
      raw += parts[rng.below(std::size(parts))];
    }
    std::string text;
    json::unescape(raw, text);
    const auto json = "{\"choices\":[{\"delta\":{\"content\":\"" + raw + "\"}}]}";
    INFO(json);
    REQUIRE(facts_of(json).text_bytes == text.size());
    REQUIRE(facts_of(json, true).text_bytes == text.size());
    REQUIRE(facts_of(json, true).words == count_pieces(text));
  }
}

TEST_CASE("absent, valid and impossible usage are three things") {
  CHECK(facts_of("{\"choices\":[]}").usage == UsageState::absent);
  CHECK(state_of("null") == UsageState::absent);
  const char* const valid[] = {
      "{\"prompt_tokens\":0,\"completion_tokens\":0}",
      "{\"prompt_tokens\":5}",
      "{\"completion_tokens\":5}",
      "{\"prompt_tokens\":5,\"completion_tokens\":null}",
      "{\"prompt_tokens\":5,\"completion_tokens\":7,\"total_tokens\":12,\"odd\":[{}]}",
      "{\"prompt_tokens\":5,\"completion_tokens\":7,\"total_tokens\":20}",  // some count what they do not say
      "{\"prompt_tokens\":5,\"completion_tokens\":7,\"total_tokens\":null}",
      "{\"prompt_tokens\":5,\"prompt_tokens_details\":null}",
      "{\"prompt_tokens\":5,\"prompt_tokens_details\":{\"cached_tokens\":null}}",
      "{\"prompt_tokens\":5,\"prompt_tokens_details\":{\"cached_tokens\":5,\"audio_tokens\":0}}",
      "{\"prompt_tokens\":1000000000,\"completion_tokens\":1000000000}",
  };
  for (const char* const usage : valid) {
    INFO(usage);
    CHECK(state_of(usage) == UsageState::valid);
  }
  const char* const impossible[] = {
      "{}",
      "[]",
      "7",
      "\"5\"",
      "true",
      "{\"total_tokens\":5}",
      "{\"prompt_tokens\":-1,\"completion_tokens\":1}",
      "{\"prompt_tokens\":1,\"completion_tokens\":-1}",
      "{\"prompt_tokens\":1.0,\"completion_tokens\":1}",
      "{\"prompt_tokens\":1e3,\"completion_tokens\":1}",
      "{\"prompt_tokens\":\"1\",\"completion_tokens\":1}",
      "{\"prompt_tokens\":{},\"completion_tokens\":1}",
      "{\"prompt_tokens\":true,\"completion_tokens\":1}",
      "{\"prompt_tokens\":1,\"completion_tokens\":1000000001}",
      "{\"prompt_tokens\":99999999999999999999,\"completion_tokens\":1}",
      "{\"prompt_tokens\":5,\"prompt_tokens_details\":{\"cached_tokens\":6}}",
      "{\"prompt_tokens\":5,\"prompt_tokens_details\":{\"cached_tokens\":-1}}",
      "{\"prompt_tokens\":5,\"completion_tokens\":3,\"completion_tokens_details\":{\"reasoning_tokens\":4}}",
      "{\"prompt_tokens\":5,\"completion_tokens\":3,\"total_tokens\":7}",
      "{\"prompt_tokens\":5,\"completion_tokens\":3,\"total_tokens\":-8}",
      "{\"prompt_tokens\":5,\"completion_tokens\":3,\"total_tokens\":\"8\"}",
      "{\"prompt_tokens\":5,\"prompt_tokens\":6,\"completion_tokens\":1}",
      "{\"prompt_tokens\":5,\"completion_tokens\":1,\"completion_tokens\":100}",
  };
  for (const char* const usage : impossible) {
    INFO(usage);
    CHECK(state_of(usage) == UsageState::impossible);
  }
}

TEST_CASE("usage is put into classes that do not overlap") {
  const auto facts = facts_of(
      "{\"choices\":[],\"usage\":{\"prompt_tokens\":100,\"completion_tokens\":50,\"total_tokens\":150,"
      "\"prompt_tokens_details\":{\"cached_tokens\":80},\"completion_tokens_details\":{\"reasoning_tokens\":30}}}");
  CHECK(facts.counts == metering::TokenCounts{20, 80, 0, 20, 30});
  CHECK(facts.counts.total() == 150);
  CHECK(usage_json(facts.counts, Operation::chat) ==
        "{\"prompt_tokens\":100,\"completion_tokens\":50,\"total_tokens\":150,\"prompt_tokens_details\":{\"cached_tokens\":80},"
        "\"completion_tokens_details\":{\"reasoning_tokens\":30}}");
  CHECK(usage_json({7, 0, 0, 0, 0}, Operation::embeddings) == "{\"prompt_tokens\":7,\"total_tokens\":7}");
}

TEST_CASE("what is not an answer") {
  const char* const bodies[] = {"", " ", "x", "[]", "7", "null", "\"{}\"", "{", "{\"choices\":[", "{\"choices\":[{}]", "{}x", "{} {}", "{\"a\":\xff}", "{'a':1}"};
  for (const char* const body : bodies) {
    INFO(body);
    AnswerFacts facts;
    CHECK_FALSE(read_answer(body, true, facts));
  }
  AnswerFacts facts;
  CHECK_FALSE(read_answer("{\"x\":" + std::string(100, '[') + std::string(100, ']') + "}", false, facts));
  CHECK(facts_of("{}").choices == false);
  CHECK(facts_of("{\"choices\":7}").choices == false);
  CHECK(facts_of("{\"choices\":null}").choices == false);
  CHECK(facts_of("{\"choices\":{}}").choices == false);
  CHECK(facts_of("{\"data\":[]}").data == false);
  CHECK(facts_of("{\"data\":{}}").data == false);
  CHECK(facts_of("{\"data\":[{},{}]}").data);
}

TEST_CASE("an error in an answer") {
  CHECK_FALSE(facts_of("{\"error\":null,\"choices\":[]}").error);
  const auto nested = facts_of("{\"error\":{\"message\":\"CUDA out of memory\",\"code\":500}}");
  CHECK(nested.error);
  CHECK(nested.error_message == "CUDA out of memory");
  CHECK(facts_of("{\"error\":\"plain\"}").error_message == "plain");
  CHECK(facts_of("{\"error\":{}}").error);
  CHECK(facts_of("{\"error\":false}").error);
}

TEST_CASE("a member that is counted may stand once") {
  for (const char* const body :
       {"{\"choices\":[],\"choices\":[]}", "{\"usage\":null,\"usage\":null}", "{\"model\":\"a\",\"model\":\"a\"}", "{\"id\":1,\"id\":1}",
        "{\"timings\":{},\"timings\":{}}", "{\"error\":null,\"error\":{}}", "{\"choices\":[{\"delta\":{},\"delta\":{}}]}",
        "{\"choices\":[{\"text\":\"a\",\"text\":\"a\"}]}", "{\"choices\":[{\"delta\":{\"content\":\"a\",\"cont\\u0065nt\":\"b\"}}]}",
        "{\"choices\":[{\"delta\":{\"tool_calls\":[],\"tool_calls\":[]}}]}",
        "{\"choices\":[{\"delta\":{\"tool_calls\":[{\"function\":{\"arguments\":\"a\",\"arguments\":\"b\"}}]}}]}"}) {
    INFO(body);
    AnswerFacts facts;
    CHECK_FALSE(read_answer(body, false, facts));
  }
  facts_of("{\"choices\":[{\"x\":1,\"x\":2,\"delta\":{\"y\":1,\"y\":2}},{\"delta\":{}}],\"z\":1,\"z\":1}");  // others are not ours
}

TEST_CASE("members are cut and values replaced wherever they stand, and the rest is untouched") {
  const std::string members[] = {"\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}", "\"timings\":{\"a\":[1,2]}", "\"model\":\"x\"", "\"a\":\"b , } \\\"usage\\\": \"", "\"c\":{}"};
  const char* const commas[] = {",", " ,", ", ", " \n, "};
  int cases = 0;
  for (unsigned present = 0; present < 32; ++present) {
    std::vector<std::string> list;
    for (unsigned i = 0; i < 5; ++i)
      if ((present >> i & 1) != 0) list.push_back(members[i]);
    std::sort(list.begin(), list.end());
    do {
      for (const char* const comma : commas) {
        std::string json = *comma == ',' ? "{" : "{ ", rest = "{";
        for (const auto& one : list) json += (&one == &list.front() ? "" : comma) + one;
        json += *comma == ',' ? "}" : " }";
        const auto facts = facts_of(json);
        std::vector<Edit> edits;
        if (facts.usage_at.present()) edits.push_back({facts.usage_at, {}});
        if (facts.timings_at.present()) edits.push_back({facts.timings_at, {}});
        if (facts.model_at.present()) edits.push_back({facts.model_at, "\"new\""});
        std::string out = "before,";
        write_edited(json, edits, out);
        REQUIRE(out.starts_with("before,"));
        out.erase(0, 7);
        INFO(json);
        INFO(out);
        REQUIRE(json::valid(out));
        const auto after = facts_of(out);
        REQUIRE_FALSE(after.usage_at.present());
        REQUIRE_FALSE(after.timings_at.present());
        REQUIRE(after.model == (facts.model_at.present() ? "new" : ""));
        for (const auto& kept : {members[3], members[4]})
          REQUIRE((out.find(kept) == std::string::npos) == (json.find(kept) == std::string::npos));
        ++cases;
      }
    } while (std::next_permutation(list.begin(), list.end()));
  }
  CHECK(cases > 1000);
}

TEST_CASE("a key that is spelt with escapes is cut whole") {
  const std::string json = "{\"a\":1,\"us\\u0061ge\" : {\"prompt_tokens\":1}}";
  const auto facts = facts_of(json);
  std::vector<Edit> edits{{facts.usage_at, {}}};
  std::string out;
  write_edited(json, edits, out);
  CHECK(out == "{\"a\":1}");
}

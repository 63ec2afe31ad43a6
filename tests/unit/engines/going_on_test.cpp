// Going on at one engine: which way is tried first, what is asked for it, and where a way that does not hold
// what it promised leads.
#include <boost/json.hpp>
#include <optional>

#include "backends/engines/engines.h"
#include "tests/catch.h"
#include "tests/unit/engines/toy_engine.h"

using namespace trib;
using namespace trib::engines;
using fleet::ContinueMode;
using fleet::TemplateAccess;
using test::ToyEngine;
namespace bj = boost::json;

namespace {

constexpr fleet::Ways all = 0xff;
std::uint32_t context_of(const void*, std::string_view) { return 2048; }

struct Asked {
  std::string body;
  RequestFacts facts;
  explicit Asked(std::string more = {}, Operation operation = Operation::chat) {
    body = "{\"model\":\"m\",\"stream\":true,\"max_tokens\":60" + more;
    if (more.find("\"messages\"") == more.npos && operation == Operation::chat) body += ",\"messages\":[{\"role\":\"user\",\"content\":\"Tell\"}]";
    if (operation == Operation::completions) body += ",\"prompt\":\"Tell\"";
    body += '}';
    const auto refusal = read_request(body, operation, context_of, nullptr, facts);
    REQUIRE_FALSE(refusal);
  }
};

fleet::Capabilities engine(TemplateAccess access, ContinueMode mode = ContinueMode::none) {
  fleet::Capabilities can;
  can.template_access = access;
  can.token_input = fleet::TokenInput::completions;
  can.continue_mode = mode;
  can.unknown_fields = fleet::UnknownFields::ignore;
  can.context = 2048;
  can.dialect = access == TemplateAccess::tokenize_chat ? "vllm" : "llamacpp";
  return can;
}

// Until the request itself, or no way is left.
std::optional<GoingOn::Step> drive(GoingOn& way, ToyEngine& toy) {
  for (int i = 0; i < 30 && way.way() != ContinueMode::none; ++i) {
    const auto step = way.step();
    if (!step.question) return step;
    const auto [status, body] = toy.answer(step.path, step.body);
    way.answered(status, body);
  }
  CHECK(way.way() == ContinueMode::none);
  return std::nullopt;
}

const std::string text = " \"élan\"\n";

}  // namespace

TEST_CASE("the best way that both record and request allow") {
  for (const auto access : {TemplateAccess::apply, TemplateAccess::tokenize_chat}) {
    const Asked asked(",\"temperature\":0.5,\"logprobs\":false,\"tool_choice\":null,\"stream_options\":{\"include_usage\":true}");
    ToyEngine toy{.shape = access, .missing = {}, .asked = {}};
    const auto can = engine(access, ContinueMode::continue_final);
    GoingOn way(asked.body, asked.facts, text, 40, "engine-m", can, fleet::ways_of(can));
    CHECK(way.way() == ContinueMode::token_ids);
    const auto step = drive(way, toy);
    REQUIRE(step);
    CHECK(step->path == "/v1/completions");
    CHECK(way.as_chat());
    CHECK(toy.prompt_of(step->body) == "<|u|>Tell<|a|>" + text);
    auto body = bj::parse(step->body).as_object();
    CHECK(body.at("prompt").is_array());
    body.erase("prompt");
    CHECK(bj::serialize(body) == bj::serialize(bj::parse("{\"model\":\"engine-m\",\"stream\":true,\"max_tokens\":40,\"temperature\":0.5,"
                                                         "\"stream_options\":{\"include_usage\":true}}")));
    way.refused();
    CHECK(way.way() == ContinueMode::continue_final);
    CHECK_FALSE(way.as_chat());
    CHECK(way.step().path == "/v1/chat/completions");
    way.refused();
    CHECK(way.way() == ContinueMode::raw_text);
    const auto questions = toy.asked.size();
    const auto raw = drive(way, toy);
    REQUIRE(raw);
    CHECK(toy.asked.size() == questions + (access == TemplateAccess::apply ? 0 : 2));  // what is known is not asked for again
    CHECK(toy.prompt_of(raw->body) == "<|u|>Tell<|a|>" + text);
    CHECK(bj::parse(raw->body).at("prompt").is_string());
    CHECK((raw->body.find("\"add_special_tokens\":false") != std::string::npos) == (access == TemplateAccess::tokenize_chat));
    way.refused();
    CHECK(way.way() == ContinueMode::none);
  }
}

TEST_CASE("text that a tokenizer does not give back as it was is not gone on from by ids") {
  for (const auto access : {TemplateAccess::apply, TemplateAccess::tokenize_chat}) {
    ToyEngine toy{.shape = access, .blank_first = true, .missing = {}, .asked = {}};
    const Asked asked;
    const auto can = engine(access, ContinueMode::auto_prefill);
    GoingOn way(asked.body, asked.facts, "mid", 40, "m", can, all);
    const auto step = drive(way, toy);
    REQUIRE(step);
    CHECK(way.way() == ContinueMode::continue_final);
  }
}

TEST_CASE("a template that cannot be had as text is not guessed") {
  ToyEngine toy{.shape = TemplateAccess::tokenize_chat, .loses_special = true, .missing = {}, .asked = {}};
  const Asked asked;
  const auto can = engine(TemplateAccess::tokenize_chat);
  GoingOn way(asked.body, asked.facts, text, 40, "m", can, fleet::way(ContinueMode::raw_text));
  CHECK_FALSE(drive(way, toy));
}

TEST_CASE("a door that is not there leads to the next way") {
  for (const auto access : {TemplateAccess::apply, TemplateAccess::tokenize_chat}) {
    for (const char* const door : {"/apply-template", "/tokenize", "/detokenize"}) {
      ToyEngine toy{.shape = access, .missing = door, .asked = {}};
      const Asked asked;
      const auto can = engine(access, ContinueMode::continue_final);
      GoingOn way(asked.body, asked.facts, text, 40, "m", can, fleet::ways_of(can));
      REQUIRE(drive(way, toy));
      const bool needed = access == TemplateAccess::apply || std::string_view(door) != "/apply-template";
      CHECK((way.way() == ContinueMode::token_ids) != needed);
    }
  }
}

TEST_CASE("rubbish for an answer leads to the next way, whatever the question") {
  const std::string rubbish[] = {"", "null", "[]", "{}", "{\"tokens\":7}", "{\"tokens\":[]}", "{\"tokens\":[1,\"2\"]}", "{\"tokens\":[-1]}",
                                 "{\"tokens\":[1.5]}", "{\"tokens\":[99999999999]}", "{\"tokens\":[1],\"tokens\":[2]}", "{\"prompt\":7}",
                                 "{\"prompt\":\"\"}", "{\"content\":\"\"}", "{\"content\":\"x\",\"prompt\":\"x\"}", "<html>", "{\"tokens\":[1]} x"};
  for (const auto access : {TemplateAccess::apply, TemplateAccess::tokenize_chat})
    for (std::size_t at = 0; at < 5; ++at)
      for (const auto& bad : rubbish) {
        INFO(at << ' ' << bad);
        ToyEngine toy{.shape = access, .missing = {}, .asked = {}};
        const Asked asked;
        const auto can = engine(access, ContinueMode::continue_final);
        GoingOn way(asked.body, asked.facts, text, 40, "m", can, fleet::ways_of(can));
        for (std::size_t i = 0; way.way() == ContinueMode::token_ids && way.step().question; ++i) {
          const auto step = way.step();
          const auto [status, body] = toy.answer(step.path, step.body);
          way.answered(status, i == at ? bad : body);
        }
        // Either it was found out, or it was the right answer's like and the prompt is still what it should be.
        if (way.way() == ContinueMode::token_ids) {
          const auto prompt = toy.prompt_of(way.step().body);
          CHECK((prompt.ends_with(text) || bad.find("tokens") != bad.npos || at == 0));
        } else {
          CHECK(way.way() == ContinueMode::continue_final);
        }
      }
}

TEST_CASE("what ids and text cannot stand for is gone on with by the chat route alone") {
  const std::string more[] = {
      ",\"tools\":[{\"type\":\"function\"}]",
      ",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"What is it?\"},{\"type\":\"image_url\",\"image_url\":{}}]}]",
  };
  for (const auto& one : more) {
    const Asked asked(one);
    auto can = engine(TemplateAccess::apply, ContinueMode::auto_prefill);
    can.tools = true;
    GoingOn way(asked.body, asked.facts, text, 40, "m", can, fleet::ways_of(can));
    CHECK(way.way() == ContinueMode::auto_prefill);
    way.refused();
    CHECK(way.way() == ContinueMode::none);
  }
  const std::string never[] = {",\"logprobs\":true", ",\"response_format\":{\"type\":\"json_object\"}", ",\"n\":2",
                               ",\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"}]",
                               ",\"grammar\":\"x\"", ",\"tool_choice\":\"required\""};
  for (const auto& one : never) {
    INFO(one);
    const Asked asked(one);
    const auto can = engine(TemplateAccess::apply, ContinueMode::auto_prefill);
    CHECK(GoingOn(asked.body, asked.facts, text, 40, "m", can, all).way() == ContinueMode::none);
  }
  const Asked parts(",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"}]}]");
  CHECK(GoingOn(parts.body, parts.facts, text, 40, "m", engine(TemplateAccess::apply), all).way() == ContinueMode::token_ids);
}

TEST_CASE("a prompt of text is gone on with as text, by whoever can go on") {
  const Asked asked({}, Operation::completions);
  const auto can = engine(TemplateAccess::none, ContinueMode::continue_final);
  GoingOn way(asked.body, asked.facts, text, 40, "m", can, fleet::ways_of(can));
  CHECK(way.way() == ContinueMode::raw_text);
  CHECK_FALSE(way.as_chat());
  CHECK(bj::parse(way.step().body).at("prompt").as_string() == "Tell" + text);
  CHECK(GoingOn(asked.body, asked.facts, text, 40, "m", can, 0).way() == ContinueMode::none);
}

TEST_CASE("the limit is what is left, and never beyond the window where that is the engine's limit") {
  const auto limit = [](std::uint32_t context, const char* more) {
    Asked asked(more);
    ToyEngine toy{.shape = TemplateAccess::tokenize_chat, .missing = {}, .asked = {}};
    auto can = engine(TemplateAccess::tokenize_chat);
    can.context = context;
    GoingOn way(asked.body, asked.facts, "abcd", 40, "m", can, fleet::way(ContinueMode::token_ids));
    const auto step = drive(way, toy);
    return step ? bj::parse(step->body).at("max_tokens").as_int64() : -1;
  };
  CHECK(limit(2048, "") == 40);
  CHECK(limit(30, "") == 20);  // the prompt is 6 ids, the text 4
  CHECK(limit(10, "") == -1);
  CHECK(limit(0, "") == 40);
  Asked free;
  free.facts.tokens_max.reset();
  free.body = "{\"model\":\"m\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"Tell\"}]}";
  REQUIRE_FALSE(read_request(free.body, Operation::chat, context_of, nullptr, free.facts));
  auto can = engine(TemplateAccess::tokenize_chat);
  CHECK(GoingOn(free.body, free.facts, "abcd", 2040, "m", can, all).way() == ContinueMode::token_ids);
  can.context = 0;
  CHECK(GoingOn(free.body, free.facts, "abcd", 2040, "m", can, fleet::ways_of(can)).way() == ContinueMode::none);
}

TEST_CASE("what an old engine would refuse is not sent with the conversation") {
  const Asked asked(",\"temperature\":0.5,\"prompt\":\"another\",\"pr\\u006fmpt2\":1,\"add_generation_prompt\":true,\"lora\":[]");
  auto can = engine(TemplateAccess::tokenize_chat);
  GoingOn whole(asked.body, asked.facts, text, 40, "engine-m", can, all);
  auto body = bj::parse(whole.step().body).as_object();
  CHECK_FALSE(body.contains("prompt"));  // /tokenize would take it for the text
  CHECK_FALSE(body.contains("lora"));
  CHECK(body.contains("temperature"));
  can.unknown_fields = fleet::UnknownFields::reject;
  GoingOn bare(asked.body, asked.facts, text, 40, "engine-m", can, all);
  CHECK(bare.step().body == "{\"model\":\"engine-m\",\"messages\":[{\"role\":\"user\",\"content\":\"Tell\"}],\"add_generation_prompt\":true}");
}

TEST_CASE("a completion's events told as a chat's") {
  const auto told = [](std::string_view event) {
    std::string out = "kept ";
    if (chat_event(event, out)) return out;
    CHECK(out == "kept ");
    return std::string();
  };
  CHECK(told("{\"id\":\"c\",\"object\":\"text_completion\",\"created\":7,\"model\":\"m\",\"choices\":[{\"index\":0,\"text\":\" a\\n\",\"logprobs\":null,"
             "\"finish_reason\":null,\"stop_reason\":null}],\"usage\":null}") ==
        "kept {\"object\":\"chat.completion.chunk\",\"id\":\"c\",\"created\":7,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" a\\n\"},"
        "\"finish_reason\":null}],\"usage\":null}");
  CHECK(told("{\"choices\":[{\"text\":\"\",\"finish_reason\":\"stop\"}]}") ==
        "kept {\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}");
  CHECK(told("{\"choices\":[],\"usage\":{\"prompt_tokens\":1}}") == "kept {\"object\":\"chat.completion.chunk\",\"choices\":[],\"usage\":{\"prompt_tokens\":1}}");
  for (const char* const other : {"", "[]", "{}", "{\"error\":{}}", "{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}", "{\"choices\":[{}]}",
                                  "{\"choices\":[{\"text\":null}]}", "{\"choices\":[{\"text\":\"a\",\"text\":\"b\"}]}", "{\"choices\":[7]}",
                                  "{\"choices\":[],\"choices\":[]}", "{\"choices\":[{\"text\":\"a\"}]", "{\"choices\":[{\"text\":\"\\ud800\"}]}"})
    CHECK(told(other).empty());
}

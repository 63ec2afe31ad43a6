// Going on from text that was delivered: what is asked of the next engine, and when nothing is.
#include <boost/json.hpp>
#include <map>

#include "backends/engines/engines.h"
#include "tests/catch.h"

using namespace trib;
using namespace trib::engines;
namespace bj = boost::json;
using fleet::ContinueMode;

namespace {

std::uint32_t context_of(const void*, std::string_view) { return 2048; }

RequestFacts read(std::string_view body, Operation operation) {
  RequestFacts facts;
  const auto refusal = read_request(body, operation, context_of, nullptr, facts);
  INFO(body);
  REQUIRE_FALSE(refusal);
  return facts;
}

fleet::Capabilities engine(ContinueMode mode) {
  fleet::Capabilities can;
  can.continue_mode = mode;
  can.length_field = fleet::LengthField::both;
  return can;
}

std::optional<Continuation> go_on(std::string_view body, ContinueMode mode, std::string_view text = "Once upon",
                                  Operation operation = Operation::chat, bool tools = false) {
  auto can = engine(mode);
  can.tools = tools;
  return continue_body(body, read(body, operation), text, 40, "m", can);
}

std::string chat(std::string_view more = {}) {
  return "{\"model\":\"m\",\"stream\":true,\"stream_options\":{\"include_usage\":true},\"max_tokens\":60," + std::string(more) +
         "\"messages\":[{\"role\":\"user\",\"content\":\"Tell\"}]}";
}
std::string raw(std::string_view more = {}) {
  return "{\"model\":\"m\",\"stream\":true,\"stream_options\":{\"include_usage\":true},\"max_tokens\":60," + std::string(more) +
         "\"prompt\":\"Tell\"}";
}

std::string blanks(Rng& rng) {
  static const char* const some[] = {"", "", " ", "\n", "\t\r\n ", "  "};
  return some[rng.below(6)];
}

// The members of an object as they stand: decoded key, raw value.
std::map<std::string, std::string> members(std::string_view object) {
  std::map<std::string, std::string> out;
  json::Cursor in(object, {.depth = 64, .unique_keys = true});
  REQUIRE(in.enter_object());
  std::string_view key;
  while (in.next_key(key)) {
    const std::string name(key);
    in.peek();
    out[name] = std::string(in.skip());
  }
  REQUIRE(in.finish());
  return out;
}

}  // namespace

TEST_CASE("each mode's words") {
  const auto final = go_on(chat(), ContinueMode::continue_final);
  REQUIRE(final);
  CHECK(final->path == "/v1/chat/completions");
  CHECK(final->body ==
        "{\"model\":\"m\",\"stream\":true,\"stream_options\":{\"include_usage\":true},\"max_tokens\":40,\"messages\":[{\"role\":\"user\","
        "\"content\":\"Tell\"},{\"role\":\"assistant\",\"content\":\"Once upon\"}],\"continue_final_message\":true,\"add_generation_prompt\":false}");
  const auto prefill = go_on(chat(), ContinueMode::auto_prefill);
  REQUIRE(prefill);
  CHECK(prefill->body ==
        "{\"model\":\"m\",\"stream\":true,\"stream_options\":{\"include_usage\":true},\"max_tokens\":40,\"messages\":[{\"role\":\"user\","
        "\"content\":\"Tell\"},{\"role\":\"assistant\",\"content\":\"Once upon\"}]}");
  for (const auto mode : {ContinueMode::continue_final, ContinueMode::auto_prefill, ContinueMode::token_ids, ContinueMode::raw_text}) {
    const auto text = go_on(raw(), mode, " \"me\" a\nstory", Operation::completions);
    REQUIRE(text);
    CHECK(text->path == "/v1/completions");
    CHECK(text->body ==
          "{\"model\":\"m\",\"stream\":true,\"stream_options\":{\"include_usage\":true},\"max_tokens\":40,\"prompt\":\"Tell \\\"me\\\" a\\nstory\"}");
  }
}

TEST_CASE("flags that the customer set to what they are anyway are set anew") {
  const auto out = go_on(chat("\"continue_final_message\":false,\"add_generation_prompt\" : true,"), ContinueMode::continue_final);
  REQUIRE(out);
  const auto got = members(out->body);
  CHECK(got.at("continue_final_message") == "true");
  CHECK(got.at("add_generation_prompt") == "false");
}

TEST_CASE("the limit is told under the name that the engine reads, whatever the customer's") {
  const std::string messages = "\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}";
  const auto limits = [&](std::string_view more, fleet::LengthField field) {
    const std::string body = "{\"model\":\"m\"," + std::string(more) + messages;
    auto can = engine(ContinueMode::auto_prefill);
    can.length_field = field;
    const auto out = continue_body(body, read(body, Operation::chat), "t", 40, "m", can);
    REQUIRE(out);
    const auto got = members(out->body);
    std::string said;
    for (const char* const key : {"max_tokens", "max_completion_tokens"})
      if (got.contains(key)) said += std::string(key) + '=' + got.at(key) + ' ';
    return said;
  };
  using fleet::LengthField;
  for (const auto* const customer : {"", "\"max_tokens\":60,", "\"max_completion_tokens\":60,", "\"max_tokens\":null,",
                                     "\"max_completion_tokens\":60,\"max_tokens\":70,"}) {
    INFO(customer);
    CHECK(limits(customer, LengthField::max_tokens) == "max_tokens=40 ");
    CHECK(limits(customer, LengthField::max_completion_tokens) == "max_completion_tokens=40 ");
  }
  CHECK(limits("", LengthField::both) == "max_tokens=40 ");
  CHECK(limits("\"max_completion_tokens\":60,", LengthField::both) == "max_completion_tokens=40 ");
  CHECK(limits("\"max_completion_tokens\":60,\"max_tokens\":null,", LengthField::both) == "max_tokens=40 max_completion_tokens=40 ");
}

TEST_CASE("without a limit of the customer's an engine that stops at its window is left to it") {
  const std::string body = "{\"model\":\"m\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"Tell\"}]}";
  auto can = engine(ContinueMode::continue_final);
  can.dialect = "vllm";
  const auto windowed = continue_body(body, read(body, Operation::chat), "Once", 2047, "m", can);
  REQUIRE(windowed);
  CHECK(windowed->body.find("max_tokens") == std::string::npos);
  can.dialect = "llamacpp";
  const auto endless = continue_body(body, read(body, Operation::chat), "Once", 2047, "m", can);
  REQUIRE(endless);
  CHECK(endless->body.find("\"max_tokens\":2047") != std::string::npos);
  can.dialect = "vllm";
  const std::string prompt = "{\"model\":\"m\",\"stream\":true,\"prompt\":\"Tell\"}";
  CHECK_FALSE(continue_body(prompt, read(prompt, Operation::completions), "Once", 2047, "m", can));
}

TEST_CASE("what cannot be gone on with honestly is not") {
  const auto all = [](std::string_view body, Operation operation, bool tools = true) {
    bool any = false;
    for (const auto mode : {ContinueMode::continue_final, ContinueMode::auto_prefill, ContinueMode::token_ids, ContinueMode::raw_text})
      any = any || go_on(body, mode, "text", operation, tools).has_value();
    return any;
  };
  REQUIRE(all(chat(), Operation::chat));
  REQUIRE(all(raw(), Operation::completions));
  const char* const both[] = {
      "\"n\":2,", "\"min_tokens\":5,", "\"grammar\":\"root\",", "\"guided_json\":{\"type\":\"object\"},", "\"structured_outputs\":{\"regex\":\"a\"},",
      "\"response_format\":{\"type\":\"json_object\"},", "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{}},",
      "\"response_format\":7,", "\"json_schema\":{\"a\":1},", "\"return_token_ids\":true,", "\"echo\":true,", "\"best_of\":2,",
      "\"use_beam_search\":true,", "\"prompt_logprobs\":1,", "\"logprobs\":true,",
      "\"logprobs\":5,", "\"logprobs\":0,", "\"suffix\":\"end\",", "\"structural_tag\":\"x\","};
  for (const auto* const more : both) {
    INFO(more);
    CHECK_FALSE(all(raw(more), Operation::completions));
    CHECK_FALSE(all(chat(more), Operation::chat));
  }
  const char* const chats[] = {"\"tools\":[{\"type\":\"function\"}],\"tool_choice\":\"required\",",
                               "\"tools\":[{\"type\":\"function\"}],\"tool_choice\":{\"type\":\"function\"},",
                               "\"functions\":[{\"name\":\"f\"}],\"function_call\":{\"name\":\"f\"},", "\"audio\":{\"voice\":\"a\"},",
                               "\"continue_final_message\":true,", "\"add_generation_prompt\":false,", "\"top_logprobs\":2,"};
  for (const auto* const more : chats) {
    INFO(more);
    CHECK_FALSE(all(chat(more), Operation::chat));
  }
  const char* const harmless[] = {"\"n\":1,", "\"logprobs\":false,", "\"logprobs\":null,", "\"response_format\":{\"type\":\"text\"},",
                                  "\"response_format\":null,", "\"best_of\":1,", "\"echo\":false,", "\"suffix\":null,", "\"stop\":[\"x\"],",
                                  "\"seed\":7,", "\"tools\":[],", "\"min_tokens\":0,"};
  for (const auto* const more : harmless) {
    INFO(more);
    CHECK(all(raw(more), Operation::completions));
    CHECK(all(chat(more), Operation::chat));
  }
  const std::string tools = "\"tools\":[{\"type\":\"function\"}],\"tool_choice\":\"auto\",";
  CHECK(all(chat(tools), Operation::chat, true));
  CHECK_FALSE(all(chat(tools), Operation::chat, false));
  CHECK_FALSE(all("{\"model\":\"m\",\"stream\":true,\"prompt\":[\"one\"]}", Operation::completions));
  CHECK_FALSE(all("{\"model\":\"m\",\"stream\":true,\"prompt\":[1,2]}", Operation::completions));
  CHECK_FALSE(all("{\"model\":\"m\",\"stream\":true}", Operation::completions));
  CHECK_FALSE(all("{\"model\":\"m\",\"prompt\":\"one\"}", Operation::completions));  // not a stream
  CHECK_FALSE(all("{\"model\":\"m\",\"input\":\"one\"}", Operation::embeddings));
  CHECK_FALSE(all("{\"model\":\"m\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"}]}",
                  Operation::chat));
}

TEST_CASE("no mode, no text, no whole text, no tokens left: none") {
  CHECK_FALSE(go_on(chat(), ContinueMode::none));
  CHECK_FALSE(go_on(raw(), ContinueMode::none, "x", Operation::completions));
  CHECK_FALSE(go_on(chat(), ContinueMode::raw_text));   // the template is the engine's
  CHECK_FALSE(go_on(chat(), ContinueMode::token_ids));
  CHECK_FALSE(go_on(chat(), ContinueMode::auto_prefill, ""));
  CHECK_FALSE(go_on(chat(), ContinueMode::auto_prefill, "caf\xc3"));
  const auto body = chat();
  CHECK_FALSE(continue_body(body, read(body, Operation::chat), "x", 0, "m", engine(ContinueMode::auto_prefill)));
}

TEST_CASE("what comes out is valid, and every other member is the customer's, byte for byte") {
  SeededRng rng(20'26);
  static const char* const texts[] = {"Once", "\"quoted\" \\ back", "\n\t\x01", "你好 é \xf0\x9f\x98\x80", "</s>{}[],:", "\x7f\xe2\x80\xa8"};
  static const char* const values[] = {"null", "true", "-1.50e+3", "\"\\u00e9\\\"}]\"", "[1, {\"messages\":[]} ]", "{\"prompt\" : \"x\",\"model\":7}"};
  for (int round = 0; round < 3000; ++round) {
    const auto operation = rng.below(2) != 0 ? Operation::chat : Operation::completions;
    std::vector<std::string> parts;
    const auto member = [&](const std::string& key, const std::string& text) { parts.push_back('"' + key + '"' + blanks(rng) + ':' + blanks(rng) + text); };
    member("model", rng.below(2) != 0 ? "\"m\"" : "\"\\u006d\"");
    member("stream", "true");
    const std::string prompt = "\"\\\"p\\u00e9 " + std::string(texts[3]) + "\"";
    if (operation == Operation::chat) {
      std::string list = "[" + blanks(rng);
      for (auto n = rng.below(3); n > 0; --n) list += "{\"role\":\"assistant\",\"content\":\"a\"}" + blanks(rng) + "," + blanks(rng);
      list += "{\"content\":" + blanks(rng) + std::string(values[rng.below(6)]) + ",\"role\":\"user\"}" + blanks(rng) + "]";
      member(rng.below(4) == 0 ? "mess\\u0061ges" : "messages", list);
    } else {
      member("prompt", prompt);
    }
    if (rng.below(3) == 0) member("max_tokens", rng.below(2) != 0 ? "70" : "null");
    if (rng.below(3) == 0) member("max_completion_tokens", "80");
    if (rng.below(3) == 0) member("stream_options", rng.below(2) != 0 ? "{\"include_usage\":false}" : "{\"other\":1}");
    if (rng.below(4) == 0) member("continue_final_message", "false");
    if (rng.below(4) == 0) member("n_predict", "100000"), member("id_slot", "3");
    for (auto n = rng.below(4); n > 0; --n) member("other" + std::to_string(n), values[rng.below(6)]);
    for (std::size_t i = parts.size(); i > 1; --i) std::swap(parts[i - 1], parts[rng.below(i)]);
    std::string body = blanks(rng) + "{" + blanks(rng);
    for (const auto& one : parts) body += one + blanks(rng) + (&one == &parts.back() ? "" : "," + blanks(rng));
    body += "}" + blanks(rng);

    auto can = engine(rng.below(2) != 0 ? ContinueMode::continue_final : ContinueMode::auto_prefill);
    can.length_field = static_cast<fleet::LengthField>(rng.below(3));
    can.usage_in_stream = rng.below(3) != 0;
    std::string text;
    for (auto n = 1 + rng.below(4); n > 0; --n) text += texts[rng.below(6)];
    const auto out = continue_body(body, read(body, operation), text, 33, "their/m", can);
    INFO(body);
    REQUIRE(out);
    INFO(out->body);
    REQUIRE(json::valid(out->body, {64, true}));

    auto was = members(body), is = members(out->body);
    CHECK(is["model"] == "\"their/m\"");
    CHECK((is["max_tokens"] == "33" || is["max_completion_tokens"] == "33"));
    const auto parsed = [](const std::string& one) { return bj::parse(one); };
    if (operation == Operation::chat) {
      auto want = parsed(was["messages"]);
      want.as_array().push_back(bj::object{{"role", "assistant"}, {"content", text}});
      CHECK(parsed(is["messages"]) == want);
      CHECK(is["messages"].starts_with(was["messages"].substr(0, was["messages"].rfind('}') + 1)));  // byte for byte
      if (can.continue_mode == ContinueMode::continue_final) {
        CHECK(is["continue_final_message"] == "true");
        CHECK(is["add_generation_prompt"] == "false");
        for (const auto* const key : {"continue_final_message", "add_generation_prompt"}) was.erase(key), is.erase(key);
      }
    } else {
      CHECK(parsed(is["prompt"]).as_string() == std::string(parsed(was["prompt"]).as_string()) + text);
      CHECK(is["prompt"].starts_with(was["prompt"].substr(0, was["prompt"].size() - 1)));
    }
    for (const auto* const key : {"model", "max_tokens", "max_completion_tokens", "stream_options", "messages", "prompt"}) was.erase(key), is.erase(key);
    was.erase("n_predict");
    was.erase("id_slot");
    CHECK(was == is);
  }
}

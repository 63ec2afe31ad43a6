// Finding out what an engine is, from answers as each gives them, and from rubbish.
#include <map>

#include "backends/engines/engines.h"
#include "tests/catch.h"

using namespace trib;
using namespace trib::engines;

namespace {

using Answers = std::map<std::string, std::pair<int, std::string>>;  // others are 404

Probe probed(const Answers& answers, std::vector<std::string>* asked = nullptr) {
  Probe probe;
  for (int i = 0; i < 20 && !probe.next().empty(); ++i) {
    const std::string path(probe.next());
    if (asked != nullptr) asked->push_back(path);
    const auto found = answers.find(path);
    if (found == answers.end()) {
      probe.answer(404, "{\"detail\":\"Not Found\"}");
    } else {
      probe.answer(found->second.first, found->second.second);
    }
  }
  REQUIRE(probe.next().empty());
  return probe;
}

const std::string openai_list = "{\"object\":\"list\",\"data\":[{\"id\":\"m1\",\"object\":\"model\"},{\"id\":\"m2\"}]}";

}  // namespace

TEST_CASE("vLLM") {
  const auto probe = probed({{"/v1/models", {200, "{\"object\":\"list\",\"data\":[{\"id\":\"qwen\",\"object\":\"model\",\"created\":1,\"owned_by\":\"vllm\","
                                                  "\"root\":\"/m\",\"parent\":null,\"max_model_len\":32768,\"permission\":[{}]}]}"}},
                             {"/version", {200, "{\"version\":\"0.10.1\"}"}}});
  CHECK(probe.reachable());
  CHECK(probe.found().engine == "vllm");
  CHECK(probe.found().dialect == "vllm");
  CHECK(probe.found().version == "0.10.1");
  CHECK(probe.found().context == 32768);
  CHECK(probe.models() == std::vector<std::string>{"qwen"});
}

TEST_CASE("llama.cpp's server") {
  const auto probe = probed(
      {{"/v1/models", {200, "{\"object\":\"list\",\"data\":[{\"id\":\"smollm2-135m\",\"object\":\"model\",\"owned_by\":\"llamacpp\",\"meta\":{\"n_ctx_train\":8192}}]}"}},
       {"/props", {200, "{\"default_generation_settings\":{\"id\":0,\"n_ctx\":2048,\"params\":{}},\"total_slots\":4,\"model_path\":\"m.gguf\",\"build_info\":\"b5000-abc\"}"}}});
  CHECK(probe.found().engine == "llama.cpp");
  CHECK(probe.found().dialect == "llamacpp");
  CHECK(probe.found().version == "b5000-abc");
  CHECK(probe.found().slots == 4);
  CHECK(probe.found().context == 2048);
}

TEST_CASE("SGLang, by its models or by its own door") {
  const auto by_models = probed({{"/v1/models", {200, "{\"data\":[{\"id\":\"m\",\"owned_by\":\"sglang\",\"max_model_len\":4096}]}"}}});
  CHECK(by_models.found().engine == "sglang");
  CHECK(by_models.found().context == 4096);
  const auto by_info = probed({{"/v1/models", {200, openai_list}}, {"/get_server_info", {200, "{\"tp_size\":1,\"version\":\"0.5.1\",\"mem_fraction_static\":0.8}"}}});
  CHECK(by_info.found().engine == "sglang");
  CHECK(by_info.found().version == "0.5.1");
}

TEST_CASE("TGI, Ollama, and one that only speaks OpenAI's words") {
  const auto tgi = probed({{"/v1/models", {200, openai_list}},
                           {"/info", {200, "{\"model_id\":\"m\",\"max_concurrent_requests\":128,\"version\":\"3.3.4\"}"}}});
  CHECK(tgi.found().engine == "tgi");
  CHECK(tgi.found().version == "3.3.4");
  const auto ollama = probed({{"/v1/models", {200, openai_list}}, {"/api/version", {200, "{\"version\":\"0.11.4\"}"}}});
  CHECK(ollama.found().engine == "ollama");
  std::vector<std::string> asked;
  const auto generic = probed({{"/v1/models", {200, openai_list}}}, &asked);
  CHECK(generic.reachable());
  CHECK(generic.found().engine.empty());
  CHECK(generic.found().dialect == "generic");
  CHECK(generic.models() == std::vector<std::string>{"m1", "m2"});
  CHECK(asked == std::vector<std::string>{"/v1/models", "/version", "/server_info", "/get_server_info", "/props", "/info", "/v2", "/api/version", "/metrics"});
}

TEST_CASE("a known engine is not asked for what others are known by") {
  std::vector<std::string> asked;
  probed({{"/v1/models", {200, "{\"data\":[{\"id\":\"m\",\"owned_by\":\"vllm\"}]}"}}, {"/version", {200, "{\"version\":\"0.10.1\"}"}}}, &asked);
  CHECK(asked == std::vector<std::string>{"/v1/models", "/version", "/tokenize", "/tokenize", "/metrics"});
}

TEST_CASE("whether vLLM leaves a last turn open is settled by how it renders one, not by its version") {
  struct Row {
    const char* version;
    int open, closed;  // tokens; -1: refused, -2: no such path
    fleet::ContinueMode mode;
  };
  using fleet::ContinueMode;
  for (const auto& row : {Row{"0.11.0", 7, 9, ContinueMode::continue_final}, {"0.11.0", 9, 9, ContinueMode::token_ids}, {"0.11.0", -1, 9, ContinueMode::token_ids},
                          {"0.11.0", -2, -2, ContinueMode::continue_final}, {"0.11.0", 7, -1, ContinueMode::continue_final},
                          {"strange", 7, 9, ContinueMode::continue_final}, {"strange", 9, 9, ContinueMode::token_ids}, {"strange", -2, -2, ContinueMode::none},
                          {"0.5.0", 9, 9, ContinueMode::token_ids}, {"0.5.0", 0, 0, ContinueMode::none}}) {
    Probe probe;
    int open = 0, closed = 0;
    while (!probe.next().empty()) {
      const auto path = probe.next();
      if (path == "/v1/models") {
        CHECK(probe.body().empty());
        probe.answer(200, "{\"data\":[{\"id\":\"a \\\"m\\\"\",\"owned_by\":\"vllm\"}]}");
      } else if (path == "/version") {
        probe.answer(200, "{\"version\":\"" + std::string(row.version) + "\"}");
      } else if (path == "/tokenize") {
        REQUIRE(json::valid(probe.body(), {16, true}));
        CHECK(probe.body().find("\"model\":\"a \\\"m\\\"\"") != std::string::npos);
        const bool leaves_open = probe.body().find("\"continue_final_message\":true") != std::string::npos;
        const int tokens = leaves_open ? row.open : row.closed;
        ++(leaves_open ? open : closed);
        if (tokens < 0) {
          probe.answer(tokens == -1 ? 400 : 404, "{}");
        } else {
          probe.answer(200, "{\"count\":" + std::to_string(tokens) + ",\"max_model_len\":4096,\"tokens\":[]}");
        }
      } else {
        probe.answer(404, "{}");
      }
    }
    INFO(row.version << ' ' << row.open << ' ' << row.closed);
    CHECK(open == 1);
    CHECK(closed == 1);
    CHECK(probe.found().continue_mode == row.mode);
  }
}

TEST_CASE("one that does not answer is asked no further") {
  for (const int status : {0, 500, 503}) {
    std::vector<std::string> asked;
    const auto probe = probed({{"/v1/models", {status, ""}}}, &asked);
    CHECK_FALSE(probe.reachable());
    CHECK(asked.size() == 1);
  }
  CHECK(probed({{"/v1/models", {401, ""}}}).reachable());
}

TEST_CASE("rubbish is bounded and believed nowhere") {
  const std::string rubbish[] = {
      "",
      "<html></html>",
      "[]",
      "null",
      "{\"data\":7}",
      "{\"data\":[7,null,[],{\"id\":7},{\"id\":\"\"},{}]}",
      "{\"version\":[1],\"total_slots\":\"many\"}",
      "{\"data\":" + std::string(10'000, '[') + std::string(10'000, ']') + "}",
      "{\"data\":[{\"id\":\"" + std::string(100'000, 'x') + "\"}]}",
      "{\"data\":[{\"id\":\"m\",\"max_model_len\":-5}]",
      "\xff\xff",
  };
  for (const auto& text : rubbish) {
    INFO(text.substr(0, 100));
    Answers answers;
    for (const char* const path : {"/v1/models", "/version", "/props", "/api/version", "/server_info", "/get_server_info", "/info", "/v2", "/apply-template", "/metrics"})
      answers[path] = {200, text};
    const auto probe = probed(answers);
    CHECK(probe.models().empty());
    CHECK(probe.found().version.empty());
    CHECK(probe.found().context == 0);
    CHECK(probe.found().slots == 0);
  }
  for (const char* const number : {"-5", "0", "1.5", "\"2048\"", "4294967296", "99999999999999999999", "null"}) {
    INFO(number);
    CHECK(probed({{"/v1/models", {200, "{\"data\":[{\"id\":\"m\",\"max_model_len\":" + std::string(number) + "}]}"}}}).found().context == 0);
  }
  std::string many = "{\"data\":[";
  for (int i = 0; i < 1000; ++i) many += (i == 0 ? "" : ",") + std::string("{\"id\":\"m") + std::to_string(i) + "\"}";
  CHECK(probed({{"/v1/models", {200, many + "]}"}}}).models().size() == 256);
}

TEST_CASE("a context that llama.cpp gives wins over none, and rubbish over nothing") {
  const auto probe = probed({{"/v1/models", {200, "{\"data\":[{\"id\":\"m\",\"max_model_len\":4096}]}"}},
                             {"/props", {200, "{\"total_slots\":1,\"default_generation_settings\":{\"n_ctx\":\"big\"}}"}}});
  CHECK(probe.found().context == 4096);
}

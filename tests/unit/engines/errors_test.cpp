// What engines' refusals mean, and what of their words is told.
#include "backends/engines/engines.h"
#include "tests/catch.h"

using namespace trib;
using namespace trib::engines;

TEST_CASE("error bodies of every known shape") {
  struct Row {
    const char *body, *message, *type, *code;
  };
  const Row rows[] = {
      {"{\"error\":{\"message\":\"m\",\"type\":\"t\",\"param\":null,\"code\":\"c\"}}", "m", "t", "c"},                   // OpenAI
      {"{\"object\":\"error\",\"message\":\"m\",\"type\":\"BadRequestError\",\"param\":null,\"code\":400}", "m", "BadRequestError", "400"},  // vLLM, flat
      {"{\"error\":{\"code\":400,\"message\":\"m\",\"type\":\"exceed_context_size_error\",\"n_prompt_tokens\":9,\"n_ctx\":8}}", "The request asks for 9 tokens, the model's context is 8.", "exceed_context_size_error", "400"},  // llama.cpp
      {"{\"error\":\"m\",\"error_type\":\"validation\"}", "m", "validation", ""},                                        // TGI
      {"{\"error\":\"m\"}", "m", "", ""},                                                                                // Ollama
      {"{\"detail\":\"m\"}", "m", "", ""},                                                                               // FastAPI
      {"{\"detail\":[{\"loc\":[\"body\"],\"msg\":\"x\"},{\"msg\":\"y\"},7]}", "x", "", ""},
      {"<html>\n<body>502", "", "", ""},  // a proxy's page
      {"\"m\"", "m", "", ""},
      {"upstream connect error\nmore", "upstream connect error", "", ""},
      {"", "", "", ""},
      {"{\"error\":{\"message\":\"m\"", "m", "", ""},
      {"{\"error\":null}", "", "", ""},
      {"{\"error\":{\"error\":{\"error\":{\"message\":\"deep\"}}}}", "deep", "", ""},
      {"[1,2]", "[1,2]", "", ""},
      {"7", "7", "", ""},
      {"\xff\xfe", "", "", ""},
  };
  for (const auto& row : rows) {
    INFO(row.body);
    const auto facts = read_error(row.body);
    CHECK(facts.message == row.message);
    CHECK(facts.type == row.type);
    CHECK(facts.code == row.code);
  }
  std::string deep;
  for (int i = 0; i < 10'000; ++i) deep += "{\"error\":";
  CHECK(read_error(deep).message.empty());
}

TEST_CASE("an error's words are bounded and stay whole characters") {
  for (std::size_t n = 500; n < 520; ++n) {
    const auto facts = read_error("{\"message\":\"" + std::string(n, 'a') + "你你你你你\"}");
    CHECK(facts.message.size() <= 512);
    CHECK(json::valid_utf8(facts.message));
    CHECK(facts.message.size() >= 510);
  }
  CHECK(json::valid_utf8(read_error(std::string(600, 'x') + "你").message));
  CHECK(read_error("{\"error\":{\"message\":\"m\",\"code\":\"" + std::string(100'000, 'c') + "\"}}").code.size() <= 512);
}

TEST_CASE("statuses are classed") {
  struct Row {
    int status;
    FaultKind kind;
    Side side;
    Retry retry;
  };
  using enum FaultKind;
  for (const auto& row : {Row{400, status_client, Side::client, Retry::never}, {413, status_client, Side::client, Retry::never},
                          {415, status_client, Side::client, Retry::never}, {422, status_client, Side::client, Retry::never},
                          {402, status_client, Side::client, Retry::never}, {409, status_client, Side::client, Retry::never},
                          {401, status_config, Side::site, Retry::elsewhere}, {403, status_config, Side::site, Retry::elsewhere},
                          {404, status_config, Side::site, Retry::elsewhere}, {405, status_config, Side::site, Retry::elsewhere},
                          {429, status_busy, Side::none, Retry::elsewhere}, {503, status_busy, Side::none, Retry::elsewhere},
                          {500, status_server, Side::engine, Retry::elsewhere}, {502, status_server, Side::engine, Retry::elsewhere},
                          {504, status_server, Side::engine, Retry::elsewhere}, {599, status_server, Side::engine, Retry::elsewhere},
                          {201, bad_head, Side::engine, Retry::elsewhere}, {204, bad_head, Side::engine, Retry::elsewhere},
                          {302, bad_head, Side::engine, Retry::elsewhere}, {501, status_config, Side::site, Retry::elsewhere},
                          {424, status_server, Side::engine, Retry::elsewhere}}) {
    const auto fault = classify_status(row.status, {"words", "", ""});
    INFO(row.status);
    CHECK(fault.kind == row.kind);
    CHECK(fault.side == row.side);
    CHECK(fault.retry == row.retry);
    CHECK(fault.detail == "the engine answered " + std::to_string(row.status));  // never its words
  }
  const ErrorFacts too_long[] = {
      {"x", "exceed_context_size_error", ""},
      {"x", "", "context_length_exceeded"},
      {"This model's maximum context length is 2048 tokens.", "BadRequestError", "400"},
      {"the request exceeds the available context size", "", ""},
      {"input is too large to process", "", ""},
  };
  for (const auto& error : too_long)
    for (const int status : {400, 413, 422, 500}) {
      const auto fault = classify_status(status, error);
      INFO(error.message << status);
      CHECK(fault.kind == context_length);
      CHECK(fault.retry == Retry::never);
    }
  const ErrorFacts not_the_customers[] = {
      {"The model `x` does not exist.", "NotFoundError", "404"},
      {"no", "", "model_not_found"},
      {"\"auto\" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set", "BadRequestError", "400"},
      {"tools param requires --jinja flag", "", ""},
  };
  for (const auto& error : not_the_customers)
    for (const int status : {400, 500}) {
      const auto fault = classify_status(status, error);
      INFO(error.message << status);
      if (status == 400 && error.message.find("--jinja") == std::string::npos) CHECK(fault.kind == status_config);
      if (status == 500) CHECK(fault.retry == Retry::elsewhere);
    }
  CHECK(classify_status(500, not_the_customers[3]).kind == status_config);
  // A busy engine is busy, whatever its words.
  for (const int status : {429, 503}) CHECK(classify_status(status, {"queue of context length 5 is full", "", ""}).kind == status_busy);
}

TEST_CASE("how long a request was is told in our words, where both numbers are known") {
  struct Row {
    const char* body;
    const char* message;
  };
  const Row rows[] = {
      {"{\"object\":\"error\",\"message\":\"This model's maximum context length is 2048 tokens. However, you requested 3000 tokens (2000 in the messages, 1000 in "
       "the completion).\",\"type\":\"BadRequestError\",\"code\":400}",
       "The request asks for 3000 tokens, the model's context is 2048."},
      {"{\"error\":\"Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` tokens and 100 "
       "`max_new_tokens`\",\"error_type\":\"validation\"}",
       "The request asks for 5000 tokens, the model's context is 4096."},
      {"{\"error\":{\"message\":\"maximum context length is 8 tokens\"}}", "maximum context length is 8 tokens"},
      {"{\"error\":{\"message\":\"maximum context length is 99999999999 tokens, you requested 3\"}}",
       "maximum context length is 99999999999 tokens, you requested 3"},
  };
  for (const auto& row : rows) {
    const auto facts = read_error(row.body);
    CHECK(facts.message == row.message);
    CHECK(classify_status(400, facts).kind == FaultKind::context_length);
  }
}

TEST_CASE("hosts, paths and chips are not for the customer; what went wrong is") {
  struct Row {
    const char *said, *told;
  };
  const Row rows[] = {
      {"CUDA out of memory on GPU 3.", "[device] out of memory on [device] 3."},
      {"NPU0: torch_npu error (ascend910b)", "[device]: [device] error ([device])"},
      {"connect to http://10.0.0.7:8000/v1 failed", "connect to [address] failed"},
      {"upstream 192.168.1.20:8080, gone", "upstream [address], gone"},
      {"fe80::1 or [::1]:9000 refused", "[address] or [address] refused"},
      {"host node-3:8000 (gpu.example.com) is down!", "host [address] ([address]) is down!"},
      {"File \"/opt/vllm/entrypoints/openai/serving.py\", line 7", "File \"[path]\", line 7"},
      {"see vllm/engine/core.py or C:\\models\\x", "see [path] or [path]"},
      {"cannot load ~/weights/model.gguf", "cannot load [path]"},
      {"HIP_ERROR NCCL_TIMEOUT cudaMalloc", "[device] [device] [device]"},
      // What a customer needs stays.
      {"Expected 'messages' to be an array", "Expected 'messages' to be an array"},
      {"messages.0.content: Field required", "messages.0.content: Field required"},
      {"temperature must be in [0, 2.0], got 3.5e1", "temperature must be in [0, 2.0], got 3.5e1"},
      {"POST /v1/chat/completions wants top_p<=1", "POST /v1/chat/completions wants top_p<=1"},
      {"std::bad_alloc and/or n_ctx:2048", "std::bad_alloc and/or n_ctx:2048"},
      {"模型 \"qwen\" 不存在。", "模型 \"qwen\" 不存在。"},
      {"", ""},
      {"...", "..."},
  };
  for (const auto& row : rows) {
    INFO(row.said);
    CHECK(passable(row.said) == row.told);
    CHECK(passable(row.told) == row.told);
  }
  const auto facts = read_error("{\"error\":{\"message\":\"CUDA error\"}}");
  CHECK(facts.message == "[device] error");
  CHECK(facts.original == "CUDA error");
}

TEST_CASE("any bytes for an error body: bounded, whole characters, no address left") {
  SeededRng rng(8);
  static const char* const pieces[] = {"10.1.2.3", "http://x", "{", "}", "\"", ":", ",", "error", "message", "\"message\":\"", "你", "\xff", " ", "\\u00e9", "[", "/a/b/c", "7"};
  for (int round = 0; round < 5000; ++round) {
    std::string body = rng.below(2) != 0 ? "{\"message\":\"" : "";
    for (auto n = rng.below(40); n > 0; --n) body += pieces[rng.below(std::size(pieces))];
    if (rng.below(2) != 0) body += "\"}";
    const auto facts = read_error(body);
    INFO(body);
    CHECK(facts.message.size() <= 512);
    CHECK(json::valid_utf8(facts.message));
    CHECK(facts.message.find(" 10.1.2.3 ") == std::string::npos);
  }
}

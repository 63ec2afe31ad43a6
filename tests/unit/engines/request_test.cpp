// What customers ask, and how it is put to an engine.
#include <boost/json.hpp>

#include "backends/engines/engines.h"
#include "tests/catch.h"

using namespace trib;
using namespace trib::engines;
namespace bj = boost::json;

namespace {

std::uint32_t context_of(const void*, std::string_view model) {
  if (model == "m") return 2048;
  return model == "big" ? 4'000'000'000u : 0;
}

std::optional<RequestRefusal> judge(std::string_view body, Operation operation = Operation::chat) {
  RequestFacts facts;
  return read_request(body, operation, context_of, nullptr, facts);
}

RequestFacts read(std::string_view body, Operation operation = Operation::chat) {
  RequestFacts facts;
  const auto refusal = read_request(body, operation, context_of, nullptr, facts);
  INFO(body);
  INFO((refusal ? refusal->message : std::string()));
  REQUIRE_FALSE(refusal);
  return facts;
}

const std::string messages = "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]";

std::string chat(std::string_view more) { return "{\"model\":\"m\"," + messages + (more.empty() ? "" : ",") + std::string(more) + "}"; }

std::string at(std::string_view body, Span span) { return std::string(body.substr(span.from, span.to - span.from)); }

}  // namespace

TEST_CASE("every refusal names what is wrong and where") {
  struct Row {
    std::string body;
    const char *message, *param;
  };
  const std::string list = "`messages` must be a non-empty list of objects";
  const Row rows[] = {
      {"[]", "the body must be a JSON object", ""},
      {"\"text\"", "the body must be a JSON object", ""},
      {"17", "the body must be a JSON object", ""},
      {"{}", "`model` is missing", "model"},
      {"{" + messages + "}", "`model` is missing", "model"},
      {"{\"model\":\"\"," + messages + "}", "`model` is missing", "model"},
      {"{\"model\":null," + messages + "}", "`model` must be a string", "model"},
      {"{\"model\":7," + messages + "}", "`model` must be a string", "model"},
      {"{\"model\":\"m\"}", list.c_str(), "messages"},
      {"{\"model\":\"m\",\"messages\":[]}", list.c_str(), "messages"},
      {"{\"model\":\"m\",\"messages\":null}", list.c_str(), "messages"},
      {"{\"model\":\"m\",\"messages\":{}}", list.c_str(), "messages"},
      {"{\"model\":\"m\",\"messages\":\"hi\"}", list.c_str(), "messages"},
      {"{\"model\":\"m\",\"messages\":[\"hi\"]}", list.c_str(), "messages"},
      {"{\"model\":\"m\",\"messages\":[{},7]}", list.c_str(), "messages"},
      {chat("\"max_tokens\":0"), "`max_tokens` must be at least 1", "max_tokens"},
      {chat("\"max_tokens\":-1"), "`max_tokens` must be at least 1", "max_tokens"},
      {chat("\"max_tokens\":2049"), "`max_tokens` must be at most 2048, the model's context length", "max_tokens"},
      {chat("\"max_tokens\":99999999999"), "`max_tokens` must be at most 2048, the model's context length", "max_tokens"},
      {chat("\"max_tokens\":99999999999999999999"), "`max_tokens` must be a whole number of at least 1", "max_tokens"},
      {chat("\"max_tokens\":1.5"), "`max_tokens` must be a whole number of at least 1", "max_tokens"},
      {chat("\"max_tokens\":1e2"), "`max_tokens` must be a whole number of at least 1", "max_tokens"},
      {chat("\"max_tokens\":\"5\""), "`max_tokens` must be a whole number of at least 1", "max_tokens"},
      {chat("\"max_tokens\":[5]"), "`max_tokens` must be a whole number of at least 1", "max_tokens"},
      {chat("\"max_tokens\":true"), "`max_tokens` must be a whole number of at least 1", "max_tokens"},
      {chat("\"max_completion_tokens\":0"), "`max_completion_tokens` must be at least 1", "max_completion_tokens"},
      {chat("\"max_completion_tokens\":2049"), "`max_completion_tokens` must be at most 2048, the model's context length", "max_completion_tokens"},
      {chat("\"max_completion_tokens\":{}"), "`max_completion_tokens` must be a whole number of at least 1", "max_completion_tokens"},
      {chat("\"stream\":1"), "`stream` must be true or false", "stream"},
      {chat("\"stream\":\"true\""), "`stream` must be true or false", "stream"},
      {chat("\"stream\":{}"), "`stream` must be true or false", "stream"},
      {chat("\"stream_options\":true"), "`stream_options` must be an object", "stream_options"},
      {chat("\"stream_options\":[]"), "`stream_options` must be an object", "stream_options"},
      {chat("\"stream_options\":\"x\""), "`stream_options` must be an object", "stream_options"},
      {chat("\"stream_options\":{\"include_usage\":1}"), "`stream_options.include_usage` must be true or false", "stream_options"},
      {chat("\"n\":0"), "`n` must be a whole number from 1 to 128", "n"},
      {chat("\"n\":129"), "`n` must be a whole number from 1 to 128", "n"},
      {chat("\"n\":1.5"), "`n` must be a whole number from 1 to 128", "n"},
      {chat("\"n\":\"1\""), "`n` must be a whole number from 1 to 128", "n"},
  };
  for (const auto& row : rows) {
    INFO(row.body);
    const auto refusal = judge(row.body);
    REQUIRE(refusal);
    CHECK(refusal->message == row.message);
    CHECK(refusal->param == row.param);
    // The first that is wrong is named, whatever follows.
    if (row.body.size() > 2 && row.body.back() == '}' && *row.param != '\0' && row.body != "{}") {
      const auto more = row.body.substr(0, row.body.size() - 1) + ",\"temperature\":[{\"deep\":null}]}";
      REQUIRE(judge(more));
      CHECK(judge(more)->message == row.message);
    }
  }
}

TEST_CASE("a body that is not strict JSON is refused with the reason") {
  const std::string deep_fine = std::string(62, '[') + std::string(62, ']');
  CHECK_FALSE(judge(chat("\"x\":" + deep_fine)));
  const std::string bodies[] = {
      "",
      " ",
      "{",
      "{\"model\":\"m\"",
      chat("") + "x",
      chat("") + chat(""),
      chat("\"x\":01"),
      chat("\"x\":.5"),
      chat("\"x\":NaN"),
      chat("\"x\":'a'"),
      chat("\"x\":\"\n\""),
      chat("\"x\":\"\\x\""),
      chat("\"x\":\"\\ud800\""),
      chat("\"x\":\"\xff\""),
      chat("\"x\":\"\xc0\x80\""),
      chat("\"x\":\"\xed\xa0\x80\""),
      "\xef\xbb\xbf" + chat(""),
      chat("\"x\":1,"),
      chat("\"x\":1,\"x\":2"),
      chat("\"model\":\"m\""),
      chat("\"mod\\u0065l\":\"m\""),
      chat("\"x\":{\"a\":1,\"a\":1}"),
      chat("\"x\":[1,{\"a\":1,\"\\u0061\":1}]"),
      chat("\"max_tokens\":1,\"max_tokens\":2"),
      chat("\"x\":" + std::string(70, '[') + std::string(70, ']')),
      chat("\"x\":" + std::string(100'000, '[')),
      chat("// comment\n\"x\":1"),
  };
  for (const auto& body : bodies) {
    INFO(body.substr(0, 200));
    const auto refusal = judge(body);
    REQUIRE(refusal);
    CHECK(refusal->message.starts_with("the body is not valid JSON: "));
    CHECK(refusal->message.size() > 29);
    CHECK(refusal->param.empty());
  }
}

TEST_CASE("odd bodies that are legal are taken") {
  const std::string bodies[] = {
      " \r\n\t" + chat("") + "\n",
      chat("\"stream\":null"),
      chat("\"stream\":false"),
      chat("\"stream_options\":null"),
      chat("\"stream_options\":{}"),
      chat("\"stream_options\":{\"include_usage\":false,\"other\":[1]}"),
      chat("\"max_tokens\":null"),
      chat("\"max_tokens\":2048"),
      chat("\"max_tokens\":1,\"max_completion_tokens\":2"),
      chat("\"n\":null"),
      chat("\"n\":128"),
      chat("\"temperature\":\"hot\""),
      chat("\"\":null"),
      chat("\"\\u0000\":0"),
      chat("\"stop\":null,\"tools\":[],\"logprobs\":false"),
      "{\"m\\u006fdel\":\"\\u006d\",\"messages\":[{}]}",
      "{\"messages\":[{\"content\":null}],\"model\":\"m\"}",
      "{\"messages\":[{\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"x\"}},\"text\",7,{\"text\":9}]}],\"model\":\"m\"}",
      "{\"messages\":[{\"content\":{\"odd\":1}}],\"model\":\"unknown\",\"max_tokens\":999999}",
  };
  for (const auto& body : bodies) read(body);
  read("{\"model\":\"m\"}", Operation::completions);  // the prompt is the engine's to judge
  read("{\"model\":\"m\",\"prompt\":[[1,2,3]]}", Operation::completions);
  read("{\"model\":\"m\",\"messages\":7,\"input\":null}", Operation::embeddings);
}

TEST_CASE("the fields that matter and where they stand") {
  const std::string body = "{ \"messages\" : [{\"content\":\"x\"}], \"stream_options\" : { \"a\":1, \"include_usage\" : true } ,\n\"stream\":true, "
                           "\"model\" : \"\\u006d\", \"max_tokens\": 7, \"max_completion_tokens\":5, \"n\":3 } ";
  const auto facts = read(body);
  CHECK(facts.model == "m");
  CHECK(at(body, facts.model_at) == "\"\\u006d\"");
  CHECK(facts.stream);
  CHECK(facts.include_usage);
  CHECK(at(body, facts.stream_options_at) == "{ \"a\":1, \"include_usage\" : true }");
  CHECK_FALSE(facts.stream_options_empty);
  CHECK(at(body, facts.include_usage_at) == "true");
  CHECK(facts.tokens_max == 5u);
  CHECK(facts.n == 3);
  CHECK(body[facts.close_at] == '}');
  CHECK(facts.close_at == body.size() - 2);
}

TEST_CASE("what a continuation must not touch is noted, and only where it is meant") {
  struct Row {
    const char* more;
    bool tools, grammar, logprobs, stop;
  };
  for (const auto& row : {Row{"\"tools\":[{}]", true, false, false, false}, {"\"functions\":[{}]", true, false, false, false},
                          {"\"tools\":null", false, false, false, false}, {"\"tools\":[]", false, false, false, false},
                          {"\"response_format\":{\"type\":\"json_object\"}", false, true, false, false},
                          {"\"grammar\":\"root\"", false, true, false, false}, {"\"json_schema\":{}", false, true, false, false},
                          {"\"logprobs\":true", false, false, true, false}, {"\"top_logprobs\":2", false, false, true, false},
                          {"\"logprobs\":false", false, false, false, false}, {"\"top_logprobs\":0", false, false, false, false},
                          {"\"logprobs\":false,\"top_logprobs\":3", false, false, true, false},
                          {"\"stop\":\"x\"", false, false, false, true}, {"\"stop\":[]", false, false, false, false},
                          {"\"stop\":null", false, false, false, false}}) {
    INFO(row.more);
    const auto facts = read(chat(row.more));
    CHECK(facts.tools == row.tools);
    CHECK(facts.grammar == row.grammar);
    CHECK(facts.logprobs == row.logprobs);
    CHECK(facts.stop == row.stop);
  }
}

TEST_CASE("an embeddings request is never a stream") {
  CHECK_FALSE(read("{\"model\":\"m\",\"input\":\"x\",\"stream\":true}", Operation::embeddings).stream);
  CHECK(judge("{\"model\":\"m\",\"input\":\"x\",\"stream\":1}", Operation::embeddings));
}

TEST_CASE("pieces are words and signs") {
  CHECK(count_pieces("") == 0);
  CHECK(count_pieces("  \n") == 0);
  CHECK(count_pieces("one two_3") == 2);
  CHECK(count_pieces("a,b.c") == 5);
  CHECK(count_pieces("你好") == 2);
  CHECK(count_pieces("é") == 1);
  CHECK(count_pieces("😀😀") == 2);
  CHECK(count_pieces("word你word") == 3);
  CHECK(read(chat("")).text_pieces == 5);  // a word and the turn's own marks
  CHECK(read("{\"model\":\"m\",\"messages\":[{\"content\":[{\"text\":\"a b\"},{\"text\":\"c\"}]}]}").text_pieces == 7);
  CHECK(read("{\"model\":\"m\",\"prompt\":[\"a b\",\"c\"]}", Operation::completions).text_pieces == 3);
  CHECK(read("{\"model\":\"m\",\"input\":\"a b\"}", Operation::embeddings).text_pieces == 2);
  CHECK(read("{\"model\":\"m\",\"input\":[[1,2],[3]]}", Operation::embeddings).text_pieces == 3);  // tokens already
  CHECK(read("{\"model\":\"m\",\"input\":[4,5,6,7]}", Operation::embeddings).text_pieces == 4);
}

// ---- engine_body ------------------------------------------------------------------------------------

namespace {

// A random JSON value of small depth, as text.
std::string value(Rng& rng, int depth) {
  switch (rng.below(depth > 0 ? 8 : 6)) {
    case 0: return "null";
    case 1: return rng.below(2) != 0 ? "true" : "false";
    case 2: return std::to_string(static_cast<std::int64_t>(rng.below(2000)) - 1000);
    case 3: return "1.5e-3";
    case 4: return "\"model\\\" : \\u00e9 {}[],:\"";
    case 5: return "\"\"";
    case 6: {
      std::string out = "[";
      for (auto n = rng.below(3); n > 0; --n) out += value(rng, depth - 1) + (n > 1 ? "," : "");
      return out + "]";
    }
    default: {
      static const char* const keys[] = {"model", "stream", "max_tokens", "include_usage", "stream_options"};
      std::string out = "{";
      for (auto n = rng.below(3); n > 0; --n) out += "\"" + std::string(keys[n]) + "\":" + value(rng, depth - 1) + (n > 1 ? "," : "");
      return out + "}";
    }
  }
}

std::string blanks(Rng& rng) {
  static const char* const some[] = {"", "", " ", "\n", "\t\r\n ", "  "};
  return some[rng.below(6)];
}

bj::value parse(std::string_view text) {
  boost::system::error_code ec;
  auto out = bj::parse(bj::string_view(text.data(), text.size()), ec);
  INFO(text);
  REQUIRE_FALSE(ec);
  return out;
}

}  // namespace

TEST_CASE("an engine's body is valid, and differs from the customer's only in what is meant to") {
  SeededRng rng(4711);
  for (int round = 0; round < 4000; ++round) {
    // The members of a request in random order, each present or not, between random others.
    std::vector<std::string> members;
    const auto member = [&](std::string_view key, std::string_view text) {
      members.push_back("\"" + std::string(key) + "\"" + blanks(rng) + ":" + blanks(rng) + std::string(text));
    };
    const auto operation = static_cast<Operation>(rng.below(3));
    member("model", rng.below(2) != 0 ? "\"m\"" : "\"\\u006d\"");
    if (rng.below(8) == 0) member("max\\u005ftokens", "3");
    else if (rng.below(3) == 0) member("max_tokens", rng.below(2) != 0 ? "7" : "null");
    if (rng.below(4) == 0) member("max_completion_tokens", rng.below(2) != 0 ? "9" : "null");
    if (operation == Operation::chat) member("messages", "[{\"role\":\"user\",\"content\":" + value(rng, 2) + "}]");
    if (rng.below(3) != 0) member("stream", rng.below(3) == 0 ? "false" : "true");
    switch (rng.below(7)) {
      case 0: member("stream_options", "null"); break;
      case 1: member("stream_options", "{" + blanks(rng) + "}"); break;
      case 2: member("stream_options", "{\"include_usage\":" + blanks(rng) + "true}"); break;
      case 3: member("stream_options", "{\"other\":" + value(rng, 1) + ",\"include_usage\":false" + blanks(rng) + "}"); break;
      case 4: member("stream_options", "{" + blanks(rng) + "\"other\":" + value(rng, 1) + "}"); break;
      default: break;
    }
    if (rng.below(4) == 0) member("n_predict", "100000"), member("priority", value(rng, 1));
    for (auto n = rng.below(4); n > 0; --n) member("other" + std::to_string(n), value(rng, 3));
    for (std::size_t i = members.size(); i > 1; --i) std::swap(members[i - 1], members[rng.below(i)]);
    std::string body = blanks(rng) + "{" + blanks(rng);
    for (const auto& one : members) body += one + blanks(rng) + (&one == &members.back() ? "" : "," + blanks(rng));
    body += "}" + blanks(rng);

    const auto facts = read(body, operation);
    fleet::Capabilities can;
    static const char* const dialects[] = {"generic", "vllm", "sglang", "llamacpp", "tgi", "ollama"};
    can.dialect = dialects[rng.below(6)];
    can.usage_in_stream = rng.below(4) != 0;
    can.length_field = static_cast<fleet::LengthField>(rng.below(3));
    const std::string engine_model = rng.below(2) != 0 ? "m" : "vendor/\"M\" \\ é";
    const auto context = static_cast<std::uint32_t>(rng.below(2) * 2048);
    const auto out = engine_body(body, facts, engine_model, can, context);

    INFO(body);
    INFO(out);
    REQUIRE(json::valid(out, {64, true}));  // no key twice either
    auto want = parse(body).as_object();
    const auto got = parse(out).as_object();
    want["model"] = engine_model;
    want.erase("n_predict");
    want.erase("priority");
    if (facts.stream && can.usage_in_stream) {
      if (!want.contains("stream_options") || !want["stream_options"].is_object()) want["stream_options"] = bj::object{};
      want["stream_options"].as_object()["include_usage"] = true;
    }
    if (operation != Operation::embeddings) {
      const bool unbounded = can.dialect == "generic" || can.dialect == "llamacpp" || can.dialect == "ollama";
      bj::value bound = facts.tokens_max ? bj::value(*facts.tokens_max) : context > 0 && unbounded ? bj::value(context) : bj::value();
      const bool older = want.contains("max_tokens"), newer = want.contains("max_completion_tokens");
      const bool named_newer = can.length_field == fleet::LengthField::max_completion_tokens;
      if (can.length_field == fleet::LengthField::both && (older || newer)) {
        if (!facts.tokens_max && older) want["max_tokens"] = bound;
        if (!facts.tokens_max && newer) want["max_completion_tokens"] = bound;
      } else if (older || newer || !bound.is_null()) {
        want.erase("max_tokens");
        want.erase("max_completion_tokens");
        want[named_newer ? "max_completion_tokens" : "max_tokens"] = bound;
      }
    }
    REQUIRE(got == want);
  }
}

TEST_CASE("what steers an engine goes no further, wherever it stands") {
  const auto passed = [](const std::string& body) { return engine_body(body, read(body), "m", {}, 0); };
  CHECK(passed("{\"n_predict\":-1,\"model\":\"m\"," + messages + "}") == "{\"model\":\"m\"," + messages + "}");
  CHECK(passed(chat("\"id_slot\":2")) == chat(""));
  CHECK(passed(chat("\"n\\u005fpredict\":9, \"kv_transfer_params\" : {\"a\":[1,2]} ")) == chat(""));
  CHECK(passed("{ \"lora\":[{}] , " + messages + " , \"priority\":1 , \"model\":\"m\" }") == "{  " + messages + " ,  \"model\":\"m\" }");
}

TEST_CASE("a body that needs nothing passes as it is") {
  const auto body = chat("\"max_tokens\":5");
  CHECK(engine_body(body, read(body), "m", {}, 2048) == body);
}

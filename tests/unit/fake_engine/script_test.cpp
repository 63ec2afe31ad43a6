#include <boost/json.hpp>

#include "tests/catch.h"
#include "tools/fakes/engine/request.h"
#include "tools/fakes/engine/script.h"
#include "tools/fakes/engine/text.h"

using namespace trib::fake;

TEST_CASE("a model's name holds a script") {
  Script script;
  apply_model("smollm2-135m.cut.at-40.tokens-60.interval-20.utf8", script);
  CHECK(script.ill == Ill::cut);
  CHECK(script.at == 40);
  CHECK(script.tokens == 60);
  CHECK(script.interval_us == 20'000);
  CHECK(script.utf8);
  Script plain;
  apply_model("smollm2-135m-instruct.q4_k_m", plain);
  CHECK(plain.ill == Ill::none);
  CHECK(plain.tokens == Script{}.tokens);
  Script status;
  apply_model("m.status-503", status);
  CHECK(status.ill == Ill::status);
  CHECK(status.status == 503);
}

TEST_CASE("a script's members may be for one engine") {
  const auto object =
      boost::json::parse(R"({"tokens":9,"a":{"fault":"cut"},"b":{"fault":"html"}})").as_object();
  std::string why;
  Script a;
  Script c;
  REQUIRE(apply(object, "a", a, why));
  REQUIRE(apply(object, "c", c, why));
  CHECK(a.ill == Ill::cut);
  CHECK(c.ill == Ill::none);
  CHECK(c.tokens == 9);
}

TEST_CASE("a script that cannot be read is refused") {
  std::string why;
  for (const char* text : {R"({"fault":"nosuch"})", R"({"token":1})", R"({"tokens":-1})",
                           R"({"tokens":"1"})", R"({"utf8":1})", R"({"tokens":1.5})"}) {
    Script script;
    INFO(text);
    CHECK_FALSE(apply(boost::json::parse(text).as_object(), "e", script, why));
  }
}

TEST_CASE("a text is continued from any byte") {
  for (const bool utf8 : {false, true}) {
    Script script;
    script.utf8 = utf8;
    std::string all;
    for (int i = 1; i <= 12; ++i) piece(script, i, all);
    for (std::size_t cut = 0; cut <= all.size(); ++cut) {
      const Prefix prefix = prefix_of(script, all.substr(0, cut));
      REQUIRE_FALSE(prefix.foreign);
      std::string joined = all.substr(0, cut) + prefix.rest;
      for (std::int64_t i = prefix.pieces + 1; i <= 12; ++i) piece(script, i, joined);
      REQUIRE(joined == all);
    }
  }
  CHECK(prefix_of(Script{}, "somebody else's words").foreign);
}

TEST_CASE("a request is read whole or not at all") {
  const std::string bytes =
      "POST /v1/chat/completions?x=1 HTTP/1.1\r\nHost: e\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    Request request;
    REQUIRE(read_request(std::string_view(bytes).substr(0, size), request) == Reading::more);
  }
  Request request;
  const std::string next = bytes + "GET / ";
  REQUIRE(read_request(next, request) == Reading::complete);
  CHECK(request.size == bytes.size());
  CHECK(request.body == "abcde");
  CHECK(request.path == "/v1/chat/completions");
  CHECK(request.query == "x=1");
}

TEST_CASE("a proxy's mistakes are noticed") {
  for (const char* bytes :
       {"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
        "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\na",
        "GET /\r\n\r\n", "GET / HTTP/1.1\r\nno colon\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"}) {
    Request request;
    INFO(bytes);
    CHECK(read_request(bytes, request) == Reading::bad);
  }
}

TEST_CASE("a call's fields are found") {
  Call call;
  std::string why;
  REQUIRE(read_call(Call::Kind::chat,
                    R"({"model":"m","stream":true,"stream_options":{"include_usage":true},
                        "max_tokens":7,"messages":[
                        {"role":"user","content":[{"type":"text","text":"#script {\"tokens\":3}"}]},
                        {"role":"assistant","content":"t1 t2"}]})",
                    call, why));
  CHECK(call.stream);
  CHECK(call.include_usage);
  CHECK(call.max_tokens == 7);
  CHECK(call.script == R"({"tokens":3})");
  CHECK(call.ends_with_assistant);
  CHECK(call.continued == "t1 t2");
  CHECK(call.prompt_tokens == 6);
  for (const char* body : {"", "[]", R"({"messages":[]})", R"({"messages":[1]})", "{\"a\":"}) {
    Call bad;
    INFO(body);
    CHECK_FALSE(read_call(Call::Kind::chat, body, bad, why));
  }
}

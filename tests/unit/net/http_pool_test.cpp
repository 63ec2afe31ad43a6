// Calls over pooled connections, on wires in memory.
#include "gateway/net/http_pool.h"

#include <functional>
#include <optional>

#include "tests/catch.h"
#include "tests/support/wire.h"

using namespace trib;
using namespace trib::test;

namespace {

constexpr std::int64_t ms = 1'000'000;

// What one call heard, and what the test wants done from within.
struct Ear final : http::CallEvents {
  void on_head(const http::ResponseHead& head) override {
    REQUIRE_FALSE(over());
    ++heads;
    status = head.status;
    type = std::string(head.find("Content-Type"));
    if (at_head) at_head();
  }
  void on_body(std::string_view bytes) override {
    REQUIRE_FALSE(over());
    body += bytes;
    ++bodies;
    if (at_body) at_body();
  }
  void on_end() override {
    REQUIRE_FALSE(over());
    ++ends;
    if (at_end) at_end();
  }
  void on_fault(const Fault& of) override {
    REQUIRE_FALSE(over());
    fault = of;
    ++faults;
    if (at_fault) at_fault();
  }
  bool over() const { return ends + faults > 0; }
  int status = 0, heads = 0, bodies = 0, ends = 0, faults = 0;
  std::string type, body;
  Fault fault;
  std::unique_ptr<http::Call> call;
  std::function<void()> at_head, at_body, at_end, at_fault;
};

struct Yard {
  Yard() : wheel(clock.now_ns) { pool.emplace(transport, wheel, limits); }
  std::unique_ptr<Ear> call(std::string body = "{}", std::string path = "/v1/x", std::string method = "POST") {
    auto ear = std::make_unique<Ear>();
    begin(*ear, std::move(body), std::move(path), std::move(method));
    return ear;
  }
  void begin(Ear& ear, std::string body = "{}", std::string path = "/v1/x", std::string method = "POST") {
    http::CallRequest request;
    request.method = std::move(method);
    request.path = std::move(path);
    request.content_type = "application/json";
    request.body = std::move(body);
    ear.call = pool->call(to, std::move(request), ear);
  }
  // A call that was answered whole, so that its connection is idle in the pool.
  Wire& warm() {
    auto ear = call();
    Wire& w = wire();
    w.open();
    w.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    REQUIRE(ear->ends == 1);
    REQUIRE(pool->figures().idle >= 1);
    w.got.clear();
    return w;
  }
  Wire& wire() { return *transport.wires.back(); }
  void pass(std::int64_t for_ms) {
    for (; for_ms > 0; for_ms -= 50) {
      clock.now_ns += 50 * ms;
      wheel.advance(clock.now_ns);
    }
  }
  HandClock clock;
  TimerWheel wheel;
  WireTransport transport;
  net::PoolLimits limits;
  Endpoint to{"engine.test", 9001, false, "", ""};
  std::optional<net::HttpPool> pool;
};

const std::string request_text =
    "POST /v1/x HTTP/1.1\r\nHost: engine.test:9001\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
const std::string ok = "HTTP/1.1 200 OK\r\nContent-Type: t\r\nContent-Length: 5\r\n\r\nhello";

}  // namespace

TEST_CASE("a call dials, sends once it is connected, and its connection is used again") {
  Yard yard;
  auto first = yard.call();
  CHECK_FALSE(first->call->sent());
  CHECK(yard.wire().got.empty());
  CHECK_FALSE(yard.wire().reading);
  yard.wire().open();
  CHECK(first->call->sent());
  CHECK(yard.wire().got == request_text);
  CHECK(first->heads == 0);
  yard.wire().say(ok);
  CHECK(first->status == 200);
  CHECK(first->type == "t");
  CHECK(first->body == "hello");
  CHECK(first->ends == 1);
  auto second = yard.call();
  CHECK(yard.transport.wires.size() == 1);
  CHECK(yard.wire().got == request_text + request_text);  // at once
  first.reset();  // an ended call's end is nothing to the next
  yard.wire().say(ok);
  CHECK(second->ends == 1);
  CHECK(yard.pool->figures().dialled == 1);
  CHECK(yard.pool->figures().reused == 1);
}

TEST_CASE("the last connection to come back is the first to go out, and keys do not mix") {
  Yard yard;
  auto one = yard.call(), two = yard.call();
  auto a = yard.transport.wires[0], b = yard.transport.wires[1];
  a->open();
  b->open();
  b->say(ok);
  a->say(ok);
  CHECK(yard.pool->figures().idle == 2);
  a->got.clear();
  b->got.clear();
  auto three = yard.call();
  CHECK(a->got == request_text);
  CHECK(b->got.empty());
  Endpoint others[] = {yard.to, yard.to, yard.to, yard.to, yard.to};
  others[0].host = "other.test";
  others[1].port = 9002;
  others[2].tls = true;
  others[3].tls = others[4].tls = true;
  others[3].server_name = "name";
  others[4].trust = "ca.pem";
  std::vector<std::unique_ptr<Ear>> ears;
  for (const auto& other : others) {
    yard.to = other;
    ears.push_back(yard.call());
    CHECK(yard.wire().to == other);
  }
  CHECK(b->got.empty());
  CHECK(yard.transport.wires.size() == 7);
}

TEST_CASE("an address of version 6 stands in brackets") {
  Yard yard;
  yard.to.host = "::1";
  auto ear = yard.call("", "/", "GET");
  yard.wire().open();
  CHECK(yard.wire().got == "GET / HTTP/1.1\r\nHost: [::1]:9001\r\nContent-Type: application/json\r\n\r\n");
}

TEST_CASE("answers are the same however their bytes are cut") {
  struct Row {
    const char* what;
    std::string bytes, body;
    bool reused, close;
  };
  const Row rows[] = {
      {"length", ok, "hello", true, false},
      {"nothing", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", true, false},
      {"204", "HTTP/1.1 204 No Content\r\n\r\n", "", true, false},
      {"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;a=b\r\nllo\r\n0\r\nt: v\r\n\r\n", "hello", true, false},
      {"interim", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ok, "hello", true, false},
      {"until close", "HTTP/1.1 200 OK\r\n\r\nhello", "hello", false, true},
      {"close", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", "hello", false, false},
      {"1.0", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", false, false},
  };
  for (const auto& row : rows) {
    INFO(row.what);
    for (std::size_t at = 0; at <= row.bytes.size(); ++at) {
      Yard yard;
      auto ear = yard.call();
      const auto wire = yard.transport.wires.back();
      wire->open();
      wire->say(row.bytes.substr(0, at));
      wire->say(row.bytes.substr(at));
      if (row.close) wire->end();
      REQUIRE(ear->heads == 1);
      REQUIRE(ear->body == row.body);
      REQUIRE(ear->ends == 1);
      REQUIRE(yard.pool->figures().idle == (row.reused ? 1 : 0));
      REQUIRE(wire->alive == row.reused);
    }
    Yard yard;
    auto ear = yard.call();
    yard.wire().open();
    for (const char c : row.bytes) yard.wire().say({&c, 1});
    if (row.close) yard.wire().end();
    CHECK(ear->body == row.body);
    CHECK(ear->ends == 1);
  }
}

TEST_CASE("the answer to HEAD has no body") {
  Yard yard;
  auto ear = yard.call("", "/", "HEAD");
  yard.wire().open();
  yard.wire().say("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n");
  CHECK(ear->ends == 1);
  CHECK(yard.pool->figures().idle == 1);
}

TEST_CASE("answers that are not HTTP, or end too soon") {
  struct Row {
    const char* what;
    std::string bytes;
    FaultKind kind;
    int heads;
    char then;  // e: end, r: reset, 0: nothing
  };
  const std::string chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  const Row rows[] = {
      {"not HTTP", "SSH-2.0-x\r\n\r\n", FaultKind::bad_head, 0, 0},
      {"both framings", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", FaultKind::bad_head, 0, 0},
      {"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", FaultKind::bad_head, 0, 0},
      {"an endless head", "HTTP/1.1 200 OK\r\nA: " + std::string(20'000, 'a'), FaultKind::bad_head, 0, 0},
      {"a bad chunk size", chunked + "zz\r\n", FaultKind::bad_chunk, 1, 0},
      {"a chunk longer than its size", chunked + "2\r\nabc\r\n", FaultKind::bad_chunk, 1, 0},
      {"closed before the head", "", FaultKind::reset_before_head, 0, 'e'},
      {"reset before the head", "", FaultKind::reset_before_head, 0, 'r'},
      {"closed in the head", "HTTP/1.1 200 OK\r\nCont", FaultKind::reset_before_head, 0, 'e'},
      {"closed in the body", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhell", FaultKind::cut, 1, 'e'},
      {"reset in the body", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhell", FaultKind::cut, 1, 'r'},
      {"closed in a chunk", chunked + "5\r\nhel", FaultKind::cut, 1, 'e'},
      {"closed before the last chunk", chunked + "5\r\nhello\r\n", FaultKind::cut, 1, 'e'},
      {"closed in the trailers", chunked + "0\r\nt: v", FaultKind::cut, 1, 'e'},
      {"reset where only a close ends it", "HTTP/1.1 200 OK\r\n\r\nhell", FaultKind::cut, 1, 'r'},
  };
  for (const auto& row : rows) {
    INFO(row.what);
    for (const bool byte_by_byte : {false, true}) {
      Yard yard;
      auto ear = yard.call();
      const auto wire = yard.transport.wires.back();
      wire->open();
      if (byte_by_byte) {
        for (const char c : row.bytes) wire->say({&c, 1});
      } else {
        wire->say(row.bytes);
      }
      if (row.then == 'e') wire->end();
      if (row.then == 'r') wire->fail();
      CHECK(ear->heads == row.heads);
      CHECK(ear->ends == 0);
      CHECK(ear->faults == 1);
      CHECK(ear->fault.kind == row.kind);
      CHECK(ear->fault.retry == Retry::elsewhere);
      CHECK_FALSE(wire->alive);
      CHECK(yard.pool->figures().open == 0);
      CHECK(yard.transport.wires.size() == 1);  // fresh: never repeated
    }
  }
}

TEST_CASE("a connection that cannot be made") {
  Yard yard;
  auto ear = yard.call();
  SECTION("refused") {
    yard.wire().fail(FaultKind::connect_refused);
    CHECK(ear->fault.kind == FaultKind::connect_refused);
  }
  SECTION("in time") {
    yard.pass(1'950);
    CHECK(ear->faults == 0);
    yard.pass(150);
    CHECK(ear->fault.kind == FaultKind::connect_timeout);
  }
  CHECK(ear->faults == 1);
  CHECK_FALSE(ear->call->sent());
  CHECK(yard.pool->figures().open == 0);
}

TEST_CASE("no deadline of the pool runs while an answer is awaited") {
  Yard yard;
  auto ear = yard.call();
  yard.wire().open();
  yard.pass(3'600'000);
  CHECK_FALSE(ear->over());
  yard.wire().say(ok);
  CHECK(ear->ends == 1);
}

TEST_CASE("a pooled connection that had died is replaced, once") {
  Yard yard;
  Wire& old = yard.warm();
  auto ear = yard.call("{\"body\":1}");
  REQUIRE(yard.transport.wires.size() == 1);
  const bool reset = GENERATE(false, true);
  if (reset) old.fail();
  else old.end();
  CHECK(ear->faults == 0);
  REQUIRE(yard.transport.wires.size() == 2);
  CHECK(yard.pool->figures().stale == 1);
  SECTION("and the fresh one answers") {
    yard.wire().open();
    CHECK(yard.wire().got.ends_with("{\"body\":1}"));
    yard.wire().say(ok);
    CHECK(ear->ends == 1);
  }
  SECTION("and the fresh one fails too") {
    yard.wire().open();
    yard.wire().end();
    CHECK(ear->fault.kind == FaultKind::reset_before_head);
    CHECK(yard.transport.wires.size() == 2);
  }
  SECTION("and the fresh one is refused") {
    yard.wire().fail(FaultKind::connect_refused);
    CHECK(ear->fault.kind == FaultKind::connect_refused);
  }
}

TEST_CASE("a replaced call is not replaced from another idle connection") {
  Yard yard;
  auto one = yard.call(), two = yard.call();
  for (auto& wire : yard.transport.wires) {
    wire->open();
    wire->say(ok);
  }
  REQUIRE(yard.pool->figures().idle == 2);
  auto ear = yard.call();
  yard.transport.wires[1]->end();
  CHECK(yard.transport.wires.size() == 3);  // the other may be as old
}

TEST_CASE("a reused connection that said anything was not dead: nothing is repeated") {
  for (const std::string& bytes : std::vector<std::string>{"H", "HTTP/1.1 200 OK\r\nContent-", "HTTP/1.1 100 Continue\r\n\r\n",
                                  "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe"}) {
    INFO(bytes);
    Yard yard;
    yard.warm();
    auto ear = yard.call();
    yard.wire().say(bytes);
    yard.wire().end();
    CHECK(ear->faults == 1);
    CHECK(yard.transport.wires.size() == 1);
  }
}

TEST_CASE("a connection with more than its answer is never pooled") {
  for (const std::string& bytes : std::vector<std::string>{ok + "x", ok + ok, std::string("HTTP/1.1 204 No Content\r\n\r\n "),
                                  std::string("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n0\r\n\r\n")}) {
    Yard yard;
    auto ear = yard.call();
    const auto wire = yard.transport.wires.back();
    wire->open();
    wire->say(bytes);
    CHECK(ear->ends == 1);
    CHECK_FALSE(wire->alive);
    CHECK(yard.pool->figures().idle == 0);
  }
}

TEST_CASE("a connection whose request was not all taken is never pooled") {
  Yard yard;
  auto ear = yard.call(std::string(100'000, 'x'));
  const auto wire = yard.transport.wires.back();
  wire->room = 1000;
  wire->open();
  wire->say("HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n");
  CHECK(ear->status == 413);
  CHECK(ear->ends == 1);
  CHECK_FALSE(wire->alive);
}

TEST_CASE("idle connections are watched, expire and are bounded") {
  Yard yard;
  SECTION("its end is noticed") {
    yard.warm().end();
    CHECK(yard.pool->figures().open == 0);
  }
  SECTION("its reset is noticed") {
    yard.warm().fail();
    CHECK(yard.pool->figures().open == 0);
  }
  SECTION("what it says unasked ends it") {
    yard.warm().say("HTTP/1.1 408 Request Timeout\r\n\r\n");
    CHECK(yard.pool->figures().open == 0);
  }
  SECTION("it expires") {
    yard.warm();
    yard.pass(29'900);
    CHECK(yard.pool->figures().idle == 1);
    yard.pass(200);
    CHECK(yard.pool->figures().open == 0);
    auto ear = yard.call();
    CHECK(yard.transport.wires.size() == 2);
  }
  SECTION("it does not expire in use") {
    yard.warm();
    yard.pass(20'000);
    auto ear = yard.call();
    yard.pass(60'000);
    yard.wire().say(ok);
    CHECK(ear->ends == 1);
    CHECK(yard.pool->figures().idle == 1);
  }
  SECTION("there are no more than the limit") {
    yard.limits.idle_per_endpoint = 2;
    yard.pool.emplace(yard.transport, yard.wheel, yard.limits);
    std::vector<std::unique_ptr<Ear>> ears;
    for (int i = 0; i < 4; ++i) ears.push_back(yard.call());
    for (auto& wire : yard.transport.wires) {
      wire->open();
      wire->say(ok);
    }
    for (auto& ear : ears) CHECK(ear->ends == 1);
    CHECK(yard.pool->figures().idle == 2);
    CHECK(yard.pool->figures().open == 2);
  }
}

TEST_CASE("a call is cancelled in any state by letting go of it") {
  Yard yard;
  auto ear = yard.call();
  const auto wire = yard.transport.wires.back();
  SECTION("connecting") {}
  SECTION("sent") { wire->open(); }
  SECTION("in the head") {
    wire->open();
    wire->say("HTTP/1.1 200 OK\r\nCo");
  }
  SECTION("in the body") {
    wire->open();
    wire->say(ok.substr(0, ok.size() - 2));
  }
  SECTION("paused") {
    wire->open();
    wire->say(ok.substr(0, ok.size() - 2));
    ear->call->pause();
    wire->say("lo");
  }
  ear->call.reset();
  CHECK_FALSE(wire->alive);
  CHECK_FALSE(ear->over());
  CHECK(yard.pool->figures().open == 0);
  yard.pass(60'000);
}

TEST_CASE("a call is let go of from within each of its events") {
  const std::string chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n";
  for (const bool reused : {false, true}) {
    for (const auto& answer : {ok, chunked}) {
      for (const char* const from : {"head", "body", "end", "fault in the body", "fault in the head"}) {
        INFO(from << (reused ? ", reused, " : ", ") << answer);
        const std::string_view within = from;
        Yard yard;
        if (reused) yard.warm();
        auto ear = yard.call();
        const auto wire = yard.transport.wires.back();
        if (!reused) wire->open();
        int let_go = 0;
        const auto act = [&] {
          ++let_go;
          ear->call.reset();
        };
        if (within == "head") ear->at_head = act;
        if (within == "body") ear->at_body = act;
        if (within == "end") ear->at_end = act;
        if (within.starts_with("fault")) ear->at_fault = act;
        if (within == "fault in the head") {
          wire->say("rubbish\r\n\r\n");
        } else if (within == "fault in the body") {
          wire->say(answer.substr(0, answer.size() - 1));
          wire->end();
        } else {
          wire->say(answer);
        }
        CHECK(let_go == 1);
        CHECK(ear->ends == (within == "end" ? 1 : 0));
        CHECK(wire->alive == (within == "end"));
        CHECK(yard.pool->figures().idle == (within == "end" ? 1 : 0));
      }
    }
  }
}

TEST_CASE("the next call begins from within the last one's end or fault") {
  Yard yard;
  auto first = yard.call();
  Ear second;
  const auto wire = yard.transport.wires.back();
  wire->open();
  SECTION("on the same connection") {
    first->at_end = [&] { yard.begin(second); };
    wire->say(ok);
    CHECK(yard.transport.wires.size() == 1);
    wire->say(ok);
    CHECK(second.ends == 1);
  }
  SECTION("on a fresh one") {
    first->at_fault = [&] {
      first->call.reset();
      yard.begin(second);
    };
    wire->end();
    REQUIRE(yard.transport.wires.size() == 2);
    yard.wire().open();
    yard.wire().say(ok);
    CHECK(second.ends == 1);
  }
  SECTION("after a connect timeout") {
    Ear third;
    auto slow = yard.call();
    slow->at_fault = [&] { yard.begin(third); };
    yard.pass(2'100);
    REQUIRE(yard.transport.wires.size() == 3);
    yard.wire().open();
    yard.wire().say(ok);
    CHECK(third.ends == 1);
  }
}

namespace {

// What lies where the frames of an earlier upcall were must not be written to.
[[gnu::noinline]] bool frames_untouched(const std::function<void()>& act) {
  volatile unsigned char below[16'384];
  for (auto& byte : below) byte = 0;
  act();
  bool untouched = true;
  for (auto& byte : below) untouched = untouched && byte == 0;
  return untouched;
}

}  // namespace

TEST_CASE("an idle connection keeps nothing of the frames of its last answer") {
  Yard yard;
  yard.warm();
  SECTION("when it expires") { CHECK(frames_untouched([&] { yard.pass(31'000); })); }
  SECTION("when it ends") { CHECK(frames_untouched([&] { yard.wire().end(); })); }
  SECTION("when it is reset") { CHECK(frames_untouched([&] { yard.wire().fail(); })); }
  SECTION("when the pool goes") { CHECK(frames_untouched([&] { yard.pool.emplace(yard.transport, yard.wheel, yard.limits); })); }
  CHECK(yard.pool->figures().open == 0);
}

TEST_CASE("pause stops the reading and resume takes it up") {
  Yard yard;
  auto ear = yard.call();
  SECTION("before the connection stands") {
    ear->call->pause();
    yard.wire().open();
    CHECK_FALSE(yard.wire().reading);
    CHECK(yard.wire().got == request_text);
  }
  SECTION("while the answer comes") {
    yard.wire().open();
    yard.wire().say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    ear->at_body = [&] { ear->call->pause(); };
    yard.wire().say("h");
    CHECK_FALSE(yard.wire().reading);
    ear->at_body = {};
    yard.wire().say("ello");
    CHECK(ear->body == "h");
    ear->call->resume();
    yard.wire().flow();
    CHECK(ear->ends == 1);
    ear->call->pause();  // of an ended call: nothing
    CHECK(yard.wire().reading);
    return;
  }
  ear->call->resume();
  CHECK(yard.wire().reading);
  yard.wire().say(ok);
  CHECK(ear->ends == 1);
}

TEST_CASE("calls may outlive the pool") {
  Yard yard;
  auto connecting = yard.call();
  auto answered = yard.call();
  yard.wire().open();
  yard.wire().say(ok.substr(0, ok.size() - 1));
  yard.pool.reset();
  CHECK_FALSE(connecting->over());
  connecting->call.reset();
  answered->call->pause();
  answered->call.reset();
}

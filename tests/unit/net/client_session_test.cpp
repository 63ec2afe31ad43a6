// The server's end of HTTP/1.1 over a wire in memory, its clock turned by hand.
#include "gateway/net/client_session.h"

#include <functional>

#include "tests/catch.h"
#include "tests/support/wire.h"

using namespace trib;
using namespace trib::test;
using net::ClientSession;
using net::Operation;
using net::Request;
using net::Responder;

namespace {

constexpr std::int64_t ms = 1'000'000;

struct Asked {
  std::string method, target, body, type;
  bool operator==(const Asked&) const = default;
};

// Notes what happens to one answer that is given later.
struct Fate {
  Responder* responder = nullptr;
  int drained = 0, gone = 0, expired = 0;
  bool destroyed = false;
  Fault fault;
  std::function<void()> on_expired, on_drained;
};

struct Later final : Operation {
  explicit Later(std::shared_ptr<Fate> of) : fate(std::move(of)) {}
  ~Later() override { fate->destroyed = true; }
  void on_drained() override {
    ++fate->drained;
    if (const auto copy = fate; copy->on_drained) copy->on_drained();
  }
  void on_gone(const Fault& fault) override {
    ++fate->gone;
    fate->fault = fault;
  }
  void on_drain_expired() override {
    const auto copy = fate;  // `this` may go
    ++copy->expired;
    if (copy->on_expired) copy->on_expired();
  }
  std::shared_ptr<Fate> fate;
};

struct Desk final : net::RequestHandler {
  std::unique_ptr<Operation> on_request(Request request, Responder& responder) override {
    asked.push_back({std::string(request.head.method), std::string(request.head.target), std::move(request.body),
                     std::string(request.head.find("Content-Type"))});
    return answer(responder);
  }
  std::string refusal(int status, std::string_view why, std::string& fields) override {
    http::write_field(fields, "x-refused", static_cast<std::uint64_t>(status));
    return "{\"why\":\"" + std::string(why) + "\"}";
  }
  static std::unique_ptr<Operation> at_once(Responder& responder) {
    responder.head(200, "x-n: 1\r\n", 2);
    responder.body("ok", true);
    return nullptr;
  }
  std::unique_ptr<Operation> later(Responder& responder) {
    auto fate = std::make_shared<Fate>();
    fate->responder = &responder;
    fates.push_back(fate);
    return std::make_unique<Later>(fate);
  }
  std::function<std::unique_ptr<Operation>(Responder&)> answer = at_once;
  std::vector<Asked> asked;
  std::vector<std::shared_ptr<Fate>> fates;
};

struct Front {
  explicit Front(net::SessionLimits of = {}) : limits(of), wheel(clock.now_ns), wire(std::make_shared<Wire>()) {
    session = std::make_unique<ClientSession>(std::make_unique<WireStream>(wire), desk, limits, wheel,
                                              [this](ClientSession&) {
                                                ++closed;  // destroyed a turn later: nothing more goes or comes
                                                wire->handler = nullptr;
                                                wire->queued.clear();
                                              });
    session->start();
  }
  void pass(std::int64_t for_ms) {
    for (; for_ms > 0 && closed == 0; for_ms -= 50) {
      clock.now_ns += 50 * ms;
      wheel.advance(clock.now_ns);
    }
  }
  void answer_later() {
    desk.answer = [this](Responder& responder) { return desk.later(responder); };
  }
  Fate& fate(std::size_t i = 0) { return *desk.fates.at(i); }
  HandClock clock;
  net::SessionLimits limits;
  TimerWheel wheel;
  Desk desk;
  std::shared_ptr<Wire> wire;
  int closed = 0;
  std::unique_ptr<ClientSession> session;
};

const std::string get = "GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n";
const std::string ok = "HTTP/1.1 200 OK\r\nx-n: 1\r\nContent-Length: 2\r\n\r\nok";
const std::string ok_close = "HTTP/1.1 200 OK\r\nx-n: 1\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

std::string post(std::string_view body, std::string_view more = "") {
  return "POST /p HTTP/1.1\r\nHost: x\r\nContent-Type: t\r\n" + std::string(more) +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}
std::string chunked(std::string_view first, std::string_view second) {
  char size[20];
  std::string out = "POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const auto piece : {first, second}) {
    out.append(size, http::write_chunk_size(size, piece.size()));
    out.append(piece).append("\r\n");
  }
  return out + "0\r\n\r\n";
}

std::size_t count(std::string_view text, std::string_view of) {
  std::size_t n = 0;
  for (std::size_t at = 0; (at = text.find(of, at)) != text.npos; at += of.size()) ++n;
  return n;
}

}  // namespace

TEST_CASE("requests are the same however their bytes are cut") {
  const std::string bytes = get + post("0123456789") + chunked("abc", "defgh") + post("") + get;
  const std::vector<Asked> want{{"GET", "/a?b", "", ""}, {"POST", "/p", "0123456789", "t"}, {"POST", "/c", "abcdefgh", ""},
                                {"POST", "/p", "", "t"}, {"GET", "/a?b", "", ""}};
  SECTION("byte by byte") {
    Front front;
    for (const char c : bytes) front.wire->say({&c, 1});
    CHECK(front.desk.asked == want);
    CHECK(front.wire->got == ok + ok + ok + ok + ok);
  }
  SECTION("cut in two at every place") {
    for (std::size_t at = 0; at <= bytes.size(); ++at) {
      Front front;
      front.wire->say(bytes.substr(0, at));
      front.wire->say(bytes.substr(at));
      INFO(at);
      REQUIRE(front.desk.asked == want);
      REQUIRE(front.wire->got == ok + ok + ok + ok + ok);
      REQUIRE(front.session->idle());
    }
  }
  SECTION("cut in two at every place, answered later") {
    for (std::size_t at = 0; at <= bytes.size(); at += 3) {
      Front front;
      front.answer_later();
      front.wire->say(bytes.substr(0, at));
      front.wire->say(bytes.substr(at));
      for (std::size_t i = 0; i < want.size(); ++i) {
        REQUIRE(front.desk.fates.size() == i + 1);  // never two at once
        Desk::at_once(*front.fate(i).responder);
        front.wire->flow();
        REQUIRE(front.fate(i).destroyed);
      }
      REQUIRE(front.desk.asked == want);
      REQUIRE(front.wire->got == ok + ok + ok + ok + ok);
    }
  }
}

TEST_CASE("a request's views stand when its body came in many pieces") {
  Front front;
  std::string seen;
  const std::string body(100'000, 'b');
  const std::string bytes = post(body, "x-mark: kept\r\n");
  front.wire->say(bytes.substr(0, 30));
  front.wire->say(bytes.substr(30, 90));
  front.wire->say(bytes.substr(120, 50'000));
  front.wire->say(bytes.substr(50'120));
  REQUIRE(front.desk.asked.size() == 1);
  CHECK(front.desk.asked[0].type == "t");
  CHECK(front.desk.asked[0].body == body);
}

TEST_CASE("a pipelined request waits for the answer before it, in bounded memory") {
  Front front;
  front.answer_later();
  front.wire->say(get);
  front.wire->say(std::string(10'000, 'G'));
  CHECK(front.wire->reading);
  front.wire->say(std::string(10'000, 'G'));
  CHECK_FALSE(front.wire->reading);
  CHECK(front.desk.asked.size() == 1);
  Desk::at_once(*front.fate().responder);
  CHECK(front.wire->reading);
  CHECK(front.wire->got.starts_with(ok));
  CHECK(front.wire->got.find("HTTP/1.1 414 ") != std::string::npos);  // 20,000 bytes are no line
}

TEST_CASE("an answer in pieces is chunked, and nothing follows its end") {
  Front front;
  front.answer_later();
  front.wire->say(get);
  auto& to = *front.fate().responder;
  to.head(200, "x: y\r\n", std::nullopt);
  CHECK(front.wire->got.empty());  // the head goes with the first piece
  const std::string_view pieces[] = {"ab", "", "cdefghijklmnopq"};
  to.body(pieces, false);
  CHECK(front.wire->got == "HTTP/1.1 200 OK\r\nx: y\r\nTransfer-Encoding: chunked\r\n\r\n11\r\nabcdefghijklmnopq\r\n");
  to.body(std::string_view{}, false);
  to.body("z", true);
  CHECK(front.wire->got.ends_with("opq\r\n1\r\nz\r\n0\r\n\r\n"));
  CHECK(front.fate().destroyed);
  CHECK(front.session->idle());
}

TEST_CASE("HEAD has a length and no body") {
  for (const bool late : {false, true}) {
    Front front;
    if (late) front.answer_later();
    front.wire->say("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
    if (late) Desk::at_once(*front.fate().responder);
    CHECK(front.wire->got == "HTTP/1.1 200 OK\r\nx-n: 1\r\nContent-Length: 2\r\n\r\n");
    front.answer_later();
    front.wire->say("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
    auto& to = *front.desk.fates.back()->responder;
    to.head(200, {}, std::nullopt);
    to.body("abc", false);
    to.body("def", true);
    CHECK(front.wire->got.ends_with("Transfer-Encoding: chunked\r\n\r\n"));
    front.desk.answer = Desk::at_once;
    front.wire->say(get);  // and the connection goes on
    CHECK(front.wire->got.ends_with(ok));
  }
}

TEST_CASE("HTTP/1.0 closes unless asked otherwise") {
  Front front;
  SECTION("plain") {
    front.wire->say("GET / HTTP/1.0\r\n\r\n");
    CHECK(front.wire->got == ok_close);
    CHECK(front.wire->shut);
    front.wire->end();
    CHECK(front.closed == 1);
  }
  SECTION("keep-alive") {
    front.wire->say("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    CHECK(front.wire->got == "HTTP/1.1 200 OK\r\nx-n: 1\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok");
    CHECK_FALSE(front.wire->shut);
  }
  SECTION("a body without a length ends with the connection, never in chunks") {
    front.answer_later();
    front.wire->say("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    auto& to = *front.fate().responder;
    to.head(200, {}, std::nullopt);
    to.body("abc", false);
    to.body("def", true);
    CHECK(front.wire->got == "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabcdef");
    CHECK(front.wire->shut);
  }
}

TEST_CASE("100-continue") {
  const std::string continues = "HTTP/1.1 100 Continue\r\n\r\n";
  Front front;
  SECTION("asked for before the body") {
    front.wire->say(post("", "Expect: 100-continue\r\n"));
    CHECK(front.wire->got == ok);  // no body is due
    front.wire->say("POST /p HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    CHECK(front.wire->got == ok + continues);
    front.wire->say("abc");
    CHECK(front.wire->got == ok + continues + ok);
  }
  SECTION("the body is on its way already") {
    front.wire->say("POST /p HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\na");
    front.wire->say("bc");
    CHECK(front.wire->got == ok);
  }
  SECTION("in chunks") {
    front.wire->say("POST /p HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n");
    CHECK(front.wire->got == continues);
    front.wire->say("1\r\na\r\n0\r\n\r\n");
    CHECK(front.desk.asked[0].body == "a");
  }
  SECTION("not for a body that is refused") {
    front.wire->say("POST /p HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n");
    CHECK(front.wire->got.starts_with("HTTP/1.1 413 Content Too Large\r\n"));
  }
}

TEST_CASE("refusals are worded by the handler, close, and read on for a while") {
  struct Row {
    std::string send;
    int status;
  };
  net::SessionLimits limits;
  limits.body_bytes = 10;
  limits.head.bytes = 1000;
  limits.head.fields = 5;
  const Row rows[] = {
      {"POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n", 413},
      {"POST /p HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nabcdef\r\n6\r\nabcdef\r\n", 413},
      {"POST /p HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: x\r\nA: " + std::string(2000, 'a'), 431},
      {"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\n\r\n", 431},
      {"GET / HTTP/1.1\r\n\r\n", 400},
      {"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505},
      {"rubbish\r\n\r\n", 400},
  };
  for (const auto& row : rows) {
    for (const bool client_closes : {true, false}) {
      INFO(row.send);
      Front front(limits);
      front.wire->say(row.send + get);
      const std::string status = "HTTP/1.1 " + std::to_string(row.status) + " ";
      CHECK(front.wire->got.starts_with(status));
      CHECK(count(front.wire->got, "Content-Length") == 1);  // nothing after it is read
      CHECK(front.wire->got.find("x-refused: " + std::to_string(row.status)) != std::string::npos);
      CHECK(front.wire->got.find("Connection: close\r\n") != std::string::npos);
      CHECK(front.desk.asked.empty());
      CHECK(front.wire->shut);
      CHECK(front.wire->reading);  // so that a reset does not kill the answer on its way
      front.wire->say(std::string(100'000, 'x'));
      CHECK(front.closed == 0);
      if (client_closes) front.wire->end();
      else front.pass(2'100);
      CHECK(front.closed == 1);
    }
  }
}

TEST_CASE("a body of exactly the limit is taken") {
  net::SessionLimits limits;
  limits.body_bytes = 8;
  Front front(limits);
  front.wire->say(post("12345678") + chunked("1234", "5678"));
  CHECK(front.desk.asked.size() == 2);
}

TEST_CASE("deadlines of a head and a body run from their first byte") {
  Front front;
  SECTION("a head that trickles") {
    for (const char c : std::string("GET / HTTP/1.1\r\nHost: x")) {
      front.wire->say({&c, 1});
      front.pass(1'000);
    }
    CHECK(front.wire->got.starts_with("HTTP/1.1 408 "));
  }
  SECTION("a second head on the same connection") {
    front.wire->say(get);
    front.pass(8'000);
    front.wire->say("GET");
    front.pass(9'900);
    CHECK(front.wire->got == ok);
    front.pass(200);
    CHECK(front.wire->got.find("HTTP/1.1 408 ") != std::string::npos);
  }
  SECTION("a pipelined head's begins when it is its turn") {
    front.answer_later();
    front.wire->say(get + "GET /");
    front.pass(60'000);
    Desk::at_once(*front.fate().responder);
    front.pass(9'900);
    CHECK(front.wire->got == ok);
    front.pass(200);
    CHECK(front.wire->got.find("HTTP/1.1 408 ") != std::string::npos);
  }
  SECTION("a body that trickles") {
    front.wire->say("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n");
    for (int i = 0; i < 29; ++i) {
      front.wire->say("x");
      front.pass(1'000);
    }
    CHECK(front.wire->got.empty());
    front.pass(1'100);
    CHECK(front.wire->got.starts_with("HTTP/1.1 408 "));
    CHECK(front.desk.asked.empty());
  }
  SECTION("silence closes without a word") {
    front.pass(59'900);
    CHECK_FALSE(front.wire->shut);
    front.pass(200);
    CHECK(front.wire->shut);
    CHECK(front.wire->got.empty());
    front.wire->end();
    CHECK(front.closed == 1);
  }
  SECTION("none runs while an answer is made") {
    front.answer_later();
    front.wire->say(get);
    front.pass(3'600'000);
    CHECK(front.closed == 0);
    Desk::at_once(*front.fate().responder);
    CHECK(front.wire->got == ok);
  }
}

TEST_CASE("a client that takes nothing has left") {
  Front front;
  front.answer_later();
  front.wire->room = 1000;
  front.wire->say(get);
  auto& to = *front.fate().responder;
  to.head(200, {}, std::nullopt);
  to.body(std::string(5000, 'x'), false);
  front.pass(29'900);
  CHECK(front.fate().gone == 0);
  front.pass(200);
  CHECK(front.fate().gone == 1);
  CHECK(front.fate().fault.kind == FaultKind::client_stall);
  CHECK(front.fate().destroyed);
  CHECK(front.closed == 1);
}

TEST_CASE("a client that takes slowly has not left") {
  Front front;
  front.answer_later();
  front.wire->room = 0;
  front.wire->say(get);
  auto& to = *front.fate().responder;
  to.head(200, {}, std::nullopt);
  SECTION("while nothing new is written") {
    to.body(std::string(20'000, 'x'), false);
    for (int i = 0; i < 10; ++i) {
      front.pass(29'000);
      front.wire->take(100);
    }
  }
  SECTION("while more is written than it takes") {
    for (int i = 0; i < 100; ++i) {
      to.body(std::string(1000, 'x'), false);
      front.pass(5'000);
      front.wire->take(500);
    }
  }
  CHECK(front.fate().gone == 0);
  CHECK(front.closed == 0);
  front.pass(60'100);  // and when it stops altogether, it has
  CHECK(front.fate().gone == 1);
}

TEST_CASE("an answer that ends the connection is delivered to a slow client") {
  Front front;
  front.wire->room = 0;
  const std::string body(50'000, 'b');
  front.desk.answer = [&](Responder& responder) -> std::unique_ptr<Operation> {
    responder.head(200, {}, body.size());
    responder.body(body, true);
    return nullptr;
  };
  front.wire->say("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  SECTION("that takes longer than the linger") {
    for (int i = 0; i < 60; ++i) {
      front.pass(1'000);
      front.wire->take(1'000);
    }
  }
  SECTION("that has finished its own side") {
    front.wire->end();
    front.wire->take(20'000);
    front.wire->take(40'000);
    CHECK(front.closed == 1);
  }
  CHECK(front.wire->got.ends_with(body));
  front.wire->end();
  CHECK(front.closed >= 1);
}

TEST_CASE("a client that has closed but not taken its kept-alive answer still gets it") {
  Front front;
  front.wire->room = 0;
  front.wire->say(get);
  front.wire->end();  // half-closed: it only reads now
  CHECK(front.closed == 0);
  front.wire->take(1'000);
  CHECK(front.wire->got == ok);
  CHECK(front.closed == 1);
}

TEST_CASE("a client that closes with an answer untaken does not hold the session for ever") {
  Front front;
  front.wire->room = 0;
  front.desk.answer = [&](Responder& responder) -> std::unique_ptr<Operation> {
    responder.head(200, {}, 5000);
    responder.body(std::string(5000, 'b'), true);
    return nullptr;
  };
  front.wire->say("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  front.pass(60'200);
  CHECK(front.closed == 1);
}

TEST_CASE("the client goes while it is being answered") {
  Front front;
  front.answer_later();
  front.wire->say(get);
  SECTION("by closing") { front.wire->end(); }
  SECTION("by a reset") { front.wire->fail(); }
  CHECK(front.fate().gone == 1);
  CHECK(front.fate().fault.kind == FaultKind::client_gone);
  CHECK(front.fate().fault.side == Side::client);
  CHECK(front.fate().destroyed);
  CHECK(front.closed == 1);
  CHECK(front.wire->got.empty());
  front.pass(100'000);
  CHECK(front.closed == 1);
}

TEST_CASE("the client goes between requests") {
  Front front;
  SECTION("at once") {}
  SECTION("after one") { front.wire->say(get); }
  SECTION("in a head") { front.wire->say("GET / HT"); }
  SECTION("in a body") { front.wire->say("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab"); }
  front.wire->end();
  CHECK(front.closed == 1);
}

TEST_CASE("an aborted answer is a visible cut") {
  Front front;
  SECTION("later") {
    front.answer_later();
    front.wire->say(get + get);
    auto& to = *front.fate().responder;
    to.head(200, {}, std::nullopt);
    to.body("abc", false);
    to.abort();
    CHECK(front.fate().destroyed);
    CHECK(front.fate().gone == 0);
  }
  SECTION("from within the request") {
    front.desk.answer = [&](Responder& responder) {
      responder.head(200, {}, std::nullopt);
      responder.body("abc", false);
      responder.abort();
      return front.desk.later(responder);
    };
    front.wire->say(get + get);
  }
  CHECK(front.closed == 1);
  CHECK(front.desk.asked.size() == 1);
  CHECK(front.wire->got.ends_with("3\r\nabc\r\n"));  // no last chunk
  front.session.reset();
  CHECK_FALSE(front.wire->alive);
}

TEST_CASE("draining") {
  Front front;
  SECTION("an idle session closes") {
    front.wire->say(get);
    front.session->drain();
    CHECK(front.wire->shut);
    front.wire->end();
    CHECK(front.closed == 1);
  }
  SECTION("a new one may still ask once") {
    front.session->drain(false);
    CHECK_FALSE(front.wire->shut);
    front.wire->say(get + get);
    CHECK(front.wire->got == ok_close);
    CHECK(front.wire->shut);
  }
  SECTION("a head that has begun is answered") {
    front.wire->say(get.substr(0, 10));
    front.session->drain();
    CHECK_FALSE(front.wire->shut);
    front.wire->say(get.substr(10));
    CHECK(front.wire->got == ok_close);
    CHECK(front.wire->shut);
  }
  SECTION("a body that has begun is answered") {
    const auto bytes = post("12345");
    front.wire->say(bytes.substr(0, bytes.size() - 2));
    front.session->drain();
    front.wire->say(bytes.substr(bytes.size() - 2));
    CHECK(front.wire->got == ok_close);
  }
  SECTION("an answer runs to its end") {
    front.answer_later();
    front.wire->say(get);
    front.session->drain();
    CHECK_FALSE(front.wire->shut);
    front.pass(20'000);
    Desk::at_once(*front.fate().responder);
    CHECK(front.wire->got == ok_close);
    CHECK(front.wire->shut);
  }
  SECTION("an answer whose head has left runs to its end and then closes") {
    front.answer_later();
    front.wire->say(get);
    auto& to = *front.fate().responder;
    to.head(200, {}, std::nullopt);
    to.body("a", false);
    front.session->drain();
    to.body("b", true);
    CHECK(front.wire->got.ends_with("0\r\n\r\n"));
    CHECK(front.wire->shut);
  }
  SECTION("the grace ends: answered from within") {
    front.answer_later();
    front.wire->say(get);
    front.session->drain();
    front.fate().on_expired = [&] { Desk::at_once(*front.fate().responder); };
    front.session->drain_expired();
    CHECK(front.fate().expired == 1);
    CHECK(front.fate().destroyed);
    CHECK(front.wire->got == ok_close);
  }
  SECTION("the grace ends: aborted from within") {
    front.answer_later();
    front.wire->say(get);
    front.session->drain();
    front.fate().on_expired = [&] { front.fate().responder->abort(); };
    front.session->drain_expired();
    CHECK(front.fate().destroyed);
    CHECK(front.closed == 1);
  }
  SECTION("twice is once") {
    front.session->drain();
    front.session->drain();
    front.session->drain_expired();
    front.wire->end();
    CHECK(front.closed == 1);
  }
}

TEST_CASE("an operation hears when its bytes have left and may end from within") {
  Front front;
  front.answer_later();
  front.wire->room = 0;
  front.wire->say(get + get);
  auto& to = *front.fate().responder;
  to.head(200, {}, std::nullopt);
  to.body(std::string(1000, 'x'), false);
  CHECK(to.unsent_bytes() > 1000);
  front.fate().on_drained = [&] {
    front.wire->room = SIZE_MAX;
    front.fate(0).responder->body("end", true);
  };
  front.wire->take(10'000);
  CHECK(front.fate(0).drained == 1);
  CHECK(front.fate(0).destroyed);
  REQUIRE(front.desk.fates.size() == 2);  // the next has begun
  CHECK(front.fate(1).drained == 0);
  CHECK(front.wire->got.ends_with("3\r\nend\r\n0\r\n\r\n"));
}

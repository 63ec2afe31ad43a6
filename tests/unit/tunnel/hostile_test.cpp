// The gateway's end against an agent that does not play by the rules: each break ends the tunnel
// with a reason, every call faults, and what the gateway keeps or sends stays bounded.
#include <string>

#include "gateway/tunnel/tunnel.h"
#include "tests/catch.h"
#include "tests/unit/tunnel/pipes.h"

using namespace trib;
using namespace trib::tunnel;
using trib::test::Pipe;
using trib::test::PipeEnd;
using trib::test::VirtualClock;

namespace {

struct Hall final : TunnelEvents {
  int hellos = 0, capacities = 0, lost = 0;
  Fault fault;
  void on_hello(const Hello&) override { ++hellos; }
  void on_capacity(std::vector<fleet::AgentOffer>) override { ++capacities; }
  void on_lost(const Fault& f) override {
    fault = f;
    ++lost;
  }
};

struct Customer final : http::CallEvents {
  std::unique_ptr<http::Call> call;
  int heads = 0, ends = 0;
  std::string body;
  Fault fault;
  void on_head(const http::ResponseHead&) override { ++heads; }
  void on_body(std::string_view bytes) override { body += bytes; }
  void on_end() override { ++ends; }
  void on_fault(const Fault& f) override { fault = f; }
};

std::string frame(int type, int flags, std::uint32_t stream, std::string_view payload) {
  std::string out;
  for (const int shift : {16, 8, 0}) out += static_cast<char>(payload.size() >> shift);
  out += static_cast<char>(type);
  out += static_cast<char>(flags);
  for (const int shift : {24, 16, 8, 0}) out += static_cast<char>(stream >> shift);
  out += payload;
  return out;
}

enum {
  data = 0,
  headers = 1,
  rst_stream = 3,
  settings = 4,
  push_promise = 5,
  ping = 6,
  goaway = 7,
  window_update = 8
};
const std::string status_200("\x88"), status_204("\x89");
const std::string hello =
    R"({"t":"hello","seq":0,"mono_ms":1,"wall_ms":1,"minor_min":0,"minor_max":0,"site":"cafe-one","instance_id":"i"})"
    "\n";
const std::string capacity =
    R"({"t":"capacity","seq":0,"rev":1,"full":true,"page":1,"pages":1,"offers":[{"offer":"o1","model":"m","slots":2}]})"
    "\n";

struct Door {
  VirtualClock clock;
  TimerWheel wheel{clock.now_};
  std::shared_ptr<Pipe> pipe = std::make_shared<Pipe>();
  Hall hall;
  PipeEnd other{pipe, 1};
  GatewayEnd gateway;

  Door() : gateway(std::make_unique<PipeEnd>(pipe, 0), hall, wheel, clock, terms()) {}
  static GatewayTerms terms() {
    GatewayTerms t;
    t.site = "cafe-one";
    return t;
  }
  void say(const std::string& bytes) {
    if (hall.lost == 0) pipe->ends[0]->handler_->on_bytes(bytes);
    pipe->ways[0].bytes.clear();
  }
  void greet() {
    say(frame(settings, 0, 0, "") + frame(headers, 4, 1, status_200) +
        frame(data, 0, 1, hello + capacity));
    say(frame(headers, 5, 3, status_204));
    REQUIRE(hall.lost == 0);
    REQUIRE(hall.hellos == 1);
    REQUIRE(hall.capacities == 1);
  }
  void line(const std::string& text) { say(frame(data, 0, 1, text)); }
};

void ask(Door& door, Customer& customer) {
  http::CallRequest request;
  request.path = "/v1/completions";
  request.body = "{}";
  customer.call = door.gateway.call("o1", std::move(request), customer);
  REQUIRE(customer.call);
}

bool has(const Fault& fault, std::string_view text) {
  return fault.detail.find(text) != std::string::npos;
}

}  // namespace

TEST_CASE("what an agent may not say on its events") {
  Door door;
  SECTION("anything before hello") {
    door.say(frame(settings, 0, 0, "") + frame(headers, 4, 1, status_200) +
             frame(data, 0, 1, capacity));
    CHECK(has(door.hall.fault, "no hello first"));
  }
  SECTION("another site's name") {
    std::string other = hello;
    other.replace(other.find("cafe-one"), 8, "cafe-two");
    door.say(frame(settings, 0, 0, "") + frame(headers, 4, 1, status_200) +
             frame(data, 0, 1, other));
    CHECK(has(door.hall.fault, "another site"));
    CHECK(door.hall.hellos == 0);
  }
  SECTION("only a newer version") {
    std::string newer = hello;
    newer.replace(newer.find("\"minor_min\":0"), 13, "\"minor_min\":9");
    door.say(frame(settings, 0, 0, "") + frame(headers, 4, 1, status_200) +
             frame(data, 0, 1, newer));
    CHECK(has(door.hall.fault, "newer"));
  }
  SECTION("events refused") {
    door.say(frame(settings, 0, 0, "") + frame(headers, 4, 1, status_204));
    CHECK(has(door.hall.fault, "refused"));
  }
  SECTION("after the greeting") {
    door.greet();
    Customer customer;
    ask(door, customer);
    SECTION("hello again") {
      door.line(hello);
    }
    SECTION("not JSON") {
      door.line("{]\n");
    }
    SECTION("no type") {
      door.line("{}\n");
    }
    SECTION("deeply nested") {
      door.line("{\"t\":\"x\",\"a\":" + std::string(100, '[') + std::string(100, ']') + "}\n");
    }
    SECTION("a line above 64 KiB") {
      for (int i = 0; i < 5; ++i) door.say(frame(data, 0, 1, std::string(16'000, ' ')));
    }
    SECTION("an id that is none") {
      door.line(
          R"({"t":"capacity","rev":2,"full":true,"offers":[{"offer":"../x","model":"m","slots":1}]})"
          "\n");
    }
    SECTION("slots that cannot be") {
      door.line(
          R"({"t":"capacity","rev":2,"full":true,"offers":[{"offer":"x","model":"m","slots":-1}]})"
          "\n");
    }
    SECTION("the end of events") {
      door.say(frame(data, 1, 1, ""));
    }
    SECTION("a reset of events") {
      door.say(frame(rst_stream, 0, 1, std::string(4, '\0')));
    }
    SECTION("a flood of lines") {
      for (int i = 0; i < 3000 && door.hall.lost == 0; ++i) door.line("{\"t\":\"new\"}\n");
    }
    CHECK(door.hall.lost == 1);
    CHECK(door.hall.fault.side == Side::site);
    CHECK(customer.fault.kind == FaultKind::tunnel_lost);
  }
}

TEST_CASE("what is unknown is passed over") {
  Door door;
  door.greet();
  door.line(R"({"t":"weather","seq":3,"rain":{"mm":[1,2.5e3,null]}})"
            "\n");
  door.line(
      R"({"t":"heartbeat","seq":3,"rev":1,"inflight":{"o1":2},"new_field":[{}],"cpu_pct":1.5})"
      "\n");
  door.line(
      R"({"t":"capacity","rev":2,"full":true,"offers":[{"offer":"o1","model":"m","slots":2,"state":"warming-up"}]})"
      "\n");
  door.say(frame(0xbb, 0, 0, "an unknown frame"));
  CHECK(door.hall.lost == 0);
  CHECK(door.hall.capacities == 2);
}

TEST_CASE("pages out of order wait for the next whole revision") {
  Door door;
  door.greet();
  door.line(R"({"t":"capacity","rev":5,"full":true,"page":2,"pages":2,"offers":[]})"
            "\n");
  door.line(R"({"t":"capacity","rev":6,"full":true,"page":1,"pages":2,"offers":[]})"
            "\n");
  door.line(R"({"t":"capacity","rev":7,"full":true,"page":2,"pages":2,"offers":[]})"
            "\n");
  CHECK(door.hall.capacities == 1);
  door.line(R"({"t":"capacity","rev":8,"full":true,"page":1,"pages":1,"offers":[]})"
            "\n");
  CHECK(door.hall.capacities == 2);
}

TEST_CASE("broken frames and floods end the tunnel") {
  Door door;
  door.greet();
  Customer customer;
  ask(door, customer);
  SECTION("a frame above the limit") {
    door.say(frame(data, 0, 5, std::string(20'000, 'x')));
  }
  SECTION("more settings than anyone needs") {
    std::string many;
    for (int i = 0; i < 40; ++i) many += std::string("\0\x03\0\0\0\x64", 6);
    door.say(frame(settings, 0, 0, many));
  }
  SECTION("a push") {
    door.say(frame(push_promise, 4, 5, std::string("\0\0\0\x02", 4) + "\x82\x87\x84\x41\x01x"));
  }
  SECTION("data on a stream that nobody opened") {
    door.say(frame(data, 0, 9, "x"));
  }
  SECTION("data before the head") {
    door.say(frame(data, 0, 5, "x"));
  }
  SECTION("broken header compression") {
    door.say(frame(headers, 4, 5, "\xff\xff\xff\xff\xff\xff\xff"));
  }
  SECTION("a window that overflows") {
    door.say(frame(window_update, 0, 0, "\x7f\xff\xff\xff"));
  }
  SECTION("PING flood") {
    for (int i = 0; i < 100; ++i) door.say(frame(ping, 0, 0, "12345678"));
  }
  SECTION("PING flood in one piece, its answers unread") {
    std::string flood;
    for (int i = 0; i < 10'000; ++i) flood += frame(ping, 0, 0, "12345678");
    door.say(flood);
  }
  SECTION("SETTINGS flood") {
    for (int i = 0; i < 100; ++i) door.say(frame(settings, 0, 0, ""));
  }
  SECTION("empty DATA flood") {
    std::string flood;
    for (int i = 0; i < 5'000; ++i) flood += frame(data, 0, 1, "");
    door.say(flood);
  }
  SECTION("early heads without end") {
    std::string flood;  // :status 103, a literal
    for (int i = 0; i < 5'000; ++i) flood += frame(headers, 4, 5, std::string("\x08\x03") + "103");
    door.say(flood);
  }
  CHECK(door.hall.lost == 1);
  CHECK(customer.fault.kind == FaultKind::tunnel_lost);
  CHECK(customer.heads == 0);
}

TEST_CASE("more data than the window allows is refused") {
  Door door;
  door.greet();
  Customer customer;
  ask(door, customer);
  door.say(frame(headers, 4, 5, status_200));
  customer.call->pause();
  for (int i = 0; i < 10; ++i) door.say(frame(data, 0, 5, std::string(16'000, 'x')));
  CHECK(customer.body.size() <= 65'536 + 16'384);  // the frame that breaks the window is the last
  CHECK(customer.fault.kind == FaultKind::cut);
}

TEST_CASE("broken answers fault their own call only") {
  Door door;
  door.greet();
  Customer customer;
  ask(door, customer);
  SECTION("an end without the trailer") {
    door.say(frame(headers, 4, 5, status_200) + frame(data, 1, 5, "x"));
    CHECK(customer.fault.kind == FaultKind::cut);
  }
  SECTION("a head that ends it") {
    door.say(frame(headers, 5, 5, status_200));
    CHECK(customer.fault.kind == FaultKind::cut);
  }
  SECTION("another trailer") {
    const std::string trailer = std::string("\0\x08trib-end\x04huge", 15);
    door.say(frame(headers, 4, 5, status_200) + frame(data, 0, 5, "x") +
             frame(headers, 5, 5, trailer));
    CHECK(customer.fault.kind == FaultKind::cut);
  }
  SECTION("a head with a hundred and more fields") {
    std::string block = status_200;
    for (int i = 0; i < 150; ++i) block += std::string("\0\x01x\x01y", 5);
    door.say(frame(headers, 4, 5, block));
    CHECK(customer.fault.kind == FaultKind::bad_head);
  }
  SECTION("a head that says another length than it sends") {
    const std::string block = status_200 + std::string("\x0f\x0d\x01") + "5";
    door.say(frame(headers, 4, 5, block) + frame(data, 1, 5, "123456"));
  }
  CHECK(customer.fault);
  CHECK(customer.ends == 0);
  CHECK(door.hall.lost == 0);
  Customer next;
  ask(door, next);
  const std::string done = std::string(
      "\0\x08trib-end\x04"
      "done",
      15);
  door.say(frame(headers, 4, 7, status_200) + frame(data, 0, 7, "fine") +
           frame(headers, 5, 7, done));
  CHECK(next.ends == 1);
  CHECK(next.body == "fine");
}

TEST_CASE("control requests that fail or hang end the tunnel") {
  SECTION("welcome refused") {
    Door door;
    door.say(frame(settings, 0, 0, "") + frame(headers, 4, 1, status_200) +
             frame(data, 0, 1, hello));
    door.say(frame(headers, 5, 3, status_200));
    CHECK(has(door.hall.fault, "welcome"));
  }
  SECTION("welcome unanswered, though heartbeats come") {
    Door door;
    door.say(frame(settings, 0, 0, "") + frame(headers, 4, 1, status_200) +
             frame(data, 0, 1, hello));
    for (int i = 0; i < 40 && door.hall.lost == 0; ++i) {
      door.clock.now_ += 1'000'000'000;
      door.line("{\"t\":\"heartbeat\"}\n");
      door.wheel.advance(door.clock.now_);
    }
    CHECK(has(door.hall.fault, "not answered"));
  }
  SECTION("no hello at all, though bytes come") {
    Door door;
    door.say(frame(settings, 0, 0, ""));
    for (int i = 0; i < 40 && door.hall.lost == 0; ++i) {
      door.clock.now_ += 1'000'000'000;
      door.say(frame(window_update, 0, 0, std::string("\0\0\0\x01", 4)));
      door.wheel.advance(door.clock.now_);
    }
    CHECK(has(door.hall.fault, "no hello"));
  }
}

TEST_CASE("durable frames are acknowledged, one request at a time") {
  Door door;
  door.greet();
  door.pipe->ways[0].bytes.clear();
  for (int seq = 1; seq <= 50; ++seq) {
    door.pipe->ends[0]->handler_->on_bytes(
        frame(data, 0, 1, "{\"t\":\"notice\",\"seq\":" + std::to_string(seq) + "}\n"));
  }
  const std::string& out = door.pipe->ways[0].bytes;
  CHECK(out.find("{\"upto\":1}") != std::string::npos);
  CHECK(out.find("{\"upto\":2}") == std::string::npos);
  door.pipe->ends[0]->handler_->on_bytes(frame(headers, 5, 5, status_204));
  CHECK(out.find("{\"upto\":50}") != std::string::npos);
}

TEST_CASE("altered transcripts never crash the gateway and never make an answer clean") {
  SeededRng rng(5);
  const std::string done = std::string(
      "\0\x08trib-end\x04"
      "done",
      15);
  const std::string transcript =
      frame(settings, 0, 0, std::string("\0\x03\0\0\0\x64", 6)) + frame(settings, 1, 0, "") +
      frame(headers, 4, 1, status_200) + frame(data, 0, 1, hello + capacity) +
      frame(headers, 5, 3, status_204) + frame(ping, 0, 0, "12345678") +
      frame(headers, 4, 5, status_200) + frame(data, 0, 5, "hello there") +
      frame(headers, 5, 5, done) + frame(goaway, 0, 0, std::string(8, '\0'));
  for (int round = 0; round < 3000; ++round) {
    Door door;
    std::string bytes = transcript;
    for (auto n = rng.below(4); n > 0; --n) {
      const auto at = static_cast<std::size_t>(rng.below(bytes.size()));
      switch (rng.below(3)) {
        case 0:
          bytes[at] = static_cast<char>(rng.next());
          break;
        case 1:
          bytes.erase(at, 1 + rng.below(20));
          break;
        default:
          bytes.insert(at, bytes.substr(static_cast<std::size_t>(rng.below(bytes.size())), 30));
      }
    }
    Customer customer;
    for (std::size_t at = 0; at < bytes.size();) {
      // Streams answer only after they were opened: the pieces follow the transcript's frames at
      // times.
      const auto n = std::min<std::size_t>(bytes.size() - at, 1 + rng.below(120));
      door.say(bytes.substr(at, n));
      at += n;
      if (!customer.call && door.hall.capacities > 0 && door.hall.lost == 0) {
        http::CallRequest request;
        request.path = "/v1/completions";
        request.body = "{}";
        customer.call = door.gateway.call("o1", std::move(request), customer);
      }
    }
    CHECK((customer.ends == 0 || !customer.fault));
    CHECK(door.hall.lost <= 1);
  }
}

// The agent without sockets: a gateway's end on an in-memory connection, engines that answer as
// told.
#include <ctime>
#include <deque>

#include "backends/agent/dialler.h"
#include "backends/agent/engine_book.h"
#include "backends/agent/identity.h"
#include "backends/agent/moment.h"
#include "tests/catch.h"
#include "tests/support/mem_disk.h"
#include "tests/unit/tunnel/pipes.h"

using namespace trib;
using namespace trib::agent;
using trib::test::Pipe;
using trib::test::PipeEnd;
using trib::test::VirtualClock;

namespace {

struct Customer final : http::CallEvents {
  std::unique_ptr<http::Call> call;
  int status = 0, ends = 0;
  std::string body, type, cookie;
  Fault fault;
  void on_head(const http::ResponseHead& head) override {
    status = head.status;
    type = std::string(head.find("content-type"));
    cookie = std::string(head.find("set-cookie"));
  }
  void on_body(std::string_view bytes) override { body += bytes; }
  void on_end() override { ++ends; }
  void on_fault(const Fault& f) override { fault = f; }
};

struct Hall final : tunnel::TunnelEvents {
  std::vector<tunnel::Hello> hellos;
  std::vector<fleet::AgentOffer> offers;
  int lost = 0;
  void on_hello(const tunnel::Hello& hello) override { hellos.push_back(hello); }
  void on_capacity(std::vector<fleet::AgentOffer> all) override { offers = std::move(all); }
  Fault fault;
  std::vector<int> checkpoints;
  void on_checkpoints(int status) override { checkpoints.push_back(status); }
  void on_lost(const Fault& f) override {
    ++lost;
    fault = f;
  }
};

// One call as an engine sees it.
struct EngineCall final : http::Call {
  EngineCall(std::vector<EngineCall*>& l, const Endpoint& e, http::CallRequest r,
             http::CallEvents& ev)
      : list(l),
        to(e),
        method(r.method),
        path(r.path),
        type(r.content_type),
        body(r.body),
        events(ev) {
    list.push_back(this);
  }
  ~EngineCall() override { std::erase(list, this); }
  void pause() override { paused = true; }
  void resume() override { paused = false; }
  bool sent() const override { return true; }
  void head(int status, std::vector<http::Field> fields = {{"Content-Type", "application/json"},
                                                           {"Set-Cookie", "x"}}) {
    http::ResponseHead h;
    h.status = status;
    h.fields = fields;
    events.on_head(h);
  }
  std::vector<EngineCall*>& list;
  Endpoint to;
  std::string method, path, type, body;
  http::CallEvents& events;
  bool paused = false;
};

struct Dial {
  std::shared_ptr<Pipe> pipe = std::make_shared<Pipe>();
  StreamHandler* handler = nullptr;
};

struct Door final : Transport {
  std::deque<Dial> dials;
  std::unique_ptr<Stream> dial(const Endpoint&, StreamHandler& handler) override {
    dials.push_back({std::make_shared<Pipe>(), &handler});
    auto end = std::make_unique<PipeEnd>(dials.back().pipe, 1);
    end->set_handler(handler);
    return end;
  }
};

struct World {
  VirtualClock clock;
  TimerWheel wheel{clock.now_};
  SeededRng rng{9};
  std::vector<EngineCall*> calls;  // open at the engines
  Door door;
  Hall hall;
  Forwarder::CallEngine call = [this](const Endpoint& to, http::CallRequest request,
                                      http::CallEvents& events) {
    return std::make_unique<EngineCall>(calls, to, std::move(request), events);
  };
  Forwarder forwarder{call, wheel, clock};
  Dialler dialler{door, {}, forwarder, wheel, clock, rng, terms()};
  std::unique_ptr<tunnel::GatewayEnd> gateway;
  std::shared_ptr<Pipe> pipe;

  World() {
    Engine engine;
    engine.endpoint.host = "127.0.0.1";
    engine.endpoint.port = 9001;
    engine.base_path = "/base";
    engine.slots = 3;
    forwarder.engines({engine});
    forwarder.offers({{"o1", 0}});
    fleet::AgentOffer offer;
    offer.id = "o1";
    offer.model = "m";
    dialler.offer({offer});
  }
  static tunnel::AgentTerms terms() {
    tunnel::AgentTerms t;
    t.hello.site = "cafe-one";
    t.hello.instance_id = "i";
    return t;
  }
  void pass(std::int64_t ms) {
    for (; ms > 0; ms -= 50) {
      clock.now_ += 50'000'000;
      wheel.advance(clock.now_);
      run();
    }
  }
  void run() {
    if (pipe) test::run_pipe(*pipe, rng);
  }
  // The gateway takes the dial that is waiting.
  void accept() {
    REQUIRE_FALSE(door.dials.empty());
    const Dial dial = door.dials.back();
    door.dials.clear();
    pipe = dial.pipe;
    tunnel::GatewayTerms own;
    own.site = "cafe-one";
    gateway = std::make_unique<tunnel::GatewayEnd>(std::make_unique<PipeEnd>(pipe, 0), hall, wheel,
                                                   clock, own);
    dial.handler->on_open();
    run();
  }
  void up() {
    dialler.start();
    pass(300);
    accept();
    INFO(hall.lost << " " << hall.fault.detail << " hellos " << hall.hellos.size());
    REQUIRE(dialler.up());
  }
  std::unique_ptr<Customer> ask(std::int64_t deadline_ms = 0) {
    auto customer = std::make_unique<Customer>();
    http::CallRequest request;
    request.path = "/v1/chat/completions";
    request.content_type = "application/json";
    request.body = "{\"prompt\":1}";
    request.deadline_ms = deadline_ms;
    customer->call = gateway->call("o1", std::move(request), *customer);
    REQUIRE(customer->call);
    run();
    return customer;
  }
};

}  // namespace

TEST_CASE("a request goes to the engine and its answer comes back") {
  World w;
  w.up();
  const auto customer = w.ask();
  REQUIRE(w.calls.size() == 1);
  EngineCall* call = w.calls[0];
  CHECK(call->to.port == 9001);
  CHECK(call->path == "/base/v1/chat/completions");
  CHECK(call->method == "POST");
  CHECK(call->type == "application/json");
  CHECK(call->body == "{\"prompt\":1}");
  call->head(200);
  call->events.on_body("one ");
  call->events.on_body("two");
  call->events.on_end();
  w.run();
  CHECK(customer->status == 200);
  CHECK(customer->type == "application/json");
  CHECK(customer->cookie.empty());
  CHECK(customer->body == "one two");
  CHECK(customer->ends == 1);
  CHECK(w.calls.empty());
  CHECK(w.forwarder.in_flight() == 0);
}

TEST_CASE("a customer who leaves closes the engine's request at once") {
  World w;
  w.up();
  auto customer = w.ask();
  REQUIRE(w.calls.size() == 1);
  customer->call.reset();
  w.run();
  CHECK(w.calls.empty());
}

TEST_CASE("a lost tunnel closes every engine request") {
  World w;
  w.up();
  const auto a = w.ask(), b = w.ask();
  REQUIRE(w.calls.size() == 2);
  w.gateway.reset();
  w.run();
  CHECK(w.calls.empty());
}

TEST_CASE("an engine is read no faster than the customer takes it") {
  World w;
  w.up();
  auto customer = w.ask();
  customer->call->pause();
  EngineCall* call = w.calls[0];
  call->head(200);
  std::size_t given = 0;
  while (!call->paused && given < 1'000'000) {
    call->events.on_body(std::string(4000, 'x'));
    given += 4000;
    w.run();
  }
  CHECK(call->paused);
  CHECK(given <= 65'536 * 2 + 8000);  // the stream's window and the agent's queue
  customer->call->resume();
  w.run();
  CHECK_FALSE(call->paused);
  CHECK(customer->body.size() == given);
}

TEST_CASE("what goes wrong at the engine becomes the right fault at the gateway") {
  World w;
  w.up();
  std::vector<std::size_t> told;
  w.forwarder.on_unreachable = [&](std::size_t engine) { told.push_back(engine); };
  const auto customer = w.ask(5'000);
  EngineCall* call = w.calls[0];
  SECTION("a closed door") {
    call->events.on_fault({FaultKind::connect_refused, Side::engine, Retry::elsewhere, ""});
    w.run();
    CHECK(customer->fault.kind == FaultKind::connect_refused);
    CHECK(customer->fault.side == Side::site);
    CHECK(customer->fault.retry == Retry::elsewhere);
    CHECK(told == std::vector<std::size_t>{0});
  }
  SECTION("a reset before the head") {
    call->events.on_fault({FaultKind::reset_before_head, Side::engine, Retry::elsewhere, ""});
    w.run();
    CHECK(customer->fault.kind == FaultKind::reset_before_head);
    CHECK(customer->fault.side == Side::engine);
    CHECK(told.empty());
  }
  SECTION("a cut in the middle") {
    call->head(200);
    call->events.on_body("some");
    call->events.on_fault({FaultKind::cut, Side::engine, Retry::never, ""});
    w.run();
    CHECK(customer->fault.kind == FaultKind::cut);
    CHECK(customer->fault.side == Side::engine);
    CHECK(customer->body == "some");
    CHECK(customer->ends == 0);
  }
  SECTION("each kind is told as it was seen, and the text before it still comes") {
    for (const FaultKind kind : {FaultKind::connect_timeout, FaultKind::connect_failed, FaultKind::bad_head}) {
      const auto other = w.ask();
      w.calls.back()->events.on_fault({kind, Side::site_network, Retry::elsewhere, ""});
      w.run();
      CHECK(other->fault.kind == kind);
    }
    call->head(200);
    call->events.on_body("some");
    call->events.on_fault({FaultKind::bad_chunk, Side::engine, Retry::elsewhere, ""});
    w.run();
    CHECK(customer->fault.kind == FaultKind::bad_chunk);
    CHECK(customer->fault.side == Side::engine);
    CHECK(customer->body == "some");
    CHECK(customer->ends == 0);
  }
  SECTION("silence until the deadline") {
    w.pass(5'100);
    CHECK(customer->fault.kind == FaultKind::head_timeout);
    CHECK(w.calls.empty());
  }
  SECTION("an answer that has begun may take longer than the deadline of its beginning") {
    call->head(200);
    call->events.on_body("some");
    w.pass(60'000);
    CHECK_FALSE(customer->fault);
    call->events.on_body(" more");
    call->events.on_end();
    w.run();
    CHECK(customer->body == "some more");
    CHECK(customer->ends == 1);
  }
  SECTION("the engine's own refusal passes through") {
    call->head(422);
    call->events.on_body("no");
    call->events.on_end();
    w.run();
    CHECK(customer->status == 422);
    CHECK(customer->ends == 1);
  }
  CHECK(w.forwarder.in_flight() == 0);
}

TEST_CASE("no more requests than the engine has slots") {
  World w;
  w.up();
  std::vector<std::unique_ptr<Customer>> customers;
  for (int i = 0; i < 5; ++i) customers.push_back(w.ask());
  CHECK(w.calls.size() == 3);
  CHECK(customers[3]->fault.kind == FaultKind::status_busy);
  CHECK(customers[3]->fault.retry == Retry::elsewhere);
}

TEST_CASE("a lost gateway is dialled again, later and later, and told everything anew") {
  World w;
  std::vector<std::int64_t> waits;
  w.dialler.on_down = [&](const Fault&, std::int64_t wait_ms) { waits.push_back(wait_ms); };
  w.dialler.start();
  for (int i = 0; i < 12; ++i) {
    while (w.door.dials.empty()) w.pass(50);
    const Dial dial = w.door.dials.back();
    w.door.dials.clear();
    dial.handler->on_error(
        {FaultKind::connect_refused, Side::site_network, Retry::elsewhere, "refused"});
  }
  REQUIRE(waits.size() == 12);
  std::int64_t base = 500;
  for (const auto wait : waits) {
    CHECK(wait >= base * 7 / 10);
    CHECK(wait <= base * 13 / 10 + 1);
    base = std::min<std::int64_t>(base * 2, 60'000);
  }
  while (w.door.dials.empty()) w.pass(50);
  w.accept();
  CHECK(w.dialler.up());
  CHECK(w.hall.hellos.size() == 1);
  CHECK(w.hall.offers.size() == 1);
  w.pass(61'000);  // stable: the next loss is answered quickly
  w.gateway.reset();
  w.run();
  CHECK(waits.back() <= 650);
  w.hall.offers.clear();
  while (w.door.dials.empty()) w.pass(50);
  w.accept();
  CHECK(w.hall.hellos.size() == 2);
  CHECK(w.hall.offers.size() == 1);
}

TEST_CASE("a dial that hangs is given up, a refused certificate waits ten minutes") {
  World w;
  std::vector<std::int64_t> waits;
  w.dialler.on_down = [&](const Fault&, std::int64_t wait_ms) { waits.push_back(wait_ms); };
  w.dialler.start();
  w.pass(300);
  REQUIRE(w.door.dials.size() == 1);
  w.pass(10'100);
  CHECK(waits.size() == 1);
  w.pass(1'000);
  REQUIRE(w.door.dials.size() == 2);
  w.door.dials.back().handler->on_error(
      {FaultKind::cut, Side::site, Retry::never, "tls: tlsv13 alert certificate required"});
  CHECK(waits.back() == 600'000);
}

TEST_CASE("the gateway's checkpoints reach the site's witness, and what is held stands in the hello") {
  test::MemDisk keys{1}, disk{2};
  std::string why;
  const auto key = SigningKey::open(keys, "key", why);
  ledger::Checkpoint one;
  one.number = 1;
  one.batch_from = one.batch_to = 1;
  one.public_key = key->public_key();
  one.signature = key->sign(ledger::signed_bytes(one));
  auto forged = one;
  forged.head[0] = 1;
  forged.signature = key->sign(ledger::signed_bytes(forged));
  disk.make_dirs("state");
  Witness witness(disk, "state");
  World w;
  w.dialler.witness = &witness;
  w.up();
  CHECK(w.hall.hellos[0].checkpoint == 0u);
  w.gateway->tell({.last = 1, .checkpoints = {ledger::to_json(one)}});
  w.run();
  w.gateway->tell({.last = 1, .checkpoints = {ledger::to_json(forged)}});
  w.run();
  CHECK(w.hall.checkpoints == std::vector<int>{204, 409});
  CHECK(w.hall.lost == 0);  // a contradiction is reported; the work goes on
  w.gateway.reset();
  w.pass(2000);
  w.accept();
  CHECK(w.hall.hellos[1].checkpoint == 1u);

  World without;
  without.up();
  CHECK_FALSE(without.hall.hellos[0].checkpoint);
  without.gateway->tell({.last = 1, .checkpoints = {ledger::to_json(one)}});
  without.run();
  CHECK(without.hall.checkpoints == std::vector<int>{503});
}

TEST_CASE("draining waits for open requests") {
  World w;
  w.up();
  const auto customer = w.ask();
  bool gone = false;
  w.dialler.drain([&] { gone = true; });
  w.run();
  CHECK_FALSE(gone);
  EngineCall* call = w.calls[0];
  call->head(200);
  call->events.on_end();
  w.pass(200);
  CHECK(customer->ends == 1);
  CHECK(gone);
}

TEST_CASE("engines are probed, their models offered and withdrawn when they fall silent") {
  World w;
  config::AgentEngineConfig first, second;
  first.endpoint.host = second.endpoint.host = "127.0.0.1";
  first.endpoint.port = 1;
  second.endpoint.port = 2;
  second.models = {{"public", "org/own:8b"}};
  second.capacity = 5;
  BookTerms terms;
  terms.device = "manual-0";
  terms.vendor = "nvidia";
  EngineBook book({first, second}, w.call, w.forwarder, w.wheel, terms);
  std::vector<std::vector<fleet::AgentOffer>> said;
  book.on_offers = [&](std::vector<fleet::AgentOffer> offers) {
    said.push_back(std::move(offers));
  };
  book.start();
  const auto answer_all = [&](std::uint16_t port) {
    for (int i = 0; i < 20; ++i) {
      for (std::size_t n = 0; n < w.calls.size(); ++n) {
        EngineCall* call = w.calls[n];
        if (call->to.port != port) continue;
        CHECK(call->method == (call->path == "/tokenize" ? "POST" : "GET"));
        const bool list = call->path == "/v1/models";
        call->head(list ? 200 : 404);
        if (list)
          call->events.on_body(
              R"({"data":[{"id":"org/small","owned_by":"vllm","max_model_len":4096}]})");
        call->events.on_end();
        break;
      }
    }
  };
  answer_all(1);
  REQUIRE(said.back().size() == 1);
  CHECK(said.back()[0].id == "0.0.org-small");
  CHECK(said.back()[0].model == "org/small");
  CHECK(said.back()[0].can.context == 4096);
  CHECK(said.back()[0].slots == 8);
  CHECK(said.back()[0].vendor == "nvidia");
  answer_all(2);
  REQUIRE(said.back().size() == 2);
  CHECK(said.back()[1].id == "1.0.public");
  CHECK(said.back()[1].engine_model == "org/own:8b");
  CHECK(said.back()[1].slots == 5);

  // The first one answers no more: its probes run out of time twice.
  const auto before = w.clock.now_;
  while (said.back().size() == 2 && w.clock.now_ - before < 60'000'000'000) {
    w.pass(50);
    answer_all(2);
  }
  REQUIRE(said.back().size() == 1);
  CHECK(said.back()[0].id == "1.0.public");
}

TEST_CASE("an engine's load and the site's hours go with its offers") {
  World w;
  std::vector<std::vector<fleet::AgentOffer>> said;
  Moment moment(w.call, w.forwarder, w.wheel, w.clock, 22 * 60 + 30);
  moment.on_offers = [&](std::vector<fleet::AgentOffer> offers) { said.push_back(std::move(offers)); };
  fleet::AgentOffer offer;
  offer.id = "o1";
  offer.model = "m";
  moment.offer({offer});
  REQUIRE(said.size() == 1);
  CHECK(w.calls.empty());  // it has no metrics page
  CHECK(said.back()[0].figures == fleet::EngineFigures{});
  const std::int64_t left_ms = next_time_of_day(w.clock.wall_ms(), 22 * 60 + 30) - w.clock.wall_ms();
  CHECK(said.back()[0].leaves_ns == w.clock.mono_ns() + left_ms * 1'000'000);

  offer.can.metrics = fleet::MetricsKind::vllm;
  moment.offer({offer});
  const auto page = [&](int status, const std::string& text) {
    for (int i = 0; i < 120 && w.calls.empty(); ++i) w.pass(50);
    REQUIRE(w.calls.size() == 1);
    CHECK(w.calls[0]->method == "GET");
    CHECK(w.calls[0]->path == "/base/metrics");
    w.calls[0]->head(status);
    w.calls[0]->events.on_body(text);
    w.calls[0]->events.on_end();
    return said.back()[0].figures;
  };
  const fleet::EngineFigures busy{3, 2, {}};
  const std::string text = "vllm:num_requests_running 3\nvllm:num_requests_waiting 2\n";
  CHECK(page(200, text) == busy);
  const auto told = said.size();
  CHECK(page(200, text) == busy);
  CHECK(said.size() == told);  // no news
  CHECK(page(500, "") == busy);  // it may come back
  CHECK(page(200, "else 1\n") == busy);
  CHECK(page(200, text) == busy);
  for (int i = 0; i < 2; ++i) CHECK(page(404, "") == busy);
  for (int i = 0; i < 160 && w.calls.empty(); ++i) w.pass(50);
  w.pass(2'100);  // and one that is never answered
  CHECK(said.back()[0].figures == fleet::EngineFigures{});
  const auto first_end = said.back()[0].leaves_ns;
  w.pass(0);
  w.clock.now_ = first_end;  // the day is over
  w.pass(61'000);
  CHECK(said.back()[0].leaves_ns > first_end + 22 * 3600 * 1'000'000'000LL);
  moment.offer({});
  CHECK(w.calls.empty());
}

TEST_CASE("the next time of day is ahead, by a day at most") {
  for (const long long wall_ms : {1'800'000'000'000LL, 1'793'462'399'000LL, 1'000LL}) {
    for (int minutes = 0; minutes < 24 * 60; minutes += 7) {
      const std::int64_t next = next_time_of_day(wall_ms, minutes);
      CHECK(next > wall_ms);
      CHECK(next - wall_ms <= 25 * 3'600'000LL);  // the longest day of the year's end of summer
      const std::time_t at = static_cast<std::time_t>(next / 1000);
      std::tm local{};
      localtime_r(&at, &local);
      CHECK(local.tm_hour * 60 + local.tm_min == minutes);
    }
  }
}

TEST_CASE("offer ids are what the tunnel takes") {
  CHECK(offer_id(0, 3, "a/b:c d") == "0.3.a-b-c-d");
  CHECK(tunnel::valid_id(offer_id(12, 3, std::string(300, '/'))));
}

TEST_CASE("an identity is kept, and half of one is none") {
  test::MemDisk disk(3);
  std::string why;
  CHECK_FALSE(load_identity(disk, "state", why));
  CHECK(why.find("not enrolled yet") != std::string::npos);
  const Identity identity{"cafe-one", "i-1", "KEY", "CERT", "CA"};
  CHECK(save_identity(disk, "state", identity).empty());
  const auto back = load_identity(disk, "state", why);
  REQUIRE(back);
  CHECK(back->site == "cafe-one");
  CHECK(back->key_pem == "KEY");
  // A second enrolment that breaks off leaves nothing that looks whole.
  disk.fail_from(disk.operations() + 6, std::errc::no_space_on_device);
  CHECK_FALSE(save_identity(disk, "state", {"cafe-one", "i-2", "KEY2", "CERT2", "CA"}).empty());
  disk.kill();
  CHECK_FALSE(load_identity(disk, "state", why));
}

TEST_CASE("what the gateway answers to an enrolment is read strictly") {
  Enrolled out;
  CHECK(read_enrolled(
      R"({"site":"a","cert_pem":"c","chain_pem":"d","check_words":"w","state":"probation","x":[1]})",
      out));
  CHECK(out.site == "a");
  CHECK_FALSE(read_enrolled(R"({"site":"a"})", out = {}));
  CHECK_FALSE(read_enrolled("<html>", out = {}));
  CHECK(read_refusal(R"({"error":{"message":"the invite was used","code":"x"}})") ==
        "the invite was used");
  CHECK(read_refusal("<html>").empty());
}

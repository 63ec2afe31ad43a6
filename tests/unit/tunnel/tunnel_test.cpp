// Both ends of a tunnel over in-memory pipes: what the promises of gateway/tunnel are worth.
#include <map>
#include <set>

#include "gateway/tunnel/tunnel.h"
#include "tests/catch.h"
#include "tests/unit/tunnel/pipes.h"

using namespace trib;
using namespace trib::tunnel;
using trib::test::Pipe;
using trib::test::PipeEnd;
using trib::test::VirtualClock;

namespace {

// A customer's side of one call.
struct Customer final : http::CallEvents {
  std::unique_ptr<http::Call> call;
  int status = 0, ends = 0, faults = 0;
  std::string type, body;
  Fault fault;
  std::function<void()> then;  // at each body piece

  void on_head(const http::ResponseHead& head) override {
    status = head.status;
    type = std::string(head.find("Content-Type"));
  }
  void on_body(std::string_view bytes) override {
    body += bytes;
    if (then) then();
  }
  void on_end() override { ++ends; }
  void on_fault(const Fault& f) override {
    fault = f;
    ++faults;
  }
  bool done() const { return ends + faults == 1; }
};

struct Site final : AgentHandler {
  std::vector<Answer*> open;
  std::vector<AgentRequest> seen;
  int cancelled = 0, rooms = 0, welcomes = 0, lost = 0, goaways = 0;
  Welcome welcome;
  Fault fault;
  std::function<void(Answer&)> serve;
  std::function<void(Answer&)> room;

  void on_request(Answer& answer) override {
    seen.push_back(answer.request());
    open.push_back(&answer);
    if (serve) serve(answer);
  }
  void on_room(Answer& answer) override {
    ++rooms;
    if (room) room(answer);
  }
  void on_cancel(Answer& answer) override {
    ++cancelled;
    std::erase(open, &answer);
  }
  void on_welcome(const Welcome& w) override {
    welcome = w;
    ++welcomes;
  }
  void on_goaway() override { ++goaways; }
  void on_lost(const Fault& f) override {
    fault = f;
    ++lost;
  }
};

struct Hall final : TunnelEvents {
  std::vector<Hello> hellos;
  std::vector<std::vector<fleet::AgentOffer>> capacities;
  std::vector<Heartbeat> beats;
  std::vector<bool> suspects;
  int leaving = 0, lost = 0;
  Fault fault;
  void on_hello(const Hello& hello) override { hellos.push_back(hello); }
  void on_capacity(std::vector<fleet::AgentOffer> offers) override {
    capacities.push_back(std::move(offers));
  }
  void on_heartbeat(const Heartbeat& beat) override { beats.push_back(beat); }
  void on_suspect(bool suspect) override { suspects.push_back(suspect); }
  void on_leaving() override { ++leaving; }
  void on_lost(const Fault& f) override {
    fault = f;
    ++lost;
  }
};

fleet::AgentOffer offer_of(std::string id) {
  fleet::AgentOffer offer;
  offer.id = std::move(id);
  offer.model = "smollm2-135m";
  offer.engine_model = "m";
  offer.slots = 4;
  offer.seat = "seat-7";
  offer.device = "GPU-1";
  offer.vendor = "nvidia";
  offer.can.engine = "llama.cpp";
  offer.can.version = "b1";
  offer.can.dialect = "llamacpp";
  offer.can.usage_in_stream = false;
  offer.can.context = 2048;
  offer.can.slots = 4;
  offer.can.token_input = fleet::TokenInput::completions;
  offer.can.continue_mode = fleet::ContinueMode::auto_prefill;
  offer.can.template_access = fleet::TemplateAccess::apply;
  offer.can.length_field = fleet::LengthField::both;
  offer.can.unknown_fields = fleet::UnknownFields::ignore;
  offer.can.cancel = fleet::Cancel::on_disconnect;
  offer.can.metrics = fleet::MetricsKind::llamacpp;
  offer.can.tools = offer.can.grammar = offer.can.logprobs = offer.can.seed = offer.can.n_gt_1 = true;
  return offer;
}

struct World {
  VirtualClock clock;
  TimerWheel wheel{clock.now_};
  SeededRng rng;
  std::shared_ptr<Pipe> pipe = std::make_shared<Pipe>();
  Hall hall;
  Site site;
  std::unique_ptr<GatewayEnd> gateway;
  std::unique_ptr<AgentEnd> agent;
  std::size_t piece_max = 3000;

  explicit World(std::uint64_t seed = 1, std::function<void(AgentTerms&)> change = {}) : rng(seed) {
    AgentTerms terms;
    terms.hello.site = "cafe-one";
    terms.hello.instance_id = "i1";
    terms.hello.boot_id = "b1";
    terms.hello.agent_version = "0.1.0";
    terms.hello.kind = "cafe";
    terms.hello.devices.push_back(
        {"GPU-1", "nvidia", "RTX \"4090\"", "550", 24'000'000'000, "cuda"});
    if (change) change(terms);
    GatewayTerms own;
    own.site = "cafe-one";
    own.welcome.gateway = "gw-1";
    own.welcome.state = "active";
    own.welcome.tunnel = 42;
    gateway =
        std::make_unique<GatewayEnd>(std::make_unique<PipeEnd>(pipe, 0), hall, wheel, clock, own);
    agent = std::make_unique<AgentEnd>(std::make_unique<PipeEnd>(pipe, 1), site, wheel, clock, rng,
                                       terms);
    agent->offer({offer_of("o1"), offer_of("o2")});
    run();
  }

  void run() { test::run_pipe(*pipe, rng, piece_max); }
  void pass(std::int64_t ms) {
    for (; ms > 0; ms -= 50) {
      clock.now_ += 50'000'000;
      wheel.advance(clock.now_);
      run();
    }
  }
  std::unique_ptr<Customer> ask(std::string body = "{}", std::string attempt = {},
                                std::string_view offer = "o1",
                                std::string_view path = "/v1/chat/completions") {
    auto customer = std::make_unique<Customer>();
    http::CallRequest request;
    request.path = path;
    request.content_type = "application/json";
    request.body = std::move(body);
    request.attempt = std::move(attempt);
    request.deadline_ms = 600'000;
    request.gap_ms = 15'000;
    customer->call = gateway->call(offer, std::move(request), *customer);
    return customer;
  }
};

void give_head(Answer& answer, int status = 200) {
  const http::Field fields[] = {{"Content-Type", "text/event-stream"}};
  answer.head(status, fields);
}

}  // namespace

TEST_CASE("hello, welcome, capacity and heartbeats arrive as they were said") {
  World w;
  REQUIRE(w.hall.hellos.size() == 1);
  const Hello& hello = w.hall.hellos[0];
  CHECK(hello.site == "cafe-one");
  CHECK(hello.instance_id == "i1");
  CHECK(hello.agent_version == "0.1.0");
  REQUIRE(hello.devices.size() == 1);
  CHECK(hello.devices[0].name == "RTX \"4090\"");
  CHECK(hello.devices[0].memory_bytes == 24'000'000'000);
  CHECK(w.site.welcomes == 1);
  CHECK(w.site.welcome.gateway == "gw-1");
  CHECK(w.site.welcome.tunnel == 42);
  CHECK(w.site.welcome.time_ms == w.clock.wall_ms());
  CHECK(w.agent->welcomed());
  REQUIRE_FALSE(w.hall.capacities.empty());
  const auto& offers = w.hall.capacities.back();
  REQUIRE(offers.size() == 2);
  const auto expect = offer_of("o1");
  CHECK(offers[0].id == "o1");
  CHECK(offers[0].engine_model == expect.engine_model);
  CHECK(offers[0].device == expect.device);
  CHECK(offers[0].vendor == expect.vendor);
  CHECK(offers[0].slots == 4);
  CHECK(offers[0].can.dialect == "llamacpp");
  CHECK_FALSE(offers[0].can.usage_in_stream);
  CHECK(offers[0].can.context == 2048);
  CHECK(offers[0].can == expect.can);

  w.agent->offer({offer_of("o2")});
  w.run();
  REQUIRE(w.hall.capacities.back().size() == 1);
  CHECK(w.hall.capacities.back()[0].id == "o2");

  const auto beats = w.hall.beats.size();
  w.pass(30'000);
  CHECK(w.hall.beats.size() - beats >= 5);
  CHECK(w.hall.beats.size() - beats <= 7);
  CHECK(w.hall.lost == 0);
}

TEST_CASE("what an agent does not say, or says in words of its own, its engine cannot do") {
  const auto offer = [](const std::string& more) {
    Capacity capacity;
    const char* why = nullptr;
    REQUIRE(read("{\"t\":\"capacity\",\"rev\":1,\"offers\":[{\"offer\":\"o\",\"model\":\"m\",\"slots\":1,"
                 "\"dialect\":\"generic\",\"usage_in_stream\":true" + more + "}]}",
                 capacity, why));
    REQUIRE(capacity.offers.size() == 1);
    return capacity.offers[0].can;
  };
  CHECK(offer("") == fleet::Capabilities{});
  CHECK(offer(",\"continue_mode\":\"by_thought\",\"metrics\":\"\",\"cancel\":\"maybe\",\"telepathy\":{}") ==
        fleet::Capabilities{});
  const auto can = offer(",\"continue_mode\":\"token_ids\",\"tools\":true,\"seed\":false");
  CHECK(can.continue_mode == fleet::ContinueMode::token_ids);
  CHECK(can.tools);
  CHECK_FALSE(can.seed);
  CHECK_FALSE(can.grammar);
}

TEST_CASE("an offer's load and its end come with it, and later changes alone") {
  World w;
  auto first = offer_of("o1"), second = offer_of("o2");
  first.figures = {3, 0, 250'000};
  first.leaves_ns = w.clock.mono_ns() + 90 * 1'000'000'000LL;
  w.agent->offer({first, second});
  w.run();
  const auto heard = [&](std::size_t i) { return w.hall.capacities.back().at(i); };
  CHECK(heard(0).figures == first.figures);
  CHECK(heard(0).leaves_ns <= first.leaves_ns + 1'000'000'000);
  CHECK(heard(0).leaves_ns >= first.leaves_ns - 1'000'000'000);
  CHECK(heard(1) == second);  // what was not said is not known
  const auto told = w.hall.capacities.size();
  w.agent->offer({first, second});
  w.run();
  CHECK(w.hall.capacities.size() == told);  // no news
  first.figures = {};
  second.figures.waiting = 4'000'000'000;
  w.agent->offer({first, second});
  w.run();
  REQUIRE(w.hall.capacities.back().size() == 2);
  CHECK(heard(0).figures == fleet::EngineFigures{});
  CHECK(heard(1).figures == fleet::EngineFigures{{}, 1'000'000, {}});  // told as the most there can be
  second.slots = 9;
  w.agent->offer({first, second});
  w.run();
  CHECK(heard(0).leaves_ns != 0);
  CHECK(heard(1).slots == 9);
  w.agent->offer({second});
  w.run();
  CHECK(w.hall.capacities.back().size() == 1);
  w.pass(61'000);  // the whole again
  CHECK(heard(0).figures == fleet::EngineFigures{{}, 1'000'000, {}});
  CHECK(w.hall.lost == 0);
}

TEST_CASE("thousands of offers come in pages") {
  World w;
  std::vector<fleet::AgentOffer> offers;
  for (int i = 0; i < 4096; ++i) offers.push_back(offer_of("offer-" + std::to_string(i)));
  w.agent->offer(offers);
  w.run();
  CHECK(w.hall.capacities.back().size() == 4096);
  CHECK(w.hall.lost == 0);
}

TEST_CASE("a request and its answer pass byte for byte") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    World w(seed);
    w.piece_max = 1 + w.rng.below(5000);
    std::string prompt(w.rng.below(2'000'000), 'p'), answer(w.rng.below(500'000), 'a');
    for (auto& c : prompt) c = static_cast<char>(w.rng.next());
    for (auto& c : answer) c = static_cast<char>(w.rng.next());
    std::size_t at = 0;
    const auto give = [&](Answer& a) {
      while (at < answer.size() && a.queued_bytes() <= Answer::high_bytes) {
        const auto n = std::min<std::size_t>(answer.size() - at, 1 + w.rng.below(9000));
        a.body(std::string_view(answer).substr(at, n));
        at += n;
      }
      if (at == answer.size()) {
        std::erase(w.site.open, &a);
        a.end();
      }
    };
    w.site.serve = [&](Answer& a) {
      give_head(a);
      give(a);
    };
    w.site.room = give;
    const auto customer = w.ask(prompt, "attempt-1");
    REQUIRE(customer->call);
    w.run();
    CHECK(customer->ends == 1);
    CHECK(customer->status == 200);
    CHECK(customer->type == "text/event-stream");
    CHECK(customer->body == answer);
    REQUIRE(w.site.seen.size() == 1);
    CHECK(w.site.seen[0].body == prompt);
    CHECK(w.site.seen[0].offer == "o1");
    CHECK(w.site.seen[0].path == "/v1/chat/completions");
    CHECK(w.site.seen[0].content_type == "application/json");
    CHECK(w.site.seen[0].attempt == "attempt-1");
    CHECK(w.site.seen[0].deadline_ms == 600'000);
    CHECK(w.site.seen[0].gap_ms == 15'000);
    CHECK(customer->call->sent());
    CHECK(w.gateway->open_calls() == 0);
    CHECK(w.hall.lost == 0);
  }
}

TEST_CASE("a stalled customer holds one window and no neighbour") {
  World w;
  const auto pour = [](Answer& a) {
    for (int i = 0; i < 64 && a.queued_bytes() <= Answer::high_bytes; ++i)
      a.body(std::string(4096, 'x'));
  };
  w.site.serve = [&](Answer& a) {
    give_head(a);
    pour(a);
  };
  w.site.room = pour;
  auto slow = w.ask();
  slow->then = [&] { slow->call->pause(); };
  w.run();
  CHECK(slow->body.size() >= 1);
  CHECK(slow->body.size() <= 65'536);
  REQUIRE(w.site.open.size() == 1);
  Answer* stalled = w.site.open[0];
  CHECK(stalled->queued_bytes() <=
        Answer::high_bytes + 4096);  // the agent stopped reading its engine

  // A neighbour moves far more than any shared window while the first one stands.
  w.site.serve = [&](Answer& a) { give_head(a); };
  w.site.room = [](Answer&) {};
  auto quick = w.ask();
  w.run();
  Answer* flowing = w.site.open[1];
  for (int i = 0; i < 2'000; ++i) {
    flowing->body(std::string(8192, 'y'));
    w.run();
  }
  std::erase(w.site.open, flowing);
  flowing->end();
  w.run();
  CHECK(quick->body.size() == 2'000u * 8192u);
  CHECK(quick->ends == 1);
  CHECK(slow->body.size() <= 65'536);

  const auto before = slow->body.size();
  slow->then = {};
  slow->call->resume();
  w.site.room = pour;
  for (int i = 0; i < 50; ++i) test::move_piece(*w.pipe, i % 2, w.rng, 5000);
  CHECK(slow->body.size() > before);
  slow->call.reset();
  w.run();
  CHECK(w.site.cancelled == 1);
}

TEST_CASE("a customer who leaves cancels the request at the agent") {
  World w;
  SECTION("before the answer") {
    auto customer = w.ask();
    w.run();
    REQUIRE(w.site.open.size() == 1);
    customer->call.reset();
    w.run();
    CHECK(w.site.cancelled == 1);
    CHECK_FALSE(customer->done());
  }
  SECTION("in the middle, from within its own event") {
    w.site.serve = [&](Answer& a) {
      give_head(a);
      a.body("one");
    };
    auto customer = w.ask();
    customer->then = [&] { customer->call.reset(); };
    w.run();
    CHECK(customer->body == "one");
    CHECK(w.site.cancelled == 1);
    CHECK(customer->ends + customer->faults == 0);
  }
  SECTION("before anything was sent") {
    auto customer = w.ask();
    customer->call.reset();
    w.run();
    CHECK(w.site.open.empty());
  }
  SECTION("while a large prompt is still going out") {
    auto customer = w.ask(std::string(4'000'000, 'p'));
    for (int i = 0; i < 40; ++i) test::move_piece(*w.pipe, i % 2, w.rng, 5000);
    customer->call.reset();
    w.run();
    CHECK(w.site.open.empty());
    const auto next = w.ask();
    w.run();
    CHECK(w.site.open.size() == 1);
  }
  CHECK(w.hall.lost == 0);
}

TEST_CASE("an end without the trailer is a cut, and each reset has its meaning") {
  World w;
  const auto after = [&](Reset code, bool head, bool reclaim) {
    w.site.serve = [&](Answer& a) {
      if (head) {
        give_head(a);
        a.body("text");
      }
    };
    auto customer = w.ask("{}", "attempt-" + std::to_string(w.site.seen.size()));
    w.run();
    Answer* a = w.site.open.back();
    if (reclaim) w.agent->reclaim("seat-7", "begin", {a->request().attempt});
    w.run();
    w.site.open.pop_back();
    a->reset(code);
    w.run();
    CHECK(customer->faults == 1);
    return customer->fault;
  };
  CHECK(after(Reset::refused_stream, false, false).kind == FaultKind::refused_stream);
  CHECK(after(Reset::refused_stream, false, false).retry == Retry::elsewhere);
  CHECK(after(Reset::internal_error, false, false).kind == FaultKind::reset_before_head);
  CHECK(after(Reset::internal_error, true, false).kind == FaultKind::cut);
  CHECK(after(Reset::internal_error, true, false).side == Side::engine);
  CHECK(after(Reset::internal_error, true, false).retry == Retry::elsewhere);
  CHECK(after(Reset::cancel, true, true).kind == FaultKind::reclaimed);
  CHECK(after(Reset::cancel, true, true).side == Side::seat);
  CHECK(after(Reset::cancel, true, false).kind == FaultKind::cut);  // no reclaim was told
  CHECK(after(Reset::no_error, true, false).kind == FaultKind::cut);
  CHECK(w.hall.lost == 0);
}

TEST_CASE("what an engine did is told by kind, before the head and after it") {
  World w;
  const auto told = [&](FaultKind kind, bool head) {
    w.site.serve = [&](Answer& a) {
      if (head) {
        give_head(a);
        a.body("text");
      }
    };
    auto customer = w.ask("{}", "attempt-" + std::to_string(w.site.seen.size()));
    w.run();
    Answer* a = w.site.open.back();
    w.site.open.pop_back();
    a->fail(kind);
    w.run();
    CHECK(customer->faults == 1);
    CHECK(customer->body == (head ? "text" : ""));
    CHECK(customer->fault.retry == Retry::elsewhere);
    return std::pair(customer->fault.kind, customer->fault.side);
  };
  using enum FaultKind;
  for (const FaultKind kind : {connect_refused, connect_timeout, connect_failed}) CHECK(told(kind, false) == std::pair(kind, Side::site));
  for (const FaultKind kind : {reset_before_head, bad_head}) CHECK(told(kind, false) == std::pair(kind, Side::engine));
  for (const FaultKind kind : {cut, bad_chunk}) CHECK(told(kind, true) == std::pair(kind, Side::engine));
  // Words that are no engine's, or out of place: what they come with is known all the same.
  for (const FaultKind kind : {client_gone, cut, internal}) CHECK(told(kind, false) == std::pair(status_server, Side::engine));
  for (const FaultKind kind : {client_gone, connect_refused, internal}) CHECK(told(kind, true) == std::pair(cut, Side::site));
  CHECK(w.hall.lost == 0);
}

TEST_CASE("the agent's own refusals are faults of the attempt, the engine's 4xx pass through") {
  World w;
  SECTION("an offer it does not have") {
    const auto customer = w.ask("{}", "", "o9");
    w.run();
    CHECK(customer->fault.kind == FaultKind::refused_stream);
    CHECK(customer->fault.retry == Retry::elsewhere);
  }
  SECTION("a path that the engine was not declared for") {
    const auto customer = w.ask("{}", "", "o1", "/v1/models");
    w.run();
    CHECK(customer->fault.kind == FaultKind::status_config);
    const auto sneaky = w.ask("{}", "", "o1", "/v1/chat/completions/../../admin");
    w.run();
    CHECK(sneaky->fault.kind == FaultKind::status_config);
  }
  SECTION("an attempt that it has run already") {
    w.site.serve = [&](Answer& a) {
      give_head(a);
      w.site.open.clear();
      a.end();
    };
    const auto first = w.ask("{}", "same");
    w.run();
    CHECK(first->ends == 1);
    const auto second = w.ask("{}", "same");
    w.run();
    CHECK(second->fault.kind == FaultKind::internal);
    CHECK(second->fault.retry == Retry::never);
  }
  SECTION("its seat is gone") {
    w.site.serve = [&](Answer& a) {
      w.site.open.clear();
      a.refuse(503, "seat_gone", "the seat was taken back");
    };
    const auto customer = w.ask();
    w.run();
    CHECK(customer->fault.side == Side::seat);
    CHECK(customer->status == 0);
  }
  SECTION("the engine's") {
    w.site.serve = [&](Answer& a) {
      give_head(a, 400);
      a.body("bad request");
      w.site.open.clear();
      a.end();
    };
    const auto customer = w.ask();
    w.run();
    CHECK(customer->status == 400);
    CHECK(customer->body == "bad request");
    CHECK(customer->ends == 1);
  }
}

TEST_CASE("a lost tunnel fails every open call at once, and calls outlive it") {
  World w;
  std::vector<std::unique_ptr<Customer>> customers;
  w.site.serve = [&](Answer& a) {
    give_head(a);
    if (w.site.seen.size() % 2 == 0) a.body("some");
  };
  for (int i = 0; i < 40; ++i) customers.push_back(w.ask());
  w.run();
  // One of them gives up another when it hears of it.
  customers[0]->then = {};
  w.pipe->ways[1].fin = true;
  SECTION("the other end closes") {
    w.run();
    CHECK(w.hall.lost == 1);
    CHECK(w.hall.fault.kind == FaultKind::tunnel_lost);
    for (const auto& customer : customers) {
      CHECK(customer->faults == 1);
      CHECK(customer->fault.kind == FaultKind::tunnel_lost);
      CHECK(customer->fault.retry == Retry::elsewhere);  // a stream may be gone on with
    }
    CHECK_FALSE(w.ask()->call);
    w.gateway.reset();
    for (const auto& customer : customers) {
      customer->call->pause();
      customer->call->resume();
    }
  }
  SECTION("the tunnel is destroyed under its calls") {
    w.gateway.reset();
    for (const auto& customer : customers) CHECK(customer->fault.kind == FaultKind::tunnel_lost);
    CHECK(w.hall.lost == 0);
  }
}

TEST_CASE("the agent hears of its loss too") {
  World w;
  const auto customer = w.ask();
  w.run();
  REQUIRE(w.site.open.size() == 1);
  w.gateway.reset();
  w.run();
  CHECK(w.site.cancelled == 1);
  CHECK(w.site.lost == 1);
}

TEST_CASE("silence: suspect at 10 s, dead at 15 s, and one sign of life clears it") {
  World w;
  w.pass(20'000);
  REQUIRE(w.hall.suspects.empty());
  w.pipe->frozen[0] = true;  // nothing reaches the gateway any more
  const auto customer = w.ask();
  const auto from = w.clock.now_;
  SECTION("for good") {
    std::int64_t suspect_at = 0, lost_at = 0;
    while (w.hall.lost == 0 && w.clock.now_ - from < 30'000'000'000) {
      w.pass(50);
      if (suspect_at == 0 && !w.hall.suspects.empty()) suspect_at = w.clock.now_ - from;
    }
    lost_at = w.clock.now_ - from;
    // The last heartbeat may be up to 5.5 s old when the silence begins.
    CHECK(suspect_at >= 4'400'000'000);
    CHECK(suspect_at <= 10'200'000'000);
    CHECK(lost_at - suspect_at >= 4'900'000'000);
    CHECK(lost_at - suspect_at <= 5'200'000'000);
    CHECK(customer->fault.kind == FaultKind::tunnel_lost);
    CHECK(customer->fault.side == Side::site_network);
  }
  SECTION("for a while") {
    while (w.hall.suspects.empty()) w.pass(50);
    w.pipe->frozen[0] = false;
    w.pass(100);
    CHECK(w.hall.suspects == std::vector<bool>{true, false});
    w.pass(30'000);
    CHECK(w.hall.lost == 0);
    CHECK(w.gateway->round_trip_ns() > 0);
  }
}

TEST_CASE("the agent leaves a gateway that has fallen silent, before the gateway gives up on it") {
  World w;
  w.pipe->frozen[1] = true;
  const auto from = w.clock.now_;
  while (w.site.lost == 0 && w.clock.now_ - from < 30'000'000'000) w.pass(50);
  CHECK(w.clock.now_ - from <= 12'200'000'000);
  CHECK(w.clock.now_ - from >= 11'000'000'000);
}

TEST_CASE("an agent that drains lets open requests end and takes no new one") {
  World w;
  w.site.serve = [&](Answer& a) { give_head(a); };
  const auto open = w.ask();
  w.run();
  w.agent->drain();
  w.run();
  CHECK(w.hall.leaving == 1);
  CHECK_FALSE(w.ask()->call);
  Answer* a = w.site.open[0];
  a->body("the rest");
  w.site.open.clear();
  a->end();
  w.run();
  CHECK(open->body == "the rest");
  CHECK(open->ends == 1);
  CHECK(w.hall.lost == 1);
}

TEST_CASE("a gateway that drains waits for its calls") {
  World w;
  w.site.serve = [&](Answer& a) { give_head(a); };
  const auto open = w.ask();
  w.run();
  w.gateway->drain();
  w.run();
  CHECK(w.hall.lost == 0);
  Answer* a = w.site.open[0];
  w.site.open.clear();
  a->end();
  w.run();
  CHECK(open->ends == 1);
  CHECK(w.hall.lost == 1);
  CHECK(w.site.lost == 1);
}

TEST_CASE("no more calls than the agent has streams") {
  World w;
  std::vector<std::unique_ptr<Customer>> customers;
  while (customers.size() < 200) {
    customers.push_back(w.ask());
    if (!customers.back()->call) break;
  }
  CHECK(customers.size() == 63);  // 62 of 64, and the one that was refused
  w.run();
  CHECK(w.site.open.size() == 62);
}

TEST_CASE("a body above the agent's limit is refused before anything ran") {
  World w(1, [](AgentTerms& terms) { terms.hello.body_bytes_max = 100'000; });
  const auto customer = w.ask(std::string(200'000, 'p'));
  w.run();
  CHECK(customer->fault.kind == FaultKind::refused_stream);
  CHECK(w.site.seen.empty());
}

TEST_CASE("an answer above its limit is stopped") {
  World w;
  const auto pour = [](Answer& a) {
    while (a.queued_bytes() <= Answer::high_bytes) a.body(std::string(60'000, 'x'));
  };
  w.site.serve = [&](Answer& a) {
    give_head(a);
    pour(a);
  };
  w.site.room = pour;
  w.piece_max = 200'000;
  const auto customer = w.ask();
  w.run();
  CHECK(customer->fault.kind == FaultKind::too_large);
  CHECK(customer->body.size() <= (64u << 20));
  CHECK(w.site.cancelled == 1);
}

TEST_CASE("random traffic: every call has exactly one end and every byte is its own") {
  for (std::uint64_t seed = 100; seed < 130; ++seed) {
    World w(seed);
    w.piece_max = 1 + w.rng.below(4000);
    std::map<std::string, std::string> given;  // by attempt: what the agent said
    std::set<std::string> ended;
    const auto act = [&](Answer& a) {
      const std::string attempt = a.request().attempt;
      switch (w.rng.below(12)) {
        case 0:
          std::erase(w.site.open, &a);
          a.reset(Reset::internal_error);
          break;
        case 1:
          std::erase(w.site.open, &a);
          ended.insert(attempt);
          a.end();
          break;
        default: {
          std::string text =
              attempt + ":" + std::string(w.rng.below(3000), static_cast<char>('a' + seed % 26));
          given[attempt] += text;
          a.body(text);
        }
      }
    };
    w.site.serve = [&](Answer& a) { give_head(a); };
    std::vector<std::unique_ptr<Customer>> customers;
    std::vector<std::string> attempts;
    for (int step = 0; step < 1500; ++step) {
      const auto dice = w.rng.below(10);
      if (dice == 0 && customers.size() < 50) {
        attempts.push_back("a" + std::to_string(customers.size()));
        customers.push_back(w.ask("{}", attempts.back()));
      } else if (dice == 1 && !customers.empty()) {
        Customer& c = *customers[w.rng.below(customers.size())];
        if (c.call && !c.done() && w.rng.below(4) == 0) c.call.reset();
      } else if (dice == 2 && !customers.empty()) {
        Customer& c = *customers[w.rng.below(customers.size())];
        if (c.call) w.rng.below(2) == 0 ? c.call->pause() : c.call->resume();
      } else if (dice < 6 && !w.site.open.empty()) {
        act(*w.site.open[w.rng.below(w.site.open.size())]);
      } else {
        test::move_piece(*w.pipe, static_cast<int>(w.rng.below(2)), w.rng, w.piece_max);
      }
    }
    for (auto& c : customers) {
      if (c->call) c->call->resume();
    }
    w.run();
    while (!w.site.open.empty()) {
      Answer* a = w.site.open.back();
      w.site.open.pop_back();
      ended.insert(a->request().attempt);
      a->end();
    }
    w.run();
    for (std::size_t i = 0; i < customers.size(); ++i) {
      const Customer& c = *customers[i];
      if (c.call) {
        CHECK(c.ends + c.faults == 1);
        CHECK((c.ends == 1) == ended.contains(attempts[i]));
        if (c.ends == 1) CHECK(c.body == given[attempts[i]]);
      }
      CHECK(given[attempts[i]].compare(0, c.body.size(), c.body) == 0);
    }
    CHECK(w.gateway->open_calls() == 0);
    CHECK(w.hall.lost == 0);
  }
}

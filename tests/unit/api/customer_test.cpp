// The customers' doors, from bytes on a wire to bytes on a wire: refusals, admission, idempotency keys,
// the small doors and the way to the administrative thread.
#include <deque>

#include "gateway/api/api.h"
#include "tests/unit/exchange/bench.h"

using namespace trib;
using namespace trib::test;

namespace {

struct HandLoop final : Loop {
  explicit HandLoop(Bench& of) : bench(of) {}
  void post(std::function<void()> task) override { tasks.push_back(std::move(task)); }
  TimerWheel& wheel() override { return bench.wheel(); }
  Rng& rng() override { return bench.rng(); }
  void run() {
    while (!tasks.empty()) {
      const auto task = std::move(tasks.front());
      tasks.pop_front();
      task();
    }
  }
  Bench& bench;
  std::deque<std::function<void()>> tasks;
};

struct Office final : api::AdminDoors {
  api::Answer admin(const api::AdminRequest& request) override {
    asked.push_back(request);
    return {200, "{\"ok\":true}"};
  }
  api::Answer enrol(const api::AdminRequest& request) override { return admin(request); }
  std::vector<api::AdminRequest> asked;
};

struct Reply {
  int status = 0;
  std::string head, body;
  std::string field(std::string_view name) const {
    const auto at = head.find("\r\n" + std::string(name) + ": ");
    if (at == std::string::npos) return {};
    const auto from = at + name.size() + 4;
    return head.substr(from, head.find('\r', from) - from);
  }
  std::string error(std::string_view key) const {  // of the error object
    const auto at = body.find("\"" + std::string(key) + "\":");
    if (at == std::string::npos) return "missing";
    const auto from = at + key.size() + 3;
    if (body[from] != '"') return body.substr(from, body.find_first_of(",}", from) - from);
    return body.substr(from + 1, body.find('"', from + 1) - from - 1);
  }
};

struct House {
  House() : loop(bench), table({.answer_bytes = 4096}), services(make_services()) {
    auto config = std::make_shared<config::ConfigSnapshot>();
    config::ModelConfig model;
    model.id = "m";
    model.context = 2048;
    config->models = {model};
    config->gateway.limits.idempotent_answer_bytes = 4096;
    config::TenantConfig tenant;
    tenant.id = "acme";
    tenant.keys = {config::TenantKey(sha256("sk-acme"))};
    tenant.limits = {0, 0, 0};
    config->tenants = {tenant};
    live = std::make_shared<api::Live>();
    live->tenants = tenancy::TenantBook::make(config->tenants, nullptr);
    live->config = config;
    auto terms = std::make_shared<exchange::Terms>();
    live->terms = terms;
    live->contexts = {{"m", 2048}};
    live->admin_token = sha256("root");
    services->live.store(live);
    services->readiness.store(api::Readiness::ready);
    acme = live->tenants->tenant("acme");
    acme->set_balance(*money::Amount::parse("100"));
    door = std::make_unique<api::Api>(*services, bench, loop, 3);
    connect();
  }
  std::unique_ptr<api::Services> make_services() {
    return std::unique_ptr<api::Services>(new api::Services{
        .clock = bench.clock(),
        .registry = bench.registry,
        .idempotency = table,
        .doors = office,
        .run_admin =
            [this](std::function<void()> task) {
              if (admin_full) return false;
              admin.push_back(std::move(task));
              return true;
            },
        .book = [this] { return bench.book(); },
        .reload_state = [this] { return reload; },
        .live = {},
        .readiness = api::Readiness::starting});
  }
  void connect() {
    session.reset();
    wire = std::make_shared<Wire>();
    closed = 0;
    session = std::make_unique<net::ClientSession>(std::make_unique<WireStream>(wire), *door, limits, bench.wheel(),
                                                   [this](net::ClientSession&) { ++closed; });
    session->start();
  }

  std::string text(std::string_view method, std::string_view path, std::string_view fields, std::string_view body) {
    std::string out = std::string(method) + " " + std::string(path) + " HTTP/1.1\r\nHost: x\r\n" + std::string(fields);
    if (method == "POST") out += "Content-Length: " + std::to_string(body.size()) + "\r\n";
    return out + "\r\n" + std::string(body);
  }
  void send(std::string_view method, std::string_view path, std::string_view fields = "", std::string_view body = "") {
    wire->say(text(method, path, fields, body));
  }
  // The next answer; none yet: status 0.
  Reply reply(bool to_head = false) {
    http::HeadReader reader;
    http::ResponseHead head;
    http::HeadRefusal why;
    std::size_t used = 0;
    Reply out;
    if (reader.response(wire->got, to_head, head, used, why) != http::HeadStatus::ok) return out;
    std::string_view rest = std::string_view(wire->got).substr(used);
    if (head.framing == http::Framing::length) {
      if (rest.size() < head.length) return out;
      out.body = rest.substr(0, head.length);
      rest.remove_prefix(head.length);
    } else if (head.framing == http::Framing::chunked) {
      http::ChunkReader chunks;
      std::string_view piece;
      while (true) {
        const auto status = chunks.next(rest, piece);
        if (status == http::ChunkReader::Status::data) out.body += piece;
        else if (status == http::ChunkReader::Status::done) break;
        else return {};
      }
    }
    out.status = head.status;
    out.head = wire->got.substr(0, used);
    wire->got.erase(0, wire->got.size() - rest.size());
    return out;
  }
  Reply ask(std::string_view method, std::string_view path, std::string_view fields = "", std::string_view body = "") {
    send(method, path, fields, body);
    auto out = reply(method == "HEAD");
    if (closed > 0 || wire->shut) connect();
    return out;
  }
  // A whole answer of the engine that is being asked.
  void engine_answers(std::string_view text = "tok tok tok") {
    bench.far().head(200, "application/json");
    bench.far().body(unary_body(text, ",\"usage\":" + usage_of(12, 3)));
    bench.far().end();
  }
  void quiet() {  // nothing is held, nothing is open
    CHECK(acme->view().held.zero());
    CHECK(acme->view().in_flight == 0);
    CHECK(bench.figures().open.value() == 0);
  }

  Bench bench;
  HandLoop loop;
  api::IdempotencyTable table;
  Office office;
  std::deque<std::function<void()>> admin;
  bool admin_full = false;
  std::string reload;
  std::unique_ptr<api::Services> services;
  std::shared_ptr<api::Live> live;
  std::shared_ptr<tenancy::Tenant> acme;
  std::unique_ptr<api::Api> door;
  net::SessionLimits limits;
  std::shared_ptr<Wire> wire;
  int closed = 0;
  std::unique_ptr<net::ClientSession> session;
};

const std::string key = "Authorization: Bearer sk-acme\r\n", json_type = "Content-Type: application/json\r\n";
const std::string chat = "/v1/chat/completions";
const std::string hello = ask_text(false);

}  // namespace

TEST_CASE("every refusal has its status, its code and OpenAI's body, and costs nothing") {
  struct Row {
    const char *method, *path;
    std::string fields, body;
    int status;
    const char *type, *param, *code;
  };
  const Row rows[] = {
      {"POST", "/v1/chat/completions", json_type, hello, 401, "authentication_error", "null", "invalid_api_key"},
      {"POST", "/v1/chat/completions", json_type + "Authorization: Bearer sk-other\r\n", hello, 401, "authentication_error", "null", "invalid_api_key"},
      {"POST", "/v1/chat/completions", json_type + "Authorization: sk-acme\r\n", hello, 401, "authentication_error", "null", "invalid_api_key"},
      {"POST", "/v1/chat/completions", json_type + "Authorization: Bearer\r\n", hello, 401, "authentication_error", "null", "invalid_api_key"},
      {"POST", "/v1/chat/completions", json_type + "Authorization: Basic sk-acme\r\n", hello, 401, "authentication_error", "null", "invalid_api_key"},
      {"POST", "/v1/chat/completions", key + "Content-Type: text/plain\r\n", hello, 415, "invalid_request_error", "null", "unsupported_media_type"},
      {"POST", "/v1/chat/completions", key + "Content-Type: application/jsonx\r\n", hello, 415, "invalid_request_error", "null", "unsupported_media_type"},
      {"POST", "/v1/chat/completions", key + json_type, "{", 400, "invalid_request_error", "null", "null"},
      {"POST", "/v1/chat/completions", key + json_type, "{\"model\":\"m\"}", 400, "invalid_request_error", "messages", "null"},
      {"POST", "/v1/chat/completions", key + json_type, "{\"model\":\"x\",\"messages\":[{}]}", 404, "not_found_error", "model", "model_not_found"},
      {"POST", "/v1/completions", key + json_type, "{\"model\":\"m\",\"max_tokens\":0}", 400, "invalid_request_error", "max_tokens", "null"},
      {"POST", "/v1/chat/completions", key + json_type + "x-tributary-privacy: none\r\n", hello, 400, "invalid_request_error", "x-tributary-privacy", "null"},
      {"POST", "/v1/chat/completions", key + json_type + "x-tributary-privacy: any\r\n", hello, 403, "permission_error", "x-tributary-privacy", "privacy_tier"},
      {"POST", "/v1/chat/completions", key + json_type + "x-tributary-max-price: cheap\r\n", hello, 400, "invalid_request_error", "x-tributary-max-price", "null"},
      {"POST", "/v1/chat/completions", key + json_type + "x-tributary-max-price:\r\n", hello, 400, "invalid_request_error", "x-tributary-max-price", "null"},
      {"POST", "/v1/chat/completions", key + json_type + "x-tributary-max-price: -1\r\n", hello, 400, "invalid_request_error", "x-tributary-max-price", "null"},
      {"POST", "/v1/chat/completions", key + json_type + "x-tributary-max-price: 1000.0000001\r\n", hello, 400, "invalid_request_error", "x-tributary-max-price", "null"},
      {"POST", "/v1/chat/completions", key + json_type + "x-tributary-max-price: 1e3\r\n", hello, 400, "invalid_request_error", "x-tributary-max-price", "null"},
      {"POST", "/v1/chat/completions", key + json_type + "x-tributary-max-price: 1000\r\nX-Tributary-Max-Price: 2000\r\n", hello, 400, "invalid_request_error", "null", "null"},
      {"POST", "/v1/chat/completions", key + json_type + "x-tributary-max-price: 0\r\n", hello, 400, "invalid_request_error", "x-tributary-max-price", "no_offer_within_price"},
      {"POST", "/v1/chat/completions", key + json_type + "Idempotency-Key: " + std::string(256, 'k') + "\r\n", hello, 400, "invalid_request_error", "Idempotency-Key", "null"},
      {"GET", "/v1/chat/completions", key, "", 405, "invalid_request_error", "null", "method_not_allowed"},
      {"DELETE", "/v1/embeddings", key, "", 405, "invalid_request_error", "null", "method_not_allowed"},
      {"POST", "/v1/models", key, "", 405, "invalid_request_error", "null", "method_not_allowed"},
      {"POST", "/healthz", "", "", 405, "invalid_request_error", "null", "method_not_allowed"},
      {"GET", "/v1/models", "", "", 401, "authentication_error", "null", "invalid_api_key"},
      {"GET", "/v1/models/nothing", key, "", 404, "not_found_error", "model", "model_not_found"},
      {"GET", "/v1/nothing", key, "", 404, "not_found_error", "null", "unknown_url"},
      {"GET", "/", "", "", 404, "not_found_error", "null", "unknown_url"},
      {"POST", "/v1/chat/completions/", key + json_type, hello, 404, "not_found_error", "null", "unknown_url"},
      {"GET", "/admin/v1/sites", "", "", 401, "authentication_error", "null", "invalid_admin_token"},
      {"GET", "/admin/v1/sites", key, "", 401, "authentication_error", "null", "invalid_admin_token"},
      {"GET", "/x\x01", "", "", 400, "invalid_request_error", "null", "null"},
  };
  House house;
  for (const auto& row : rows) {
    INFO(row.method << ' ' << row.path << ' ' << row.fields);
    const auto reply = house.ask(row.method, row.path, row.fields, row.body);
    CHECK(reply.status == row.status);
    CHECK(json::valid(reply.body));
    CHECK(reply.field("Content-Type") == "application/json");
    CHECK(RequestId::parse(reply.field("x-request-id")));
    CHECK(reply.error("type") == row.type);
    CHECK(reply.error("param") == row.param);
    CHECK(reply.error("code") == row.code);
    CHECK(reply.error("message").size() > 10);
    if (row.status == 405) CHECK_FALSE(reply.field("Allow").empty());
  }
  CHECK(house.bench.journal().records.empty());
  CHECK(house.bench.calls.empty());
  CHECK(house.office.asked.empty());
  house.quiet();
}

TEST_CASE("the scheme's case and blanks do not matter, nor what follows the content type") {
  House house;
  for (const std::string fields : {"authorization: bearer   sk-acme\r\nContent-Type: Application/JSON ; charset=utf-8\r\n",
                                   "Authorization: BEARER sk-acme\r\n"}) {
    house.send("POST", chat, fields, hello);
    REQUIRE(house.bench.calls.size() > 0);
    house.engine_answers();
    CHECK(house.reply().status == 200);
  }
  house.quiet();
}

TEST_CASE("a name that is no model's is not echoed at length") {
  House house;
  const auto reply = house.ask("POST", chat, key + json_type, "{\"model\":\"" + std::string(1'000'000, 'x') + "\",\"messages\":[{}]}");
  CHECK(reply.status == 404);
  CHECK(reply.body.size() < 1000);
  const auto wide = house.ask("POST", chat, key + json_type, "{\"model\":\"a" + [] { std::string s; for (int i = 0; i < 1000; ++i) s += "你"; return s; }() + "\",\"messages\":[{}]}");
  CHECK(wide.body.size() < 1000);
  CHECK(json::valid(wide.body));
}

TEST_CASE("an admitted request is held for, journaled, answered and settled") {
  House house;
  house.send("POST", chat, key + json_type, hello);
  REQUIRE(house.bench.calls.size() == 1);
  CHECK(house.acme->view().in_flight == 1);
  CHECK_FALSE(house.acme->view().held.zero());
  REQUIRE(house.bench.journal().all<metering::Admit>().size() == 1);
  const metering::Admit admit = *house.bench.journal().all<metering::Admit>()[0];
  CHECK(admit.tenant == "acme");
  CHECK(admit.model == "m");
  CHECK(admit.key_hash == sha256("sk-acme"));
  CHECK(admit.body_hash == sha256(hello));
  CHECK(admit.price_version == 1);
  CHECK(admit.operation == "chat");
  CHECK(admit.idempotency.empty());
  CHECK(admit.hold == house.acme->view().held);
  CHECK(house.reply().status == 0);
  house.engine_answers();
  const auto reply = house.reply();
  CHECK(reply.status == 200);
  CHECK(reply.field("x-request-id") == admit.id.text());
  house.quiet();
  const auto finals = house.bench.journal().all<metering::Final>();
  REQUIRE(finals.size() == 1);
  CHECK(house.acme->view().balance == *money::Amount::parse("100") - ledger::gross(house.bench.price, finals[0]->counts));
  CHECK(finals[0]->counts.total() == 15);
  CHECK(finals[0]->admit.hold >= ledger::gross(house.bench.price, finals[0]->counts));
}

TEST_CASE("balance and limits are the customer's own") {
  House house;
  SECTION("balance") {
    house.acme->set_balance(*money::Amount::parse("0.000001"));
    const auto reply = house.ask("POST", chat, key + json_type, hello);
    CHECK(reply.status == 402);
    CHECK(reply.error("type") == "insufficient_quota");
    CHECK(reply.error("code") == "insufficient_quota");
    CHECK(reply.field("Retry-After").empty());
  }
  SECTION("credit: the balance may go below zero by it, and a request that does not fit is 402") {
    house.acme->set_balance(*money::Amount::parse("-0.5"));
    auto config = house.live->config->tenants[0];
    config.credit = *money::Amount::parse("0.500001");
    house.acme->set_policy(config);
    CHECK(house.ask("POST", chat, key + json_type, hello).status == 402);
    config.credit = *money::Amount::parse("10");
    house.acme->set_policy(config);
    house.send("POST", chat, key + json_type, hello);
    house.engine_answers();
    CHECK(house.reply().status == 200);
  }
  SECTION("budgets: 429 that names the budget and when it begins anew") {
    auto config = house.live->config->tenants[0];
    const bool of_key = GENERATE(false, true), month = GENERATE(false, true);
    auto& budgets = of_key ? config.keys[0].budgets : config.budgets;
    (month ? budgets.month : budgets.day) = *money::Amount::parse("0.000001");
    house.acme->set_policy(config);
    const auto reply = house.ask("POST", chat, key + json_type, hello);
    CHECK(reply.status == 429);
    CHECK(reply.error("type") == "rate_limit_error");
    CHECK(reply.error("code") == "budget_exceeded");
    CHECK(reply.error("message").find(std::string(of_key ? "key" : "tenant") + "'s budget of the " + (month ? "month" : "day") + " is used up: 0.000001 CNY") != std::string::npos);
    CHECK(reply.error("message").find("T00:00:00.000+08:00") != std::string::npos);
    CHECK(std::stoll(reply.field("Retry-After")) >= 1);
    CHECK(house.acme->view().held.zero());
    CHECK(house.bench.calls.empty());
  }
  SECTION("requests a minute") {
    house.acme->set_policy(config::Privacy::dc, {2, 0, 0});
    for (int i = 0; i < 2; ++i) {
      house.send("POST", chat, key + json_type, hello);
      house.engine_answers();
      CHECK(house.reply().status == 200);
    }
    const auto reply = house.ask("POST", chat, key + json_type, hello);
    CHECK(reply.status == 429);
    CHECK(reply.error("type") == "rate_limit_error");
    CHECK(reply.error("code") == "rate_limit_exceeded");
    CHECK(reply.field("Retry-After") == "30");
  }
  SECTION("tokens a minute") {
    house.acme->set_policy(config::Privacy::dc, {0, 100, 0});
    house.send("POST", chat, key + json_type, hello);
    REQUIRE(house.bench.calls.size() == 1);
    const auto first = std::exchange(house.session, nullptr);
    const auto wire = house.wire;
    house.connect();
    const auto reply = house.ask("POST", chat, key + json_type, hello);
    CHECK(reply.status == 429);
    CHECK(std::stoi(reply.field("Retry-After")) >= 1);
  }
  SECTION("in flight") {
    house.acme->set_policy(config::Privacy::dc, {0, 0, 1});
    house.send("POST", chat, key + json_type, hello);
    auto first = std::exchange(house.session, nullptr);
    const auto wire = house.wire;
    house.connect();
    const auto reply = house.ask("POST", chat, key + json_type, hello);
    CHECK(reply.status == 429);
    CHECK(reply.field("Retry-After") == "1");
    wire->end();
    first.reset();
    house.send("POST", chat, key + json_type, hello);
    house.engine_answers();
    CHECK(house.reply().status == 200);
    house.quiet();
  }
}

TEST_CASE("a stricter tier may be asked for, and holds") {
  House house;
  house.bench.offers.clear();
  house.bench.add_site("cafe", config::SiteKind::cafe);
  house.acme->set_policy(config::Privacy::any, {0, 0, 0});
  auto reply = house.ask("POST", chat, key + json_type + "x-tributary-privacy: dc\r\n", hello);
  CHECK(reply.status == 503);
  CHECK(reply.error("code") == "no_capacity");
  CHECK(reply.field("Retry-After") == "1");
  CHECK(house.bench.calls.empty());
  house.send("POST", chat, key + json_type, hello);
  REQUIRE(house.bench.calls.size() == 1);
  house.engine_answers();
  CHECK(house.reply().status == 200);
}

TEST_CASE("a request's ceiling holds for every token it may be billed") {
  House house;
  const auto& price = house.bench.price;
  const auto asked = [&](money::Price ceiling, const std::string& path, const std::string& body) {
    const auto calls = house.bench.calls.size();
    house.send("POST", path, key + json_type + "X-Tributary-Max-Price: " + ceiling.per_million_text() + "\r\n", body);
    return house.bench.calls.size() > calls;
  };
  const auto dearest = price.reasoning;
  REQUIRE(dearest > std::max(price.output, price.input));
  CHECK(asked(dearest, chat, hello));
  house.engine_answers();
  CHECK(house.reply().status == 200);
  CHECK_FALSE(asked(money::Price::pico_per_unit(dearest.pico() - 1), chat, hello));
  const auto reply = house.reply();
  CHECK(reply.error("code") == "no_offer_within_price");
  CHECK(reply.error("message").find(dearest.per_million_text()) != std::string::npos);
  CHECK(asked(std::max(price.input, price.cached_input), "/v1/embeddings", "{\"model\":\"m\",\"input\":\"x\"}"));  // has no output
}

TEST_CASE("while it starts or goes down, requests are turned away") {
  House house;
  for (const auto& [readiness, code] : {std::pair{api::Readiness::starting, "starting"}, {api::Readiness::draining, "draining"}, {api::Readiness::behind, "ledger_behind"}}) {
    house.services->readiness.store(readiness);
    const auto reply = house.ask("POST", chat, key + json_type, hello);
    CHECK(reply.status == 503);
    CHECK(reply.error("code") == code);
    CHECK_FALSE(reply.field("Retry-After").empty());
    CHECK(house.ask("POST", chat, json_type, hello).status == 401);  // strangers learn nothing
    const auto ready = house.ask("GET", "/readyz");
    CHECK(ready.status == 503);
    CHECK(ready.body == (readiness == api::Readiness::behind ? "behind\n" : std::string(code) + "\n"));
    CHECK(house.ask("GET", "/healthz").body == "ok\n");
  }
  house.quiet();
}

TEST_CASE("the small doors") {
  House house;
  CHECK(house.ask("GET", "/healthz").status == 200);
  CHECK(house.ask("GET", "/readyz").body == "ready\n");
  house.reload = "gateway.yaml:1:1: x: y";
  CHECK(house.ask("GET", "/readyz").body == "ready; the last reload was refused: gateway.yaml:1:1: x: y\n");
  const auto head = house.ask("HEAD", "/healthz");
  CHECK(head.status == 200);
  CHECK(head.field("Content-Length") == "3");
  house.ask("GET", "/v1/nothing");
  const auto metrics = house.ask("GET", "/metrics");
  CHECK(metrics.field("Content-Type") == "text/plain; version=0.0.4; charset=utf-8");
  CHECK(metrics.body.find("tributary_refusals_total{status=\"404\"} 1") != std::string::npos);
}

TEST_CASE("models are those with a price now") {
  House house;
  auto config = std::make_shared<config::ConfigSnapshot>(*house.live->config);
  config::ModelConfig unpriced;
  unpriced.id = "unpriced";
  config->models.push_back(unpriced);
  house.live->config = config;
  auto reply = house.ask("GET", "/v1/models", key);
  CHECK(reply.status == 200);
  CHECK(reply.body == "{\"object\":\"list\",\"data\":[{\"id\":\"m\",\"object\":\"model\",\"created\":0,\"owned_by\":\"tributary\",\"context_length\":2048}]}");
  reply = house.ask("GET", "/v1/models/m", key);
  CHECK(reply.body == "{\"id\":\"m\",\"object\":\"model\",\"created\":0,\"owned_by\":\"tributary\",\"context_length\":2048}");
  CHECK(house.ask("GET", "/v1/models/unpriced", key).status == 404);
}

// ---- Idempotency-Key --------------------------------------------------------------------------------

TEST_CASE("the same key and body replay the answer with its request id") {
  House house;
  const std::string fields = key + json_type + "Idempotency-Key: one\r\n";
  house.send("POST", chat, fields, hello);
  house.engine_answers();
  const auto first = house.reply();
  CHECK(first.status == 200);
  for (int i = 0; i < 2; ++i) {
    const auto again = house.ask("POST", chat, fields, hello);
    CHECK(again.status == 200);
    CHECK(again.body == first.body);
    CHECK(again.field("Content-Type") == first.field("Content-Type"));
    CHECK(again.field("x-request-id") == first.field("x-request-id"));
    CHECK(again.field("x-tributary-replayed") == "true");
  }
  CHECK(house.bench.calls.size() == 1);
  CHECK(house.bench.journal().all<metering::Admit>().size() == 1);
  const auto other = house.ask("POST", chat, fields, ask_text(false, ",\"seed\":1"));
  CHECK(other.status == 409);
  CHECK(other.error("code") == "idempotency_mismatch");
  CHECK(other.error("message").find(first.field("x-request-id")) != std::string::npos);
  house.quiet();
}

TEST_CASE("the key may come again in the same breath") {
  House house;
  const std::string fields = key + json_type + "Idempotency-Key: one\r\n";
  house.wire->say(house.text("POST", chat, fields, hello) + house.text("POST", chat, fields, hello));
  house.engine_answers();
  CHECK(house.reply().status == 200);
  const auto again = house.reply();
  CHECK(again.status == 200);
  CHECK(again.field("x-tributary-replayed") == "true");
  CHECK(house.bench.calls.size() == 1);
}

TEST_CASE("a stream is replayed whole") {
  House house;
  const std::string fields = key + json_type + "Idempotency-Key: one\r\n";
  house.send("POST", chat, fields, ask_text(true));
  house.bench.far().head(200, "text/event-stream");
  house.bench.far().body(role_chunk() + text_chunk());
  house.bench.far().body(finish_chunk() + "data: [DONE]\n\n");
  const auto first = house.reply();
  CHECK(first.body.ends_with("[DONE]\n\n"));
  const auto again = house.ask("POST", chat, fields, ask_text(true));
  CHECK(again.body == first.body);
  CHECK(again.field("Content-Type") == "text/event-stream; charset=utf-8");
}

TEST_CASE("a key whose answer is not to be had again says so; one that cost nothing is free") {
  House house;
  const std::string fields = key + json_type + "Idempotency-Key: one\r\n";
  const auto code = [&](std::string_view body) {
    house.connect();
    house.send("POST", chat, fields, body);
    const auto reply = house.reply();
    return reply.status == 0 ? std::string("asked") : std::to_string(reply.status) + " " + reply.error("code");
  };
  SECTION("running") {
    house.send("POST", chat, fields, hello);
    auto first = std::exchange(house.session, nullptr);
    CHECK(code(hello) == "409 idempotency_running");
    CHECK(code(ask_text(false, ",\"seed\":1")) == "409 idempotency_mismatch");
    house.engine_answers();
    CHECK(code(hello) == "200 missing");
  }
  SECTION("the client left with something charged") {
    house.send("POST", chat, fields, ask_text(true));
    house.bench.far().head(200, "text/event-stream");
    house.bench.far().body(text_chunk());
    house.wire->end();
    CHECK(code(ask_text(true)) == "409 idempotency_gone");
  }
  SECTION("the client left before anything was") {
    house.send("POST", chat, fields, hello);
    house.wire->end();
    CHECK(code(hello) == "asked");
  }
  SECTION("a failure") {
    house.bench.keep_sites(1);
    house.send("POST", chat, fields, hello);
    house.bench.far().fault(FaultKind::connect_refused);
    CHECK(house.reply().status == 503);
    house.bench.offers[0]->rest->until_ns = 0;
    CHECK(code(hello) == "asked");
  }
  SECTION("a refusal of the engine's") {
    house.send("POST", chat, fields, hello);
    house.bench.far().head(400, "application/json");
    house.bench.far().end();
    CHECK(house.reply().status == 400);
    CHECK(code(hello) == "asked");
  }
  SECTION("a refusal of ours, after the key was looked at") {
    house.acme->set_balance({});
    CHECK(code(hello) == "402 insufficient_quota");
    house.acme->set_balance(*money::Amount::parse("100"));
    CHECK(code(hello) == "asked");
  }
  SECTION("it broke off") {
    house.send("POST", chat, fields, ask_text(true));
    house.bench.far().head(200, "text/event-stream");
    house.bench.far().body(text_chunk());
    house.bench.far().fault(FaultKind::cut);
    CHECK(house.reply().body.find("stream_broken") != std::string::npos);
    CHECK(code(ask_text(true)) == "409 idempotency_gone");
  }
  SECTION("it was too large") {
    house.send("POST", chat, fields, hello);
    house.engine_answers(std::string(5000, 'x'));
    CHECK(house.reply().status == 200);
    CHECK(code(hello) == "409 idempotency_gone");
  }
  SECTION("the journal took no FINAL") {
    house.bench.journal().refuse = [](const metering::Record& r) { return std::holds_alternative<metering::Final>(r); };
    house.send("POST", chat, fields, hello);
    house.engine_answers();
    CHECK(house.reply().status == 503);
    house.bench.journal().refuse = {};
    CHECK(code(hello) == "asked");
  }
  SECTION("the journal failed before FINAL was durable") {
    house.bench.journal().at_once = false;
    house.send("POST", chat, fields, hello);
    house.engine_answers();
    house.bench.fail_journal();
    CHECK(house.reply().status == 503);
    CHECK(code(hello) == "503 journal_unavailable");  // tried anew, not replayed
  }
}

TEST_CASE("keys of one tenant are not another's") {
  House house;
  auto config = std::make_shared<config::ConfigSnapshot>(*house.live->config);
  config::TenantConfig other;
  other.id = "other";
  other.keys = {config::TenantKey(sha256("sk-other"))};
  other.limits = {0, 0, 0};
  config->tenants.push_back(other);
  house.live->tenants = tenancy::TenantBook::make(config->tenants, house.live->tenants.get());
  house.live->tenants->tenant("other")->set_balance(*money::Amount::parse("100"));
  house.send("POST", chat, key + json_type + "Idempotency-Key: one\r\n", hello);
  house.engine_answers("secret of acme");
  CHECK(house.reply().status == 200);
  house.send("POST", chat, "Authorization: Bearer sk-other\r\n" + json_type + "Idempotency-Key: one\r\n", hello);
  CHECK(house.reply().status == 0);  // asked anew
  CHECK(house.bench.calls.size() == 2);
}

// ---- the administrative doors -----------------------------------------------------------------------

TEST_CASE("an administrative request is carried out elsewhere and answered here") {
  House house;
  const std::string token = "Authorization: Bearer root\r\n";
  house.send("POST", "/admin/v1/tenants/acme/topups?x=1", token, "{\"id\":\"1\"}");
  REQUIRE(house.admin.size() == 1);
  CHECK(house.office.asked.empty());
  house.admin.front()();
  REQUIRE(house.office.asked.size() == 1);
  CHECK(house.office.asked[0].method == "POST");
  CHECK(house.office.asked[0].path == "/admin/v1/tenants/acme/topups");
  CHECK(house.office.asked[0].query == "x=1");
  CHECK(house.office.asked[0].body == "{\"id\":\"1\"}");
  CHECK(house.office.asked[0].peer == "192.0.2.1:1");
  CHECK(house.wire->got.empty());  // not on the other thread
  house.loop.run();
  const auto reply = house.reply();
  CHECK(reply.status == 200);
  CHECK(reply.body == "{\"ok\":true}");
  CHECK(RequestId::parse(reply.field("x-request-id")));
  CHECK(house.ask("GET", "/healthz").status == 200);
}

TEST_CASE("a client that leaves is not answered, whenever it leaves") {
  House house;
  const std::string token = "Authorization: Bearer root\r\n";
  house.send("GET", "/admin/v1/sites", token);
  SECTION("before the work") {
    house.wire->end();
    house.session.reset();
    house.admin.front()();
  }
  SECTION("after the work") {
    house.admin.front()();
    house.wire->end();
    house.session.reset();
  }
  house.loop.run();
  CHECK(house.wire->got.empty());
}

TEST_CASE("too much administrative work is refused at once") {
  House house;
  house.admin_full = true;
  const auto reply = house.ask("GET", "/admin/v1/sites", "Authorization: Bearer root\r\n");
  CHECK(reply.status == 503);
  CHECK(json::valid(reply.body));
  CHECK_FALSE(reply.field("Retry-After").empty());
}

TEST_CASE("without a token the administrative doors are shut, and the scheme's case does not matter") {
  House house;
  house.send("GET", "/admin/v1/sites", "authorization: bearer root\r\n");
  CHECK(house.admin.size() == 1);
  house.connect();
  house.live->admin_token.reset();
  for (const char* const fields : {"Authorization: Bearer root\r\n", "Authorization: Bearer \r\n", ""})
    CHECK(house.ask("GET", "/admin/v1/sites", fields).status == 401);
}

TEST_CASE("the sites' door takes enrolments only") {
  House house;
  api::EnrolDoor door(*house.services, house.loop);
  const auto wire = std::make_shared<Wire>();
  net::ClientSession session(std::make_unique<WireStream>(wire), door, house.limits, house.bench.wheel(), [](net::ClientSession&) {});
  session.start();
  const auto ask = [&](std::string_view method, std::string_view path) {
    wire->say(house.text(method, path, "", method == "POST" ? "{}" : ""));
    if (!house.admin.empty()) house.admin.front()();
    house.admin.clear();
    house.loop.run();
    return std::exchange(wire->got, {});
  };
  CHECK(ask("POST", "/enrol/v1/requests").starts_with("HTTP/1.1 200"));
  CHECK(house.office.asked.size() == 1);
  CHECK(ask("GET", "/admin/v1/sites").starts_with("HTTP/1.1 404"));
  CHECK(ask("POST", "/v1/chat/completions").starts_with("HTTP/1.1 404"));
  wire->say("GET /enrol/v1/requests HTTP/1.1\r\nHost: x\r\n\r\n");
  house.admin.front()();
  house.loop.run();
  CHECK(wire->got.starts_with("HTTP/1.1 405"));
  CHECK(house.office.asked.size() == 1);
}

// What a file that is right reads as.
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "gateway/base/rng.h"
#include "gateway/config/config.h"
#include "gateway/config/scalar.h"
#include "tests/catch.h"

using namespace trib;
using namespace trib::config;

namespace {

const char* env(const char* name) {
  if (std::strcmp(name, "PORT") == 0) return "9001";
  if (std::strcmp(name, "PRICE") == 0) return "0.50";
  if (std::strcmp(name, "CAP") == 0) return "7";
  if (std::strcmp(name, "TRIBUTARY_ADMIN_TOKEN") == 0) return "admin-token";
  return nullptr;
}

std::shared_ptr<const ConfigSnapshot> read(const std::string& yaml) {
  return parse_gateway("f.yaml", yaml, env);
}

constexpr std::int64_t new_year_2026_shanghai = 1'767'196'800'000;  // 2025-12-31T16:00:00Z

}  // namespace

TEST_CASE("a bare date is midnight in Asia/Shanghai, other times keep their offset") {
  CHECK(parse_date("2026-01-01") == new_year_2026_shanghai);
  CHECK(parse_date("2026-01-01T00:00:00+08:00") == new_year_2026_shanghai);
  CHECK(parse_date("2025-12-31T16:00:00Z") == new_year_2026_shanghai);
  CHECK(parse_date("2025-12-31t11:30:00.5-04:30") == new_year_2026_shanghai + 500);
  CHECK(parse_date("1970-01-01T00:00:00Z") == 0);
  CHECK(parse_date("2024-02-29T00:00:00.123456789Z") == 1'709'164'800'123);
  for (const char* bad : {"", "2026", "2026-1-1", "2026-13-01", "2026-00-01", "2026-02-29",
                          "2100-02-29", "2026-04-31", "2026-01-01 00:00:00Z", "2026-01-01T00:00:00",
                          "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z", "2026-01-01T00:00:60Z",
                          "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00+0800",
                          "2026-01-01T00:00:00Zx", "1969-12-31", "02026-01-01", "2026-01-0a"}) {
    INFO(bad);
    CHECK_FALSE(parse_date(bad));
  }
}

TEST_CASE("durations and sizes are exact") {
  CHECK(parse_duration_ms("5ms") == 5);
  CHECK(parse_duration_ms("10s") == 10'000);
  CHECK(parse_duration_ms("10m") == 600'000);
  CHECK(parse_duration_ms("24h") == 86'400'000);
  CHECK(parse_size("16KiB") == 16'384);
  CHECK(parse_size("1MiB") == 1'048'576);
  CHECK(parse_size("2GiB") == 2'147'483'648);
  CHECK(parse_size("0B") == 0);
  for (const char* bad :
       {"", "s", "10", "10 s", "-1s", "+1s", "01s", "1.5s", "10S", "1d", "9999999999999999s"})
    CHECK_FALSE(parse_duration_ms(bad));
  for (const char* bad : {"", "1", "1KB", "1kib", "1 KiB", "-1B", "999999999999999TiB"})
    CHECK_FALSE(parse_size(bad));
}

TEST_CASE("addresses tell loopback from the rest") {
  for (const char* text :
       {"127.0.0.1:1", "127.9.9.9:1", "localhost:1", "[::1]:1", "[::ffff:127.0.0.1]:1"}) {
    INFO(text);
    REQUIRE(parse_address(text));
    CHECK(parse_address(text)->loopback());
    CHECK(parse_address(text)->text() == text);
  }
  for (const char* text :
       {"0.0.0.0:1", "128.0.0.1:1", "localhost.example:1", "[::]:1", "127.1.example:1", "gw:1"}) {
    INFO(text);
    REQUIRE(parse_address(text));
    CHECK_FALSE(parse_address(text)->loopback());
  }
  for (const char* bad : {"", ":80", "h", "h:", "h:65536", "h:-1", "h:08", "::1:80", "[::1]",
                          "[x]:1", "a b:1", "h:1/"}) {
    INFO(bad);
    CHECK_FALSE(parse_address(bad));
  }
}

TEST_CASE("the example of the interface reads as it says") {
  const auto c = read(R"(
gateway:
  listen: 127.0.0.1:8080
  sites: { listen: 127.0.0.1:8443, public: [ "gw.example:443", "[2001:db8::1]:443" ] }
  data: var
  journal: { sync: 5ms }
  workers: 2
  deadlines: { total: 5m, unary_token: 0ms }
  limits: { body: 1MiB }
  continuations: 0
  admin: { token_env: TRIBUTARY_ADMIN_TOKEN }
store: { url: "sqlite:/srv/ledger.db" }
models:
  - id: smollm2-135m
    context: 2048
    price: { from: 2026-01-01, input: "0.50", cached_input: "0.10", output: "2.00" }
contracts:
  - id: standard
    from: 2026-01-01
    shares: { platform: 300000, site: 650000, vendor: 50000 }
sites:
  - id: dc-one
    kind: datacenter
    vendor: nvidia
    contract: standard
    engines:
      - url: http://127.0.0.1:9001
        models: [smollm2-135m]
        capacity: 16
      - url: https://engine.example/llm/
        models: { smollm2-135m: HuggingFaceTB/SmolLM2-135M-Instruct }
  - { id: cafe-one, kind: cafe, contract: standard }
tenants:
  - id: acme
    keys: [ { sha256: "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F" } ]
    balance: "100.00"
    privacy: any
    limits: { requests_per_minute: 60, tokens_per_minute: 0, in_flight: 2 }
)");
  CHECK(c->gateway.sites.reached_at.at(1).text() == "[2001:db8::1]:443");
  CHECK_FALSE(c->gateway.journal.sync_always);
  CHECK(c->gateway.journal.sync_window_ms == 5);
  CHECK(c->gateway.workers == 2);
  CHECK(c->gateway.deadlines.total_ms == 300'000);
  CHECK(c->gateway.deadlines.unary_token_ms == 0);
  CHECK(c->gateway.deadlines.gap_ms == 15'000);
  CHECK(c->gateway.limits.body_bytes == 1'048'576);
  CHECK(c->gateway.continuations == 0);
  CHECK(c->gateway.admin_token == "admin-token");
  CHECK(c->store_path == "/srv/ledger.db");

  const ModelConfig& model = c->models.at(0);
  CHECK(model.context == 2048);
  const PriceConfig& price = model.prices.at(0);
  CHECK(price.from_ms == new_year_2026_shanghai);
  CHECK(price.input.pico() == 500'000);
  CHECK(price.cached_input.pico() == 100'000);
  CHECK(price.output.pico() == 2'000'000);
  CHECK(price.reasoning == price.output);
  CHECK(price.cache_write == price.input);

  const ContractConfig& contract = c->contracts.at(0);
  CHECK(contract.shares.site == 650'000);
  CHECK(contract.shares.referrer == 0);
  CHECK_FALSE(contract.to_ms);

  const SiteConfig& site = c->sites.at(0);
  CHECK(site.vendor == "nvidia");
  CHECK(site.engines.at(0).endpoint.port == 9001);
  CHECK(site.engines.at(0).base_path.empty());
  CHECK(site.engines.at(0).models.at(0).second == "smollm2-135m");
  CHECK(site.engines.at(0).capacity == 16);
  CHECK(site.engines.at(1).endpoint.tls);
  CHECK(site.engines.at(1).endpoint.port == 443);
  CHECK(site.engines.at(1).endpoint.server_name == "engine.example");
  CHECK(site.engines.at(1).base_path == "/llm");
  CHECK(site.engines.at(1).models.at(0).second == "HuggingFaceTB/SmolLM2-135M-Instruct");
  CHECK(site.engines.at(1).capacity == 32);
  CHECK(c->sites.at(1).kind == SiteKind::cafe);
  CHECK(c->sites.at(1).engines.empty());

  const TenantConfig& tenant = c->tenants.at(0);
  CHECK(tenant.keys.at(0).sha256[31] == 0x1f);
  CHECK(tenant.balance == *money::Amount::parse("100"));
  CHECK(tenant.privacy == Privacy::any);
  CHECK(tenant.limits.tokens_per_minute == 0);
}

TEST_CASE("a whole file may be JSON, and sections may be empty") {
  CHECK(
      read("{\"gateway\": {\"listen\": \"127.0.0.1:0\"}, \"tenants\": []}")->gateway.listen.port ==
      0);
  CHECK(read("gateway:\nmodels:\ntenants:\n")->tenants.empty());
  CHECK(read("\xEF\xBB\xBFgateway: {}\n")->gateway.data == "var");
  CHECK(read("gateway: {}\n...\n")->gateway.data == "var");
}

TEST_CASE("values may come from the environment, anywhere in a value, never in a key") {
  const auto c = read(
      "gateway: { listen: \"127.0.0.1:${PORT}\", continuations: \"${CAP}\" }\n"
      "models: [ { id: a, context: 1, price: { input: \"${PRICE}\", output: \"1\" } } ]\n");
  CHECK(c->gateway.listen.port == 9001);
  CHECK(c->gateway.continuations == 7);
  CHECK(c->models[0].prices[0].input.pico() == 500'000);
  CHECK(read("gateway: { data: \"a$b}{c\" }\n")->gateway.data == "a$b}{c");
  CHECK_THROWS_AS(read("\"${PORT}\": {}\n"), ConfigError);
}

TEST_CASE("the ledger stands in the data folder unless it is told otherwise") {
  CHECK(read("gateway: { data: /srv/trib }\n")->store_path == "/srv/trib/ledger.db");
  CHECK(read("store: { url: \"sqlite:x.db\" }\n")->store_path == "x.db");
}

TEST_CASE("off loopback it takes TLS or the word insecure; PEM files stand beside the file") {
  CHECK(read("gateway: { listen: \"0.0.0.0:80\", insecure: true }\n")->gateway.insecure);
  const std::string folder = "build/config-test-" + std::to_string(system_rng().next());
  REQUIRE(std::system(("mkdir -p " + folder).c_str()) == 0);
  std::ofstream(folder + "/cert.pem") << "x";
  std::ofstream(folder + "/gateway.yaml")
      << "gateway: { listen: \"0.0.0.0:443\", tls: { certificate: cert.pem, key: cert.pem } }\n";
  const auto c = load_gateway(folder + "/gateway.yaml", env);
  REQUIRE(c->gateway.tls);
  CHECK(c->gateway.tls->certificate == folder + "/cert.pem");
  REQUIRE(std::system(("rm -r " + folder).c_str()) == 0);
}

TEST_CASE("prices are dated versions in order; one alone may lack its date") {
  const auto c = read(
      "models:\n"
      "  - { id: none, context: 1 }\n"
      "  - { id: one, context: 1, price: { input: \"1\", output: \"0\" } }\n"
      "  - id: two\n"
      "    context: 1\n"
      "    price:\n"
      "      - { from: 2026-07-01, input: \"2\", output: \"0\" }\n"
      "      - { from: 2026-01-01, input: \"1\", output: \"0\", reasoning: \"3\", cache_write: "
      "\"4\" }\n");
  CHECK(c->models.at(0).prices.empty());
  CHECK_FALSE(c->models.at(1).prices.at(0).from_ms);
  CHECK(c->models.at(1).prices.at(0).cached_input.pico() == 1'000'000);
  CHECK(c->models.at(2).prices.at(0).from_ms == new_year_2026_shanghai);
  CHECK(c->models.at(2).prices.at(0).reasoning.pico() == 3'000'000);
  CHECK(c->models.at(2).prices.at(0).cache_write.pico() == 4'000'000);
  CHECK(c->models.at(2).prices.at(1).input.pico() == 2'000'000);
}

TEST_CASE("contracts: a later from may follow, gaps may stand, and a referrer may end") {
  const auto c = read(
      "contracts:\n"
      "  - { id: a, from: 2026-06-01, shares: { site: 1000000 } }\n"
      "  - { id: a, from: 2026-01-01, to: 2026-06-01, shares: { platform: 1000000 } }\n"
      "  - { id: a, from: 2025-01-01, to: 2025-06-01, shares: { vendor: 1000000 } }\n"
      "  - id: b\n"
      "    from: 2026-01-01\n"
      "    base: gross\n"
      "    chargeback: by_split\n"
      "    shares: { platform: 300000, site: 630000, vendor: 50000, referrer: 20000 }\n"
      "    referrer: { party: lianmeng, until: 2026-12-31 }\n"
      "    policies: { on_cancel: received, on_break: output_only, zero_output: nothing, "
      "pay_loser: false, meters: lower, show_gross: false }\n");
  REQUIRE(c->contracts.size() == 4);
  CHECK_FALSE(c->contracts[0].to_ms);
  CHECK(c->contracts[1].to_ms == c->contracts[0].from_ms);
  CHECK(c->contracts[3].referrer_party == "lianmeng");
  CHECK(c->contracts[3].referrer_until_ms == *parse_date("2026-12-31"));
  CHECK(c->contracts[3].policies.on_cancel == OnCancel::received);
  CHECK(c->contracts[3].policies.on_break == OnBreak::output_only);
}

TEST_CASE("a contract with everything, and one with nothing but what is needed") {
  const auto c = read(R"(
contracts:
  - id: cafe-2026
    from: 2026-01-01
    to: 2029-01-01
    base: net_of_vat
    shares: { platform: 300000, site: 630000, vendor: 50000, referrer: 20000 }
    referrer: { party: lianmeng, until: 2026-12-31 }
    tiers:
      mode: whole
      steps:
        - { over: "100000.00", shares: { platform: 250000, site: 680000, vendor: 50000, referrer: 20000 } }
        - { over: "200000", shares: { platform: 200000, site: 800000 } }
    guarantee: "5000.00"
    holdback: { ppm: 200000, days: 60 }
    min_payout: "100.00"
    chargeback: site
    chargeback_cost: by_split
    penalties: [ { cause: availability, below_ppm: 950000, amount: "500.00", cap: "2000.00" } ]
    early_exit: { by: site, ppm: 200000 }
    index: { name: h100-hour, reference: "15.00", alarm_ppm: 100000 }
    policies: { on_cancel: delivered, on_break: all, zero_output: input, pay_loser: true, meters: gateway, show_gross: true }
  - { id: plain, from: 2026-01-01, shares: { site: 1000000 } }
)");
  const ContractConfig& all = c->contracts.at(0);
  CHECK(all.to_ms == parse_date("2029-01-01"));
  CHECK(all.base == ShareBase::net_of_vat);
  CHECK(all.tiers.mode == Tiers::Mode::whole);
  REQUIRE(all.tiers.steps.size() == 2);
  CHECK(all.tiers.steps[0].over == *money::Amount::parse("100000"));
  CHECK(all.tiers.steps[1].shares == Shares{200'000, 800'000, 0, 0});
  CHECK(all.guarantee == *money::Amount::parse("5000"));
  CHECK(all.holdback == Holdback{200'000, 60});
  CHECK(all.min_payout == *money::Amount::parse("100"));
  CHECK(all.chargeback == Chargeback::site);
  CHECK(all.chargeback_cost == ChargebackCost::by_split);
  REQUIRE(all.penalties.size() == 1);
  CHECK(all.penalties[0] == Penalty{"availability", 950'000, *money::Amount::parse("500"), *money::Amount::parse("2000")});
  CHECK(all.early_exit == EarlyExit{EarlyExit::By::site, 200'000});
  CHECK(all.index == MarketIndex{"h100-hour", *money::Amount::parse("15"), 100'000});
  CHECK(all.policies == Policies{OnCancel::delivered, OnBreak::all, ZeroOutput::input, true, Meters::gateway, true});

  const ContractConfig& plain = c->contracts.at(1);
  ContractTerms defaults;
  defaults.shares = {0, 1'000'000, 0, 0};
  CHECK(static_cast<const ContractTerms&>(plain) == defaults);
  CHECK(plain.holdback == Holdback{100'000, 30});
  CHECK(plain.index == std::nullopt);
}

TEST_CASE("a price says its tax, inside or on top") {
  const auto c = read(
      "models:\n"
      "  - id: m\n"
      "    context: 1\n"
      "    price:\n"
      "      - { from: 2026-01-01, input: \"1\", output: \"1\" }\n"
      "      - { from: 2026-02-01, input: \"1\", output: \"1\", tax: { percent: 6 } }\n"
      "      - { from: 2026-03-01, input: \"1\", output: \"1\", tax: { percent: 0, inclusive: false } }\n");
  CHECK_FALSE(c->models[0].prices[0].tax);
  CHECK(c->models[0].prices[1].tax == PriceTax{6, true});
  CHECK(c->models[0].prices[2].tax == PriceTax{0, false});
}

TEST_CASE("a price or a contract from outside the file is read by the file's own rows") {
  const auto price = parse_price("body", R"({"model":"m","from":"2026-01-01","input":"1","output":"2","tax":{"percent":6,"inclusive":true}})");
  CHECK(price.model == "m");
  CHECK(price.price.from_ms == parse_date("2026-01-01"));
  CHECK(price.price.cached_input.pico() == 1'000'000);
  CHECK(price.price.tax == PriceTax{6, true});
  const auto contract = parse_contract("body", "id: a\nfrom: 2026-01-01\nshares: { platform: 400000, site: 600000 }\nguarantee: \"5\"\n");
  CHECK(contract.id == "a");
  CHECK(contract.guarantee == *money::Amount::parse("5"));

  const auto refused = [](auto parse, const char* text) -> std::string {
    try {
      parse("body", text);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "accepted";
  };
  CHECK(refused(parse_price, "{\"model\":\"m\",\"input\":\"1\",\"output\":\"1\"}") ==
        "body:1:1: price.from: is missing; a published price needs its date");
  CHECK(refused(parse_price, "{\"model\":\"m\",\"from\":\"2026-01-01\",\"input\":0.5,\"output\":\"1\"}") ==
        "body:1:42: price.input: a bare number may be rounded before it is read; put it in quotes: \"0.5\"");
  CHECK(refused(parse_contract, "{\"id\":\"a\",\"from\":\"2026-01-01\",\"shares\":{\"site\":1}}") ==
        "body:1:40: contract.shares: the shares sum to 1; they must sum to 1000000 (parts per million)");
  CHECK(refused(parse_contract, "{\"id\":\"a\",\"bass\":\"gross\"}").find("did you mean base?") != std::string::npos);
  CHECK(refused(parse_contract, "{\"id\":\"${PORT}\",\"from\":\"2026-01-01\",\"shares\":{\"site\":1000000}}").find("PORT") != std::string::npos);
  for (const char* bad : {"", "[]", "nonsense", "{", "null"}) CHECK(refused(parse_contract, bad) != "accepted");
}

TEST_CASE("an agent's file reads as it says") {
  const auto c = parse_agent("a.yaml", R"(
agent:
  gateway: https://gw.example
  proxy: http://10.0.0.1:3128
engines:
  - url: http://127.0.0.1:8000/base
  - run: [llama-server, -m, m.gguf, --port, "{port}"]
    models: { smollm2-135m: m }
    capacity: 4
lend: { when: always, until: "22:05" }
devices:
  plugins: [/usr/lib/tributary/plugins]
  manual: [ { vendor: acme, name: "X 100", memory: 64GiB, count: 8 } ]
)",
                             env);
  CHECK(c->gateway_host == "gw.example");
  CHECK(c->gateway_port == 443);
  CHECK(c->state == "var/agent");
  REQUIRE(c->proxy);
  CHECK(c->proxy->text() == "10.0.0.1:3128");
  CHECK(c->engines.at(0).endpoint.port == 8000);
  CHECK(c->engines.at(0).base_path == "/base");
  CHECK(c->engines.at(0).url == "http://127.0.0.1:8000/base");
  CHECK(c->engines.at(0).models.empty());
  CHECK(c->engines.at(0).capacity == 0);
  CHECK(c->engines.at(1).run.size() == 5);
  CHECK(c->engines.at(1).models.at(0) == std::pair<std::string, std::string>("smollm2-135m", "m"));
  CHECK(c->lend == AgentConfig::When::always);
  CHECK(c->lend_until_min == 22 * 60 + 5);
  CHECK(c->device_plugins.at(0) == "/usr/lib/tributary/plugins");
  CHECK(c->manual_devices.at(0).memory_bytes == 64ull << 30);
  CHECK(c->manual_devices.at(0).count == 8);
  CHECK(parse_agent("a.yaml", "agent: { gateway: \"https://gw:8443\" }\n", env)->engines.empty());
}

TEST_CASE("a good file broken at any byte is read or refused, never worse") {
  const std::string good =
      "gateway: { listen: \"127.0.0.1:1\", journal: { sync: 5ms } }\n"
      "models:\n  - id: m\n    context: 10\n    price: { from: 2026-01-01, input: \"1\", output: "
      "\"2\" }\n"
      "contracts: [ { id: c, from: 2026-01-01, shares: { site: 1000000 } } ]\n"
      "sites:\n  - { id: s, kind: lab, contract: c, engines: [ { url: \"http://h:1/p\", models: { "
      "m: n } } ] }\n";
  auto try_it = [](const std::string& yaml) {
    try {
      read(yaml);
    } catch (const ConfigError& error) {
      const std::string message = error.what();
      REQUIRE(message.rfind("f.yaml:", 0) == 0);
      REQUIRE(message.find('\n') == std::string::npos);
    }
  };
  SeededRng rng(11);
  static constexpr char bytes[] = "{}[]:,-\"'#&*!|>%@?~ \n\t\\${}a0";
  for (std::size_t i = 0; i < good.size(); ++i) {
    try_it(good.substr(0, i));
    std::string changed = good;
    changed[i] = bytes[rng.below(sizeof bytes - 1)];
    try_it(changed);
    changed = good;
    changed.insert(i, 1, bytes[rng.below(sizeof bytes - 1)]);
    try_it(changed);
    changed = good;
    changed[i] = static_cast<char>(rng.below(256));
    try_it(changed);
  }
}

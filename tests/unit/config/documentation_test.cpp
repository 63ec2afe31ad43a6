// The samples load, and the documentation, the rows and the defaults in the header say the same.
#include <fstream>
#include <set>
#include <sstream>

#include "gateway/config/config.h"
#include "gateway/config/scalar.h"
#include "tests/catch.h"
#include "tests/unit/config/doc_row.h"

using namespace trib;
using namespace trib::config;

namespace {

const char* no_env(const char*) {
  return nullptr;
}

std::vector<Key> all_keys() {
  std::vector<Key> keys = gateway_file_keys();
  for (const Key& key : agent_file_keys()) keys.push_back(key);
  return keys;
}

// A least value of each kind, nested by the key's path.
std::string yaml_with(const std::string& path, const std::string& value) {
  std::string yaml, indent;
  std::size_t at = 0;
  for (std::size_t dot; (dot = path.find('.', at)) != std::string::npos; at = dot + 1) {
    yaml += indent + path.substr(at, dot - at) + ":\n";
    indent += "  ";
  }
  return yaml + indent + path.substr(at) + ": " + value + "\n";
}

}  // namespace

TEST_CASE("every sample loads") {
  CHECK_NOTHROW(load_gateway("configs/minimal.yaml", no_env));
  CHECK_NOTHROW(load_agent("configs/agent.yaml", no_env));
  const auto gateway = load_gateway("configs/gateway.yaml", no_env);
  REQUIRE(gateway->tenants.size() == 1);
  CHECK(gateway->tenants[0].keys.at(0).sha256 == sha256("change-me"));
  CHECK(load_gateway("configs/minimal.yaml", no_env)->tenants.at(0).keys.at(0).sha256 ==
        sha256("change-me"));
}

TEST_CASE("the exports' page lists exactly the rows of a layouts' file, and the sample loads") {
  std::string text;
  REQUIRE_FALSE(trib::read_file(system_disk(), "docs/exports.md", text));
  for (const Key& key : layout_keys()) {
    INFO("missing in docs/exports.md: " << doc_row(key));
    CHECK(text.find(doc_row(key) + "\n") != std::string::npos);
  }
  REQUIRE_FALSE(trib::read_file(system_disk(), "configs/exports.yaml", text));
  const auto layouts = parse_layouts("configs/exports.yaml", text, no_env);
  CHECK(layouts->code_of("L210/dc-one")->code == "2202.01");
  CHECK(layouts->item_of("any")->model == "*");
}

TEST_CASE("the documentation lists exactly the rows that the parsers use") {
  std::ifstream file("docs/configuration.md");
  REQUIRE(file);
  std::set<std::string> documented;
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("| `", 0) == 0) CHECK(documented.insert(line).second);
  }
  for (const Key& key : all_keys()) {
    INFO("missing in docs/configuration.md: " << doc_row(key));
    CHECK(documented.erase(doc_row(key)) == 1);
  }
  for (const std::string& line : documented) {
    INFO("documented, but no parser reads it: " << line);
    CHECK(false);
  }
}

TEST_CASE(
    "rows make sense: bounds parse, the default lies within, every key has its parent's row") {
  std::set<std::string> gateway_paths;
  for (const Key& key : gateway_file_keys()) gateway_paths.insert(std::string(key.path));
  for (const Key& key : all_keys()) {
    INFO(key.path);
    const std::string_view fallback = key.fallback;
    const bool has_default =
        !fallback.empty() && fallback != required && fallback != "auto" && fallback != "always";
    CHECK_FALSE(key.meaning.empty());
    if (key.type == Type::duration) {
      REQUIRE((parse_duration_ms(key.least) && parse_duration_ms(key.most)));
      if (has_default)
        CHECK((parse_duration_ms(fallback) >= parse_duration_ms(key.least) &&
               parse_duration_ms(fallback) <= parse_duration_ms(key.most)));
    } else if (key.type == Type::size) {
      REQUIRE((parse_size(key.least) && parse_size(key.most)));
      if (has_default)
        CHECK((parse_size(fallback) >= parse_size(key.least) &&
               parse_size(fallback) <= parse_size(key.most)));
    } else if (key.type == Type::count || key.type == Type::list || key.type == Type::texts ||
               key.type == Type::models) {
      REQUIRE((parse_count(key.least) && parse_count(key.most)));
      if (has_default)
        CHECK((parse_count(fallback) >= parse_count(key.least) &&
               parse_count(fallback) <= parse_count(key.most)));
    } else if (key.type == Type::choice) {
      CHECK_FALSE(key.least.empty());
    }
  }
}

TEST_CASE("every bounded key of the gateway takes its least and its most and refuses one beyond") {
  for (const Key& key : gateway_keys()) {
    const std::string path(key.path);
    INFO(path);
    if (key.type == Type::duration) {
      CHECK_NOTHROW(parse_gateway("f", yaml_with(path, std::string(key.least)), no_env));
      CHECK_NOTHROW(parse_gateway("f", yaml_with(path, std::string(key.most)), no_env));
      const std::string beyond = std::to_string(*parse_duration_ms(key.most) + 1) + "ms";
      CHECK_THROWS_AS(parse_gateway("f", yaml_with(path, beyond), no_env), ConfigError);
    } else if (key.type == Type::size) {
      CHECK_NOTHROW(parse_gateway("f", yaml_with(path, std::string(key.least)), no_env));
      CHECK_NOTHROW(parse_gateway("f", yaml_with(path, std::string(key.most)), no_env));
      const std::string beyond = std::to_string(*parse_size(key.most) + 1) + "B";
      CHECK_THROWS_AS(parse_gateway("f", yaml_with(path, beyond), no_env), ConfigError);
    } else if (key.type == Type::count) {
      CHECK_NOTHROW(parse_gateway("f", yaml_with(path, std::string(key.least)), no_env));
      CHECK_NOTHROW(parse_gateway("f", yaml_with(path, std::string(key.most)), no_env));
      const std::string beyond = std::to_string(*parse_count(key.most) + 1);
      CHECK_THROWS_AS(parse_gateway("f", yaml_with(path, beyond), no_env), ConfigError);
    }
  }
}

TEST_CASE("the defaults of the rows are those of the header") {
  const auto read = parse_gateway("f", "gateway: {}\n", no_env);
  const GatewayConfig& a = read->gateway;
  const GatewayConfig b;
  CHECK(a.listen.text() == b.listen.text());
  CHECK(a.sites.listen.text() == b.sites.listen.text());
  CHECK(a.sites.reached_at.at(0).text() == b.sites.listen.text());
  CHECK_FALSE(a.tls);
  CHECK(a.insecure == b.insecure);
  CHECK(a.data == b.data);
  CHECK(a.journal.sync_always == b.journal.sync_always);
  CHECK(a.journal.keep_ms == b.journal.keep_ms);
  CHECK(a.journal.segment_bytes == b.journal.segment_bytes);
  CHECK(a.workers == b.workers);
  CHECK(a.continuations == b.continuations);
  CHECK(a.probe_generation_ms == b.probe_generation_ms);
  CHECK(a.admin_token_env == b.admin_token_env);
  CHECK(a.admin_token.empty());
  const Deadlines &d = a.deadlines, &e = b.deadlines;
  CHECK(d.head_ms == e.head_ms);
  CHECK(d.body_ms == e.body_ms);
  CHECK(d.connect_ms == e.connect_ms);
  CHECK(d.first_token_ms == e.first_token_ms);
  CHECK(d.unary_token_ms == e.unary_token_ms);
  CHECK(d.gap_ms == e.gap_ms);
  CHECK(d.stall_ms == e.stall_ms);
  CHECK(d.keepalive_ms == e.keepalive_ms);
  CHECK(d.idle_ms == e.idle_ms);
  CHECK(d.total_ms == e.total_ms);
  CHECK(d.drain_ms == e.drain_ms);
  const Limits &l = a.limits, &m = b.limits;
  CHECK(l.head_bytes == m.head_bytes);
  CHECK(l.headers == m.headers);
  CHECK(l.body_bytes == m.body_bytes);
  CHECK(l.event_bytes == m.event_bytes);
  CHECK(l.unary_hold_bytes == m.unary_hold_bytes);
  CHECK(l.buffers_bytes == m.buffers_bytes);
  CHECK(l.connections == m.connections);
  CHECK(l.idempotent_answer_bytes == m.idempotent_answer_bytes);
  CHECK(l.idempotent_total_bytes == m.idempotent_total_bytes);
  CHECK(read->store_path == "var/ledger.db");
  const auto tenants = parse_gateway("f", "tenants: [ { id: t } ]\n", no_env)->tenants;
  const TenantConfig t;
  CHECK(tenants.at(0).privacy == t.privacy);
  CHECK(tenants.at(0).limits.requests_per_minute == t.limits.requests_per_minute);
  CHECK(tenants.at(0).limits.tokens_per_minute == t.limits.tokens_per_minute);
  CHECK(tenants.at(0).limits.in_flight == t.limits.in_flight);
  CHECK(tenants.at(0).balance.zero());
}

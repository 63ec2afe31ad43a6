#include "gateway/config/config.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>

#include "gateway/config/scalar.h"
#include "gateway/config/sections.h"

namespace trib::config {
namespace {

std::string error_text(const std::string& file, int line, int column, const std::string& path,
                       const std::string& why) {
  return file + ":" + std::to_string(std::max(line, 1)) + ":" +
         std::to_string(std::max(column, 1)) + ": " + path + ": " + why;
}

}  // namespace

ConfigError::ConfigError(std::string file_, int line_, int column_, std::string path_,
                         const std::string& why)
    : std::runtime_error(error_text(file_, line_, column_, path_, why)),
      file(std::move(file_)),
      line(line_),
      column(column_),
      path(std::move(path_)) {}

std::string Address::text() const {
  const bool six = host.find(':') != std::string::npos;
  return (six ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

bool Address::loopback() const {
  if (host == "localhost") return true;
  in_addr four{};
  if (inet_pton(AF_INET, host.c_str(), &four) == 1) return (ntohl(four.s_addr) >> 24) == 127;
  in6_addr six{};
  if (inet_pton(AF_INET6, host.c_str(), &six) != 1) return false;
  if (IN6_IS_ADDR_V4MAPPED(&six)) return six.s6_addr[12] == 127;
  return IN6_IS_ADDR_LOOPBACK(&six) != 0;
}

std::string_view name(SiteKind kind) {
  switch (kind) {
    case SiteKind::hosted:
      return "hosted";
    case SiteKind::datacenter:
      return "datacenter";
    case SiteKind::lab:
      return "lab";
    case SiteKind::edge:
      return "edge";
    case SiteKind::cafe:
      return "cafe";
  }
  return "?";
}

std::string_view name(Privacy tier) {
  switch (tier) {
    case Privacy::any:
      return "any";
    case Privacy::dc:
      return "dc";
    case Privacy::tee:
      return "tee";
  }
  return "?";
}

std::string_view name(Type type) {
  static constexpr std::array<std::string_view, 19> names = {
      "map",           "list",   "list of text", "models",  "duration", "size", "count",
      "true or false", "text",   "path",         "address", "URL",      "id",   "date",
      "price",         "amount", "SHA-256",      "word",    "not yet"};
  return names[static_cast<std::size_t>(type)];
}

namespace {

constexpr Key file_rows[] = {
    {"gateway", Type::section, "", "", "", "The gateway itself."},
    {"store", Type::section, "", "", "", "Where the ledger lives."},
    {"settlement", Type::section, "", "", "", "How months are closed."},
    {"audit", Type::section, "", "", "", "What partners can check."},
    {"audit.checkpoint", Type::duration, "1h", "1m", "24h",
     "Between two signed checkpoints of the ledger, when something is new; sites that dial in are told of each."},
    {"routing", Type::section, "", "", "", "How offers are chosen, and who waits."},
    {"models", Type::list, "", "0", "1000", "What customers can ask for, and its prices."},
    {"contracts", Type::list, "", "0", "1000", "How what a customer pays is split."},
    {"sites", Type::list, "", "0", "10000", "Who serves."},
    {"tenants", Type::list, "", "0", "10000", "Who asks and pays."},
};

}  // namespace

std::vector<Key> gateway_file_keys() {
  std::vector<Key> all(std::begin(file_rows), std::end(file_rows));
  for (const auto& keys :
       {gateway_keys(), exports_keys(), routing_keys(), model_keys(), contract_keys(), site_keys(), tenant_keys()}) {
    all.insert(all.end(), keys.begin(), keys.end());
  }
  return all;
}

std::vector<Key> agent_file_keys() {
  return {agent_keys().begin(), agent_keys().end()};
}

AuditConfig read_audit(const Section& in) {
  return {in.duration_ms("checkpoint")};
}

std::shared_ptr<const ConfigSnapshot> parse_gateway(const std::string& file,
                                                    const std::string& yaml, Environment env) {
  const Document document(file, yaml, env);
  static const std::vector<Key> keys = gateway_file_keys();
  const Section top(document, keys);
  auto snapshot = std::make_shared<ConfigSnapshot>();
  snapshot->file = file;
  snapshot->gateway = read_gateway(top.section("gateway"));
  snapshot->store_path = read_store(top.section("store"), snapshot->gateway.data);
  snapshot->store_backlog = top.section("store").count32("backlog");
  snapshot->grace_days = top.section("settlement").count32("grace_days");
  snapshot->exports = read_exports(top.section("settlement").section("exports"));
  snapshot->audit = read_audit(top.section("audit"));
  snapshot->routing = read_routing(top.section("routing"));
  snapshot->models = read_models(top, snapshot->routing);
  snapshot->contracts = read_contracts(top);
  snapshot->sites = read_sites(top, snapshot->contracts);
  snapshot->tenants = read_tenants(top);
  return snapshot;
}

std::shared_ptr<const ConfigSnapshot> load_gateway(const std::string& file, Environment env) {
  return parse_gateway(file, read_file(file), env);
}

std::shared_ptr<const AgentConfig> load_agent(const std::string& file, Environment env) {
  return parse_agent(file, read_file(file), env);
}

}  // namespace trib::config

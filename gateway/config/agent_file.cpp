#include <algorithm>

#include "gateway/config/scalar.h"
#include "gateway/config/sections.h"

namespace trib::config {
namespace {

constexpr Key rows[] = {
    {"agent", Type::section, "required", "", "", "The agent itself."},
    {"agent.gateway", Type::url, "required", "", "",
     "`https://host:port` of the gateway's `sites` door; port 443 by default."},
    {"agent.state", Type::path, "var/agent", "", "",
     "Folder of key pair and certificate; relative to the working directory."},
    {"agent.proxy", Type::url, "", "", "",
     "`http://host:port` of an HTTP proxy that takes CONNECT."},
    {"agent.alpn_compat", Type::not_yet, "", "", "",
     "A protocol name that more middleboxes let through."},
    {"engines", Type::list, "", "0", "256", "What runs here."},
    {"engines[].url", Type::url, "", "", "",
     "An engine that runs already; `url` or `run`, one of them."},
    {"engines[].run", Type::texts, "", "1", "64",
     "Program and arguments of an engine that the agent starts; `{port}` becomes its port."},
    {"engines[].models", Type::models, "", "1", "1000",
     "Names, or a map of public name to the engine's own. Default: all that the engine lists."},
    {"engines[].capacity", Type::count, "0", "0", "65536",
     "Requests in flight; 0: the engine's own slots, else 8."},
    {"lend", Type::section, "", "", "", "When the site lends."},
    {"lend.when", Type::choice, "always", "always", "",
     "`idle` and windows are not honoured by this version."},
    {"lend.until", Type::text, "", "", "",
     "Time of day on this machine's clock, such as `22:30`, at which its owners usually want it back: long answers go "
     "elsewhere shortly before. Nothing ends then. Default: not known."},
    {"lend.idle_s_min", Type::not_yet, "", "", "", "How long nobody used the machine."},
    {"seats", Type::not_yet, "", "", "", "PCs of this site attach here."},
    {"devices", Type::section, "", "", "", "How chips are found."},
    {"devices.plugins", Type::texts, "", "0", "16", "Absolute folders of device plugins."},
    {"devices.manual", Type::list, "", "0", "256", "Chips that no plugin finds; lowest trust."},
    {"devices.manual[].vendor", Type::id, "required", "", "", "Maker of the chip."},
    {"devices.manual[].name", Type::text, "required", "", "", "Its model name."},
    {"devices.manual[].memory", Type::size, "required", "1MiB", "16TiB", "Memory of one."},
    {"devices.manual[].count", Type::count, "1", "1", "1024", "How many."},
};

void read_agent(const Section& in, AgentConfig& out) {
  const auto gateway = parse_url(in.text("gateway"));
  if (!gateway || !gateway->tls || !gateway->path.empty()) {
    in.fail("gateway", "is not a gateway's address; write https://host:port, nothing after it");
  }
  out.gateway_host = gateway->address.host;
  out.gateway_port = gateway->address.port;
  out.state = in.path("state");
  if (!in.given("proxy")) return;
  const auto proxy = parse_url(in.text("proxy"));
  if (!proxy || proxy->tls || !proxy->path.empty()) {
    in.fail("proxy", "is not a proxy's address; write http://host:port, nothing after it");
  }
  out.proxy = proxy->address;
}

AgentEngineConfig read_engine(const Section& in) {
  AgentEngineConfig out;
  if (in.given("url") == in.given("run")) {
    in.fail(
        "needs url (an engine that runs already) or run (one that the agent starts), exactly one "
        "of them");
  }
  if (in.given("url")) {
    out.url = in.text("url");
    read_engine_url(in, out.endpoint, out.base_path);
  }
  bool port_named = false;
  for (const Section::Item& item : in.texts("run")) {
    port_named = port_named || item.text.find("{port}") != std::string::npos;
    out.run.push_back(item.text);
  }
  if (in.given("run") && !port_named)
    in.fail("run", "names no {port}; the agent chooses the engine's port and must pass it on");
  out.models = in.models("models");
  out.capacity = in.count32("capacity");
  return out;
}

void read_devices(const Section& in, AgentConfig& out) {
  for (const Section::Item& item : in.texts("plugins")) {
    if (item.text[0] != '/')
      in.fail_at(item, shown(item.node->raw) +
                           " is not absolute; plugins are loaded from absolute folders only");
    out.device_plugins.push_back(item.text);
  }
  for (const Section& manual : in.sections("manual")) {
    ManualDevice device;
    device.vendor = manual.id("vendor");
    device.name = manual.text("name");
    device.memory_bytes = manual.size("memory");
    device.count = manual.count32("count");
    out.manual_devices.push_back(std::move(device));
  }
}

// "HH:MM" -> minutes after midnight.
std::optional<int> time_of_day(std::string_view text) {
  const auto two = [&](std::size_t at, int max) {
    const int value = (text[at] - '0') * 10 + (text[at + 1] - '0');
    const bool digits = text[at] >= '0' && text[at] <= '9' && text[at + 1] >= '0' && text[at + 1] <= '9';
    return digits && value <= max ? value : -1;
  };
  if (text.size() != 5 || text[2] != ':') return std::nullopt;
  const int hours = two(0, 23), minutes = two(3, 59);
  return hours < 0 || minutes < 0 ? std::nullopt : std::optional(hours * 60 + minutes);
}

void read_lend(const Section& in, AgentConfig& out) {
  if (in.given("when")) {
    const std::string when = in.text("when");
    if (when != "always")
      in.fail("when", shown(when) + " is not honoured by this version; only always is");
  }
  if (!in.given("until")) return;
  out.lend_until_min = time_of_day(in.text("until"));
  if (!out.lend_until_min)
    in.fail("until", shown(in.text("until")) + " is not a time of day; write it as \"22:30\"");
}

}  // namespace

std::span<const Key> agent_keys() {
  return rows;
}

std::shared_ptr<const AgentConfig> parse_agent(const std::string& file, const std::string& yaml,
                                               Environment env) {
  const Document document(file, yaml, env);
  const Section top(document, rows);
  auto out = std::make_shared<AgentConfig>();
  out->file = file;
  read_agent(top.section("agent"), *out);
  for (const Section& engine : top.sections("engines")) out->engines.push_back(read_engine(engine));
  read_lend(top.section("lend"), *out);
  read_devices(top.section("devices"), *out);
  return out;
}

}  // namespace trib::config

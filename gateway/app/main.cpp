// `tributary`: one program, its subcommands.
#include <malloc.h>

#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "backends/agent/agent.h"
#include "backends/devices/devices.h"
#include "gateway/app/commands.h"
#include "gateway/app/gateway.h"
#include "gateway/config/config.h"

namespace {

constexpr const char* help = R"(tributary: an inference gateway over other people's idle compute, with the money right

  tributary gateway --config FILE          serve customers and sites
  tributary agent --config FILE            lend this site's engines to a gateway
  tributary agent enrol TOKEN --config FILE   become a site, with the one-time token
  tributary check --config FILE            read a gateway's or an agent's configuration and say what is wrong
  tributary devices [--json] [--config FILE]  the accelerators of this machine, and why a plugin is unusable
  tributary key new                        a customer's key and its SHA-256

Of a running gateway (--gateway URL or $TRIBUTARY_URL, else http://127.0.0.1:8080; $TRIBUTARY_ADMIN_TOKEN;
--json for programs):
  tributary site list | show ID | invite ID | approve ID | suspend ID | revoke ID [--reason TEXT] | receipts-key ID --key HEX --reason TEXT
  tributary tenant list | topup TENANT AMOUNT --id ID
  tributary price list | show MODEL | publish FILE      dated versions; a published one never changes
  tributary contract list | show ID | publish FILE | risk   risk: exit 1 when a market index alarms
  tributary index list | set NAME VALUE --at DATE       market prices that contracts watch
  tributary period list | show P | close P | explain SUBJECT --reason TEXT --evidence DOC   the months and their close
  tributary statement list [--period P] | show P/PARTY [--html FILE]
  tributary report [NAME [FILE]] [--period P | --day D] [--site ID]   reconciliation; exit 1 when something is unexplained
  tributary ledger orders | list [--period P] | ORDER ...   refunds, disputes, payouts, penalties: `orders` shows each
  tributary invoice list [--period P] | show P/TENANT | make P
  tributary request ID                     the whole life of one request
  tributary trial-balance                  money by account, tokens by site and model; each sums to zero
  tributary export --period YYYY-MM [--format csv|jsonl|xlsx|hledger|beancount|voucher|focus|einvoice] [--party site:ID] [--bom] --out DIR
  tributary audit verify [--config FILE]   every sealed row against its proof; with --config, offline
  tributary audit prove REQUEST --out FILE    its row and the way to a signed checkpoint (or transfer:N)
  tributary audit checkpoints [--out FILE] what was signed
  tributary backup --out DIR [--config FILE]  a copy of the store while it works; with --config, offline

Of a store that no gateway works on (sqlite:PATH or postgresql://USER@HOST/DATABASE, without a password):
  tributary store setup STORE [--role NAME]  its tables; on PostgreSQL as the database's owner, with what the gateway's
                                           role (default tributary) needs and no more
  tributary store copy FROM TO             all rows into an empty store, of either kind: a backup put back, a move

Of nothing but files:
  tributary audit check FILE [--key PUB] [--held FILE]   a proof, or checkpoints, against the public key

  tributary --version
Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.
)";

int usage(const std::string& why) {
  std::cerr << why << "; see tributary --help" << std::endl;
  return 2;
}

const char* environment(const char* name) { return std::getenv(name); }

std::string option(const std::vector<std::string>& words, const std::string& name) {
  for (std::size_t i = 0; i + 1 < words.size(); ++i)
    if (words[i] == name) return words[i + 1];
  return {};
}

// The first word that is neither a subcommand's own nor one of its options; empty: none.
std::string stray(const std::vector<std::string>& words, std::size_t from, bool json) {
  for (std::size_t i = from; i < words.size(); ++i) {
    if (words[i] == "--config") ++i;
    else if (!json || words[i] != "--json") return words[i];
  }
  return {};
}

// An agent's file has `agent` at its top; a gateway's has not.
bool is_agent_file(const std::string& file) {
  std::string text;
  if (trib::read_file(trib::system_disk(), file, text, 1u << 20)) return false;
  return text.starts_with("agent:") || text.find("\nagent:") != std::string::npos;
}

trib::devices::ScanOptions scan_options(const trib::config::AgentConfig* config) {
  auto options = trib::devices::default_options();
  if (config == nullptr) return options;
  for (const auto& folder : config->device_plugins) options.plugin_dirs.push_back(folder);
  for (const auto& device : config->manual_devices) {
    trib::devices::DeclaredDevice declared;
    declared.vendor = device.vendor;
    declared.name = device.name;
    declared.memory_bytes = device.memory_bytes;
    declared.count = device.count;
    options.declared.push_back(std::move(declared));
  }
  return options;
}

std::vector<trib::fleet::DeviceClaim> claims(const trib::config::AgentConfig& config) {
  std::vector<trib::fleet::DeviceClaim> out;
  for (const auto& device : trib::devices::scan(scan_options(&config)).devices) {
    if (device.declared) continue;  // the agent adds those of its configuration itself
    trib::fleet::DeviceClaim claim;
    claim.key = device.key;
    claim.vendor = device.vendor;
    claim.name = device.name;
    claim.driver = device.driver;
    claim.memory_bytes = device.memory_bytes.value_or(0);
    claim.plugin = device.plugin;
    out.push_back(std::move(claim));
  }
  return out;
}

int run_agent(const std::vector<std::string>& words) {
  const bool enrol = words.size() > 1 && words[1] == "enrol";
  const bool token = enrol && words.size() > 2 && !words[2].starts_with("--");
  if (const auto word = stray(words, enrol ? (token ? 3 : 2) : 1, false); !word.empty())
    return usage("agent does not take " + word + " here: tributary agent [enrol TOKEN] --config FILE");
  const std::string file = option(words, "--config");
  if (file.empty()) return usage("agent needs --config FILE");
  const auto config = trib::config::load_agent(file, environment);
  if (enrol) {
    if (!token) return usage("agent enrol needs the TOKEN that `tributary site invite` prints");
    return trib::agent::enrol_agent(words[2], *config);
  }
  return trib::agent::run_agent(*config, [config] { return claims(*config); });
}

int run(const std::vector<std::string>& words) {
  const std::string command = words.empty() ? "--help" : words[0];
  if (command == "--help" || command == "help" || command == "-h") {
    std::cout << help;
    return 0;
  }
  if (command == "--version") {
    std::cout << "tributary " << TRIB_VERSION << std::endl;
    return 0;
  }
  const std::string file = option(words, "--config");
  if (command == "gateway" || command == "check" || command == "devices") {
    if (const auto word = stray(words, 1, command == "devices"); !word.empty())
      return usage(command + " does not take " + word);
  }
  if (command == "gateway") return file.empty() ? usage("gateway needs --config FILE") : trib::app::run_gateway(file);
  if (command == "agent") return run_agent(words);
  if (command == "check") {
    if (file.empty()) return usage("check needs --config FILE");
    if (is_agent_file(file)) trib::config::load_agent(file, environment);
    else trib::config::load_gateway(file, environment);
    std::cout << file << ": fine\n";
    return 0;
  }
  if (command == "devices") {
    const auto config = file.empty() ? nullptr : trib::config::load_agent(file, environment);
    const bool json = std::find(words.begin(), words.end(), "--json") != words.end();
    return trib::devices::print_devices(std::cout, scan_options(config.get()), json);
  }
  return trib::app::run_command(words);
}

}  // namespace

int main(int argc, char** argv) {
  // Memory that a batch used is used by the next: giving it back between them costs a fault a page.
  ::mallopt(M_TRIM_THRESHOLD, 16 << 20);
  try {
    return run({argv + 1, argv + argc});
  } catch (const trib::config::ConfigError& error) {
    std::cerr << error.what() << std::endl;
    return 2;
  } catch (const std::exception& error) {
    std::cerr << error.what() << std::endl;
    return 1;
  }
}

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "backends/devices/child.h"
#include "backends/devices/devices.h"
#include "backends/devices/keys.h"
#include "backends/devices/pci.h"
#include "backends/devices/plugin_files.h"
#include "gateway/base/base.h"

namespace trib::devices {
namespace {

namespace fs = std::filesystem;
constexpr std::uint32_t declared_max = 64;

// ABI: trib_report.status.
PluginState state_of_report(std::uint64_t status) {
  switch (status) {
    case 0: return PluginState::absent;
    case 1: return PluginState::driver_missing;
    case 2: return PluginState::too_old;
    case 3: return PluginState::no_permission;
    case 4: return PluginState::ok;
    default: return PluginState::failed;
  }
}

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty()) {
    const std::size_t at = text.find('\n');
    if (at != 0) out.emplace_back(text.substr(0, at));
    text.remove_prefix(at == std::string_view::npos ? text.size() : at + 1);
  }
  return out;
}

// "libamdhip64.so.5: cannot open shared object file: ..." -> "libamdhip64.so.5"
std::string missing_library(const std::string& why) {
  const std::size_t at = why.find(": cannot open shared object file");
  return at == std::string::npos ? std::string{} : why.substr(0, at);
}

// What the plugin `manual` reads: see plugins/manual/manual.c.
std::string declaration(const std::vector<DeclaredDevice>& declared) {
  std::string out;
  std::uint32_t lines = 0;
  for (const DeclaredDevice& d : declared)
    if (lines++ < declared_max)
      out += d.vendor + "\t" + std::to_string(d.memory_bytes) + "\t" + std::to_string(d.count) + "\t" + d.name + "\n";
  return out;
}

struct Found {
  PluginStatus status;
  std::vector<Device> devices;
};

// One plugin's story, told by its own process.
class Family {
 public:
  Family(const ScanOptions& options, const std::string& salt, const std::vector<PciCard>& cards,
         std::int64_t deadline_ns, Found& found)
      : options_(options), salt_(salt), cards_(cards), deadline_ns_(deadline_ns), found_(found), s_(found.status) {}

  void run() {
    Child child(options_.probe, {s_.path, "--sysfs", options_.sysfs, "--proc", options_.proc, "--dev", options_.dev,
                                 "--salt", salt_});
    child_ = &child;
    if (!describe() || !allowed() || !probe() || !open() || !list()) return;
    for (Device& d : found_.devices)
      if (!sample(d)) return;
    finish();
  }

  // Describes and opens only, for run_fill; `child` outlives this.
  bool reopen(Child& child) {
    child_ = &child;
    return describe() && probe() && open();
  }
  std::optional<Message> ask(Fields fields, std::int64_t call_ms) {
    const std::int64_t until = std::min(deadline_ns_, monotonic_ns() + call_ms * 1'000'000);
    auto reply = child_->call({std::move(fields), {}}, until);
    if (!reply) {
      give_up(PluginState::unknown, child_->why());
      return std::nullopt;
    }
    if (reply->fields.contains("threw")) {
      give_up(PluginState::unknown, "it threw an exception");
      return std::nullopt;
    }
    return reply;
  }

 private:
  bool give_up(PluginState state, std::string why) {
    s_.state = state;
    s_.why = std::move(why);
    found_.devices.clear();
    s_.devices = 0;
    return false;
  }

  std::optional<Message> ask(Fields fields) { return ask(std::move(fields), options_.call_ms); }

  // A reply with rc 0, else the plugin's failure in its own words.
  std::optional<Message> ask_ok(Fields fields) {
    auto reply = ask(std::move(fields));
    if (reply && signed_number(reply->fields, "rc") != 0) {
      const bool refused = reply->fields.contains("refused");
      const std::string why(text(reply->fields, "why"));
      if (refused) s_.missing = missing_library(why);
      give_up(refused ? PluginState::refused : PluginState::failed, why);
      return std::nullopt;
    }
    return reply;
  }

  bool describe() {
    const auto reply = ask_ok({{"op", "describe"}});
    if (!reply) return false;
    if (const auto n = text(reply->fields, "name"); !n.empty()) s_.name = n;
    s_.version = text(reply->fields, "version");
    s_.vendor = text(reply->fields, "vendor");
    for (const Fields& item : reply->items)
      if (const auto id = number(item, "pci_vendor")) vendors_.push_back(static_cast<std::uint32_t>(*id));
    for (const PciCard& card : cards_)
      if (ours(card)) ++s_.cards;
    return true;
  }
  bool ours(const PciCard& card) const {
    return std::find(vendors_.begin(), vendors_.end(), card.vendor) != vendors_.end();
  }

  Gate gate() const {
    const auto at = options_.families.find(s_.name);
    return at == options_.families.end() ? Gate::by_pci : at->second;
  }
  bool allowed() {
    return gate() != Gate::forbid || give_up(PluginState::forbidden, "forbidden by configuration");
  }

  // The driver is asked even when the bus shows no card: the answer helps the reader. Opening is another
  // matter: a library that loads does not make a card (shadow libcuda.so.1).
  bool probe() {
    const auto reply = ask_ok({{"op", "probe"}});
    if (!reply) return false;
    s_.library = text(reply->fields, "library");
    s_.missing = text(reply->fields, "missing");
    s_.tried = lines_of(text(reply->fields, "tried"));
    const PluginState state = state_of_report(number(reply->fields, "status").value_or(99));
    const bool no_card = !vendors_.empty() && s_.cards == 0;
    const std::string bus = "no " + (s_.vendor.empty() ? s_.name : s_.vendor) + " card on the PCI bus";
    // A library named by configuration is open's to judge: probe looks in the usual places only.
    if (state == PluginState::driver_missing && options_.libraries.contains(s_.name)) return true;
    if (state != PluginState::ok) {
      std::string why = s_.missing.empty() ? "the driver answers nothing usable" : s_.missing;
      if (no_card) why += "; " + bus;
      return give_up(state, std::move(why));
    }
    if (no_card && gate() != Gate::force)
      return give_up(PluginState::absent, bus + " (a library answers: " + s_.library + ")");
    return true;
  }

  bool open() {
    Fields request{{"op", "open"}, {"deadline_ns", std::to_string(deadline_ns_)}};
    if (s_.name == "manual") {
      if (options_.declared.empty()) return give_up(PluginState::absent, "no devices are declared");
      request["declared"] = declaration(options_.declared);
    }
    if (const auto at = options_.libraries.find(s_.name); at != options_.libraries.end())
      request["library"] = at->second;
    return ask_ok(std::move(request)).has_value();
  }

  bool list() {
    const auto reply = ask_ok({{"op", "list"}});
    if (!reply) return false;
    for (const Fields& item : reply->items) found_.devices.push_back(device_of(item));
    s_.devices = static_cast<std::uint32_t>(found_.devices.size());
    if (reply->fields.contains("truncated")) s_.why = "its list was cut after " + std::to_string(s_.devices);
    settle_keys(found_.devices, salt_);
    s_.state = PluginState::ok;
    return true;
  }

  Device device_of(const Fields& f) const {
    Device d;
    d.plugin = s_.name;
    d.key = d.plugin_key = text(f, "key");
    if (const auto q = number(f, "key_quality"); q && *q <= 3) d.key_quality = static_cast<KeyQuality>(*q);
    if (const auto k = number(f, "kind"); k && *k <= 4) d.kind = static_cast<DeviceKind>(*k);
    d.name = text(f, "name");
    d.pci = text(f, "pci");
    d.uuid = text(f, "uuid");
    d.serial = text(f, "serial");
    d.arch = text(f, "arch");
    d.driver = text(f, "driver");
    d.runtime = text(f, "runtime");
    d.firmware = text(f, "firmware");
    d.nodes = text(f, "nodes");
    d.parent_key = text(f, "parent_key");
    if (const auto n = number(f, "cores")) d.cores = static_cast<std::uint32_t>(*n);
    if (const auto n = signed_number(f, "numa")) d.numa = static_cast<std::int32_t>(*n);
    d.memory_bytes = number(f, "memory");
    d.vendor = s_.vendor;
    if (d.vendor.empty()) d.vendor = vendor_of(static_cast<std::uint32_t>(number(f, "pci_vendor").value_or(0)));
    if (s_.name == "manual") declare(d, number(f, "ordinal").value_or(0));
    return d;
  }
  // Only the configuration knows the vendor of what it declares.
  void declare(Device& d, std::uint64_t ordinal) const {
    d.declared = true;
    for (const DeclaredDevice& declared : options_.declared) {
      if (ordinal < declared.count) {
        d.vendor = declared.vendor;
        return;
      }
      ordinal -= declared.count;
    }
  }

  bool sample(Device& d) {
    const auto reply = ask({{"op", "sample"}, {"key", d.plugin_key}});
    if (!reply) return false;
    if (signed_number(reply->fields, "rc") != 0) return true;  // unknown figures stay unknown
    d.memory_used_bytes = number(reply->fields, "mem_used");
    d.memory_free_bytes = number(reply->fields, "mem_free");
    if (const auto n = number(reply->fields, "util")) d.util_bp = static_cast<std::uint32_t>(*n);
    if (const auto n = signed_number(reply->fields, "temp_mc")) d.temp_mc = static_cast<std::int32_t>(*n);
    return true;
  }

  void finish() {
    for (const PciCard& card : cards_) {
      const bool listed = std::any_of(found_.devices.begin(), found_.devices.end(),
                                      [&](const Device& d) { return d.pci == card.address; });
      if (ours(card) && !listed) s_.silent_cards.push_back(card.address);
    }
    if (found_.devices.empty()) s_.why = "its library lists no device";
  }

  const ScanOptions& options_;
  const std::string& salt_;
  const std::vector<PciCard>& cards_;
  std::int64_t deadline_ns_;
  Found& found_;
  PluginStatus& s_;
  Child* child_ = nullptr;
  std::vector<std::uint32_t> vendors_;
};

std::vector<std::string> hiding_variables() {
  static constexpr const char* names[] = {
      "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES",
      "GPU_DEVICE_ORDINAL", "ASCEND_RT_VISIBLE_DEVICES", "MLU_VISIBLE_DEVICES", "MUSA_VISIBLE_DEVICES",
      "TOPS_VISIBLE_DEVICES", "XPU_VISIBLE_DEVICES", "SUPA_VISIBLE_DEVICES", "ZE_AFFINITY_MASK", "POCL_DEVICES"};
  std::vector<std::string> out;
  for (const char* name : names)
    if (const char* value = std::getenv(name)) out.push_back(std::string(name) + "=" + value);
  return out;
}

bool claimed(const PciCard& card, const std::vector<Device>& devices) {
  return std::any_of(devices.begin(), devices.end(), [&](const Device& d) { return d.pci == card.address; });
}

}  // namespace

ScanOptions default_options() {
  ScanOptions out;
  std::error_code ec;
  const fs::path self = fs::read_symlink("/proc/self/exe", ec);
  if (!ec) {
    out.probe = (self.parent_path() / "tributary-probe").string();
    out.plugin_dirs.push_back((self.parent_path() / "plugins").string());
  }
  if (ec || !fs::exists(out.probe, ec)) out.probe = "/usr/lib/tributary/tributary-probe";
  out.plugin_dirs.emplace_back("/usr/lib/tributary/plugins");
  return out;
}

std::string host_salt(const std::string& sysfs) {
  std::string identity;
  for (const std::string& file : {std::string("/etc/machine-id"), sysfs + "/class/dmi/id/product_uuid"}) {
    std::ifstream in(file);
    std::string word;
    in >> word;
    identity += word + "\n";
  }
  return to_hex(sha256("tributary device salt\n", identity));
}

Inventory scan(const ScanOptions& options) {
  const std::int64_t deadline_ns = monotonic_ns() + options.total_ms * 1'000'000;
  const std::string salt = options.host_salt.empty() ? host_salt(options.sysfs) : options.host_salt;
  const std::vector<PciCard> cards = scan_pci(options.sysfs);
  const std::vector<PluginFile> files = find_plugins(options.plugin_dirs);

  std::vector<Found> found(files.size());
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < files.size(); ++i) {
    found[i].status.name = files[i].stem;
    found[i].status.path = files[i].path;
    if (!files[i].unsafe.empty()) {
      found[i].status.state = PluginState::refused;
      found[i].status.why = files[i].unsafe;
      continue;
    }
    threads.emplace_back([&, i] { Family(options, salt, cards, deadline_ns, found[i]).run(); });
  }
  for (std::thread& thread : threads) thread.join();

  Inventory out;
  std::vector<Device> all;
  for (Found& f : found) {
    out.plugins.push_back(std::move(f.status));
    std::move(f.devices.begin(), f.devices.end(), std::back_inserter(all));
  }
  out.devices = merge(std::move(all));
  for (const PciCard& card : cards)
    if (!claimed(card, out.devices)) out.unclaimed.push_back(card);
  out.hidden_by = hiding_variables();
  return out;
}

FillResult run_fill(const ScanOptions& options, const PluginStatus& plugin, const Device& device,
                    const FillRequest& request) {
  FillResult out;
  const std::string salt = options.host_salt.empty() ? host_salt(options.sysfs) : options.host_salt;
  const std::vector<PciCard> cards = scan_pci(options.sysfs);
  // As for every benchmark: its own deadline, ms_max and five seconds, after the usual ones.
  const std::int64_t bench_ms = std::int64_t{request.ms_max} + 5'000;
  const std::int64_t deadline_ns = monotonic_ns() + (options.total_ms + bench_ms) * 1'000'000;
  out.why = why_unsafe(plugin.path);
  if (!out.why.empty()) return out;
  Found found;
  found.status.path = plugin.path;
  Child child(options.probe, {plugin.path, "--sysfs", options.sysfs, "--proc", options.proc, "--dev", options.dev,
                              "--salt", salt});
  Family family(options, salt, cards, deadline_ns, found);
  std::optional<Message> reply;
  if (family.reopen(child))
    reply = family.ask({{"op", "fill"},
                        {"key", device.plugin_key},
                        {"memory", std::to_string(request.memory_bytes)},
                        {"iterations", std::to_string(request.iterations)},
                        {"ms_max", std::to_string(request.ms_max)},
                        {"seed", request.seed_hex}},
                       bench_ms);
  if (!reply || signed_number(reply->fields, "rc") != 0) {
    out.why = reply ? std::string(text(reply->fields, "why")) : found.status.why;
    return out;
  }
  out.ok = true;
  out.iterations = static_cast<std::uint32_t>(number(reply->fields, "iterations").value_or(0));
  out.ns_min = number(reply->fields, "ns_min").value_or(0);
  out.ns_median = number(reply->fields, "ns_median").value_or(0);
  out.digest_hex = text(reply->fields, "digest");
  return out;
}

}  // namespace trib::devices

// The accelerators of this machine, of any vendor, and for each plugin why it is or is not usable.
// Plugins and vendor libraries are loaded in `tributary-probe` only, one process a plugin: what crashes,
// aborts or hangs there makes its family unknown, with a reason, and harms nobody here.
#pragma once
#include <cstdint>
#include <iosfwd>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trib::devices {

// Worst first; see devices' identity rule: how much a key can be trusted to name one piece of hardware.
enum class KeyQuality { none, pci_host, pci_serial, uuid };
enum class DeviceKind { unknown, physical, partition, vgpu, passthrough };

// Absent is not zero: what is not known is empty.
struct Device {
  std::string key;  // unique in the inventory; stable across reboots as far as `key_quality` says
  KeyQuality key_quality = KeyQuality::none;
  DeviceKind kind = DeviceKind::unknown;
  std::string vendor;  // "nvidia", "amd", ...; empty: unknown
  std::string name;
  std::string plugin;             // the family that answers for it
  std::vector<std::string> also;  // other families that show the same device
  bool declared = false;          // by configuration alone: nothing of it has been seen
  std::string pci;                // "0000:3b:00.0"
  std::string uuid, serial, arch, driver, runtime, firmware, nodes, parent_key;
  std::optional<std::uint32_t> cores;
  std::optional<std::int32_t> numa;
  std::optional<std::uint64_t> memory_bytes, memory_used_bytes, memory_free_bytes;
  std::optional<std::uint32_t> util_bp;  // hundredths of a percent
  std::optional<std::int32_t> temp_mc;   // milli-degrees Celsius
  std::string plugin_key;                // the plugin's own name for it
};

enum class PluginState {
  ok,              // loaded, opened and listed; its list may still be empty
  absent,          // none of its hardware is here
  driver_missing,  // `missing` says what to install
  too_old,
  no_permission,
  forbidden,  // by configuration
  refused,    // an unsafe file, a wrong ABI, a missing symbol or library: never opened
  failed,     // it answered with an error
  unknown,    // crashed, aborted, hung or answered rubbish: nothing is known of the family
};
std::string_view name(PluginState state);
std::string_view name(KeyQuality quality);
std::string_view name(DeviceKind kind);

struct PluginStatus {
  std::string name;  // of the family, else the file's stem
  std::string path;
  std::string version, vendor;
  PluginState state = PluginState::unknown;
  std::string why;                 // one line for people; empty when ok
  std::vector<std::string> tried;  // libraries looked for
  std::string missing;             // what to install or mount
  std::string library;             // the vendor library that answered: its real path
  std::uint32_t cards = 0;         // of its vendors on the PCI bus, display or accelerator class
  std::uint32_t devices = 0;       // listed
  std::vector<std::string> silent_cards;  // PCI addresses that the library does not report
};

struct PciCard {  // display controllers (class 03) and processing accelerators (12) only
  std::string address;  // "0000:3b:00.0"
  std::uint32_t vendor = 0, device = 0, class_code = 0;
};

struct Inventory {
  std::vector<Device> devices;        // by PCI address, then key
  std::vector<PluginStatus> plugins;  // by name
  std::vector<PciCard> unclaimed;     // cards on the bus that no plugin lists
  std::vector<std::string> hidden_by;  // "CUDA_VISIBLE_DEVICES=0": variables that hide devices
};

struct DeclaredDevice {  // from the configuration; the plugin `manual` answers for it
  std::string vendor, name;
  std::uint64_t memory_bytes = 0;  // 0: unknown
  std::uint32_t count = 1;
};

enum class Gate { by_pci, force, forbid };

struct ScanOptions {
  std::vector<std::string> plugin_dirs;  // absolute; a folder that is not there is skipped
  std::string probe;                     // absolute path of tributary-probe
  std::vector<DeclaredDevice> declared;
  std::map<std::string, Gate> families;  // by family name; not named: by_pci
  std::map<std::string, std::string> libraries;  // family -> absolute library file to use instead of the search
  std::int64_t call_ms = 3'000;          // per call to a plugin; also for starting it
  std::int64_t total_ms = 10'000;        // for the whole scan
  std::string sysfs = "/sys", proc = "/proc", dev = "/dev";
  std::string host_salt;                 // empty: of this machine
};

// Folders and probe as they stand beside the running program: <program's folder>/plugins, then the
// installed ones.
ScanOptions default_options();

// Blocks for at most total_ms and a little; any thread. Never throws for what plugins do.
Inventory scan(const ScanOptions& options);

// Hash of the machine's identity (machine-id and, where readable, the board's product UUID), hex.
std::string host_salt(const std::string& sysfs);

// One run of the memory fill benchmark of one device (plugins/common/fill_bench.h says what is computed).
struct FillRequest {
  std::uint64_t memory_bytes = 0;
  std::uint32_t iterations = 1;
  std::uint32_t ms_max = 5'000;
  std::string seed_hex;  // 32 bytes
};
struct FillResult {
  bool ok = false;
  std::string why;  // when not ok
  std::uint32_t iterations = 0;
  std::uint64_t ns_min = 0, ns_median = 0;  // of one iteration: write and read back
  std::string digest_hex;
};
FillResult run_fill(const ScanOptions& options, const PluginStatus& plugin, const Device& device,
                    const FillRequest& request);

// What `tributary devices` prints: a table of devices and a line for each plugin, or one JSON document.
void print_table(std::ostream& out, const Inventory& inventory);
void print_json(std::ostream& out, const Inventory& inventory);
// `tributary devices [--json]`: scans and prints; returns the exit code.
int print_devices(std::ostream& out, const ScanOptions& options, bool json);

}  // namespace trib::devices

// The host side against plugins that misbehave: each is refused or degraded, nobody here is harmed.
#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <sstream>

#include "backends/devices/devices.h"
#include "backends/devices/loaded.h"
#include "backends/devices/pci.h"
#include "backends/devices/wire.h"
#include "tests/catch.h"
#include "tests/unit/devices/trees.h"

namespace {

using namespace trib::devices;
using trees::TempDir;

ScanOptions options_for(const TempDir& sysfs, const std::string& fake) {
  ScanOptions o;
  o.probe = TRIB_BUILD_DIR "/tributary-probe";
  if (!fake.empty()) o.plugin_dirs = {TRIB_BUILD_DIR "/plugins-check/" + fake};
  o.sysfs = sysfs.path();
  o.host_salt = "00112233445566778899aabbccddeeff";
  o.call_ms = 30'000;  // a loaded machine is no reason to fail; the hanging ones say their own
  o.total_ms = 60'000;
  return o;
}

struct Scanned {
  Inventory inventory;
  PluginStatus status;
};
Scanned scan_fake(const std::string& fake, bool with_cards = true, std::int64_t call_ms = 0) {
  TempDir sysfs;
  if (with_cards) trees::add_fake_cards(sysfs);
  ScanOptions o = options_for(sysfs, fake);
  if (call_ms > 0) o.call_ms = call_ms;
  Scanned out{scan(o), {}};
  REQUIRE(out.inventory.plugins.size() == 1);
  out.status = out.inventory.plugins[0];
  INFO(out.status.why);
  return out;
}

bool says(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("a healthy plugin's devices come with their figures") {
  const auto [inventory, status] = scan_fake("healthy");
  REQUIRE(status.state == PluginState::ok);
  CHECK(status.name == "fake_healthy");
  CHECK(status.cards == 2);
  CHECK(status.silent_cards.empty());
  CHECK(inventory.unclaimed.empty());
  REQUIRE(inventory.devices.size() == 2);
  const Device& d = inventory.devices[0];
  CHECK(d.key == "GPU-1f3a0c55-0000-4000-8000-00000000000a");
  CHECK(d.key_quality == KeyQuality::uuid);
  CHECK(d.pci == "0000:3b:00.0");
  CHECK(d.vendor == "nvidia");
  CHECK(d.name == "Fake 4090");
  CHECK(d.memory_bytes == std::uint64_t{24} << 30);
  CHECK(d.memory_used_bytes == std::uint64_t{1} << 30);
  CHECK_FALSE(d.memory_free_bytes.has_value());  // absent, not zero
  CHECK_FALSE(d.util_bp.has_value());
}

TEST_CASE("plugins of another version or shape are refused, with the reason") {
  const struct {
    const char* fake;
    const char* why;
  } cases[] = {{"newer_minor", "it speaks ABI 1.1, this host 1.0"},
               {"polite_newer", "it does not accept this host's ABI"},
               {"wrong_major", "it speaks ABI 2.0, this host 1.0"},
               {"tiny_table", "its table has no size"},
               {"no_device_list", "its table lacks a required function"},
               {"no_symbol", "it does not export trib_plugin_query"}};
  for (const auto& c : cases) {
    const auto [inventory, status] = scan_fake(c.fake);
    INFO(c.fake << ": " << status.why);
    CHECK(status.state == PluginState::refused);
    CHECK(says(status.why, c.why));
    CHECK(inventory.devices.empty());
    CHECK(inventory.unclaimed.size() == 2);  // the cards are still there, and nobody lists them
  }
}

TEST_CASE("a table that ends early is used as far as it reaches") {
  const auto [inventory, status] = scan_fake("short_table");
  CHECK(status.state == PluginState::ok);
  REQUIRE(inventory.devices.size() == 2);
  CHECK_FALSE(inventory.devices[0].memory_used_bytes.has_value());
}

TEST_CASE("a plugin of an older minor is accepted, a newer or another major is not") {
  trib_plugin table{};
  table.struct_size = sizeof table;
  table.abi_major = 1;
  table.abi_minor = 2;
  table.describe = [](trib_info*) -> std::int32_t { return 0; };
  table.probe = [](const trib_host*, trib_report*) -> std::int32_t { return 0; };
  table.open = [](const trib_host*, trib_cfg*, trib_ctx**) -> std::int32_t { return 0; };
  table.close = [](trib_ctx*) {};
  table.device_list = [](trib_ctx*, void*, std::uint32_t, std::uint32_t, std::uint32_t*) -> std::int32_t { return 0; };
  CHECK(why_refused(1, 2, table).empty());
  CHECK(why_refused(1, 3, table).empty());
  CHECK_FALSE(why_refused(1, 1, table).empty());
  CHECK_FALSE(why_refused(2, 2, table).empty());
}

TEST_CASE("a plugin that fails says why in its own words") {
  const auto [inventory, status] = scan_fake("failing_open");
  CHECK(status.state == PluginState::failed);
  CHECK(status.why == "no permission on /dev/fake0");
  CHECK(inventory.devices.empty());
}

TEST_CASE("crash, abort, exit and exceptions end the probe only; the family is unknown") {
  const struct {
    const char* fake;
    const char* why;
  } cases[] = {{"crashing_list", "crashed in `list`"},   {"aborting_open", "crashed in `open`"},
               {"exiting_probe", "crashed in `probe`"},  {"throwing_list", "it threw an exception"},
               {"throwing_probe", "it threw an exception"}};
  for (const auto& c : cases) {
    const auto [inventory, status] = scan_fake(c.fake);
    INFO(c.fake << ": " << status.why);
    CHECK(status.state == PluginState::unknown);
    CHECK(says(status.why, c.why));
    CHECK(inventory.devices.empty());
  }
}

TEST_CASE("a plugin that hangs is given up at its deadline and ended") {
  for (const char* fake : {"hanging_probe", "hanging_describe"}) {
    const auto [inventory, status] = scan_fake(fake, true, 300);
    INFO(fake << ": " << status.why);
    CHECK(status.state == PluginState::unknown);
    CHECK(says(status.why, "hung: no answer to `"));
    CHECK(inventory.devices.empty());
  }
}

TEST_CASE("the whole scan is bounded, however many plugins hang") {
  TempDir sysfs;
  ScanOptions o = options_for(sysfs, "hanging_probe");
  o.plugin_dirs.push_back(TRIB_BUILD_DIR "/plugins-check/hanging_describe");
  o.total_ms = 300;
  const Inventory inventory = scan(o);
  REQUIRE(inventory.plugins.size() == 2);
  for (const PluginStatus& p : inventory.plugins) CHECK(p.state == PluginState::unknown);
}

TEST_CASE("what a library prints to standard output does not break the frames") {
  CHECK(scan_fake("chatty").status.state == PluginState::ok);
}

TEST_CASE("a count beyond all bounds is cut, not believed") {
  const auto [inventory, status] = scan_fake("garbage_count");
  CHECK(status.state == PluginState::ok);
  CHECK(inventory.devices.size() <= 64);
  CHECK(says(status.why, "its list was cut"));
}

TEST_CASE("a uuid that all cards share is no identity: the PCI address and the machine are") {
  const auto [inventory, status] = scan_fake("constant_uuid");
  REQUIRE(inventory.devices.size() == 2);
  CHECK(inventory.devices[0].key == "pci:0000:3b:00.0/0011223344556677");
  CHECK(inventory.devices[1].key == "pci:0000:5e:00.0/0011223344556677");
  CHECK(inventory.devices[0].key_quality == KeyQuality::pci_host);
  CHECK(inventory.devices[0].memory_used_bytes.has_value());  // still sampled by the plugin's own key
}

TEST_CASE("a library that answers without a card on the bus is not believed, unless configuration forces it") {
  const auto closed = scan_fake("shadow_driver", false);
  CHECK(closed.status.state == PluginState::absent);
  CHECK(says(closed.status.why, "no nvidia card on the PCI bus"));
  CHECK(says(closed.status.why, "libfake-driver.so.1"));
  CHECK(closed.inventory.devices.empty());

  TempDir sysfs;
  ScanOptions o = options_for(sysfs, "shadow_driver");
  o.families["fake_shadow_driver"] = Gate::force;
  CHECK(scan(o).devices.size() == 2);
  trees::add_fake_cards(sysfs);
  o.families["fake_shadow_driver"] = Gate::forbid;
  const Inventory forbidden = scan(o);
  CHECK(forbidden.plugins[0].state == PluginState::forbidden);
  CHECK(forbidden.devices.empty());
}

TEST_CASE("a missing driver is named, with what was tried") {
  const auto [inventory, status] = scan_fake("no_driver");
  CHECK(status.state == PluginState::driver_missing);
  CHECK(status.why == "no fake driver: libfake-driver.so.1 not found");
  CHECK(status.tried == std::vector<std::string>{"libfake-driver.so.1"});
}

TEST_CASE("one card in many that its library does not report is named") {
  TempDir sysfs;
  trees::add_fake_cards(sysfs);
  trees::add_card(sysfs, "0000:86:00.0", "0x10de", "0x2684", "0x030000");
  const Inventory inventory = scan(options_for(sysfs, "healthy"));
  CHECK(inventory.plugins[0].silent_cards == std::vector<std::string>{"0000:86:00.0"});
  REQUIRE(inventory.unclaimed.size() == 1);
  CHECK(inventory.unclaimed[0].address == "0000:86:00.0");
}

TEST_CASE("the bus shows accelerators only, and no management controller's VGA") {
  TempDir sysfs;
  trees::add_fake_cards(sysfs);
  trees::add_card(sysfs, "0000:02:00.0", "0x19e5", "0x1711", "0x030000");  // iBMC
  trees::add_card(sysfs, "0000:c1:00.0", "0x19e5", "0xd802", "0x120000");  // an NPU of the same maker
  trees::add_card(sysfs, "0000:04:00.0", "0x10de", "0x22ba", "0x040300");  // the card's sound function
  trees::add_card(sysfs, "0000:05:00.0", "0x10de", "nonsense", "0x030000");
  const auto cards = scan_pci(sysfs.path());
  REQUIRE(cards.size() == 3);
  CHECK(cards[2].address == "0000:c1:00.0");
  CHECK(scan_pci(sysfs.path("nothing-here")).empty());
}

TEST_CASE("declared devices come through the manual plugin, marked as declared") {
  TempDir sysfs;
  ScanOptions o = options_for(sysfs, {});
  o.plugin_dirs = {TRIB_BUILD_DIR "/plugins"};
  o.declared = {{"birentech", "BR104", std::uint64_t{32} << 30, 2}, {"other", "something", 0, 1}};
  for (const char* other : {"cuda", "hip", "opencl"}) o.families[other] = Gate::forbid;
  const Inventory inventory = scan(o);
  REQUIRE(inventory.devices.size() == 3);
  for (const Device& d : inventory.devices) {
    CHECK(d.declared);
    CHECK(d.key_quality == KeyQuality::none);
  }
  CHECK(inventory.devices[0].vendor == "birentech");
  CHECK(inventory.devices[0].name == "BR104");
  CHECK(inventory.devices[0].memory_bytes == std::uint64_t{32} << 30);
  CHECK(inventory.devices[0].key != inventory.devices[1].key);
  CHECK(inventory.devices[2].vendor == "other");
  CHECK_FALSE(inventory.devices[2].memory_bytes.has_value());

  o.declared.clear();
  const Inventory none = scan(o);
  CHECK(none.devices.empty());
  for (const PluginStatus& p : none.plugins)
    if (p.name == "manual") CHECK(p.why == "no devices are declared");
}

TEST_CASE("without a probe program every family is unknown and says so") {
  TempDir sysfs;
  ScanOptions o = options_for(sysfs, "healthy");
  o.probe = sysfs.path("no-such-program");
  const Inventory inventory = scan(o);
  CHECK(inventory.plugins[0].state == PluginState::unknown);
  CHECK(says(inventory.plugins[0].why, "cannot be started"));
}

namespace {

// One real family (cuda, hip) against a bus and device folder of the test's own.
std::optional<PluginStatus> scan_family(const TempDir& tree, const std::string& family) {
  ScanOptions o = options_for(tree, {});
  o.plugin_dirs = {TRIB_BUILD_DIR "/plugins"};
  o.dev = tree.path("dev");
  for (const char* other : {"cuda", "hip", "opencl", "manual"})
    if (other != family) o.families[other] = Gate::forbid;
  for (const PluginStatus& p : scan(o).plugins)
    if (p.name == family) return p;
  std::printf("SKIPPED: the plugin %s is not built here\n", family.c_str());
  return std::nullopt;
}

bool loads(const char* library) { return ::dlopen(library, RTLD_NOW | RTLD_LOCAL) != nullptr; }

}  // namespace

TEST_CASE("without NVIDIA's driver the probe names the missing library and the empty bus") {
  TempDir tree;
  const auto p = scan_family(tree, "cuda");
  if (!p) return;
  INFO(p->why);
  CHECK(says(p->why, "no nvidia card on the PCI bus"));
  if (loads("libcuda.so.1")) return;  // a machine with a driver: the bus alone decides
  CHECK(p->state == PluginState::driver_missing);
  CHECK(says(p->why, "no NVIDIA driver: libcuda.so.1 not found"));
  CHECK(p->tried == std::vector<std::string>{"libcuda.so.1"});
}

TEST_CASE("a library that has the driver's name alone is no driver") {
  TempDir tree;
  trees::add_fake_cards(tree);
  const char* before = std::getenv("LD_LIBRARY_PATH");
  const std::string kept = before != nullptr ? before : "";
  ::setenv("LD_LIBRARY_PATH", TRIB_BUILD_DIR "/plugins-check/vendor", 1);
  const auto p = scan_family(tree, "cuda");
  before != nullptr ? ::setenv("LD_LIBRARY_PATH", kept.c_str(), 1) : ::unsetenv("LD_LIBRARY_PATH");
  if (!p) return;
  INFO(p->why);
  CHECK(p->state == PluginState::too_old);
  CHECK(says(p->library, "plugins-check/vendor/libcuda.so.1"));
  CHECK(p->cards == 2);
}

TEST_CASE("without AMD's driver the node is named; with it and no card the family is absent") {
  TempDir tree;
  auto p = scan_family(tree, "hip");
  if (!p) return;
  INFO(p->why);
  CHECK(p->state == PluginState::driver_missing);
  CHECK(says(p->why, "no AMD driver: " + tree.path("dev/kfd") + " not found"));
  if (std::filesystem::exists("/dev/kfd")) return;  // a real card may answer
  tree.write("dev/kfd", "");
  p = scan_family(tree, "hip");
  INFO(p->why);
  CHECK(p->state == PluginState::absent);
  CHECK(says(p->why, "no AMD device"));
}

TEST_CASE("both printers say what was found and why not") {
  TempDir sysfs;
  trees::add_fake_cards(sysfs);
  ScanOptions o = options_for(sysfs, "healthy");
  o.plugin_dirs.push_back(TRIB_BUILD_DIR "/plugins-check/failing_open");
  std::ostringstream table, json;
  CHECK(print_devices(table, o, false) == 0);
  CHECK(says(table.str(), "Fake 4090"));
  CHECK(says(table.str(), "24.0 GiB"));
  CHECK(says(table.str(), "no permission on /dev/fake0"));
  CHECK(print_devices(json, o, true) == 0);
  CHECK(says(json.str(), R"("memory_bytes":25769803776)"));
  CHECK(says(json.str(), R"("state":"failed")"));
  CHECK(decode(json.str()) == std::nullopt);  // numbers are numbers there: not a frame
}

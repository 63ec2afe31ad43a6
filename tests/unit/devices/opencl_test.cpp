// The OpenCL plugin on whatever this machine's loader shows; PoCL's CPU device is enough. Skipped, with a
// line, where there is no platform.
#include <cstdio>

#include "backends/devices/devices.h"
#include "gateway/base/hash.h"
#include "plugins/common/fill_bench.h"
#include "tests/catch.h"
#include "tests/unit/devices/trees.h"

namespace fill = trib::plugin::fill;
using namespace trib::devices;

namespace {

ScanOptions opencl_only() {
  ::setenv("POCL_CACHE_DIR", TRIB_BUILD_DIR "/pocl-cache", 0);
  ScanOptions o;
  o.probe = TRIB_BUILD_DIR "/tributary-probe";
  o.plugin_dirs = {TRIB_BUILD_DIR "/plugins"};
  for (const char* other : {"cuda", "hip", "manual"}) o.families[other] = Gate::forbid;
  o.call_ms = 60'000;
  o.total_ms = 120'000;
  return o;
}

const PluginStatus* opencl_of(const Inventory& inventory) {
  for (const PluginStatus& p : inventory.plugins)
    if (p.name == "opencl") return &p;
  return nullptr;
}

// What an honest device commits to, computed here.
std::string expected_digest(const std::string& seed_hex, std::uint64_t blocks, std::uint32_t iterations) {
  std::uint8_t seed[32];
  std::memcpy(seed, trib::from_hex(seed_hex)->data(), 32);
  std::vector<trib::plugin::Digest> leaves;
  for (std::uint32_t t = 0; t < iterations; ++t)
    for (std::uint32_t b = 0; b < blocks; ++b)
      leaves.push_back(fill::leaf_of(t, b, fill::row_digest(fill::block_sums(fill::stream_of(seed, t), b).v)));
  return trib::to_hex(fill::root_of(std::move(leaves)));
}

}  // namespace

TEST_CASE("OpenCL devices are listed and fill their memory as the reference does") {
  const ScanOptions o = opencl_only();
  const Inventory inventory = scan(o);
  const PluginStatus* plugin = opencl_of(inventory);
  if (plugin == nullptr || plugin->state != PluginState::ok || inventory.devices.empty()) {
    std::printf("SKIPPED: no OpenCL here: %s\n", plugin == nullptr ? "the plugin is not built" : plugin->why.c_str());
    return;
  }
  const Device& d = inventory.devices[0];
  CHECK_FALSE(d.name.empty());
  CHECK_FALSE(d.key.empty());
  REQUIRE(d.memory_bytes.has_value());
  CHECK(*d.memory_bytes > 0);
  CHECK_FALSE(d.temp_mc.has_value());  // OpenCL cannot know
  CHECK(scan(o).devices[0].key == d.key);

  FillRequest request;
  request.memory_bytes = 20 * fill::block_bytes;
  request.iterations = 2;
  request.ms_max = 60'000;
  request.seed_hex = "00112233445566778899aabbccddeeff102132435465768798a9bacbdcedfe0f";
  const FillResult result = run_fill(o, *plugin, d, request);
  INFO(result.why);
  REQUIRE(result.ok);
  CHECK(result.iterations == 2);
  CHECK(result.ns_min > 0);
  CHECK(result.digest_hex == expected_digest(request.seed_hex, 20, 2));

  request.memory_bytes = 1;  // less than a block
  CHECK_FALSE(run_fill(o, *plugin, d, request).ok);
}

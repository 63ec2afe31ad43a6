// Which records are one device.
#include "backends/devices/keys.h"

#include "tests/catch.h"

using namespace trib::devices;

namespace {
Device device(std::string plugin, std::string key, std::string pci, KeyQuality quality = KeyQuality::uuid) {
  Device d;
  d.plugin = std::move(plugin);
  d.key = d.plugin_key = key;
  d.uuid = std::move(key);
  d.pci = std::move(pci);
  d.key_quality = quality;
  d.kind = DeviceKind::physical;
  return d;
}
const std::string salt = "0123456789abcdef0123";
}  // namespace

TEST_CASE("good keys stay") {
  std::vector<Device> family{device("cuda", "GPU-a", "0000:01:00.0"), device("cuda", "GPU-b", "0000:02:00.0")};
  settle_keys(family, salt);
  CHECK(family[0].key == "GPU-a");
  CHECK(family[1].key_quality == KeyQuality::uuid);
}

TEST_CASE("constant, zero, empty and repeated keys give way to the address") {
  for (const char* bad : {"kunlun2 uuid", "GPU-00000000-0000-0000-0000-000000000000", "0000000000000000", ""}) {
    std::vector<Device> family{device("x", bad, "0000:01:00.0")};
    settle_keys(family, salt);
    INFO(bad);
    CHECK(family[0].key == "pci:0000:01:00.0/0123456789abcdef");
    CHECK(family[0].key_quality == KeyQuality::pci_host);
  }
  std::vector<Device> twins{device("x", "A", "0000:01:00.0"), device("x", "A", "0000:02:00.0")};
  twins[1].serial = "S9";
  settle_keys(twins, salt);
  CHECK(twins[0].key == "pci:0000:01:00.0/0123456789abcdef");
  CHECK(twins[1].key == "pci:0000:02:00.0/S9");
  CHECK(twins[1].key_quality == KeyQuality::pci_serial);
}

TEST_CASE("what still repeats keeps apart, with the lowest quality") {
  std::vector<Device> family{device("x", "A", ""), device("x", "A", "")};
  settle_keys(family, salt);
  CHECK(family[0].key != family[1].key);
  CHECK(family[1].key_quality == KeyQuality::none);
}

TEST_CASE("one card seen by two families is one device, answered for by the vendor's own") {
  Device generic = device("opencl", "pci:0000:01:00.0/x", "0000:01:00.0", KeyQuality::pci_host);
  generic.memory_free_bytes = 5;
  Device own = device("hip", "GPU-a", "0000:01:00.0");
  const auto merged = merge({generic, own});
  REQUIRE(merged.size() == 1);
  CHECK(merged[0].plugin == "hip");
  CHECK(merged[0].key == "GPU-a");
  CHECK(merged[0].also == std::vector<std::string>{"opencl"});
  CHECK(merged[0].memory_free_bytes == 5u);
}

TEST_CASE("the same uuid in two families is one device, also without an address") {
  CHECK(merge({device("opencl", "GPU-a", ""), device("cuda", "GPU-a", "")}).size() == 1);
}

TEST_CASE("two dies at one address and slices of a card stay several") {
  CHECK(merge({device("ascend", "d0", "0000:01:00.0"), device("ascend", "d1", "0000:01:00.0")}).size() == 2);
  Device slice = device("opencl", "MIG-1", "0000:01:00.0");
  slice.kind = DeviceKind::partition;
  CHECK(merge({device("cuda", "GPU-a", "0000:01:00.0"), slice}).size() == 2);
}

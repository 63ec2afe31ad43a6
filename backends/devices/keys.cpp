#include "backends/devices/keys.h"

#include <algorithm>
#include <map>
#include <tuple>

namespace trib::devices {
namespace {

bool constant(const std::string& uuid) {
  const std::size_t digits = static_cast<std::size_t>(
      std::count_if(uuid.begin(), uuid.end(), [](char c) { return c >= '1' && c <= '9'; }));
  const bool letters = uuid.find_first_of("abcdefABCDEF") != std::string::npos;
  if (uuid == "kunlun2 uuid") return true;  // what one container runtime fills in for every card
  return digits == 0 && !letters && uuid.find('0') != std::string::npos;
}

std::string by_address(const Device& d, const std::string& salt, KeyQuality& quality) {
  if (d.pci.empty()) return {};
  quality = d.serial.empty() ? KeyQuality::pci_host : KeyQuality::pci_serial;
  return "pci:" + d.pci + "/" + (d.serial.empty() ? salt.substr(0, 16) : d.serial);
}

bool same(const Device& a, const Device& b) {
  if (a.key == b.key) return true;
  return !a.pci.empty() && a.pci == b.pci && a.kind == b.kind && a.kind == DeviceKind::physical &&
         a.plugin != b.plugin;  // two dies of one card may share an address within a family
}

int rank(const Device& d) { return d.declared ? 2 : d.plugin == "opencl" ? 1 : 0; }

template <class Value>
void take(Value& mine, const Value& other) {
  if (mine == Value{}) mine = other;
}

void join(Device& into, const Device& other) {
  into.also.push_back(other.plugin);
  take(into.vendor, other.vendor);
  take(into.pci, other.pci);
  take(into.uuid, other.uuid);
  take(into.serial, other.serial);
  take(into.arch, other.arch);
  take(into.driver, other.driver);
  take(into.memory_bytes, other.memory_bytes);
  take(into.memory_used_bytes, other.memory_used_bytes);
  take(into.memory_free_bytes, other.memory_free_bytes);
  take(into.util_bp, other.util_bp);
  take(into.temp_mc, other.temp_mc);
}

}  // namespace

void settle_keys(std::vector<Device>& family, const std::string& salt) {
  std::map<std::string, int> seen;
  for (const Device& d : family) ++seen[d.key];
  for (Device& d : family) {
    const bool bad = d.key.empty() || seen[d.key] > 1 ||
                     (d.key_quality == KeyQuality::uuid && (constant(d.uuid) || constant(d.key)));
    if (!bad) continue;
    KeyQuality quality = KeyQuality::none;
    std::string key = by_address(d, salt, quality);
    d.key = key.empty() ? d.plugin + ":" + d.key : std::move(key);
    d.key_quality = quality;
  }
  seen.clear();
  for (Device& d : family) {
    const int nth = seen[d.key]++;
    if (nth == 0) continue;
    d.key += "#" + std::to_string(nth);
    d.key_quality = KeyQuality::none;
  }
}

std::vector<Device> merge(std::vector<Device> all) {
  std::sort(all.begin(), all.end(), [](const Device& a, const Device& b) {
    return std::tuple(rank(a), std::tie(a.plugin, a.pci, a.key)) < std::tuple(rank(b), std::tie(b.plugin, b.pci, b.key));
  });
  std::vector<Device> out;
  for (Device& d : all) {
    const auto known = std::find_if(out.begin(), out.end(), [&](const Device& o) { return same(o, d); });
    if (known == out.end())
      out.push_back(std::move(d));
    else
      join(*known, d);
  }
  std::sort(out.begin(), out.end(), [](const Device& a, const Device& b) {
    return std::tie(a.pci, a.key) < std::tie(b.pci, b.key);
  });
  return out;
}

}  // namespace trib::devices

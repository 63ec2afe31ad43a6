#include "backends/devices/pci.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>

namespace trib::devices {
namespace {

namespace fs = std::filesystem;
constexpr std::size_t cards_max = 256;

std::optional<std::uint32_t> read_hex(const fs::path& file) {
  std::ifstream in(file);
  std::string word;
  if (!(in >> word) || word.size() < 3 || word.compare(0, 2, "0x") != 0) return std::nullopt;
  std::uint32_t value = 0;
  const auto [end, ec] = std::from_chars(word.data() + 2, word.data() + word.size(), value, 16);
  if (ec != std::errc{} || end != word.data() + word.size()) return std::nullopt;
  return value;
}

bool accelerator(const PciCard& card) {
  const std::uint32_t base = card.class_code >> 16;
  const bool management_vga = card.vendor == 0x19e5 && (card.class_code >> 8) == 0x0300;
  return (base == 0x03 || base == 0x12) && !management_vga;
}

}  // namespace

std::vector<PciCard> scan_pci(const std::string& sysfs) {
  std::vector<PciCard> out;
  std::error_code ec;
  fs::directory_iterator at(fs::path(sysfs) / "bus/pci/devices", ec), end;
  for (; !ec && at != end && out.size() < cards_max; at.increment(ec)) {
    const auto vendor = read_hex(at->path() / "vendor"), device = read_hex(at->path() / "device"),
               class_code = read_hex(at->path() / "class");
    if (!vendor || !device || !class_code) continue;
    PciCard card{at->path().filename().string(), *vendor, *device, *class_code};
    if (accelerator(card)) out.push_back(std::move(card));
  }
  std::sort(out.begin(), out.end(), [](const PciCard& a, const PciCard& b) { return a.address < b.address; });
  return out;
}

std::string_view vendor_of(std::uint32_t pci_vendor) {
  static constexpr struct {
    std::uint32_t id;
    std::string_view name;
  } known[] = {{0x10de, "nvidia"},    {0x1002, "amd"},      {0x19e5, "ascend"},    {0xcabc, "cambricon"},
               {0x1d94, "hygon"},     {0x1ed5, "mthreads"}, {0x9999, "metax"},     {0x1e3e, "iluvatar"},
               {0x1e36, "enflame"},   {0x1d22, "kunlunxin"}, {0x1ded, "thead"},    {0x8086, "intel"}};
  for (const auto& k : known)
    if (k.id == pci_vendor) return k.name;
  return {};
}

}  // namespace trib::devices

#include <cstdio>
#include <ostream>

#include "backends/devices/devices.h"
#include "gateway/base/json.h"

namespace trib::devices {
namespace {

// Writes one JSON object; members without a value are left out.
class Object {
 public:
  explicit Object(std::string& out) : out_(out) { out_ += '{'; }
  ~Object() { out_ += '}'; }
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;

  void text(const char* key, std::string_view value) {
    if (value.empty()) return;
    name(key);
    json::quote(value, out_);
  }
  template <class Int>
  void number(const char* key, const std::optional<Int>& value) {
    if (!value) return;
    name(key);
    out_ += std::to_string(*value);
  }
  void flag(const char* key, bool value) {
    name(key);
    out_ += value ? "true" : "false";
  }
  void texts(const char* key, const std::vector<std::string>& values) {
    if (values.empty()) return;
    name(key);
    out_ += '[';
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (i > 0) out_ += ',';
      json::quote(values[i], out_);
    }
    out_ += ']';
  }
  template <class Items, class Write>
  void list(const char* key, const Items& items, Write write) {
    name(key);
    out_ += '[';
    for (std::size_t i = 0; i < items.size(); ++i) {
      out_ += i > 0 ? ",\n  " : "\n  ";
      write(out_, items[i]);
    }
    out_ += items.empty() ? "]" : "\n]";
  }

 private:
  void name(const char* key) {
    if (!first_) out_ += ',';
    first_ = false;
    json::quote(key, out_);
    out_ += ':';
  }
  std::string& out_;
  bool first_ = true;
};

void write_device(std::string& out, const Device& d) {
  Object o(out);
  o.text("key", d.key);
  o.text("key_quality", name(d.key_quality));
  o.text("vendor", d.vendor);
  o.text("name", d.name);
  o.text("plugin", d.plugin);
  o.texts("also", d.also);
  o.flag("declared", d.declared);
  o.text("kind", name(d.kind));
  o.text("pci", d.pci);
  o.text("uuid", d.uuid);
  o.text("serial", d.serial);
  o.text("arch", d.arch);
  o.text("driver", d.driver);
  o.text("runtime", d.runtime);
  o.text("firmware", d.firmware);
  o.text("nodes", d.nodes);
  o.text("parent_key", d.parent_key);
  o.number("cores", d.cores);
  o.number("numa", d.numa);
  o.number("memory_bytes", d.memory_bytes);
  o.number("memory_used_bytes", d.memory_used_bytes);
  o.number("memory_free_bytes", d.memory_free_bytes);
  o.number("util_bp", d.util_bp);
  o.number("temp_mc", d.temp_mc);
}

void write_plugin(std::string& out, const PluginStatus& p) {
  Object o(out);
  o.text("name", p.name);
  o.text("path", p.path);
  o.text("version", p.version);
  o.text("vendor", p.vendor);
  o.text("state", name(p.state));
  o.text("why", p.why);
  o.text("missing", p.missing);
  o.texts("tried", p.tried);
  o.text("library", p.library);
  o.number("cards", std::optional(p.cards));
  o.number("devices", std::optional(p.devices));
  o.texts("silent_cards", p.silent_cards);
}

std::string pci_ids(const PciCard& card) {
  char text[16];
  std::snprintf(text, sizeof text, "%04x:%04x", card.vendor, card.device);
  return text;
}

// What plugins say goes to a terminal: no control characters.
std::string padded(std::string text, std::size_t width) {
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  if (text.size() < width) text.append(width - text.size(), ' ');
  return text;
}

std::string gib(const std::optional<std::uint64_t>& bytes) {
  if (!bytes) return "?";
  char text[32];
  std::snprintf(text, sizeof text, "%.1f GiB", static_cast<double>(*bytes) / (1024.0 * 1024.0 * 1024.0));
  return text;
}

}  // namespace

std::string_view name(PluginState state) {
  switch (state) {
    case PluginState::ok: return "ok";
    case PluginState::absent: return "absent";
    case PluginState::driver_missing: return "driver_missing";
    case PluginState::too_old: return "too_old";
    case PluginState::no_permission: return "no_permission";
    case PluginState::forbidden: return "forbidden";
    case PluginState::refused: return "refused";
    case PluginState::failed: return "failed";
    case PluginState::unknown: return "unknown";
  }
  return "unknown";
}
std::string_view name(KeyQuality quality) {
  switch (quality) {
    case KeyQuality::none: return "none";
    case KeyQuality::pci_host: return "pci_host";
    case KeyQuality::pci_serial: return "pci_serial";
    case KeyQuality::uuid: return "uuid";
  }
  return "none";
}
std::string_view name(DeviceKind kind) {
  switch (kind) {
    case DeviceKind::unknown: return "unknown";
    case DeviceKind::physical: return "physical";
    case DeviceKind::partition: return "partition";
    case DeviceKind::vgpu: return "vgpu";
    case DeviceKind::passthrough: return "passthrough";
  }
  return "unknown";
}

void print_json(std::ostream& out, const Inventory& inventory) {
  std::string text;
  {
    Object o(text);
    o.list("devices", inventory.devices, write_device);
    o.list("plugins", inventory.plugins, write_plugin);
    o.list("unclaimed", inventory.unclaimed, [](std::string& to, const PciCard& card) {
      Object item(to);
      item.text("address", card.address);
      item.text("pci_ids", pci_ids(card));
    });
    o.texts("hidden_by", inventory.hidden_by);
  }
  out << text << "\n";
}

void print_table(std::ostream& out, const Inventory& inventory) {
  out << padded("DEVICE", 44) << padded("VENDOR", 10) << padded("MEMORY", 11) << padded("USED", 11)
      << padded("PLUGIN", 10) << "KEY\n";
  for (const Device& d : inventory.devices)
    out << padded(d.name.empty() ? "?" : d.name, 43) << ' ' << padded(d.vendor.empty() ? "?" : d.vendor, 10)
        << padded(gib(d.memory_bytes), 11) << padded(gib(d.memory_used_bytes), 11) << padded(d.plugin, 10) << padded(d.key, 0)
        << (d.declared ? "  (declared, not seen)" : "") << "\n";
  if (inventory.devices.empty()) out << "none\n";
  out << "\n" << padded("PLUGIN", 12) << padded("STATE", 16) << "WHY\n";
  for (const PluginStatus& p : inventory.plugins) {
    out << padded(p.name, 11) << ' ' << padded(std::string(name(p.state)), 16)
        << (p.why.empty() ? std::to_string(p.devices) + (p.devices == 1 ? " device" : " devices") : padded(p.why, 0)) << "\n";
    for (const std::string& card : p.silent_cards)
      out << padded("", 28) << "on the bus but not reported by the library: " << card << "\n";
  }
  if (inventory.plugins.empty()) out << "none found\n";
  for (const PciCard& card : inventory.unclaimed)
    out << "no plugin lists the card at " << card.address << " (" << pci_ids(card) << ")\n";
  for (const std::string& variable : inventory.hidden_by) out << "note: " << variable << " may hide devices\n";
}

int print_devices(std::ostream& out, const ScanOptions& options, bool json) {
  const Inventory inventory = scan(options);
  json ? print_json(out, inventory) : print_table(out, inventory);
  return 0;
}

}  // namespace trib::devices

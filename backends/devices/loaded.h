// One plugin inside tributary-probe: loaded, checked against the ABI, and called through wrappers that
// turn its structs into messages. Used by one thread; nothing is ever unloaded.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backends/devices/wire.h"
#include "plugins/abi/tributary_device.h"

namespace trib::devices {

// Why the host does not accept this table; empty: it does. Pure: the rule of the ABI with both versions
// given, so that versions to come can be tested.
std::string why_refused(std::uint32_t host_major, std::uint32_t host_minor, const trib_plugin& table);

struct Roots {
  std::string sysfs = "/sys", proc = "/proc", dev = "/dev", salt, faults;
};

class Loaded {
 public:
  explicit Loaded(Roots roots);
  ~Loaded();
  // Opens the library and asks for its table. What is wrong, or empty.
  std::string load(const std::string& path);
  // Answers one request: describe, probe, open, list, sample, fill. "rc" is always there.
  Message answer(const Message& request);

 private:
  struct Host;
  Message describe();
  Message probe();
  Message open(const Fields& request);
  Message list();
  Message sample(const Fields& request);
  Message fill(const Fields& request);
  void add_error(Message& out);

  // A function of the table, or null when the plugin's table ends before it.
  template <class Function>
  Function optional(Function trib_plugin::* member) const;

  std::unique_ptr<Host> host_;
  const trib_plugin* table_ = nullptr;
  trib_ctx* ctx_ = nullptr;
};

}  // namespace trib::devices

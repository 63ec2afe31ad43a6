#include "backends/devices/loaded.h"

#include <dlfcn.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "gateway/base/base.h"

namespace trib::devices {
namespace {

constexpr std::uint32_t devices_max = items_max;

template <std::size_t Cap>
std::string_view fixed(const char (&buffer)[Cap]) {
  return {buffer, ::strnlen(buffer, Cap)};
}
template <std::size_t Cap>
void add(Fields& to, const char* key, const char (&buffer)[Cap], std::uint64_t valid, unsigned bit) {
  if ((valid & TRIB_BIT(bit)) != 0) to[key] = fixed(buffer);
}
template <class Int>
void add_number(Fields& to, const char* key, Int value, std::uint64_t valid, unsigned bit) {
  if ((valid & TRIB_BIT(bit)) != 0) to[key] = std::to_string(value);
}
void add_text(Fields& to, const char* key, const char* value, std::uint64_t valid, unsigned bit) {
  if ((valid & TRIB_BIT(bit)) != 0 && value != nullptr) to[key] = value;
}

std::string loaded_path(void* handle) {
  link_map* map = nullptr;
  if (::dlinfo(handle, RTLD_DI_LINKMAP, &map) != 0 || map == nullptr || map->l_name == nullptr) return {};
  char* real = ::realpath(map->l_name, nullptr);
  std::string path = real != nullptr ? real : map->l_name;
  std::free(real);
  return path;
}

bool reaches(const trib_plugin& table, std::size_t end) { return table.struct_size >= end; }

void add_pci(Fields& to, const trib_device& d) {
  if ((d.valid & TRIB_BIT(TRIB_V_DEVICE_PCI)) == 0) return;
  char text[32];
  std::snprintf(text, sizeof text, "%04x:%02x:%02x.%x", d.pci.domain & 0xffffu, d.pci.bus & 0xffu,
                d.pci.dev & 0x1fu, d.pci.fn & 7u);
  to["pci"] = text;
  to["pci_vendor"] = std::to_string(d.pci.vendor_id);
}

Fields fields_of(const trib_device& d) {
  Fields out;
  add_number(out, "ordinal", d.ordinal, d.valid, TRIB_V_DEVICE_ORDINAL);
  add_number(out, "key_quality", d.key_quality, d.valid, TRIB_V_DEVICE_KEY_QUALITY);
  add_number(out, "kind", d.kind, d.valid, TRIB_V_DEVICE_KIND);
  add_number(out, "cores", d.cores, d.valid, TRIB_V_DEVICE_CORES);
  add_number(out, "numa", d.numa, d.valid, TRIB_V_DEVICE_NUMA);
  add_number(out, "memory", d.mem_total, d.valid, TRIB_V_DEVICE_MEM_TOTAL);
  add(out, "key", d.key, d.valid, TRIB_V_DEVICE_KEY);
  add(out, "parent_key", d.parent_key, d.valid, TRIB_V_DEVICE_PARENT_KEY);
  add(out, "uuid", d.uuid, d.valid, TRIB_V_DEVICE_UUID);
  add(out, "serial", d.serial, d.valid, TRIB_V_DEVICE_SERIAL);
  add(out, "name", d.name, d.valid, TRIB_V_DEVICE_NAME);
  add(out, "driver", d.driver, d.valid, TRIB_V_DEVICE_DRIVER);
  add(out, "runtime", d.runtime, d.valid, TRIB_V_DEVICE_RUNTIME);
  add(out, "firmware", d.firmware, d.valid, TRIB_V_DEVICE_FIRMWARE);
  add(out, "arch", d.arch, d.valid, TRIB_V_DEVICE_ARCH);
  add(out, "nodes", d.nodes, d.valid, TRIB_V_DEVICE_NODES);
  add_pci(out, d);
  return out;
}

// The declaration of `manual` as a file that has no name on any disk.
std::string memory_file(const std::string& text) {
  const int fd = ::memfd_create("tributary-declared", MFD_CLOEXEC);
  if (fd < 0 || ::write(fd, text.data(), text.size()) != static_cast<ssize_t>(text.size())) return {};
  return "/proc/self/fd/" + std::to_string(fd);
}

Message failure(std::int32_t rc, std::string why) {
  return {{{"rc", std::to_string(rc)}, {"why", std::move(why)}}, {}};
}

}  // namespace

std::string why_refused(std::uint32_t host_major, std::uint32_t host_minor, const trib_plugin& table) {
  const auto dotted = [](std::uint32_t a, std::uint32_t b) { return std::to_string(a) + "." + std::to_string(b); };
  if (!reaches(table, offsetof(trib_plugin, abi_minor) + sizeof table.abi_minor)) return "its table has no size";
  if (table.abi_major != host_major || table.abi_minor > host_minor)
    return "it speaks ABI " + dotted(table.abi_major, table.abi_minor) + ", this host " +
           dotted(host_major, host_minor) + " (equal major, minor not above the host's)";
  if (!reaches(table, offsetof(trib_plugin, device_list) + sizeof table.device_list))
    return "its table is too short: it ends before device_list";
  if (table.describe == nullptr || table.probe == nullptr || table.open == nullptr || table.close == nullptr ||
      table.device_list == nullptr)
    return "its table lacks a required function";
  return {};
}

struct Loaded::Host {
  Roots roots;
  std::vector<std::string> tried;
  trib_host abi{};

  explicit Host(Roots r) : roots(std::move(r)) {
    abi.struct_size = sizeof abi;
    abi.user = this;
    abi.log = [](void*, std::uint32_t, const char*) {};
    abi.now_ns = [](void*) { return static_cast<std::uint64_t>(monotonic_ns()); };
    abi.open_library = open_library;
    abi.sysfs_root = roots.sysfs.c_str();
    abi.proc_root = roots.proc.c_str();
    abi.dev_root = roots.dev.c_str();
    abi.host_salt = roots.salt.c_str();
    abi.fault_plan = roots.faults.empty() ? nullptr : roots.faults.c_str();
  }

  static std::int32_t open_library(void* user, const char* const* names, std::uint32_t n, void** handle, char* path,
                                   std::uint32_t cap) {
    if (names == nullptr || handle == nullptr) return TRIB_E_ARG;
    auto& tried = static_cast<Host*>(user)->tried;
    for (std::uint32_t i = 0; i < n; ++i) {
      *handle = ::dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
      if (tried.size() < 32) tried.emplace_back(names[i]);
      if (*handle == nullptr) continue;
      const std::string real = loaded_path(*handle);
      if (path != nullptr && cap > 0) {
        const std::size_t len = std::min<std::size_t>(real.size(), cap - 1);
        std::memcpy(path, real.data(), len);
        path[len] = '\0';
      }
      return TRIB_OK;
    }
    return TRIB_E_ABSENT;
  }
};

Loaded::Loaded(Roots roots) : host_(std::make_unique<Host>(std::move(roots))) {}
Loaded::~Loaded() = default;

template <class Function>
Function Loaded::optional(Function trib_plugin::* member) const {
  const auto* at = reinterpret_cast<const char*>(&(table_->*member));
  const auto end = static_cast<std::size_t>(at - reinterpret_cast<const char*>(table_)) + sizeof(Function);
  return reaches(*table_, end) ? table_->*member : nullptr;
}

std::string Loaded::load(const std::string& path) {
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return ::dlerror();
  const auto query = reinterpret_cast<trib_plugin_query_fn>(::dlsym(library, "trib_plugin_query"));
  if (query == nullptr) return "it does not export trib_plugin_query";
  const trib_plugin* table = nullptr;
  const std::int32_t rc = query(TRIB_ABI_MAJOR, TRIB_ABI_MINOR, &table);
  if (rc == TRIB_E_ABI) return "it does not accept this host's ABI 1.0";
  if (rc != TRIB_OK || table == nullptr) return "trib_plugin_query answered " + std::to_string(rc);
  if (std::string why = why_refused(TRIB_ABI_MAJOR, TRIB_ABI_MINOR, *table); !why.empty()) return why;
  table_ = table;
  return {};
}

Message Loaded::answer(const Message& request) {
  const std::string_view op = text(request.fields, "op");
  if (op == "describe") return describe();
  if (op == "probe") return probe();
  if (op == "open") return open(request.fields);
  if (ctx_ == nullptr) return failure(TRIB_E_ARG, "not open");
  if (op == "list") return list();
  if (op == "sample") return sample(request.fields);
  if (op == "fill") return fill(request.fields);
  return failure(TRIB_E_UNSUPPORTED, "no such request");
}

Message Loaded::describe() {
  trib_info info{};
  info.struct_size = sizeof info;
  const std::int32_t rc = table_->describe(&info);
  if (rc != TRIB_OK) return failure(rc, "describe answered " + std::to_string(rc));
  Message out{{{"rc", "0"}}, {}};
  add_text(out.fields, "name", info.name, info.valid, TRIB_V_INFO_NAME);
  add_text(out.fields, "version", info.version, info.valid, TRIB_V_INFO_VERSION);
  add_text(out.fields, "licence", info.licence, info.valid, TRIB_V_INFO_LICENCE);
  add_text(out.fields, "vendor", info.vendor, info.valid, TRIB_V_INFO_VENDOR);
  add_number(out.fields, "caps", info.caps, info.valid, TRIB_V_INFO_CAPS);
  const bool lists_ids = (info.valid & TRIB_BIT(TRIB_V_INFO_PCI_VENDORS)) != 0 && info.pci_vendors != nullptr;
  for (std::uint32_t i = 0; lists_ids && i < std::min(info.n_pci_vendors, 16u); ++i)
    out.items.push_back({{"pci_vendor", std::to_string(info.pci_vendors[i])}});
  return out;
}

Message Loaded::probe() {
  trib_report r{};
  r.struct_size = sizeof r;
  host_->tried.clear();
  const std::int32_t rc = table_->probe(&host_->abi, &r);
  if (rc != TRIB_OK) return failure(rc, "probe answered " + std::to_string(rc));
  Message out{{{"rc", "0"}}, {}};
  add_number(out.fields, "status", r.status, r.valid, TRIB_V_REPORT_STATUS);
  add_number(out.fields, "n_lib", r.n_lib, r.valid, TRIB_V_REPORT_N_LIB);
  add(out.fields, "library", r.lib_path, r.valid, TRIB_V_REPORT_LIB_PATH);
  add(out.fields, "soname", r.soname, r.valid, TRIB_V_REPORT_SONAME);
  add(out.fields, "missing", r.missing, r.valid, TRIB_V_REPORT_MISSING);
  add(out.fields, "tried", r.tried, r.valid, TRIB_V_REPORT_TRIED);
  if (!out.fields.contains("tried")) {
    std::string& tried = out.fields["tried"];
    for (const std::string& name : host_->tried) tried += name + "\n";
  }
  return out;
}

Message Loaded::open(const Fields& request) {
  if (ctx_ != nullptr) return failure(TRIB_E_ARG, "already open");
  std::string library(text(request, "library"));
  if (request.contains("declared")) library = memory_file(request.at("declared"));
  char err[512] = "";
  trib_cfg cfg{};
  cfg.struct_size = sizeof cfg;
  cfg.lib_override = library.empty() ? nullptr : library.c_str();
  cfg.deadline_ns = number(request, "deadline_ns").value_or(0);
  cfg.fault_plan = host_->abi.fault_plan;
  cfg.err = err;
  cfg.err_cap = sizeof err;
  trib_ctx* ctx = nullptr;
  const std::int32_t rc = table_->open(&host_->abi, &cfg, &ctx);
  if (rc == TRIB_OK && ctx != nullptr) {
    ctx_ = ctx;
    return {{{"rc", "0"}}, {}};
  }
  const std::string_view why = fixed(err);
  return failure(rc == TRIB_OK ? TRIB_E_INTERNAL : rc,
                 why.empty() ? "open answered " + std::to_string(rc) : std::string(why));
}

Message Loaded::list() {
  std::uint32_t cap = 64, n = 0;
  std::vector<trib_device> devices;
  std::int32_t rc = TRIB_E_TRUNCATED;
  for (int tries = 0; rc == TRIB_E_TRUNCATED && tries < 3; ++tries) {
    devices.assign(cap, trib_device{});
    for (trib_device& d : devices) d.struct_size = sizeof d;
    rc = table_->device_list(ctx_, devices.data(), sizeof(trib_device), cap, &n);
    if (rc == TRIB_E_TRUNCATED && cap == devices_max) break;
    if (rc == TRIB_E_TRUNCATED) cap = std::min(std::max(n, cap), devices_max);
  }
  if (rc != TRIB_OK && rc != TRIB_E_TRUNCATED) {
    Message out = failure(rc, "device_list answered " + std::to_string(rc));
    add_error(out);
    return out;
  }
  Message out{{{"rc", "0"}}, {}};
  if (rc == TRIB_E_TRUNCATED || n > cap) out.fields["truncated"] = "1";
  for (std::uint32_t i = 0; i < std::min(n, cap); ++i) out.items.push_back(fields_of(devices[i]));
  return out;
}

Message Loaded::sample(const Fields& request) {
  const auto device_sample = optional(&trib_plugin::device_sample);
  if (device_sample == nullptr) return failure(TRIB_E_UNSUPPORTED, "no device_sample");
  trib_sample s{};
  s.struct_size = sizeof s;
  const std::string key(text(request, "key"));
  const std::int32_t rc = device_sample(ctx_, key.c_str(), &s);
  if (rc != TRIB_OK) {
    Message out = failure(rc, "device_sample answered " + std::to_string(rc));
    add_error(out);
    return out;
  }
  Message out{{{"rc", "0"}}, {}};
  add_number(out.fields, "mem_used", s.mem_used, s.valid, TRIB_V_SAMPLE_MEM_USED);
  add_number(out.fields, "mem_free", s.mem_free, s.valid, TRIB_V_SAMPLE_MEM_FREE);
  add_number(out.fields, "util", s.util, s.valid, TRIB_V_SAMPLE_UTIL);
  add_number(out.fields, "temp_mc", s.temp_mc, s.valid, TRIB_V_SAMPLE_TEMP_MC);
  add_number(out.fields, "power_mw", s.power_mw, s.valid, TRIB_V_SAMPLE_POWER_MW);
  return out;
}

Message Loaded::fill(const Fields& request) {
  const auto bench_run = optional(&trib_plugin::bench_run);
  if (bench_run == nullptr) return failure(TRIB_E_UNSUPPORTED, "this family has no benchmark");
  trib_bench_req req{};
  req.struct_size = sizeof req;
  req.kind = TRIB_BENCH_FILL;
  req.mem_bytes = number(request, "memory").value_or(0);
  req.iterations = static_cast<std::uint32_t>(number(request, "iterations").value_or(0));
  req.max_ms = static_cast<std::uint32_t>(number(request, "ms_max").value_or(0));
  const auto seed = from_hex(text(request, "seed"));
  if (!seed || seed->size() != sizeof req.seed) return failure(TRIB_E_ARG, "the seed must be 32 bytes in hex");
  std::memcpy(req.seed, seed->data(), sizeof req.seed);
  trib_bench_res res{};
  res.struct_size = sizeof res;
  const std::string key(text(request, "key"));
  const std::int32_t rc = bench_run(ctx_, key.c_str(), &req, &res, nullptr, nullptr);
  if (rc != TRIB_OK) {
    Message out = failure(rc, "bench_run answered " + std::to_string(rc));
    add_error(out);
    return out;
  }
  Message out{{{"rc", "0"}}, {}};
  add_number(out.fields, "iterations", res.iterations, res.valid, TRIB_V_BENCH_RES_ITERATIONS);
  add_number(out.fields, "ns_min", res.device_ns_min, res.valid, TRIB_V_BENCH_RES_DEVICE_NS_MIN);
  add_number(out.fields, "ns_median", res.device_ns_median, res.valid, TRIB_V_BENCH_RES_DEVICE_NS_MEDIAN);
  if ((res.valid & TRIB_BIT(TRIB_V_BENCH_RES_DIGEST)) != 0)
    out.fields["digest"] = to_hex(std::string_view(reinterpret_cast<const char*>(res.digest), sizeof res.digest));
  return out;
}

void Loaded::add_error(Message& out) {
  const auto last_error = optional(&trib_plugin::last_error);
  char buffer[256] = "";
  std::int64_t code = 0;
  if (last_error == nullptr || last_error(ctx_, &code, buffer, sizeof buffer) != TRIB_OK) return;
  if (const auto why = fixed(buffer); !why.empty()) out.fields["why"] = why;
}

}  // namespace trib::devices

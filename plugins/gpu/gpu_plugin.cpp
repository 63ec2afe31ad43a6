// The NVIDIA and AMD families from one source, over their compute runtimes: identity, memory and the fill
// benchmark. Utilisation, temperature and processes are the management libraries' and not here.
#include <dlfcn.h>
#include <sys/stat.h>

#include <atomic>
#include <fstream>
#include <memory>
#include <vector>

#include "plugins/common/fill_bench.h"
#include "plugins/common/plugin.h"
#include "plugins/gpu/fill_kernels.h"
#include "plugins/gpu/vendors/vendor.h"

namespace gpu = trib::plugin::gpu;
namespace fill = trib::plugin::fill;
using trib::plugin::put;

struct trib_ctx {
  struct Gpu {
    std::string key, uuid;
    trib_device record{};  // struct_size is the list's business
  };
  const trib_host* host = nullptr;
  std::vector<Gpu> gpus;  // by the runtime's ordinal
  std::atomic<bool> cancel{false};
  gpuError_t code = gpuSuccess;
  std::string error;

  int find(const char* key) const {
    for (std::size_t i = 0; i < gpus.size(); ++i)
      if (key != nullptr && gpus[i].key == key) return static_cast<int>(i);
    return -1;
  }
  std::int32_t fail(gpuError_t e, const char* where) {
    code = e;
    error = std::string(where) + ": " + gpuGetErrorString(e);
    return TRIB_E_TRANSIENT;
  }
};

namespace {

constexpr int devices_max = 64;

std::uint32_t read_hex(const std::string& file) {
  std::ifstream in(file);
  std::uint32_t value = 0;
  in >> std::hex >> value;
  return in ? value : 0;
}

void add_sysfs(trib_device& d, const trib_host& host) {
  const std::string at = std::string(host.sysfs_root) + "/bus/pci/devices/" + trib::plugin::pci_key(d.pci).substr(4);
  d.pci.device_id = read_hex(at + "/device");
  d.pci.sub_vendor = read_hex(at + "/subsystem_vendor");
  d.pci.sub_device = read_hex(at + "/subsystem_device");
  std::ifstream numa(at + "/numa_node");
  if (numa >> d.numa) d.valid |= TRIB_BIT(TRIB_V_DEVICE_NUMA);
}

void set_key(trib_ctx::Gpu& g, const trib_host& host) {
  trib_device& d = g.record;
  const std::string salt = host.host_salt != nullptr ? host.host_salt : "";
  g.key = g.uuid.empty() ? trib::plugin::pci_key(d.pci) + "/" + salt.substr(0, 16) : g.uuid;
  d.key_quality = g.uuid.empty() ? TRIB_KEY_PCI_HOST : TRIB_KEY_UUID;
  put(d.key, g.key, d.valid, TRIB_V_DEVICE_KEY);
  put(d.uuid, g.uuid, d.valid, TRIB_V_DEVICE_UUID);
  d.valid |= TRIB_BIT(TRIB_V_DEVICE_KEY_QUALITY);
}

trib_ctx::Gpu describe_gpu(const gpuDeviceProp& prop, int ordinal, const trib_host& host) {
  trib_ctx::Gpu g;
  trib_device& d = g.record;
  d.ordinal = d.compute_ordinal = static_cast<std::uint32_t>(ordinal);
  d.kind = TRIB_DEV_PHYSICAL;
  d.cores = static_cast<std::uint32_t>(prop.multiProcessorCount);
  d.pci = {static_cast<std::uint32_t>(prop.pciDomainID), static_cast<std::uint32_t>(prop.pciBusID),
           static_cast<std::uint32_t>(prop.pciDeviceID), 0, gpu::pci_vendor, 0, 0, 0};
  d.mem_total = prop.totalGlobalMem;
  d.valid = TRIB_BIT(TRIB_V_DEVICE_ORDINAL) | TRIB_BIT(TRIB_V_DEVICE_COMPUTE_ORDINAL) | TRIB_BIT(TRIB_V_DEVICE_KIND) |
            TRIB_BIT(TRIB_V_DEVICE_CORES) | TRIB_BIT(TRIB_V_DEVICE_PCI) | TRIB_BIT(TRIB_V_DEVICE_MEM_TOTAL);
  add_sysfs(d, host);
  put(d.name, prop.name, d.valid, TRIB_V_DEVICE_NAME);
  put(d.arch, gpu::arch_text(prop), d.valid, TRIB_V_DEVICE_ARCH);
  int version = 0;
  if (gpuDriverGetVersion(&version) == gpuSuccess && version > 0)
    put(d.driver, gpu::version_text(version), d.valid, TRIB_V_DEVICE_DRIVER);
  if (gpuRuntimeGetVersion(&version) == gpuSuccess && version > 0)
    put(d.runtime, gpu::version_text(version), d.valid, TRIB_V_DEVICE_RUNTIME);
  g.uuid = gpu::uuid_text(prop, ordinal);
  set_key(g, host);
  return g;
}

// The fill benchmark's hands (see fill_bench.h).
class FillEngine {
 public:
  FillEngine(trib_ctx& ctx, int ordinal) : ctx_(ctx), ordinal_(ordinal) {}
  FillEngine(const FillEngine&) = delete;
  FillEngine& operator=(const FillEngine&) = delete;
  ~FillEngine() { release(); }

  std::int32_t reserve(std::uint64_t bytes) {
    blocks_ = bytes / fill::block_bytes;
    if (const auto e = gpuSetDevice(ordinal_); e != gpuSuccess) return ctx_.fail(e, "choosing the device");
    void* words = nullptr;
    if (const auto e = gpuMalloc(&words, bytes); e != gpuSuccess) return ctx_.fail(e, "reserving memory");
    words_ = static_cast<std::uint64_t*>(words);
    void* sums = nullptr;
    if (const auto e = gpuMalloc(&sums, blocks_ * 32); e != gpuSuccess) return ctx_.fail(e, "reserving memory");
    sums_ = static_cast<std::uint64_t*>(sums);
    return TRIB_OK;
  }
  std::int32_t fill(std::uint64_t first, std::uint64_t count, const std::uint64_t* s) {
    return after(static_cast<gpuError_t>(gpu::launch_fill(words_, first, count, s)), "filling");
  }
  std::int32_t digest(std::uint64_t first_block, std::uint64_t blocks) {
    return after(static_cast<gpuError_t>(gpu::launch_digest(words_, first_block, blocks, sums_)), "reading back");
  }
  std::int32_t wait() { return after(gpuDeviceSynchronize(), "waiting"); }
  std::int32_t fetch(std::vector<std::uint64_t>& sums) {
    sums.resize(blocks_ * 4);
    return after(gpuMemcpy(sums.data(), sums_, blocks_ * 32, gpuMemcpyDeviceToHost), "fetching the sums");
  }
  void release() {
    if (words_ != nullptr) static_cast<void>(gpuFree(words_));
    if (sums_ != nullptr) static_cast<void>(gpuFree(sums_));
    words_ = sums_ = nullptr;
  }

 private:
  std::int32_t after(gpuError_t e, const char* where) { return e == gpuSuccess ? TRIB_OK : ctx_.fail(e, where); }

  trib_ctx& ctx_;
  int ordinal_;
  std::uint64_t blocks_ = 0;
  std::uint64_t* words_ = nullptr;
  std::uint64_t* sums_ = nullptr;
};

std::int32_t describe(trib_info* out) noexcept {
  if (!trib::plugin::usable(out)) return TRIB_E_ARG;
  static constexpr std::uint32_t pci_vendors[] = {gpu::pci_vendor};
  trib_info info{};
  info.caps = TRIB_CAP_BENCH;
  info.name = gpu::family;
  info.version = "1.0";
  info.licence = "Apache-2.0";
  info.vendor = gpu::vendor;
  info.pci_vendors = pci_vendors;
  info.n_pci_vendors = 1;
  info.libs = gpu::driver_libraries;
  info.n_libs = std::size(gpu::driver_libraries);
  info.selector = TRIB_SEL_UUID;
  info.valid = TRIB_BIT(TRIB_V_INFO_SELECTOR + 1) - 1;
  trib::plugin::hand_over(info, out);
  return TRIB_OK;
}

void say(trib_report& r, std::uint32_t status, const std::string& missing) {
  r.status = status;
  put(r.missing, missing, r.valid, TRIB_V_REPORT_MISSING);
}

std::string node_path(const trib_host& host) { return std::string(host.dev_root) + "/" + gpu::driver_node; }
bool node_there(const trib_host& host) {
  struct stat st {};
  return ::stat(node_path(host).c_str(), &st) == 0;
}

// The driver as a library or as a node; false: the report says what is missing.
bool driver_there(const trib_host& host, trib_report& r) {
  const std::string none = std::string("no ") + gpu::vendor_text + " driver: ";
  if (!gpu::driver_is_library) {
    Dl_info where{};
    if (::dladdr(reinterpret_cast<const void*>(&gpuGetDeviceCount), &where) != 0 && where.dli_fname != nullptr)
      put(r.lib_path, where.dli_fname, r.valid, TRIB_V_REPORT_LIB_PATH);
    put(r.tried, node_path(host), r.valid, TRIB_V_REPORT_TRIED);
    if (node_there(host)) return true;
    say(r, TRIB_P_DRIVER_MISSING, none + node_path(host) + " not found");
    return false;
  }
  void* library = nullptr;
  char path[sizeof r.lib_path] = "";
  if (host.open_library(host.user, gpu::driver_libraries, std::size(gpu::driver_libraries), &library, path,
                        sizeof path) != TRIB_OK) {
    say(r, TRIB_P_DRIVER_MISSING, none + gpu::driver_libraries[0] + " not found");
    return false;
  }
  put(r.lib_path, path, r.valid, TRIB_V_REPORT_LIB_PATH);
  return true;
}

// Why the runtime counts no device.
void explain(gpuError_t e, const trib_host& host, trib_report& r) {
  const std::string text = gpuGetErrorString(e);
  switch (gpu::classify(e)) {
    case gpu::NoCount::absent: return say(r, TRIB_P_ABSENT, std::string("no ") + gpu::vendor_text + " device");
    case gpu::NoCount::stub:
      return say(r, TRIB_P_DRIVER_MISSING, "the library found is the toolkit's stub, not a driver");
    case gpu::NoCount::too_old:
      return say(r, TRIB_P_TOO_OLD, "the driver is older than this build needs: " + text);
    case gpu::NoCount::other: break;
  }
  if (!node_there(host)) return say(r, TRIB_P_PERMISSION, "no device node " + node_path(host) + " here: " + text);
  say(r, TRIB_P_ABSENT, text);
}

std::int32_t probe(const trib_host* host, trib_report* out) noexcept try {
  if (!trib::plugin::usable(host) || !trib::plugin::usable(out)) return TRIB_E_ARG;
  trib_report r{};
  r.valid = TRIB_BIT(TRIB_V_REPORT_STATUS);
  if (driver_there(*host, r)) {
    put(r.soname, gpu::driver_libraries[0], r.valid, TRIB_V_REPORT_SONAME);
    int n = 0;  // left untouched on failure
    const gpuError_t e = gpuGetDeviceCount(&n);
    r.status = TRIB_P_OK;
    if (e != gpuSuccess || n <= 0) {
      explain(e == gpuSuccess ? gpuErrorNoDevice : e, *host, r);
    } else {
      r.n_lib = static_cast<std::uint32_t>(n);
      r.valid |= TRIB_BIT(TRIB_V_REPORT_N_LIB);
    }
  }
  trib::plugin::hand_over(r, out);
  return TRIB_OK;
} catch (...) {
  return TRIB_E_INTERNAL;
}

std::int32_t open_family(const trib_host* host, trib_cfg* cfg, trib_ctx** out) noexcept try {
  if (!trib::plugin::usable(host) || !trib::plugin::usable(cfg) || out == nullptr) return TRIB_E_ARG;
  *out = nullptr;
  if (cfg->lib_override != nullptr) {
    // Loaded first, it also answers when the runtime asks for its SONAME.
    const char* name[] = {cfg->lib_override};
    void* library = nullptr;
    if (host->open_library(host->user, name, 1, &library, nullptr, 0) != TRIB_OK) {
      trib::plugin::put_text(cfg->err, cfg->err_cap, std::string(cfg->lib_override) + " cannot be loaded");
      return TRIB_E_ABSENT;
    }
  }
  auto ctx = std::make_unique<trib_ctx>();
  ctx->host = host;
  int n = 0;
  gpuError_t e = gpuGetDeviceCount(&n);
  for (int i = 0; e == gpuSuccess && i < n && i < devices_max; ++i) {
    gpuDeviceProp prop{};
    e = gpuGetDeviceProperties(&prop, i);
    if (e == gpuSuccess) ctx->gpus.push_back(describe_gpu(prop, i, *host));
  }
  if (e != gpuSuccess) {
    trib::plugin::put_text(cfg->err, cfg->err_cap, gpuGetErrorString(e));
    return e == gpuErrorNoDevice ? TRIB_E_ABSENT : TRIB_E_TRANSIENT;
  }
  *out = ctx.release();
  return TRIB_OK;
} catch (...) {
  return TRIB_E_INTERNAL;
}

void close_family(trib_ctx* ctx) noexcept { delete ctx; }

std::int32_t device_list(trib_ctx* ctx, void* base, std::uint32_t stride, std::uint32_t cap,
                         std::uint32_t* n) noexcept {
  if (ctx == nullptr || n == nullptr || (base == nullptr && cap > 0)) return TRIB_E_ARG;
  *n = static_cast<std::uint32_t>(ctx->gpus.size());
  for (std::uint32_t i = 0; i < *n && i < cap; ++i) {
    auto* out = trib::plugin::element<trib_device>(base, stride, i);
    if (stride < sizeof(trib_device) || !trib::plugin::usable(out)) return TRIB_E_ARG;
    trib::plugin::hand_over(ctx->gpus[i].record, out);
  }
  return *n > cap ? TRIB_E_TRUNCATED : TRIB_OK;
}

// Memory only, of the whole device. Asking costs a context on it, which is given back at once.
std::int32_t device_sample(trib_ctx* ctx, const char* key, trib_sample* out) noexcept try {
  if (ctx == nullptr || !trib::plugin::usable(out)) return TRIB_E_ARG;
  const int ordinal = ctx->find(key);
  if (ordinal < 0) return TRIB_E_STALE;
  trib_sample s{};
  for (const int g : {TRIB_G_UTIL, TRIB_G_TEMP, TRIB_G_POWER, TRIB_G_CLOCK, TRIB_G_HEALTH, TRIB_G_ECC, TRIB_G_PROC})
    s.reason[g] = TRIB_R_UNSUPPORTED;
  s.t_ns = ctx->host->now_ns(ctx->host->user);
  s.valid = TRIB_BIT(TRIB_V_SAMPLE_REASON) | TRIB_BIT(TRIB_V_SAMPLE_T_NS);
  std::size_t free_bytes = 0, total = 0;
  gpuError_t e = gpuSetDevice(ordinal);
  if (e == gpuSuccess) e = gpuMemGetInfo(&free_bytes, &total);
  if (e == gpuSuccess && free_bytes <= total) {
    s.reason[TRIB_G_MEM] = TRIB_R_OK;
    s.mem_free = free_bytes;
    s.mem_used = total - free_bytes;
    s.valid |= TRIB_BIT(TRIB_V_SAMPLE_MEM_FREE) | TRIB_BIT(TRIB_V_SAMPLE_MEM_USED);
  } else {
    ctx->fail(e, "asking for free memory");
    s.reason[TRIB_G_MEM] = TRIB_R_TRANSIENT;
    s.vendor_code = e;
    s.valid |= TRIB_BIT(TRIB_V_SAMPLE_VENDOR_CODE);
  }
  static_cast<void>(gpuDeviceReset());
  trib::plugin::hand_over(s, out);
  return TRIB_OK;
} catch (...) {
  return TRIB_E_INTERNAL;
}

std::int32_t engine_env(trib_ctx* ctx, const char* const* keys, std::uint32_t n, char* kv, std::uint32_t cap,
                        std::uint32_t* len) noexcept try {
  if (ctx == nullptr || keys == nullptr || n == 0) return TRIB_E_ARG;
  std::string pairs;
  if (gpu::order_variable != nullptr) (pairs += gpu::order_variable) += '\0';
  pairs += std::string(gpu::visible_variable) + "=";
  for (std::uint32_t i = 0; i < n; ++i) {
    const int ordinal = ctx->find(keys[i]);
    if (ordinal < 0) return TRIB_E_STALE;
    const std::string& uuid = ctx->gpus[static_cast<std::size_t>(ordinal)].uuid;
    pairs += (i > 0 ? "," : "") + (uuid.empty() ? std::to_string(ordinal) : uuid);
  }
  pairs += '\0';
  return trib::plugin::put_env(pairs, kv, cap, len);
} catch (...) {
  return TRIB_E_INTERNAL;
}

std::int32_t bench_caps(trib_ctx* ctx, const char* key, trib_bench_caps* out) noexcept {
  if (ctx == nullptr) return TRIB_E_ARG;
  return ctx->find(key) >= 0 ? fill::caps(out) : TRIB_E_STALE;
}

std::int32_t bench(trib_ctx* ctx, const char* key, const trib_bench_req* req, trib_bench_res* res,
                   fill::Progress progress, void* user, bool open) noexcept try {
  if (ctx == nullptr) return TRIB_E_ARG;
  const int ordinal = ctx->find(key);
  if (ordinal < 0) return TRIB_E_STALE;
  ctx->cancel = false;
  FillEngine engine(*ctx, ordinal);
  return fill::run(engine, req, res, ctx->cancel, progress, user, open);
} catch (...) {
  return TRIB_E_INTERNAL;
}

std::int32_t bench_run(trib_ctx* ctx, const char* key, const trib_bench_req* req, trib_bench_res* res,
                       fill::Progress progress, void* user) noexcept {
  return bench(ctx, key, req, res, progress, user, false);
}
std::int32_t bench_rows(trib_ctx* ctx, const char* key, const trib_bench_req* req, trib_bench_res* res) noexcept {
  return bench(ctx, key, req, res, nullptr, nullptr, true);
}
void bench_cancel(trib_ctx* ctx) noexcept {
  if (ctx != nullptr) ctx->cancel = true;
}

std::int32_t last_error(trib_ctx* ctx, std::int64_t* vendor_code, char* buf, std::uint32_t cap) noexcept {
  if (ctx == nullptr) return TRIB_E_ARG;
  if (vendor_code != nullptr) *vendor_code = ctx->code;
  trib::plugin::put_text(buf, cap, ctx->error);
  return TRIB_OK;
}

const trib_plugin table = {sizeof(trib_plugin), TRIB_ABI_MAJOR, TRIB_ABI_MINOR, describe, probe, open_family,
                           close_family, nullptr, device_list, device_sample, nullptr, engine_env, bench_caps,
                           bench_run, bench_rows, bench_cancel, last_error};

}  // namespace

extern "C" std::int32_t trib_plugin_query(std::uint32_t host_major, std::uint32_t host_minor,
                                          const trib_plugin** out) {
  return trib::plugin::answer_query(host_major, host_minor, table, out);
}

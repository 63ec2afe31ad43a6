#include "plugins/opencl/opencl.h"

#include <memory>
#include <new>

#include "kernel_text.h"
#include "plugins/common/fill_bench.h"

namespace opencl = trib::plugin::opencl;
namespace fill = trib::plugin::fill;
using opencl::Api;
using opencl::Found;

struct trib_ctx {
  const trib_host* host = nullptr;
  Api cl{};
  std::vector<Found> devices;
  std::atomic<bool> cancel{false};
  std::int64_t vendor_code = 0;
  std::string error;

  Found* find(const char* key) {
    for (Found& f : devices)
      if (key != nullptr && f.key == key) return &f;
    return nullptr;
  }
  std::int32_t fail(std::int32_t code, cl_int vendor, const char* where) {
    vendor_code = vendor;
    error = std::string(where) + " answered " + std::to_string(vendor);
    return code;
  }
};

namespace {

constexpr cl_device_info global_free_memory_amd = 0x4039;  // in KiB, as an array whose first entry is the total

// Defines the macros of the shared kernel source for OpenCL C.
constexpr char prelude[] =
    "#define TRIB_U64 ulong\n"
    "#define TRIB_DEVICE static inline\n"
    "#define TRIB_KERNEL __kernel __attribute__((reqd_work_group_size(64, 1, 1)))\n"
    "#define TRIB_GLOBAL __global\n"
    "#define TRIB_LOCAL __local\n"
    "#define TRIB_BARRIER barrier(CLK_LOCAL_MEM_FENCE)\n"
    "#define TRIB_LOCAL_ID get_local_id(0)\n"
    "#define TRIB_GROUP_ID get_group_id(0)\n"
    "#define TRIB_GLOBAL_ID get_global_id(0)\n";

// The fill benchmark's hands (see fill_bench.h). Everything is released by release() or the end.
class FillEngine {
 public:
  FillEngine(trib_ctx& ctx, const Found& device) : ctx_(ctx), cl_(ctx.cl), device_(device) {}
  FillEngine(const FillEngine&) = delete;
  FillEngine& operator=(const FillEngine&) = delete;
  ~FillEngine() { release(); }

  std::int32_t reserve(std::uint64_t bytes) {
    blocks_ = bytes / fill::block_bytes;
    cl_int rc = CL_SUCCESS;
    context_ = cl_.create_context(nullptr, 1, &device_.id, nullptr, nullptr, &rc);
    if (rc != CL_SUCCESS) return ctx_.fail(TRIB_E_TRANSIENT, rc, "clCreateContext");
    queue_ = cl_.create_queue(context_, device_.id, 0, &rc);
    if (rc != CL_SUCCESS) return ctx_.fail(TRIB_E_TRANSIENT, rc, "clCreateCommandQueue");
    if (const auto built = build(); built != TRIB_OK) return built;
    words_ = cl_.create_buffer(context_, CL_MEM_READ_WRITE, bytes, nullptr, &rc);
    if (rc != CL_SUCCESS) return ctx_.fail(TRIB_E_TRANSIENT, rc, "clCreateBuffer");
    sums_ = cl_.create_buffer(context_, CL_MEM_READ_WRITE, blocks_ * 32, nullptr, &rc);
    if (rc != CL_SUCCESS) return ctx_.fail(TRIB_E_TRANSIENT, rc, "clCreateBuffer");
    return TRIB_OK;
  }

  std::int32_t fill(std::uint64_t first, std::uint64_t count, const std::uint64_t* s) {
    cl_ulong numbers[6] = {first, count, s[0], s[1], s[2], s[3]};
    cl_int rc = cl_.set_arg(fill_, 0, sizeof words_, &words_);
    for (cl_uint i = 0; i < 6 && rc == CL_SUCCESS; ++i) rc = cl_.set_arg(fill_, i + 1, sizeof(cl_ulong), &numbers[i]);
    return rc == CL_SUCCESS ? launch(fill_, count) : ctx_.fail(TRIB_E_INTERNAL, rc, "clSetKernelArg");
  }

  std::int32_t digest(std::uint64_t first_block, std::uint64_t blocks) {
    const cl_ulong first = first_block;
    cl_int rc = cl_.set_arg(digest_, 0, sizeof words_, &words_);
    if (rc == CL_SUCCESS) rc = cl_.set_arg(digest_, 1, sizeof first, &first);
    if (rc == CL_SUCCESS) rc = cl_.set_arg(digest_, 2, sizeof sums_, &sums_);
    return rc == CL_SUCCESS ? launch(digest_, blocks * fill::math::group)
                            : ctx_.fail(TRIB_E_INTERNAL, rc, "clSetKernelArg");
  }

  std::int32_t wait() {
    const cl_int rc = cl_.finish(queue_);
    return rc == CL_SUCCESS ? TRIB_OK : ctx_.fail(TRIB_E_TRANSIENT, rc, "clFinish");
  }

  std::int32_t fetch(std::vector<std::uint64_t>& sums) {
    sums.resize(blocks_ * 4);
    const cl_int rc = cl_.read_buffer(queue_, sums_, CL_TRUE, 0, blocks_ * 32, sums.data(), 0, nullptr, nullptr);
    return rc == CL_SUCCESS ? TRIB_OK : ctx_.fail(TRIB_E_TRANSIENT, rc, "clEnqueueReadBuffer");
  }

  void release() {
    if (sums_ != nullptr) cl_.release_buffer(sums_);
    if (words_ != nullptr) cl_.release_buffer(words_);
    if (digest_ != nullptr) cl_.release_kernel(digest_);
    if (fill_ != nullptr) cl_.release_kernel(fill_);
    if (program_ != nullptr) cl_.release_program(program_);
    if (queue_ != nullptr) cl_.release_queue(queue_);
    if (context_ != nullptr) cl_.release_context(context_);
    sums_ = words_ = nullptr;
    digest_ = fill_ = nullptr;
    program_ = nullptr;
    queue_ = nullptr;
    context_ = nullptr;
  }

 private:
  std::int32_t build() {
    const char* text[] = {prelude, fill_kernel_text};
    cl_int rc = CL_SUCCESS;
    program_ = cl_.create_program(context_, 2, text, nullptr, &rc);
    if (rc != CL_SUCCESS) return ctx_.fail(TRIB_E_INTERNAL, rc, "clCreateProgramWithSource");
    rc = cl_.build_program(program_, 1, &device_.id, "", nullptr, nullptr);
    if (rc != CL_SUCCESS) return ctx_.fail(TRIB_E_INTERNAL, rc, "clBuildProgram");
    fill_ = cl_.create_kernel(program_, "trib_fill", &rc);
    if (rc == CL_SUCCESS) digest_ = cl_.create_kernel(program_, "trib_digest", &rc);
    return rc == CL_SUCCESS ? TRIB_OK : ctx_.fail(TRIB_E_INTERNAL, rc, "clCreateKernel");
  }

  std::int32_t launch(cl_kernel kernel, std::uint64_t items) {
    const std::size_t global = items, local = fill::math::group;
    const cl_int rc = cl_.launch(queue_, kernel, 1, nullptr, &global, &local, 0, nullptr, nullptr);
    return rc == CL_SUCCESS ? TRIB_OK : ctx_.fail(TRIB_E_TRANSIENT, rc, "clEnqueueNDRangeKernel");
  }

  trib_ctx& ctx_;
  const Api& cl_;
  const Found& device_;
  std::uint64_t blocks_ = 0;
  cl_context context_ = nullptr;
  cl_command_queue queue_ = nullptr;
  cl_program program_ = nullptr;
  cl_kernel fill_ = nullptr, digest_ = nullptr;
  cl_mem words_ = nullptr, sums_ = nullptr;
};

std::int32_t describe(trib_info* out) noexcept {
  if (!trib::plugin::usable(out)) return TRIB_E_ARG;
  trib_info info{};
  info.caps = TRIB_CAP_BENCH;
  info.name = "opencl";
  info.version = "1.0";
  info.licence = "Apache-2.0";
  info.vendor = "";
  info.libs = opencl::libraries;
  info.n_libs = std::size(opencl::libraries);
  info.selector = TRIB_SEL_NONE;
  info.valid = TRIB_BIT(TRIB_V_INFO_SELECTOR + 1) - 1;
  info.valid &= ~TRIB_BIT(TRIB_V_INFO_PCI_VENDORS);
  trib::plugin::hand_over(info, out);
  return TRIB_OK;
}

std::int32_t probe(const trib_host* host, trib_report* out) noexcept try {
  if (!trib::plugin::usable(host) || !trib::plugin::usable(out)) return TRIB_E_ARG;
  trib_report r{};
  r.valid = TRIB_BIT(TRIB_V_REPORT_STATUS);
  void* library = nullptr;
  char path[sizeof r.lib_path] = "";
  if (host->open_library(host->user, opencl::libraries, std::size(opencl::libraries), &library, path, sizeof path) !=
      TRIB_OK) {
    r.status = TRIB_P_DRIVER_MISSING;
    trib::plugin::put(r.missing, "no OpenCL loader: libOpenCL.so.1 not found", r.valid, TRIB_V_REPORT_MISSING);
  } else {
    trib::plugin::put(r.lib_path, path, r.valid, TRIB_V_REPORT_LIB_PATH);
    trib::plugin::put(r.soname, opencl::libraries[0], r.valid, TRIB_V_REPORT_SONAME);
    const Api cl = Api::load(library);
    std::int64_t code = 0;
    if (cl.missing != nullptr) {
      r.status = TRIB_P_TOO_OLD;
      trib::plugin::put(r.missing, std::string("the loader has no ") + cl.missing, r.valid, TRIB_V_REPORT_MISSING);
    } else {
      r.n_lib = static_cast<std::uint32_t>(opencl::find_devices(cl, host->host_salt, code).size());
      r.valid |= TRIB_BIT(TRIB_V_REPORT_N_LIB);
      r.status = r.n_lib > 0 ? TRIB_P_OK : TRIB_P_ABSENT;
      if (r.n_lib == 0)
        trib::plugin::put(r.missing, "the OpenCL loader lists no device (no ICD in /etc/OpenCL/vendors?)", r.valid,
                          TRIB_V_REPORT_MISSING);
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
  const char* override_name[] = {cfg->lib_override};
  const bool forced = cfg->lib_override != nullptr;
  void* library = nullptr;
  if (host->open_library(host->user, forced ? override_name : opencl::libraries,
                         forced ? 1 : std::size(opencl::libraries), &library, nullptr, 0) != TRIB_OK) {
    trib::plugin::put_text(cfg->err, cfg->err_cap, "libOpenCL.so.1 not found");
    return TRIB_E_ABSENT;
  }
  auto ctx = std::make_unique<trib_ctx>();
  ctx->host = host;
  ctx->cl = Api::load(library);
  if (ctx->cl.missing != nullptr) {
    trib::plugin::put_text(cfg->err, cfg->err_cap, std::string("the loader has no ") + ctx->cl.missing);
    return TRIB_E_ABSENT;
  }
  ctx->devices = opencl::find_devices(ctx->cl, host->host_salt, ctx->vendor_code);
  *out = ctx.release();
  return TRIB_OK;
} catch (...) {
  return TRIB_E_INTERNAL;
}

void close_family(trib_ctx* ctx) noexcept { delete ctx; }

std::int32_t device_list(trib_ctx* ctx, void* base, std::uint32_t stride, std::uint32_t cap,
                         std::uint32_t* n) noexcept {
  if (ctx == nullptr || n == nullptr || (base == nullptr && cap > 0)) return TRIB_E_ARG;
  *n = static_cast<std::uint32_t>(ctx->devices.size());
  for (std::uint32_t i = 0; i < *n && i < cap; ++i) {
    auto* out = trib::plugin::element<trib_device>(base, stride, i);
    if (stride < sizeof(trib_device) || !trib::plugin::usable(out)) return TRIB_E_ARG;
    trib::plugin::hand_over(ctx->devices[i].record, out);
  }
  return *n > cap ? TRIB_E_TRUNCATED : TRIB_OK;
}

std::int32_t device_sample(trib_ctx* ctx, const char* key, trib_sample* out) noexcept {
  if (ctx == nullptr || !trib::plugin::usable(out)) return TRIB_E_ARG;
  const Found* device = ctx->find(key);
  if (device == nullptr) return TRIB_E_STALE;
  trib_sample s{};
  s.t_ns = ctx->host->now_ns(ctx->host->user);
  s.valid = TRIB_BIT(TRIB_V_SAMPLE_REASON) | TRIB_BIT(TRIB_V_SAMPLE_T_NS);
  for (const int g : {TRIB_G_MEM, TRIB_G_UTIL, TRIB_G_TEMP, TRIB_G_POWER, TRIB_G_CLOCK, TRIB_G_HEALTH, TRIB_G_ECC,
                      TRIB_G_PROC})
    s.reason[g] = TRIB_R_UNSUPPORTED;  // OpenCL has no call for them
  std::size_t free_kib[2] = {0, 0};
  if (device->free_memory) {
    const cl_int rc = ctx->cl.get_device_info(device->id, global_free_memory_amd, sizeof free_kib, free_kib, nullptr);
    s.reason[TRIB_G_MEM] = rc == CL_SUCCESS ? TRIB_R_OK : TRIB_R_TRANSIENT;
    if (rc == CL_SUCCESS) {
      s.mem_free = std::uint64_t{free_kib[0]} * 1024;
      s.valid |= TRIB_BIT(TRIB_V_SAMPLE_MEM_FREE);
    } else {
      s.vendor_code = rc;
      s.valid |= TRIB_BIT(TRIB_V_SAMPLE_VENDOR_CODE);
    }
  }
  trib::plugin::hand_over(s, out);
  return TRIB_OK;
}

std::int32_t bench_caps(trib_ctx* ctx, const char* key, trib_bench_caps* out) noexcept {
  if (ctx == nullptr) return TRIB_E_ARG;
  return ctx->find(key) != nullptr ? fill::caps(out) : TRIB_E_STALE;
}

std::int32_t bench(trib_ctx* ctx, const char* key, const trib_bench_req* req, trib_bench_res* res,
                   fill::Progress progress, void* user, bool open) noexcept try {
  if (ctx == nullptr) return TRIB_E_ARG;
  const Found* device = ctx->find(key);
  if (device == nullptr) return TRIB_E_STALE;
  ctx->cancel = false;
  FillEngine engine(*ctx, *device);
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
  if (vendor_code != nullptr) *vendor_code = ctx->vendor_code;
  trib::plugin::put_text(buf, cap, ctx->error);
  return TRIB_OK;
}

const trib_plugin table = {sizeof(trib_plugin), TRIB_ABI_MAJOR, TRIB_ABI_MINOR, describe, probe, open_family,
                           close_family, nullptr, device_list, device_sample, nullptr, nullptr, bench_caps,
                           bench_run, bench_rows, bench_cancel, last_error};

}  // namespace

extern "C" std::int32_t trib_plugin_query(std::uint32_t host_major, std::uint32_t host_minor,
                                          const trib_plugin** out) {
  return trib::plugin::answer_query(host_major, host_minor, table, out);
}

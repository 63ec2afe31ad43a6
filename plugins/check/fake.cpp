// A fake plugin for tests. TRIB_FAKE names the one way in which it differs from a healthy one of two
// invented NVIDIA cards (fixture PCI addresses 0000:3b:00.0 and 0000:5e:00.0).
#include <unistd.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

#include "plugins/common/plugin.h"

struct trib_ctx {
  int unused = 0;
};

namespace {

using trib::plugin::put;

constexpr bool is(std::string_view name) { return name == TRIB_FAKE; }

// A library that returned with its figure hidden from the optimiser: a real fault, not undefined code.
void crash() { *const_cast<int volatile*>(static_cast<int*>(nullptr)) = 1; }

const std::uint32_t pci_vendors[] = {0x10de};
const char* const libraries[] = {"libfake-driver.so.1"};
trib_ctx the_context;

std::int32_t describe(trib_info* out) {
  if (!trib::plugin::usable(out)) return TRIB_E_ARG;
  if (is("hanging_describe")) ::pause();
  trib_info info{};
  info.name = "fake_" TRIB_FAKE;
  info.version = "0.1";
  info.licence = "Apache-2.0";
  info.vendor = "nvidia";
  info.pci_vendors = pci_vendors;
  info.n_pci_vendors = 1;
  info.libs = libraries;
  info.n_libs = 1;
  info.valid = TRIB_BIT(TRIB_V_INFO_SELECTOR + 1) - 1;
  trib::plugin::hand_over(info, out);
  return TRIB_OK;
}

std::int32_t probe(const trib_host* host, trib_report* out) {
  if (!trib::plugin::usable(host) || !trib::plugin::usable(out)) return TRIB_E_ARG;
  if (is("hanging_probe"))
    for (;;) ::pause();
  if (is("throwing_probe")) throw std::runtime_error("a probe that throws");
  if (is("exiting_probe")) std::exit(0);
  if (is("chatty")) {
    std::puts("a vendor library that prints to standard output");
    std::fflush(stdout);
  }
  trib_report r{};
  r.status = TRIB_P_OK;
  r.valid = TRIB_BIT(TRIB_V_REPORT_STATUS);
  put(r.lib_path, "/opt/fake/libfake-driver.so.1", r.valid, TRIB_V_REPORT_LIB_PATH);
  if (is("no_driver")) {
    void* library = nullptr;
    if (host->open_library(host->user, libraries, 1, &library, nullptr, 0) != TRIB_OK) {
      r.status = TRIB_P_DRIVER_MISSING;
      put(r.missing, "no fake driver: libfake-driver.so.1 not found", r.valid, TRIB_V_REPORT_MISSING);
    }
  }
  trib::plugin::hand_over(r, out);
  return TRIB_OK;
}

std::int32_t open_family(const trib_host*, trib_cfg* cfg, trib_ctx** out) {
  if (!trib::plugin::usable(cfg) || out == nullptr) return TRIB_E_ARG;
  if (is("aborting_open")) std::abort();
  if (is("failing_open")) {
    trib::plugin::put_text(cfg->err, cfg->err_cap, "no permission on /dev/fake0");
    return TRIB_E_PERMISSION;
  }
  *out = &the_context;
  return TRIB_OK;
}

void close_family(trib_ctx*) {}

std::int32_t device_list(trib_ctx*, void* base, std::uint32_t stride, std::uint32_t cap, std::uint32_t* n) {
  if (is("crashing_list")) crash();
  if (is("throwing_list")) throw std::runtime_error("a list that throws");
  *n = is("garbage_count") ? 4'000'000'000u : 2;
  for (std::uint32_t i = 0; i < 2 && i < cap; ++i) {
    auto* out = trib::plugin::element<trib_device>(base, stride, i);
    if (!trib::plugin::usable(out)) return TRIB_E_ARG;
    trib_device d{};
    d.ordinal = i;
    d.kind = TRIB_DEV_PHYSICAL;
    d.key_quality = TRIB_KEY_UUID;
    d.pci = {0, i == 0 ? 0x3bu : 0x5eu, 0, 0, 0x10de, 0x2684, 0, 0};
    d.mem_total = std::uint64_t{24} << 30;
    d.valid = TRIB_BIT(TRIB_V_DEVICE_ORDINAL) | TRIB_BIT(TRIB_V_DEVICE_KIND) | TRIB_BIT(TRIB_V_DEVICE_KEY_QUALITY) |
              TRIB_BIT(TRIB_V_DEVICE_PCI) | TRIB_BIT(TRIB_V_DEVICE_MEM_TOTAL);
    const char* uuid = is("constant_uuid") ? "GPU-00000000-0000-0000-0000-000000000000"
                       : i == 0            ? "GPU-1f3a0c55-0000-4000-8000-00000000000a"
                                           : "GPU-1f3a0c55-0000-4000-8000-00000000000b";
    put(d.uuid, uuid, d.valid, TRIB_V_DEVICE_UUID);
    put(d.key, uuid, d.valid, TRIB_V_DEVICE_KEY);
    put(d.name, "Fake 4090", d.valid, TRIB_V_DEVICE_NAME);
    trib::plugin::hand_over(d, out);
  }
  return TRIB_OK;
}

std::int32_t device_sample(trib_ctx*, const char*, trib_sample* out) {
  if (!trib::plugin::usable(out)) return TRIB_E_ARG;
  trib_sample s{};
  s.mem_used = std::uint64_t{1} << 30;
  s.valid = TRIB_BIT(TRIB_V_SAMPLE_MEM_USED);
  trib::plugin::hand_over(s, out);
  return TRIB_OK;
}

const trib_plugin table = {
    is("short_table")  ? static_cast<std::uint32_t>(offsetof(trib_plugin, device_sample))
    : is("tiny_table") ? 8u
                       : static_cast<std::uint32_t>(sizeof(trib_plugin)),
    is("wrong_major") ? TRIB_ABI_MAJOR + 1 : TRIB_ABI_MAJOR,
    is("newer_minor") || is("polite_newer") ? TRIB_ABI_MINOR + 1 : TRIB_ABI_MINOR,
    describe,
    probe,
    open_family,
    close_family,
    nullptr,
    is("no_device_list") ? nullptr : device_list,
    // What lies behind a short table's end is not a function: calling it would crash.
    is("short_table") ? reinterpret_cast<std::int32_t (*)(trib_ctx*, const char*, trib_sample*)>(16) : device_sample,
    nullptr,
    nullptr,
    nullptr,
    nullptr,
    nullptr,
    nullptr,
    nullptr};

}  // namespace

extern "C" std::int32_t trib_plugin_query(std::uint32_t host_major, std::uint32_t host_minor,
                                          const trib_plugin** out) {
  if (is("polite_newer")) return trib::plugin::answer_query(host_major, host_minor, table, out);
  *out = &table;  // the rude ones do not look at the host's version
  return TRIB_OK;
}

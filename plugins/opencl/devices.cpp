// Listing: what the loader shows, turned into the ABI's record.
#include <dlfcn.h>

#include <cstring>

#include "plugins/common/sha256.h"
#include "plugins/opencl/opencl.h"

namespace trib::plugin::opencl {
namespace {

// From extensions that the 1.2 headers may lack (Khronos registry).
constexpr cl_device_info device_uuid_khr = 0x106A;
constexpr cl_device_info device_pci_bus_info_khr = 0x410F;
struct PciBusInfo {
  cl_uint domain, bus, device, function;
};
constexpr cl_uint platforms_max = 16, devices_max = 64;
constexpr std::uint32_t nvidia = 0x10de;

std::string text_of(const Api& cl, cl_device_id id, cl_device_info what) {
  std::size_t n = 0;
  if (cl.get_device_info(id, what, 0, nullptr, &n) != CL_SUCCESS || n == 0 || n > 65536) return {};
  std::string text(n, '\0');
  if (cl.get_device_info(id, what, n, text.data(), nullptr) != CL_SUCCESS) return {};
  text.resize(std::strlen(text.c_str()));
  const std::size_t first = text.find_first_not_of(' ');
  return first == std::string::npos ? std::string{} : text.substr(first, text.find_last_not_of(' ') + 1 - first);
}

template <class Value>
bool value_of(const Api& cl, cl_device_id id, cl_device_info what, Value& out) {
  return cl.get_device_info(id, what, sizeof out, &out, nullptr) == CL_SUCCESS;
}

bool has(const std::string& extensions, std::string_view name) {
  return (" " + extensions + " ").find(" " + std::string(name) + " ") != std::string::npos;
}

std::string hex(const std::uint8_t* bytes, std::size_t n) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string out;
  for (std::size_t i = 0; i < n; ++i) {
    out += digits[bytes[i] >> 4];
    out += digits[bytes[i] & 15];
  }
  return out;
}

// NVIDIA's tools print the same 16 bytes as GPU-8-4-4-4-12.
std::string uuid_text(const std::uint8_t (&uuid)[16], std::uint32_t vendor) {
  bool zero = true;
  for (const auto b : uuid) zero = zero && b == 0;
  if (zero) return {};
  std::string h = hex(uuid, 16);
  if (vendor != nvidia) return h;
  for (const std::size_t at : {20u, 16u, 12u, 8u}) h.insert(at, "-");
  return "GPU-" + h;
}

void identify(const Api& cl, Found& found, const std::string& extensions, const char* host_salt) {
  trib_device& d = found.record;
  cl_uint vendor = 0;
  value_of(cl, found.id, CL_DEVICE_VENDOR_ID, vendor);
  PciBusInfo bus{};
  if (has(extensions, "cl_khr_pci_bus_info") && value_of(cl, found.id, device_pci_bus_info_khr, bus)) {
    d.pci = {bus.domain, bus.bus, bus.device, bus.function, vendor, 0, 0, 0};
    d.valid |= TRIB_BIT(TRIB_V_DEVICE_PCI);
  }
  std::uint8_t uuid[16] = {};
  if (has(extensions, "cl_khr_device_uuid") && value_of(cl, found.id, device_uuid_khr, uuid))
    put(d.uuid, uuid_text(uuid, vendor), d.valid, TRIB_V_DEVICE_UUID);

  const std::string salt = host_salt != nullptr ? host_salt : "";
  if (d.valid & TRIB_BIT(TRIB_V_DEVICE_UUID)) {
    found.key = d.uuid;
    d.key_quality = TRIB_KEY_UUID;
  } else if (d.valid & TRIB_BIT(TRIB_V_DEVICE_PCI)) {
    found.key = pci_key(d.pci) + "/" + salt.substr(0, 16);
    d.key_quality = TRIB_KEY_PCI_HOST;
  } else {
    const std::string seen = salt + "\n" + d.name + "\n" + std::to_string(d.ordinal);
    Sha256 sha;
    sha.add(seen.data(), seen.size());
    const Digest digest = sha.finish();
    found.key = "opencl:" + hex(digest.data(), 8);
    d.key_quality = TRIB_KEY_NONE;
  }
  put(d.key, found.key, d.valid, TRIB_V_DEVICE_KEY);
  d.valid |= TRIB_BIT(TRIB_V_DEVICE_KEY_QUALITY);
}

void describe(const Api& cl, Found& found, const char* host_salt) {
  trib_device& d = found.record;
  d.valid |= TRIB_BIT(TRIB_V_DEVICE_ORDINAL) | TRIB_BIT(TRIB_V_DEVICE_COMPUTE_ORDINAL) |
             TRIB_BIT(TRIB_V_DEVICE_KIND);
  d.kind = TRIB_DEV_PHYSICAL;
  put(d.name, text_of(cl, found.id, CL_DEVICE_NAME), d.valid, TRIB_V_DEVICE_NAME);
  put(d.driver, text_of(cl, found.id, CL_DRIVER_VERSION), d.valid, TRIB_V_DEVICE_DRIVER);
  put(d.runtime, text_of(cl, found.id, CL_DEVICE_VERSION), d.valid, TRIB_V_DEVICE_RUNTIME);
  cl_ulong memory = 0;
  if (value_of(cl, found.id, CL_DEVICE_GLOBAL_MEM_SIZE, memory) && memory > 0) {
    d.mem_total = memory;
    d.valid |= TRIB_BIT(TRIB_V_DEVICE_MEM_TOTAL);
  }
  cl_uint units = 0;
  if (value_of(cl, found.id, CL_DEVICE_MAX_COMPUTE_UNITS, units)) {
    d.cores = units;
    d.valid |= TRIB_BIT(TRIB_V_DEVICE_CORES);
  }
  cl_device_type type = 0;
  if (value_of(cl, found.id, CL_DEVICE_TYPE, type) && (type & CL_DEVICE_TYPE_CPU) != 0)
    put(d.arch, "cpu", d.valid, TRIB_V_DEVICE_ARCH);
  const std::string extensions = text_of(cl, found.id, CL_DEVICE_EXTENSIONS);
  found.free_memory = has(extensions, "cl_amd_device_attribute_query");
  identify(cl, found, extensions, host_salt);
}

}  // namespace

Api Api::load(void* library) {
  Api api{};
  auto find = [&](auto& function, const char* name) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, name));
    if (function == nullptr && api.missing == nullptr) api.missing = name;
  };
  find(api.get_platform_ids, "clGetPlatformIDs");
  find(api.get_platform_info, "clGetPlatformInfo");
  find(api.get_device_ids, "clGetDeviceIDs");
  find(api.get_device_info, "clGetDeviceInfo");
  find(api.create_context, "clCreateContext");
  find(api.release_context, "clReleaseContext");
  find(api.create_queue, "clCreateCommandQueue");
  find(api.release_queue, "clReleaseCommandQueue");
  find(api.create_program, "clCreateProgramWithSource");
  find(api.build_program, "clBuildProgram");
  find(api.release_program, "clReleaseProgram");
  find(api.create_kernel, "clCreateKernel");
  find(api.release_kernel, "clReleaseKernel");
  find(api.set_arg, "clSetKernelArg");
  find(api.create_buffer, "clCreateBuffer");
  find(api.release_buffer, "clReleaseMemObject");
  find(api.launch, "clEnqueueNDRangeKernel");
  find(api.read_buffer, "clEnqueueReadBuffer");
  find(api.finish, "clFinish");
  return api;
}

std::vector<Found> find_devices(const Api& cl, const char* host_salt, std::int64_t& vendor_code) {
  std::vector<Found> out;
  cl_platform_id platforms[platforms_max];
  cl_uint n = 0;
  if (const cl_int rc = cl.get_platform_ids(platforms_max, platforms, &n); rc != CL_SUCCESS) {
    vendor_code = rc;  // -1001: the loader knows no platform
    return out;
  }
  for (cl_uint p = 0; p < std::min(n, platforms_max); ++p) {
    cl_device_id ids[devices_max];
    cl_uint count = 0;
    const cl_int rc = cl.get_device_ids(platforms[p], CL_DEVICE_TYPE_ALL, devices_max, ids, &count);
    if (rc != CL_SUCCESS) {
      vendor_code = rc;
      continue;
    }
    for (cl_uint i = 0; i < std::min(count, devices_max) && out.size() < devices_max; ++i) {
      Found found;
      found.id = ids[i];
      found.platform = platforms[p];
      found.record.ordinal = found.record.compute_ordinal = static_cast<std::uint32_t>(out.size());
      describe(cl, found, host_salt);
      out.push_back(std::move(found));
    }
  }
  return out;
}

}  // namespace trib::plugin::opencl

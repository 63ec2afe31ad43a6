// AMD: the neutral gpu names as the HIP runtime's, and what differs from NVIDIA.
#pragma once
#include <hip/hip_runtime_api.h>

#include <cstdint>
#include <string>

#define gpuError_t hipError_t
#define gpuSuccess hipSuccess
#define gpuGetErrorString hipGetErrorString
#define gpuGetLastError hipGetLastError
#define gpuGetDeviceCount hipGetDeviceCount
#define gpuGetDeviceProperties hipGetDeviceProperties
#define gpuDeviceProp hipDeviceProp_t
#define gpuDriverGetVersion hipDriverGetVersion
#define gpuRuntimeGetVersion hipRuntimeGetVersion
#define gpuSetDevice hipSetDevice
#define gpuDeviceReset hipDeviceReset
#define gpuDeviceSynchronize hipDeviceSynchronize
#define gpuMemGetInfo hipMemGetInfo
#define gpuMalloc hipMalloc
#define gpuFree hipFree
#define gpuMemcpy hipMemcpy
#define gpuMemcpyDeviceToHost hipMemcpyDeviceToHost
#define gpuErrorNoDevice hipErrorNoDevice

namespace trib::plugin::gpu {

inline constexpr const char* family = "hip";
inline constexpr const char* vendor = "amd";
inline constexpr const char* vendor_text = "AMD";
inline constexpr std::uint32_t pci_vendor = 0x1002;
// The plugin is linked against it; the kernel driver shows itself as a node.
inline constexpr const char* driver_libraries[] = {"libamdhip64.so.5"};
inline constexpr bool driver_is_library = false;
inline constexpr const char* driver_node = "kfd";
inline constexpr const char* visible_variable = "ROCR_VISIBLE_DEVICES";
inline constexpr const char* order_variable = nullptr;

enum class NoCount { absent, stub, too_old, other };
inline NoCount classify(hipError_t e) {
  if (e == hipErrorNoDevice) return NoCount::absent;  // 100
  if (e == hipErrorInsufficientDriver) return NoCount::too_old;
  return NoCount::other;
}

// The runtime gives 16 hexadecimal digits as text; tools print them after GPU-.
inline std::string uuid_text(const hipDeviceProp_t&, int ordinal) {
  hipUUID uuid{};
  if (hipDeviceGetUuid(&uuid, ordinal) != hipSuccess) return {};
  const std::string digits(uuid.bytes, sizeof uuid.bytes);
  if (digits.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos) return {};
  return "GPU-" + digits;
}

inline std::string arch_text(const hipDeviceProp_t& prop) { return prop.gcnArchName; }

inline std::string version_text(int v) {
  return std::to_string(v / 10000000) + "." + std::to_string(v / 100000 % 100) + "." + std::to_string(v % 100000);
}

}  // namespace trib::plugin::gpu

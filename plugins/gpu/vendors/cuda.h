// NVIDIA: the neutral gpu names as the CUDA runtime's, and what differs from AMD.
#pragma once
#include <cuda_runtime_api.h>

#include <cstdint>
#include <cstdio>
#include <string>

#define gpuError_t cudaError_t
#define gpuSuccess cudaSuccess
#define gpuGetErrorString cudaGetErrorString
#define gpuGetLastError cudaGetLastError
#define gpuGetDeviceCount cudaGetDeviceCount
#define gpuGetDeviceProperties cudaGetDeviceProperties
#define gpuDeviceProp cudaDeviceProp
#define gpuDriverGetVersion cudaDriverGetVersion
#define gpuRuntimeGetVersion cudaRuntimeGetVersion
#define gpuSetDevice cudaSetDevice
#define gpuDeviceReset cudaDeviceReset
#define gpuDeviceSynchronize cudaDeviceSynchronize
#define gpuMemGetInfo cudaMemGetInfo
#define gpuMalloc cudaMalloc
#define gpuFree cudaFree
#define gpuMemcpy cudaMemcpy
#define gpuMemcpyDeviceToHost cudaMemcpyDeviceToHost
#define gpuErrorNoDevice cudaErrorNoDevice

namespace trib::plugin::gpu {

inline constexpr const char* family = "cuda";
inline constexpr const char* vendor = "nvidia";
inline constexpr const char* vendor_text = "NVIDIA";
inline constexpr std::uint32_t pci_vendor = 0x10de;
// The runtime is linked in; it opens the driver's library itself.
inline constexpr const char* driver_libraries[] = {"libcuda.so.1"};
inline constexpr bool driver_is_library = true;
inline constexpr const char* driver_node = "nvidiactl";
inline constexpr const char* visible_variable = "CUDA_VISIBLE_DEVICES";
inline constexpr const char* order_variable = "CUDA_DEVICE_ORDER=PCI_BUS_ID";

enum class NoCount { absent, stub, too_old, other };
inline NoCount classify(cudaError_t e) {
  switch (e) {
    case cudaErrorNoDevice: return NoCount::absent;                // 100
    case cudaErrorStubLibrary: return NoCount::stub;               // 34: the toolkit's stub has the same SONAME
    case cudaErrorInsufficientDriver: return NoCount::too_old;     // 35: with a driver library in place
    default: return NoCount::other;
  }
}

// As nvidia-smi prints it.
inline std::string uuid_text(const cudaDeviceProp& prop, int) {
  std::string out = "GPU-";
  for (int i = 0; i < 16; ++i) {
    char byte[4];
    std::snprintf(byte, sizeof byte, "%02x", static_cast<unsigned char>(prop.uuid.bytes[i]));
    if (i == 4 || i == 6 || i == 8 || i == 10) out += '-';
    out += byte;
  }
  return out;
}

inline std::string arch_text(const cudaDeviceProp& prop) {
  return "sm_" + std::to_string(prop.major) + std::to_string(prop.minor);
}

inline std::string version_text(int v) { return std::to_string(v / 1000) + "." + std::to_string(v % 1000 / 10); }

}  // namespace trib::plugin::gpu

// The OpenCL family: whatever the ICD loader shows. A generic interface without a PCI gate; its devices
// merge with those of the vendor's own plugin by uuid or PCI address on the host's side.
#pragma once
#include <CL/cl.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "plugins/common/plugin.h"

namespace trib::plugin::opencl {

// The loader's functions, found at run time. `missing` names the first one that is not there.
struct Api {
  decltype(&clGetPlatformIDs) get_platform_ids;
  decltype(&clGetPlatformInfo) get_platform_info;
  decltype(&clGetDeviceIDs) get_device_ids;
  decltype(&clGetDeviceInfo) get_device_info;
  decltype(&clCreateContext) create_context;
  decltype(&clReleaseContext) release_context;
  decltype(&clCreateCommandQueue) create_queue;
  decltype(&clReleaseCommandQueue) release_queue;
  decltype(&clCreateProgramWithSource) create_program;
  decltype(&clBuildProgram) build_program;
  decltype(&clReleaseProgram) release_program;
  decltype(&clCreateKernel) create_kernel;
  decltype(&clReleaseKernel) release_kernel;
  decltype(&clSetKernelArg) set_arg;
  decltype(&clCreateBuffer) create_buffer;
  decltype(&clReleaseMemObject) release_buffer;
  decltype(&clEnqueueNDRangeKernel) launch;
  decltype(&clEnqueueReadBuffer) read_buffer;
  decltype(&clFinish) finish;
  const char* missing = nullptr;

  static Api load(void* library);
};

struct Found {
  cl_device_id id = nullptr;
  cl_platform_id platform = nullptr;
  std::string key;
  trib_device record{};  // struct_size is the list's business
  bool free_memory = false;  // the AMD attribute query is there
};

// Every device of every platform, in the loader's order; a platform that fails is left out and its code
// kept in `vendor_code`.
std::vector<Found> find_devices(const Api& cl, const char* host_salt, std::int64_t& vendor_code);

inline constexpr const char* libraries[] = {"libOpenCL.so.1", "libOpenCL.so"};

}  // namespace trib::plugin::opencl

// The shared kernel source for nvcc and hipcc.
#include "plugins/gpu/fill_kernels.h"

#include "plugins/gpu/vendors/vendor.h"

#if defined(TRIB_GPU_HIP)
#include <hip/hip_runtime.h>
#endif

#define TRIB_U64 unsigned long long
#define TRIB_DEVICE static __device__ inline
#define TRIB_KERNEL static __global__
#define TRIB_GLOBAL
#define TRIB_LOCAL __shared__
#define TRIB_BARRIER __syncthreads()
#define TRIB_LOCAL_ID threadIdx.x
#define TRIB_GROUP_ID blockIdx.x
#define TRIB_GLOBAL_ID ((TRIB_U64)blockIdx.x * blockDim.x + threadIdx.x)
#include "plugins/common/fill_kernel.inc"

static_assert(sizeof(TRIB_U64) == sizeof(std::uint64_t), "words are 64 bits");

namespace trib::plugin::gpu {

int launch_fill(std::uint64_t* words, std::uint64_t first, std::uint64_t count, const std::uint64_t* s) {
  const auto groups = static_cast<unsigned>((count + TRIB_GROUP - 1) / TRIB_GROUP);
  trib_fill<<<groups, TRIB_GROUP>>>(reinterpret_cast<TRIB_U64*>(words), first, count, s[0], s[1], s[2], s[3]);
  return static_cast<int>(gpuGetLastError());
}

int launch_digest(const std::uint64_t* words, std::uint64_t first_block, std::uint64_t blocks, std::uint64_t* sums) {
  trib_digest<<<static_cast<unsigned>(blocks), TRIB_GROUP>>>(reinterpret_cast<const TRIB_U64*>(words), first_block,
                                                             reinterpret_cast<TRIB_U64*>(sums));
  return static_cast<int>(gpuGetLastError());
}

}  // namespace trib::plugin::gpu

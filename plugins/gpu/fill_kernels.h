// Launches of the kernels in fill_kernels.cu, callable from code that the host's own compiler builds. The
// pointers are device memory; the answer is the vendor's error code, 0 for none.
#pragma once
#include <cstdint>

namespace trib::plugin::gpu {

int launch_fill(std::uint64_t* words, std::uint64_t first, std::uint64_t count, const std::uint64_t* s);
int launch_digest(const std::uint64_t* words, std::uint64_t first_block, std::uint64_t blocks, std::uint64_t* sums);

}  // namespace trib::plugin::gpu

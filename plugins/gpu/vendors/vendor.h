// Chooses the vendor that this build of the one source is for.
#pragma once
#if defined(TRIB_GPU_CUDA)
#include "plugins/gpu/vendors/cuda.h"
#elif defined(TRIB_GPU_HIP)
#include "plugins/gpu/vendors/hip.h"
#else
#error "TRIB_GPU_CUDA or TRIB_GPU_HIP must be defined"
#endif

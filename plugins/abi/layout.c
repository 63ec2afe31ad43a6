/* The frozen layout, checked by the compiler: as C11 here, as C++ by layout.cpp. Only 64-bit Linux is
 * promised. */
#include "plugins/abi/tributary_device.h"

#include <stddef.h>
#ifndef __cplusplus
#include <assert.h>
#endif

#define SIZE(type, bytes) static_assert(sizeof(type) == (bytes), "sizeof " #type " changed");
#define AT(type, member, offset) static_assert(offsetof(type, member) == (offset), #type "." #member " moved");
#include "plugins/abi/abi_1_0.golden"
#undef SIZE
#undef AT

/* The order of the `valid` bits is as frozen as the members: the first and the last of each struct. */
static_assert(TRIB_ABI_MAJOR == 1u && TRIB_ABI_MINOR == 0u, "a new version needs a golden file of its own");
static_assert(TRIB_V_INFO_SELECTOR == 9 && TRIB_V_REPORT_TRIED == 6 && TRIB_V_DEVICE_NODES == 18, "valid bits moved");
static_assert(TRIB_V_SAMPLE_VENDOR_CODE == 13 && TRIB_V_PROCESS_FLAGS == 4, "valid bits moved");
static_assert(TRIB_V_BENCH_CAPS_PROVIDER_VERSION == 4 && TRIB_V_BENCH_RES_CLOCK_AFTER == 9, "valid bits moved");
static_assert(TRIB_E_INTERNAL == -10 && TRIB_R_TRUNCATED == 5 && TRIB_G_PROC == 7 && TRIB_P_OK == 4 && TRIB_KEY_UUID == 3,
              "a value changed");

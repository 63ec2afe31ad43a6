/* Tributary device plugins: the C ABI between the probe process and one vendor family. Version 1.0.
 *
 * A plugin is one shared library that exports exactly one symbol, trib_plugin_query, and hides the
 * rest. It runs in a process of its own (tributary-probe): a crash or a hang there makes the family
 * "unknown" and harms nobody else.
 *
 * Version.  The host accepts a plugin when its major equals the host's and its minor is not above the
 *   host's; the plugin checks the same and answers TRIB_E_ABI. Minor grows when a member or an optional
 *   function is appended, major when anything changes meaning, order or size. Nothing is ever
 *   reordered, resized or reused.
 * Sizes.    Every struct that crosses starts with struct_size, set by whoever allocates it, as
 *   sizeof(its type) in the header that side was built with. The writer fills at most
 *   min(struct_size, its own sizeof) and reads nothing beyond. A member is used only if struct_size
 *   reaches its end. Zero, or too small for what the call needs, is TRIB_E_ARG. trib_pci alone has no
 *   size: it is embedded and frozen. A later minor appends at or after the old sizeof, never into
 *   trailing padding, so that struct_size tells the two apart.
 * Absent is not zero.  `valid` has one bit for each member after it, in order (the TRIB_V_ enums). A
 *   reader tests the bit first. What is not known is left out, never written as 0.
 * Units.    Bytes; milli-degrees Celsius; milliwatts; utilisation 0..10000 (hundredths of a percent);
 *   megahertz; nanoseconds of CLOCK_MONOTONIC; PCI numbers as integers; UTF-8 in NUL-terminated fixed
 *   buffers (a text that was cut sets TRIB_V_TEXT_CUT). Conversion is the plugin's duty.
 * Memory.   The caller owns every buffer. The plugin hands out only its table and static strings,
 *   which live as long as the process. Nothing allocated on one side is freed on the other.
 * Lists.    base + stride + cap, with struct_size set in every element by the caller (so element sizes
 *   may differ between builds); the real count comes back in *n; TRIB_E_TRUNCATED when cap was short.
 * Errors.   0 or a negative code; unknown codes and enum values are tolerated by both sides. No
 *   exceptions, no exit, no output on stdout, no C++ types across the boundary.
 * Threads.  describe, probe and open from one thread; then one call at a time per context, serialised
 *   by the host, from any thread. bench_cancel may come at any time from any thread.
 *   TRIB_CAP_REENTRANT declares more. No thread of the plugin outlives close; no callback after it.
 * Lifetime. Plugins and vendor libraries are opened RTLD_NOW|RTLD_LOCAL and never closed.
 * Roots.    Plugins use trib_host's sysfs_root, proc_root and dev_root, never literal paths.
 */
#ifndef TRIBUTARY_DEVICE_H
#define TRIBUTARY_DEVICE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TRIB_ABI_MAJOR 1u
#define TRIB_ABI_MINOR 0u

#define TRIB_BIT(index) (UINT64_C(1) << (index))
#define TRIB_V_TEXT_CUT TRIB_BIT(63) /* in any `valid`: some text did not fit its buffer */

/* What a call answers. */
enum {
  TRIB_OK = 0,
  TRIB_E_ABI = -1,         /* version not accepted */
  TRIB_E_ARG = -2,         /* a size, pointer or value that cannot be */
  TRIB_E_UNSUPPORTED = -3, /* this device or driver cannot; also what a null optional function means */
  TRIB_E_PERMISSION = -4,
  TRIB_E_TRANSIENT = -5, /* may work when tried again */
  TRIB_E_TRUNCATED = -6, /* the list was longer than cap; *n says how long */
  TRIB_E_ABSENT = -7,    /* no such device, library or driver */
  TRIB_E_STALE = -8,     /* the key is of an older generation: list again */
  TRIB_E_CANCELLED = -9,
  TRIB_E_INTERNAL = -10
};

/* Why a group of a sample's figures is there or not: trib_sample.reason[group]. */
enum {
  TRIB_R_NOT_ATTEMPTED = 0,
  TRIB_R_OK,
  TRIB_R_UNSUPPORTED,
  TRIB_R_PERMISSION,
  TRIB_R_TRANSIENT,
  TRIB_R_TRUNCATED
};
enum { TRIB_G_MEM, TRIB_G_UTIL, TRIB_G_TEMP, TRIB_G_POWER, TRIB_G_CLOCK, TRIB_G_HEALTH, TRIB_G_ECC, TRIB_G_PROC };

enum { TRIB_CAP_REENTRANT = 1, TRIB_CAP_PROCESSES = 2, TRIB_CAP_BENCH = 4, TRIB_CAP_PARTITIONS = 8 };

enum { TRIB_P_ABSENT = 0, TRIB_P_DRIVER_MISSING, TRIB_P_TOO_OLD, TRIB_P_PERMISSION, TRIB_P_OK };

/* How good a device's key is, worst first. */
enum { TRIB_KEY_NONE = 0, TRIB_KEY_PCI_HOST, TRIB_KEY_PCI_SERIAL, TRIB_KEY_UUID };

/* trib_device.kind, trib_info.selector (how engine_env names devices to an engine), trib_process.kind. */
enum { TRIB_DEV_UNKNOWN = 0, TRIB_DEV_PHYSICAL, TRIB_DEV_PARTITION, TRIB_DEV_VGPU, TRIB_DEV_PASSTHROUGH };
enum { TRIB_SEL_NONE = 0, TRIB_SEL_INDEX, TRIB_SEL_UUID, TRIB_SEL_PCI };
enum { TRIB_PROC_UNKNOWN = 0, TRIB_PROC_COMPUTE, TRIB_PROC_GRAPHICS, TRIB_PROC_BOTH };
enum { TRIB_PF_INCOMPLETE = 1 }; /* trib_process.flags: the list is known not to hold every process */

/* Benchmarks. `kinds` and `dtypes` of trib_bench_caps are masks of TRIB_BIT(kind), TRIB_BIT(dtype). */
enum { TRIB_BENCH_GEMM = 0, TRIB_BENCH_COPY, TRIB_BENCH_READ, TRIB_BENCH_WRITE, TRIB_BENCH_FILL };
enum { TRIB_DT_NONE = 0, TRIB_DT_FP32, TRIB_DT_TF32, TRIB_DT_FP16, TRIB_DT_BF16, TRIB_DT_INT8 };
enum { TRIB_PROVIDER_UNKNOWN = 0, TRIB_PROVIDER_VENDOR_LIB, TRIB_PROVIDER_OWN_KERNEL };

enum { TRIB_LOG_ERROR = 0, TRIB_LOG_WARN, TRIB_LOG_INFO, TRIB_LOG_DEBUG };

typedef struct trib_ctx trib_ctx; /* opaque, owned by the plugin */

typedef struct { /* frozen: no struct_size */
  uint32_t domain, bus, dev, fn;
  uint32_t vendor_id, device_id, sub_vendor, sub_device;
} trib_pci;

/* The host's services. It and its strings live until the process ends. */
typedef struct {
  uint32_t struct_size;
  void *user; /* handed back as the first argument of each callback */
  /* Any thread; `msg` is copied. May be null. */
  void (*log)(void *user, uint32_t level, const char *msg);
  uint64_t (*now_ns)(void *user); /* CLOCK_MONOTONIC */
  /* Opens the first of `names` that loads (RTLD_NOW|RTLD_LOCAL) and remembers what was tried. `path`
   * (may be null) receives the real file, cut to `cap`. TRIB_E_ABSENT when none loads. The handle is
   * the process's for ever: look symbols up with dlsym, never close it. */
  int32_t (*open_library)(void *user, const char *const *names, uint32_t n, void **handle, char *path, uint32_t cap);
  const char *sysfs_root, *proc_root, *dev_root; /* "/sys", "/proc", "/dev", or a test's tree */
  const char *host_salt;                         /* hash of the machine's identity, hex */
  const char *fault_plan;                        /* for stand-ins in tests only; may be null */
} trib_host;

/* Static facts of the plugin. describe makes no driver call. */
typedef struct {
  uint32_t struct_size;
  uint64_t valid;                                /* TRIB_V_INFO_ */
  uint64_t caps;                                 /* TRIB_CAP_ */
  const char *name, *version, *licence, *vendor; /* vendor: "nvidia", "ascend", ...; "" for a generic interface */
  const uint32_t *pci_vendors;                   /* whose cards this family drives; none: no PCI gate */
  uint32_t n_pci_vendors;
  const char *const *libs; /* the vendor libraries it looks for, best first */
  uint32_t n_libs;
  uint32_t selector; /* TRIB_SEL_ */
} trib_info;
enum {
  TRIB_V_INFO_CAPS = 0,
  TRIB_V_INFO_NAME,
  TRIB_V_INFO_VERSION,
  TRIB_V_INFO_LICENCE,
  TRIB_V_INFO_VENDOR,
  TRIB_V_INFO_PCI_VENDORS,
  TRIB_V_INFO_N_PCI_VENDORS,
  TRIB_V_INFO_LIBS,
  TRIB_V_INFO_N_LIBS,
  TRIB_V_INFO_SELECTOR
};

/* What probe found. Missing software is an answer (TRIB_OK with a status), not an error. */
typedef struct {
  uint32_t struct_size;
  uint64_t valid;     /* TRIB_V_REPORT_ */
  uint32_t status;    /* TRIB_P_ */
  uint32_t n_pci;     /* cards of this family in sysfs, where the plugin counts them */
  uint32_t n_lib;     /* devices that the library reports */
  char lib_path[256]; /* the real file */
  char soname[64];
  char missing[512]; /* what to install or mount, in plain words */
  char tried[1024];  /* names and paths tried, separated by a newline */
} trib_report;
enum {
  TRIB_V_REPORT_STATUS = 0,
  TRIB_V_REPORT_N_PCI,
  TRIB_V_REPORT_N_LIB,
  TRIB_V_REPORT_LIB_PATH,
  TRIB_V_REPORT_SONAME,
  TRIB_V_REPORT_MISSING,
  TRIB_V_REPORT_TRIED
};

/* How to open. A failing open writes its reason to err (NUL-terminated, cut to err_cap). */
typedef struct {
  uint32_t struct_size;
  const char *lib_override; /* absolute file to use instead of the search; may be null */
  uint64_t deadline_ns;     /* on now_ns; 0: none */
  const char *fault_plan;   /* for stand-ins in tests only; may be null */
  char *err;
  uint32_t err_cap;
} trib_cfg;

typedef struct {
  uint32_t struct_size;
  uint64_t valid;           /* TRIB_V_DEVICE_ */
  uint32_t ordinal;         /* place in this list; never an identity */
  uint32_t key_quality;     /* TRIB_KEY_ */
  uint32_t mgmt_index;      /* in the management library */
  uint32_t compute_ordinal; /* in the compute runtime */
  uint32_t kind;            /* TRIB_DEV_ */
  uint32_t cores;           /* multiprocessors, compute units, dies' cores: the vendor's own count */
  int32_t numa;             /* node; -1: none */
  trib_pci pci;
  uint64_t mem_total; /* bytes usable by programs */
  char key[128];      /* names this device in every later call; unique in the list */
  char parent_key[128]; /* of the card that this slice or die belongs to */
  char uuid[96];        /* as the vendor's tools print it */
  char serial[64], name[96], driver[64], runtime[64], firmware[64];
  char arch[32];   /* "sm_90", "gfx942", ... */
  char nodes[256]; /* device nodes, separated by a space */
} trib_device;
enum {
  TRIB_V_DEVICE_ORDINAL = 0,
  TRIB_V_DEVICE_KEY_QUALITY,
  TRIB_V_DEVICE_MGMT_INDEX,
  TRIB_V_DEVICE_COMPUTE_ORDINAL,
  TRIB_V_DEVICE_KIND,
  TRIB_V_DEVICE_CORES,
  TRIB_V_DEVICE_NUMA,
  TRIB_V_DEVICE_PCI,
  TRIB_V_DEVICE_MEM_TOTAL,
  TRIB_V_DEVICE_KEY,
  TRIB_V_DEVICE_PARENT_KEY,
  TRIB_V_DEVICE_UUID,
  TRIB_V_DEVICE_SERIAL,
  TRIB_V_DEVICE_NAME,
  TRIB_V_DEVICE_DRIVER,
  TRIB_V_DEVICE_RUNTIME,
  TRIB_V_DEVICE_FIRMWARE,
  TRIB_V_DEVICE_ARCH,
  TRIB_V_DEVICE_NODES
};

typedef struct {
  uint32_t struct_size;
  uint64_t valid;     /* TRIB_V_SAMPLE_ */
  uint8_t reason[16]; /* TRIB_R_ by TRIB_G_ */
  uint64_t t_ns;      /* when taken, on now_ns */
  uint64_t mem_used, mem_free;
  uint32_t util, mem_util; /* 0..10000 */
  int32_t temp_mc;         /* milli-degrees Celsius */
  uint32_t power_mw, clock_mhz, mem_clock_mhz;
  uint64_t throttle; /* the vendor's own mask; 0: not throttled */
  uint32_t health;   /* 0: healthy; else the vendor's own code */
  uint64_t ecc_uncorrected;
  int64_t vendor_code; /* of the last call that failed while sampling */
} trib_sample;
enum {
  TRIB_V_SAMPLE_REASON = 0,
  TRIB_V_SAMPLE_T_NS,
  TRIB_V_SAMPLE_MEM_USED,
  TRIB_V_SAMPLE_MEM_FREE,
  TRIB_V_SAMPLE_UTIL,
  TRIB_V_SAMPLE_MEM_UTIL,
  TRIB_V_SAMPLE_TEMP_MC,
  TRIB_V_SAMPLE_POWER_MW,
  TRIB_V_SAMPLE_CLOCK_MHZ,
  TRIB_V_SAMPLE_MEM_CLOCK_MHZ,
  TRIB_V_SAMPLE_THROTTLE,
  TRIB_V_SAMPLE_HEALTH,
  TRIB_V_SAMPLE_ECC_UNCORRECTED,
  TRIB_V_SAMPLE_VENDOR_CODE
};

typedef struct {
  uint32_t struct_size;
  uint64_t valid;    /* TRIB_V_PROCESS_ */
  uint32_t pid;      /* in the host's pid namespace */
  uint32_t util;     /* 0..10000 */
  uint64_t mem_used; /* bytes on this device */
  uint32_t kind;     /* TRIB_PROC_ */
  uint32_t flags;    /* TRIB_PF_ */
} trib_process;
enum {
  TRIB_V_PROCESS_PID = 0,
  TRIB_V_PROCESS_UTIL,
  TRIB_V_PROCESS_MEM_USED,
  TRIB_V_PROCESS_KIND,
  TRIB_V_PROCESS_FLAGS
};

typedef struct {
  uint32_t struct_size;
  uint64_t valid;           /* TRIB_V_BENCH_CAPS_ */
  uint32_t kinds, dtypes;   /* masks, see above */
  uint32_t provider;        /* TRIB_PROVIDER_ */
  char provider_name[64];   /* "cublas", "tributary-fill" */
  char provider_version[64];
} trib_bench_caps;
enum {
  TRIB_V_BENCH_CAPS_KINDS = 0,
  TRIB_V_BENCH_CAPS_DTYPES,
  TRIB_V_BENCH_CAPS_PROVIDER,
  TRIB_V_BENCH_CAPS_PROVIDER_NAME,
  TRIB_V_BENCH_CAPS_PROVIDER_VERSION
};

typedef struct {
  uint32_t struct_size;
  uint32_t kind, dtype, acc_dtype; /* TRIB_BENCH_, TRIB_DT_ */
  uint32_t integer_round;          /* 1: inputs are small integers, the result is exact in any order */
  uint64_t m, n, k;                /* GEMM */
  uint64_t mem_bytes;              /* COPY, READ, WRITE, FILL */
  uint8_t seed[32];                /* of all inputs */
  uint32_t iterations;             /* at most so many */
  uint32_t min_ms, max_ms;         /* no new iteration starts after max_ms; 0: no limit */
  const uint64_t *rows;            /* bench_rows: (iteration << 32) | row */
  uint32_t n_rows;
} trib_bench_req;

typedef struct {
  uint32_t struct_size;
  uint64_t valid;      /* TRIB_V_BENCH_RES_ */
  uint32_t iterations; /* run */
  uint64_t device_ns_min, device_ns_median; /* of one iteration, on the device's clock or the host's */
  uint64_t host_ns;                         /* of the whole call */
  uint8_t digest[32];                       /* Merkle root over the row digests of every iteration */
  void *row_buf;                            /* the caller's; bench_rows fills it */
  uint64_t row_cap, row_len;                /* bytes; row_len: what was or would be written */
  uint32_t clock_before, clock_after;       /* megahertz */
} trib_bench_res;
enum {
  TRIB_V_BENCH_RES_ITERATIONS = 0,
  TRIB_V_BENCH_RES_DEVICE_NS_MIN,
  TRIB_V_BENCH_RES_DEVICE_NS_MEDIAN,
  TRIB_V_BENCH_RES_HOST_NS,
  TRIB_V_BENCH_RES_DIGEST,
  TRIB_V_BENCH_RES_ROW_BUF,
  TRIB_V_BENCH_RES_ROW_CAP,
  TRIB_V_BENCH_RES_ROW_LEN,
  TRIB_V_BENCH_RES_CLOCK_BEFORE,
  TRIB_V_BENCH_RES_CLOCK_AFTER
};

/* The root table, static in the plugin. "(optional)" functions may be null: TRIB_E_UNSUPPORTED. */
typedef struct {
  uint32_t struct_size, abi_major, abi_minor;
  int32_t (*describe)(trib_info *out); /* static facts, no driver call */
  /* Cheap: is the driver there? Keeps no handle but the libraries. */
  int32_t (*probe)(const trib_host *host, trib_report *out);
  /* Ownership of *out moves only on TRIB_OK; until close. `host` outlives the context, `cfg` does not. */
  int32_t (*open)(const trib_host *host, trib_cfg *cfg, trib_ctx **out);
  void (*close)(trib_ctx *ctx); /* null does nothing */
  /* (optional) After hot-plug, a reset or a change of partitions *generation differs: list again; a key
   * that is gone answers TRIB_E_STALE. */
  int32_t (*refresh)(trib_ctx *ctx, uint64_t *generation);
  int32_t (*device_list)(trib_ctx *ctx, void *base, uint32_t stride, uint32_t cap, uint32_t *n); /* trib_device */
  int32_t (*device_sample)(trib_ctx *ctx, const char *key, trib_sample *out);                    /* (optional) */
  /* (optional) trib_process; host pids. Set TRIB_CAP_PROCESSES when given. */
  int32_t (*device_processes)(trib_ctx *ctx, const char *key, void *base, uint32_t stride, uint32_t cap, uint32_t *n);
  /* (optional) What pins an engine to these devices: "NAME=value" texts one after another, each with its
   * NUL; *len is the whole length in bytes. */
  int32_t (*engine_env)(trib_ctx *ctx, const char *const *keys, uint32_t n, char *kv, uint32_t cap, uint32_t *len);
  /* (optional, with TRIB_CAP_BENCH) */
  int32_t (*bench_caps)(trib_ctx *ctx, const char *key, trib_bench_caps *out);
  /* (optional) `progress` may be null and is called on the calling thread. */
  int32_t (*bench_run)(trib_ctx *ctx, const char *key, const trib_bench_req *req, trib_bench_res *res,
                       void (*progress)(void *user, uint32_t permille), void *user);
  /* (optional) After the commitment has been sent: recomputes and opens req->rows into res->row_buf. */
  int32_t (*bench_rows)(trib_ctx *ctx, const char *key, const trib_bench_req *req, trib_bench_res *res);
  /* (optional) Any thread; the benchmark returns TRIB_E_CANCELLED within 100 ms of the running kernel. */
  void (*bench_cancel)(trib_ctx *ctx);
  /* (optional) The last failure of this context: the vendor's code and a text. */
  int32_t (*last_error)(trib_ctx *ctx, int64_t *vendor_code, char *buf, uint32_t cap);
} trib_plugin;

#if defined(__GNUC__)
#define TRIB_EXPORT __attribute__((visibility("default")))
#else
#define TRIB_EXPORT
#endif

/* The only export. TRIB_OK and the table, or TRIB_E_ABI when the versions do not fit. */
TRIB_EXPORT int32_t trib_plugin_query(uint32_t host_major, uint32_t host_minor, const trib_plugin **out);
typedef int32_t (*trib_plugin_query_fn)(uint32_t host_major, uint32_t host_minor, const trib_plugin **out);

#ifdef __cplusplus
}
#endif

#endif

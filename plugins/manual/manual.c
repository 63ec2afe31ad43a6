/* Devices that the operator declares because no plugin knows them: lowest trust, never sampled, and a
 * benchmark is mandatory before they count. Plain C, the smallest complete plugin: a model for others.
 *
 * The declaration stands where another family has its library: trib_cfg.lib_override names a text file,
 * one line a kind of device, fields separated by a tab: VENDOR, MEMORY_BYTES (0: unknown), COUNT, NAME.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/abi/tributary_device.h"

enum { DEVICES_MAX = 64, LINE_MAX_BYTES = 256 };

typedef struct {
  char vendor[32];
  char name[96];
  uint64_t memory_bytes;
} declared;

struct trib_ctx {
  const trib_host *host;
  uint32_t n;
  declared devices[DEVICES_MAX];
};

static int32_t describe(trib_info *out) {
  if (out == NULL || out->struct_size < sizeof(trib_info)) return TRIB_E_ARG;
  const uint32_t size = out->struct_size;
  memset(out, 0, sizeof *out);
  out->struct_size = size;
  out->name = "manual";
  out->version = "1.0";
  out->licence = "Apache-2.0";
  out->vendor = "";
  out->selector = TRIB_SEL_NONE;
  out->valid = TRIB_BIT(TRIB_V_INFO_CAPS) | TRIB_BIT(TRIB_V_INFO_NAME) | TRIB_BIT(TRIB_V_INFO_VERSION) |
               TRIB_BIT(TRIB_V_INFO_LICENCE) | TRIB_BIT(TRIB_V_INFO_VENDOR) | TRIB_BIT(TRIB_V_INFO_N_PCI_VENDORS) |
               TRIB_BIT(TRIB_V_INFO_N_LIBS) | TRIB_BIT(TRIB_V_INFO_SELECTOR);
  return TRIB_OK;
}

static int32_t probe(const trib_host *host, trib_report *out) {
  if (host == NULL || out == NULL || out->struct_size < sizeof(trib_report)) return TRIB_E_ARG;
  const uint32_t size = out->struct_size;
  memset(out, 0, sizeof *out);
  out->struct_size = size;
  out->status = TRIB_P_OK;
  out->valid = TRIB_BIT(TRIB_V_REPORT_STATUS);
  return TRIB_OK;
}

/* One line "vendor\tbytes\tcount\tname"; returns what is wrong with it, or null. */
static const char *read_line(trib_ctx *ctx, char *line) {
  char *bytes = strchr(line, '\t');
  char *count = bytes != NULL ? strchr(bytes + 1, '\t') : NULL;
  char *name = count != NULL ? strchr(count + 1, '\t') : NULL;
  if (name == NULL) return "four fields are needed: vendor, bytes, count, name";
  *bytes++ = *count++ = *name++ = '\0';
  if (*line == '\0' || strlen(line) >= sizeof ctx->devices[0].vendor) return "a vendor of 1 to 31 bytes is needed";
  if (*name == '\0' || strlen(name) >= sizeof ctx->devices[0].name) return "a name of 1 to 95 bytes is needed";
  char *end = NULL;
  errno = 0;
  const unsigned long long memory = strtoull(bytes, &end, 10);
  if (errno != 0 || *bytes < '0' || *bytes > '9' || *end != '\0') return "memory must be a number of bytes";
  const unsigned long n = strtoul(count, &end, 10);
  if (*count < '0' || *count > '9' || *end != '\0' || n == 0) return "count must be a number above 0";
  if (n > DEVICES_MAX - ctx->n) return "more than 64 devices";
  for (unsigned long i = 0; i < n; ++i) {
    declared *d = &ctx->devices[ctx->n++];
    strcpy(d->vendor, line);
    strcpy(d->name, name);
    d->memory_bytes = memory;
  }
  return NULL;
}

static const char *read_file(trib_ctx *ctx, FILE *in) {
  char line[LINE_MAX_BYTES];
  while (fgets(line, sizeof line, in) != NULL) {
    const size_t n = strcspn(line, "\n");
    if (line[n] == '\0' && !feof(in)) return "a line is longer than 254 bytes";
    line[n] = '\0';
    if (n == 0) continue;
    const char *why = read_line(ctx, line);
    if (why != NULL) return why;
  }
  return NULL;
}

static int32_t fail(trib_cfg *cfg, int32_t code, const char *why) {
  if (cfg->err != NULL && cfg->err_cap > 0) snprintf(cfg->err, cfg->err_cap, "%s", why);
  return code;
}

static int32_t open_devices(const trib_host *host, trib_cfg *cfg, trib_ctx **out) {
  if (host == NULL || cfg == NULL || out == NULL || cfg->struct_size < sizeof(trib_cfg)) return TRIB_E_ARG;
  *out = NULL;
  if (cfg->lib_override == NULL) return fail(cfg, TRIB_E_ABSENT, "no devices are declared in the configuration");
  FILE *in = fopen(cfg->lib_override, "re");
  if (in == NULL) return fail(cfg, TRIB_E_ABSENT, "the declaration cannot be read");
  trib_ctx *ctx = calloc(1, sizeof *ctx);
  const char *why = ctx != NULL ? read_file(ctx, in) : "out of memory";
  fclose(in);
  if (why != NULL) {
    free(ctx);
    return fail(cfg, TRIB_E_ARG, why);
  }
  ctx->host = host;
  *out = ctx;
  return TRIB_OK;
}

static void close_devices(trib_ctx *ctx) { free(ctx); }

static void fill(const trib_ctx *ctx, uint32_t i, trib_device *out) {
  const uint32_t size = out->struct_size;
  const declared *d = &ctx->devices[i];
  const char *salt = ctx->host->host_salt != NULL ? ctx->host->host_salt : "";
  memset(out, 0, sizeof *out);
  out->struct_size = size;
  out->ordinal = i;
  out->key_quality = TRIB_KEY_NONE; /* nothing of the hardware is in the key */
  out->kind = TRIB_DEV_UNKNOWN;
  snprintf(out->key, sizeof out->key, "manual:%s:%u:%.16s", d->vendor, (unsigned)i, salt);
  snprintf(out->name, sizeof out->name, "%s", d->name);
  out->valid = TRIB_BIT(TRIB_V_DEVICE_ORDINAL) | TRIB_BIT(TRIB_V_DEVICE_KEY_QUALITY) | TRIB_BIT(TRIB_V_DEVICE_KIND) |
               TRIB_BIT(TRIB_V_DEVICE_KEY) | TRIB_BIT(TRIB_V_DEVICE_NAME);
  if (d->memory_bytes > 0) {
    out->mem_total = d->memory_bytes;
    out->valid |= TRIB_BIT(TRIB_V_DEVICE_MEM_TOTAL);
  }
}

static int32_t device_list(trib_ctx *ctx, void *base, uint32_t stride, uint32_t cap, uint32_t *n) {
  if (ctx == NULL || n == NULL || (base == NULL && cap > 0)) return TRIB_E_ARG;
  *n = ctx->n;
  for (uint32_t i = 0; i < ctx->n && i < cap; ++i) {
    trib_device *out = (trib_device *)(void *)((char *)base + (size_t)stride * i);
    if (stride < sizeof(trib_device) || out->struct_size < sizeof(trib_device)) return TRIB_E_ARG;
    fill(ctx, i, out);
  }
  return ctx->n > cap ? TRIB_E_TRUNCATED : TRIB_OK;
}

static const trib_plugin table = {
    .struct_size = sizeof(trib_plugin),
    .abi_major = TRIB_ABI_MAJOR,
    .abi_minor = TRIB_ABI_MINOR,
    .describe = describe,
    .probe = probe,
    .open = open_devices,
    .close = close_devices,
    .device_list = device_list,
};

int32_t trib_plugin_query(uint32_t host_major, uint32_t host_minor, const trib_plugin **out) {
  if (out == NULL) return TRIB_E_ARG;
  *out = NULL;
  if (host_major != TRIB_ABI_MAJOR || host_minor < table.abi_minor) return TRIB_E_ABI;
  *out = &table;
  return TRIB_OK;
}

// The memory fill benchmark (TRIB_BENCH_FILL), the same in every plugin: each iteration writes the whole
// memory with a stream that (seed, iteration) decides, then reads all of it back in a second pass. Rows
// are blocks of 64 KiB; a row's digest is the block's four sums, little-endian.
//   stream seed of iteration t: s[j] = mix(seed word j ^ mix(t + 1)), seed words little-endian
//   leaf = SHA-256(0x00, t as u32 LE, row as u32 LE, row digest), node = SHA-256(0x01, left, right), an odd
//   last node moves up unchanged; leaves in order of (t, row).
// The row sums find memory that is missing or wrong, not forgery: whoever wants to can compute them
// without the memory, which is why the passes are timed and chosen large.
// An opened row in row_buf: u32 t, u32 row, 32 bytes digest, u32 n, n * 32 bytes siblings from the leaf up
// (levels where the node moved up unchanged have none); all little-endian.
//
// `Engine` is the plugin's part:
//   std::int32_t reserve(std::uint64_t bytes)             memory for the words and their sums
//   std::int32_t fill(first, count, const std::uint64_t s[4])     words
//   std::int32_t digest(first_block, blocks)              into the sums
//   std::int32_t fetch(std::vector<std::uint64_t>& sums)  waits for everything; four a block
//   std::int32_t wait()                                   for what was launched; called after each chunk
//   void release()
#pragma once
#include <algorithm>
#include <atomic>
#include <chrono>
#include <vector>

#include "plugins/common/plugin.h"
#include "plugins/common/sha256.h"

namespace trib::plugin::fill {

namespace math {
#define TRIB_U64 std::uint64_t
#define TRIB_DEVICE inline
#include "plugins/common/fill_kernel.inc"
#undef TRIB_U64
#undef TRIB_DEVICE
inline constexpr std::uint64_t block_words = TRIB_BLOCK_WORDS;
inline constexpr unsigned group = TRIB_GROUP;
#undef TRIB_BLOCK_WORDS
#undef TRIB_GROUP
}  // namespace math
using math::block_words;

inline constexpr std::uint64_t block_bytes = block_words * 8;
inline constexpr std::uint64_t chunk_blocks = 512;  // 32 MiB a launch: a cancel is seen soon after it
inline constexpr std::uint32_t iterations_max = 64;
inline constexpr std::uint64_t leaves_max = 1u << 22;  // 256 GiB in one iteration; 128 MiB of digests

struct Stream {
  std::uint64_t s[4];
};
inline Stream stream_of(const std::uint8_t (&seed)[32], std::uint32_t iteration) {
  Stream out{};
  for (unsigned j = 0; j < 4; ++j) {
    std::uint64_t word = 0;
    for (unsigned i = 0; i < 8; ++i) word |= std::uint64_t{seed[8 * j + i]} << (8 * i);
    out.s[j] = math::trib_mix(word ^ math::trib_mix(std::uint64_t{iteration} + 1));
  }
  return out;
}

struct BlockSums {
  std::uint64_t v[4];
};
// The reference: what an honest device answers for one block.
inline BlockSums block_sums(const Stream& stream, std::uint64_t block) {
  BlockSums out{};
  for (std::uint64_t place = 0; place < block_words; ++place) {
    const std::uint64_t index = block * block_words + place;
    out.v[place & 3] += math::trib_fill_term(math::trib_fill_word(stream.s[index & 3], index), place);
  }
  return out;
}

inline void put_u32(std::uint8_t* to, std::uint32_t v) {
  for (unsigned i = 0; i < 4; ++i) to[i] = static_cast<std::uint8_t>(v >> (8 * i));
}

inline Digest row_digest(const std::uint64_t* sums) {
  Digest out;
  for (unsigned i = 0; i < 32; ++i) out[i] = static_cast<std::uint8_t>(sums[i / 8] >> (8 * (i % 8)));
  return out;
}
inline Digest leaf_of(std::uint32_t iteration, std::uint32_t row, const Digest& digest) {
  std::uint8_t head[9] = {0};
  put_u32(head + 1, iteration);
  put_u32(head + 5, row);
  Sha256 sha;
  sha.add(head, sizeof head);
  sha.add(digest.data(), digest.size());
  return sha.finish();
}
inline Digest node_of(const Digest& left, const Digest& right) {
  const std::uint8_t tag = 1;
  Sha256 sha;
  sha.add(&tag, 1);
  sha.add(left.data(), left.size());
  sha.add(right.data(), right.size());
  return sha.finish();
}

inline void fold(std::vector<Digest>& level) {
  const std::size_t n = level.size();
  for (std::size_t i = 0; i < n; i += 2) level[i / 2] = i + 1 < n ? node_of(level[i], level[i + 1]) : level[i];
  level.resize((n + 1) / 2);
}
inline Digest root_of(std::vector<Digest> level) {
  while (level.size() > 1) fold(level);
  return level.empty() ? Digest{} : level[0];
}

struct Run {
  std::vector<Digest> rows;  // row digests in order of (iteration, row)
  std::uint32_t iterations = 0;
  std::uint64_t blocks = 0;
  std::uint64_t ns_min = 0, ns_median = 0, host_ns = 0;
};

inline std::uint64_t now_ns() {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
          .count());
}

// One pass over all blocks in chunks, with a look at `cancel` after each.
template <class Engine, class Launch>
std::int32_t pass(Engine& engine, std::uint64_t blocks, const std::atomic<bool>& cancel, Launch launch) {
  for (std::uint64_t at = 0; at < blocks; at += chunk_blocks) {
    if (cancel.load(std::memory_order_relaxed)) return TRIB_E_CANCELLED;
    if (const auto rc = launch(at, std::min(chunk_blocks, blocks - at)); rc != TRIB_OK) return rc;
    if (const auto rc = engine.wait(); rc != TRIB_OK) return rc;
  }
  return TRIB_OK;
}

inline std::int32_t check(const trib_bench_req& req) {
  if (req.kind != TRIB_BENCH_FILL) return TRIB_E_UNSUPPORTED;
  const std::uint64_t blocks = req.mem_bytes / block_bytes;
  if (blocks == 0 || req.iterations == 0 || req.iterations > iterations_max) return TRIB_E_ARG;
  if (blocks > leaves_max / req.iterations) return TRIB_E_ARG;
  return TRIB_OK;
}

using Progress = void (*)(void* user, std::uint32_t permille);

template <class Engine>
std::int32_t iterate(Engine& engine, const trib_bench_req& req, const std::atomic<bool>& cancel, Progress progress,
                     void* user, Run& run) {
  const std::uint64_t begin = now_ns();
  run.blocks = req.mem_bytes / block_bytes;
  if (const auto rc = engine.reserve(run.blocks * block_bytes); rc != TRIB_OK) return rc;
  std::vector<std::uint64_t> times, sums;
  for (std::uint32_t t = 0; t < req.iterations; ++t) {
    const std::uint64_t start = now_ns();
    if (t > 0 && req.max_ms > 0 && start - begin > std::uint64_t{req.max_ms} * 1'000'000) break;
    const Stream stream = stream_of(req.seed, t);
    auto rc = pass(engine, run.blocks, cancel, [&](std::uint64_t at, std::uint64_t n) {
      return engine.fill(at * block_words, n * block_words, stream.s);
    });
    if (rc == TRIB_OK)
      rc = pass(engine, run.blocks, cancel, [&](std::uint64_t at, std::uint64_t n) { return engine.digest(at, n); });
    if (rc == TRIB_OK) rc = engine.fetch(sums);
    if (rc != TRIB_OK) return rc;
    times.push_back(now_ns() - start);
    for (std::uint64_t b = 0; b < run.blocks; ++b) run.rows.push_back(row_digest(&sums[b * 4]));
    run.iterations = t + 1;
    if (progress != nullptr) progress(user, run.iterations * 1000 / req.iterations);
  }
  std::sort(times.begin(), times.end());
  run.ns_min = times.front();
  run.ns_median = times[times.size() / 2];
  run.host_ns = now_ns() - begin;
  return TRIB_OK;
}

inline std::vector<Digest> leaves_of(const Run& run) {
  std::vector<Digest> leaves(run.rows.size());
  for (std::size_t i = 0; i < leaves.size(); ++i)
    leaves[i] = leaf_of(static_cast<std::uint32_t>(i / run.blocks), static_cast<std::uint32_t>(i % run.blocks),
                        run.rows[i]);
  return leaves;
}

struct OpenedRow {
  std::uint32_t iteration, row;
  std::size_t place;  // of the leaf, then of its node on each level
  std::vector<Digest> path;
};

inline void put_row(std::vector<std::uint8_t>& out, const OpenedRow& row, const Digest& digest) {
  const std::size_t at = out.size();
  out.resize(at + 8 + digest.size() + 4);
  put_u32(&out[at], row.iteration);
  put_u32(&out[at + 4], row.row);
  std::memcpy(&out[at + 8], digest.data(), digest.size());
  put_u32(&out[at + 8 + digest.size()], static_cast<std::uint32_t>(row.path.size()));
  for (const Digest& d : row.path) out.insert(out.end(), d.begin(), d.end());
}

// Fills row_buf with the rows asked for; row_len is the whole need.
inline std::int32_t open_rows(const Run& run, const trib_bench_req& req, trib_bench_res& res) {
  std::vector<OpenedRow> rows;
  for (std::uint32_t i = 0; i < req.n_rows; ++i) {
    OpenedRow row{static_cast<std::uint32_t>(req.rows[i] >> 32), static_cast<std::uint32_t>(req.rows[i]), 0, {}};
    if (row.iteration >= run.iterations || row.row >= run.blocks) return TRIB_E_ARG;
    row.place = row.iteration * static_cast<std::size_t>(run.blocks) + row.row;
    rows.push_back(std::move(row));
  }
  for (std::vector<Digest> level = leaves_of(run); level.size() > 1; fold(level))
    for (OpenedRow& row : rows) {
      if ((row.place ^ 1) < level.size()) row.path.push_back(level[row.place ^ 1]);
      row.place /= 2;
    }
  std::vector<std::uint8_t> out;
  for (const OpenedRow& row : rows)
    put_row(out, row, run.rows[row.iteration * static_cast<std::size_t>(run.blocks) + row.row]);
  res.row_len = out.size();
  res.valid |= TRIB_BIT(TRIB_V_BENCH_RES_ROW_LEN);
  if (res.row_buf == nullptr || res.row_cap < out.size()) return TRIB_E_TRUNCATED;
  std::memcpy(res.row_buf, out.data(), out.size());
  return TRIB_OK;
}

// bench_run and bench_rows in one: `open` asks for the rows as well. `rows` is bounded by the caller's
// buffer; 1024 of them at most.
template <class Engine>
std::int32_t run(Engine& engine, const trib_bench_req* req, trib_bench_res* res, const std::atomic<bool>& cancel,
                 Progress progress, void* user, bool open) {
  if (!usable(req) || !usable(res)) return TRIB_E_ARG;
  if (open && (req->rows == nullptr || req->n_rows == 0 || req->n_rows > 1024)) return TRIB_E_ARG;
  if (const auto rc = check(*req); rc != TRIB_OK) return rc;
  Run run;
  auto rc = iterate(engine, *req, cancel, progress, user, run);
  engine.release();
  if (rc != TRIB_OK) return rc;
  trib_bench_res out = *res;
  out.valid = 0;
  if (open) rc = open_rows(run, *req, out);
  out.iterations = run.iterations;
  out.device_ns_min = run.ns_min;
  out.device_ns_median = run.ns_median;
  out.host_ns = run.host_ns;
  const Digest root = root_of(leaves_of(run));
  std::memcpy(out.digest, root.data(), root.size());
  out.valid |= TRIB_BIT(TRIB_V_BENCH_RES_ITERATIONS) | TRIB_BIT(TRIB_V_BENCH_RES_DEVICE_NS_MIN) |
               TRIB_BIT(TRIB_V_BENCH_RES_DEVICE_NS_MEDIAN) | TRIB_BIT(TRIB_V_BENCH_RES_HOST_NS) |
               TRIB_BIT(TRIB_V_BENCH_RES_DIGEST);
  hand_over(out, res);
  return rc;
}

inline std::int32_t caps(trib_bench_caps* out) {
  if (!usable(out)) return TRIB_E_ARG;
  trib_bench_caps c{};
  c.kinds = static_cast<std::uint32_t>(TRIB_BIT(TRIB_BENCH_FILL));
  c.provider = TRIB_PROVIDER_OWN_KERNEL;
  c.valid = TRIB_BIT(TRIB_V_BENCH_CAPS_KINDS) | TRIB_BIT(TRIB_V_BENCH_CAPS_DTYPES) |
            TRIB_BIT(TRIB_V_BENCH_CAPS_PROVIDER);
  put(c.provider_name, "tributary-fill", c.valid, TRIB_V_BENCH_CAPS_PROVIDER_NAME);
  put(c.provider_version, "1", c.valid, TRIB_V_BENCH_CAPS_PROVIDER_VERSION);
  hand_over(c, out);
  return TRIB_OK;
}

}  // namespace trib::plugin::fill

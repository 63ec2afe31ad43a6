// The fill benchmark's arithmetic and commitment, on an engine in this process.
#include "plugins/common/fill_bench.h"

#include <string>

#include "gateway/base/hash.h"
#include "gateway/base/rng.h"
#include "tests/catch.h"

namespace fill = trib::plugin::fill;

namespace {

// Memory that can be made to lie: block `broken` loses a word between the passes.
struct HostEngine {
  std::vector<std::uint64_t> words, sums;
  std::uint64_t broken = ~std::uint64_t{0};
  std::atomic<bool>* cancel_after_fill = nullptr;

  std::int32_t reserve(std::uint64_t bytes) {
    words.assign(bytes / 8, 0);
    sums.assign(bytes / fill::block_bytes * 4, 0);
    return TRIB_OK;
  }
  std::int32_t fill(std::uint64_t first, std::uint64_t count, const std::uint64_t* s) {
    for (std::uint64_t i = first; i < first + count; ++i) words[i] = fill::math::trib_fill_word(s[i & 3], i);
    if (cancel_after_fill != nullptr) *cancel_after_fill = true;
    return TRIB_OK;
  }
  std::int32_t digest(std::uint64_t first, std::uint64_t blocks) {
    for (std::uint64_t b = first; b < first + blocks; ++b) {
      if (b == broken) words[b * fill::block_words + 5] ^= 1;
      for (std::uint64_t p = 0; p < fill::block_words; ++p)
        sums[b * 4 + (p & 3)] += fill::math::trib_fill_term(words[b * fill::block_words + p], p);
    }
    return TRIB_OK;
  }
  std::int32_t fetch(std::vector<std::uint64_t>& out) {
    out = sums;
    sums.assign(sums.size(), 0);
    return TRIB_OK;
  }
  std::int32_t wait() { return TRIB_OK; }
  void release() {}
};

trib_bench_req request(std::uint64_t blocks, std::uint32_t iterations) {
  trib_bench_req req{};
  req.struct_size = sizeof req;
  req.kind = TRIB_BENCH_FILL;
  req.mem_bytes = blocks * fill::block_bytes;
  req.iterations = iterations;
  for (unsigned i = 0; i < 32; ++i) req.seed[i] = static_cast<std::uint8_t>(i * 7 + 1);
  return req;
}
trib_bench_res result() {
  trib_bench_res res{};
  res.struct_size = sizeof res;
  return res;
}

std::uint32_t u32_at(const std::vector<std::uint8_t>& bytes, std::size_t at) {
  return bytes[at] | std::uint32_t{bytes[at + 1]} << 8 | std::uint32_t{bytes[at + 2]} << 16 |
         std::uint32_t{bytes[at + 3]} << 24;
}

// What a verifier does with one opened row: recompute it from the seed, fold its path to the root.
bool row_is_good(const std::vector<std::uint8_t>& bytes, std::size_t& at, const trib_bench_req& req,
                 std::size_t leaves, const trib::plugin::Digest& root) {
  const std::uint32_t t = u32_at(bytes, at), row = u32_at(bytes, at + 4), n = u32_at(bytes, at + 40);
  trib::plugin::Digest digest;
  std::memcpy(digest.data(), &bytes[at + 8], 32);
  const fill::BlockSums sums = fill::block_sums(fill::stream_of(req.seed, t), row);
  const bool recomputed = fill::row_digest(sums.v) == digest;
  trib::plugin::Digest node = fill::leaf_of(t, row, digest);
  at += 44;
  std::size_t place = t * static_cast<std::size_t>(req.mem_bytes / fill::block_bytes) + row, width = leaves;
  std::uint32_t used = 0;
  for (; width > 1; width = (width + 1) / 2, place /= 2) {
    if ((place ^ 1) >= width) continue;
    trib::plugin::Digest other;
    std::memcpy(other.data(), &bytes[at + 32u * used++], 32);
    node = (place & 1) != 0 ? fill::node_of(other, node) : fill::node_of(node, other);
  }
  at += 32u * n;
  return recomputed && used == n && node == root;
}

}  // namespace

TEST_CASE("the plugins' SHA-256 is SHA-256") {
  trib::SeededRng rng(3);
  for (std::size_t n : {0u, 1u, 55u, 56u, 63u, 64u, 65u, 119u, 1000u}) {
    std::string bytes;
    while (bytes.size() < n) bytes += static_cast<char>(rng.next());
    trib::plugin::Sha256 sha;
    sha.add(bytes.data(), bytes.size() / 3);
    sha.add(bytes.data() + bytes.size() / 3, bytes.size() - bytes.size() / 3);
    CHECK(sha.finish() == trib::sha256(bytes));
  }
}

TEST_CASE("the stream's first words are frozen") {
  const trib_bench_req req = request(1, 1);
  const fill::Stream s = fill::stream_of(req.seed, 0);
  CHECK(fill::math::trib_fill_word(s.s[0], 0) == 0x7c5167fd7033b1u);
  CHECK(fill::block_sums(s, 0).v[3] == 0x67f776d025077555u);
}

TEST_CASE("an honest run's rows open to its root, for every shape of the tree") {
  for (const std::uint64_t blocks : {1u, 2u, 3u, 7u}) {
    for (const std::uint32_t iterations : {1u, 3u}) {
      HostEngine engine;
      std::atomic<bool> cancel{false};
      trib_bench_req req = request(blocks, iterations);
      trib_bench_res res = result();
      REQUIRE(fill::run(engine, &req, &res, cancel, nullptr, nullptr, false) == TRIB_OK);
      REQUIRE(res.iterations == iterations);
      std::vector<std::uint64_t> rows;
      for (std::uint64_t t = 0; t < iterations; ++t)
        for (std::uint64_t b = 0; b < blocks; ++b) rows.push_back(t << 32 | b);
      req.rows = rows.data();
      req.n_rows = static_cast<std::uint32_t>(rows.size());
      trib_bench_res opened = result();
      CHECK(fill::run(engine, &req, &opened, cancel, nullptr, nullptr, true) == TRIB_E_TRUNCATED);
      std::vector<std::uint8_t> buffer(65536);
      opened = result();
      opened.row_buf = buffer.data();
      opened.row_cap = buffer.size();
      REQUIRE(fill::run(engine, &req, &opened, cancel, nullptr, nullptr, true) == TRIB_OK);
      trib::plugin::Digest root;
      std::memcpy(root.data(), res.digest, 32);
      CHECK(std::memcmp(opened.digest, res.digest, 32) == 0);
      std::size_t at = 0;
      for (std::size_t i = 0; i < rows.size(); ++i) CHECK(row_is_good(buffer, at, req, rows.size(), root));
      CHECK(at == opened.row_len);
    }
  }
}

TEST_CASE("one wrong word changes the root") {
  const trib_bench_req req = request(4, 1);
  std::atomic<bool> cancel{false};
  HostEngine good, bad;
  bad.broken = 2;
  trib_bench_res a = result(), b = result();
  REQUIRE(fill::run(good, &req, &a, cancel, nullptr, nullptr, false) == TRIB_OK);
  REQUIRE(fill::run(bad, &req, &b, cancel, nullptr, nullptr, false) == TRIB_OK);
  CHECK(std::memcmp(a.digest, b.digest, 32) != 0);
}

TEST_CASE("iterations differ, so none can be left out") {
  const trib_bench_req req = request(1, 2);
  CHECK(fill::block_sums(fill::stream_of(req.seed, 0), 0).v[0] != fill::block_sums(fill::stream_of(req.seed, 1), 0).v[0]);
}

TEST_CASE("a cancelled run answers so") {
  HostEngine engine;
  std::atomic<bool> cancel{false};
  engine.cancel_after_fill = &cancel;
  const trib_bench_req req = request(2, 1);
  trib_bench_res res = result();
  CHECK(fill::run(engine, &req, &res, cancel, nullptr, nullptr, false) == TRIB_E_CANCELLED);
}

TEST_CASE("requests that cannot be are refused before any memory is taken") {
  HostEngine engine;
  std::atomic<bool> cancel{false};
  trib_bench_res res = result();
  trib_bench_req req = request(0, 1);
  CHECK(fill::run(engine, &req, &res, cancel, nullptr, nullptr, false) == TRIB_E_ARG);
  req = request(1, 0);
  CHECK(fill::run(engine, &req, &res, cancel, nullptr, nullptr, false) == TRIB_E_ARG);
  req = request(1u << 22, 2);
  CHECK(fill::run(engine, &req, &res, cancel, nullptr, nullptr, false) == TRIB_E_ARG);
  req = request(1, 1);
  req.kind = TRIB_BENCH_GEMM;
  CHECK(fill::run(engine, &req, &res, cancel, nullptr, nullptr, false) == TRIB_E_UNSUPPORTED);
  req = request(1, 1);
  req.struct_size = 8;
  CHECK(fill::run(engine, &req, &res, cancel, nullptr, nullptr, false) == TRIB_E_ARG);
  req = request(2, 1);
  const std::uint64_t outside[] = {std::uint64_t{1} << 32};
  req.rows = outside;
  req.n_rows = 1;
  CHECK(fill::run(engine, &req, &res, cancel, nullptr, nullptr, true) == TRIB_E_ARG);
}

#include "gateway/base/rng.h"

#include <openssl/rand.h>

#include "gateway/base/assert.h"

namespace trib {
namespace {

class SystemRng final : public Rng {
 public:
  std::uint64_t next() override {
    std::uint64_t value = 0;
    random_bytes({reinterpret_cast<unsigned char*>(&value), sizeof value});
    return value;
  }
};

std::uint64_t rotl(std::uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }

}  // namespace

std::uint64_t Rng::below(std::uint64_t bound) {
  TRIB_ASSERT(bound > 0);
  // Rejection keeps it uniform; at most two draws on average.
  const std::uint64_t limit = UINT64_MAX - UINT64_MAX % bound;
  std::uint64_t value = next();
  while (value >= limit) value = next();
  return value % bound;
}

Rng& system_rng() {
  static SystemRng rng;
  return rng;
}

void random_bytes(std::span<unsigned char> out) {
  TRIB_ASSERT(RAND_bytes(out.data(), static_cast<int>(out.size())) == 1);
}

SeededRng::SeededRng(std::uint64_t seed) {
  for (auto& word : s_) {  // splitmix64, so that nearby seeds give unrelated states
    seed += 0x9e3779b97f4a7c15ULL;
    std::uint64_t z = seed;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    word = z ^ (z >> 31);
  }
}

std::uint64_t SeededRng::next() {
  const std::uint64_t result = rotl(s_[1] * 5, 7) * 9;
  const std::uint64_t t = s_[1] << 17;
  s_[2] ^= s_[0];
  s_[3] ^= s_[1];
  s_[1] ^= s_[2];
  s_[0] ^= s_[3];
  s_[2] ^= t;
  s_[3] = rotl(s_[3], 45);
  return result;
}

}  // namespace trib

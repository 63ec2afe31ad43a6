// Random numbers behind one interface, so that a simulated world replays from a seed.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

namespace trib {

// Not thread-safe: one per worker. `system_rng` is the exception.
class Rng {
 public:
  virtual ~Rng() = default;
  virtual std::uint64_t next() = 0;
  // Uniform in [0, bound); bound > 0.
  std::uint64_t below(std::uint64_t bound);
};

// Cryptographic, thread-safe, for keys, tokens and nonces.
Rng& system_rng();
void random_bytes(std::span<unsigned char> out);

// Small and fast, seeded (xoshiro256**, Blackman and Vigna). For routing draws and for simulation.
class SeededRng final : public Rng {
 public:
  explicit SeededRng(std::uint64_t seed);
  std::uint64_t next() override;

 private:
  std::uint64_t s_[4];
};

}  // namespace trib

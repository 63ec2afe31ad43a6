// A checkpoint: a signed statement of what the ledger's chain was. It covers the batches since the one
// before it by a Merkle root over their hashes, so that a proof needs some fifteen hashes to reach it, and
// is chained to the one before, so that who holds one holds everything before it. Values and their check;
// nothing here needs a store.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "gateway/base/base.h"
#include "gateway/metering/metering.h"

namespace trib::ledger {

struct Checkpoint {
  std::uint16_t shard = 0;
  std::uint64_t number = 0;                     // 1, 2, 3, ...
  std::uint64_t batch_from = 0, batch_to = 0;   // both inclusive; batch_from follows the one before
  metering::Lsn to_lsn = 0;                     // where batch_to ends
  std::int64_t made_ms = 0;                     // Unix ms
  Sha256 root{};                                // Merkle root of the batches' hashes, in order (chain.h)
  Sha256 head{};                                // hash of batch_to
  Sha256 prev{};                                // digest() of the one before; zeros for the first
  std::string public_key;                       // Ed25519, 32 bytes
  std::string signature;                        // over signed_bytes(), 64 bytes
  friend bool operator==(const Checkpoint&, const Checkpoint&) = default;
};

// What is signed: "tributary-checkpoint/1\n", then the members above up to `prev` in their order, integers
// little-endian in the sizes above.
std::string signed_bytes(const Checkpoint& checkpoint);
Sha256 digest(const Checkpoint& checkpoint);  // SHA-256 of signed_bytes()
bool signature_fits(const Checkpoint& checkpoint);  // under its own public key

// Whether `next` may come after `held`, both signed well: empty, or why not. A first one may be any.
std::string follows(const Checkpoint& held, const Checkpoint& next);

// One line of JSON without its line feed; reading takes exactly the members that are written.
std::string to_json(const Checkpoint& checkpoint);
std::optional<Checkpoint> read_checkpoint(std::string_view json);

std::optional<std::string> read_digits(std::string_view hex, std::size_t bytes);  // lower case only
std::optional<Sha256> read_digest(std::string_view hex);

}  // namespace trib::ledger

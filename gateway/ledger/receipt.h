// Site receipts, the second meter: what a site's agent says its engines served, an attempt a receipt, and
// the roots under which the agent signs them, about one a second, each chained to the one before. Values,
// their one text and their check; nothing here needs a store. docs: receipts.md.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/base/base.h"
#include "gateway/metering/metering.h"

namespace trib::ledger {

inline constexpr std::size_t receipts_per_root_max = 128;
inline constexpr std::size_t root_bytes_max = 48u << 10;          // of its JSON; fits one line of a tunnel
inline constexpr std::size_t receipt_model_bytes_max = 128;       // printable ASCII without '"' and '\'
inline constexpr std::int64_t receipt_count_max = 1'000'000'000;  // of tokens in a class, and of pieces

enum class Served : std::uint8_t {
  done,       // the engine's answer was whole
  cancelled,  // the gateway gave it up, or the tunnel was lost
  broken,     // the engine broke off
  deadline,   // it did not answer in time
};
std::string_view name(Served served);

struct Receipt {
  RequestId request;
  std::uint16_t attempt = 1;  // of the request, as the gateway numbers them
  std::string model;          // as offered
  std::optional<metering::TokenCounts> tokens;  // as the engine told them; none: it told none
  std::uint64_t pieces = 0, bytes = 0;          // pieces of text, and body bytes, handed on to the gateway
  std::int64_t began_ms = 0, ended_ms = 0;      // Unix ms by the site's clock
  Served served{};
  std::uint16_t status = 0;  // of the engine; 0: none came
  friend bool operator==(const Receipt&, const Receipt&) = default;
};

// ["REQUEST",attempt,"model",[input,cached_input,cache_write,output,reasoning] or null,pieces,bytes,
// began_ms,ended_ms,"served",status], without blanks. Empty: out of the bounds above.
std::string receipt_text(const Receipt& receipt);
std::optional<Receipt> read_receipt(std::string_view text);
Sha256 receipt_leaf(std::string_view text);  // SHA-256(0x00, text)

struct ReceiptRoot {
  std::string site;
  std::uint64_t number = 0;   // 1, 2, 3, ... under one key
  std::int64_t made_ms = 0;   // by the site's clock
  Sha256 root{};              // Merkle root of the receipts' leaves, in order (chain.h)
  Sha256 prev{};              // digest() of the one before; zeros for the first
  std::string key;            // Ed25519, 32 bytes: the agent's own
  std::string signature;      // over signed_bytes(), 64 bytes
  std::vector<Receipt> receipts;  // 1 to receipts_per_root_max
  friend bool operator==(const ReceiptRoot&, const ReceiptRoot&) = default;
};

// What is signed: "tributary-receipts/1\n", the site (u32 length and text), number, made_ms (64 bits each),
// how many receipts (u32), root, prev; integers little-endian.
std::string signed_bytes(const ReceiptRoot& root);
Sha256 digest(const ReceiptRoot& root);  // SHA-256 of signed_bytes()
bool signature_fits(const ReceiptRoot& root);  // under its own key

// Fills in root, key and signature over the receipts that stand there.
void sign(ReceiptRoot& root, const SigningKey& key);

// One JSON object without its line feed. Reading takes that one text alone, and sees that the root is that of
// the receipts; any input is safe.
std::string to_json(const ReceiptRoot& root);
std::optional<ReceiptRoot> read_receipt_root(std::string_view json);

}  // namespace trib::ledger

// The journal's records. Plain values; their binary form is encode/decode in records.cpp, version
// 1, little-endian, length-prefixed strings, and is frozen by a golden test.
#pragma once
#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "gateway/base/base.h"
#include "gateway/money/money.h"

namespace trib::metering {

// Disjoint classes; input excludes cached_input and cache_write, output excludes reasoning.
struct TokenCounts {
  std::uint64_t input = 0, cached_input = 0, cache_write = 0, output = 0, reasoning = 0;
  std::uint64_t total() const { return input + cached_input + cache_write + output + reasoning; }
  friend bool operator==(const TokenCounts&, const TokenCounts&) = default;
};

enum class CountSource : std::uint8_t {
  none,      // nothing to count
  exact,     // token ids or the model's own tokenizer
  claimed,   // the engine's usage, inside the plausibility band
  derived,   // from the finishing attempt's prompt count
  estimate,  // the gateway's count of text pieces
};

enum class Outcome : std::uint8_t {
  completed,
  cancelled,
  partial,
  failed,
  refused,
  recovered,
  quarantined
};

std::string_view name(CountSource source);
std::string_view name(Outcome outcome);

struct Admit {
  RequestId id;
  std::int64_t wall_ms = 0;
  std::string tenant;
  std::string model;  // public name
  Sha256 key_hash{};
  Sha256 body_hash{};
  std::uint32_t price_version = 0;  // of the model, 1-based
  std::uint64_t book_revision = 0;  // of the contract book
  money::Amount hold;               // worst case, > 0 unless the price is zero
  std::string idempotency;          // SHA-256 hex of tenant + key; empty: none
  std::string operation;            // "chat", "completions", "embeddings"
  friend bool operator==(const Admit&, const Admit&) = default;
};

struct Attempt {
  RequestId id;
  std::uint16_t n = 0;  // 1-based, in order of dispatch
  std::int64_t wall_ms = 0;
  std::string site, seat, device, engine, vendor;  // vendor: whose chips; empty: unknown
  std::string contract;
  std::uint32_t contract_version = 0;  // 1-based
  friend bool operator==(const Attempt&, const Attempt&) = default;
};

// Monotone counters of one attempt, every 32 tokens or 1 s.
struct Progress {
  RequestId id;
  std::uint16_t n = 0;
  std::int64_t wall_ms = 0;
  std::uint64_t pieces = 0;  // text pieces delivered: the gateway's own count
  std::uint64_t bytes = 0;   // UTF-8 bytes of text delivered
  friend bool operator==(const Progress&, const Progress&) = default;
};

struct AttemptResult {
  std::uint16_t n = 0;
  std::string fault;            // name(FaultKind), "none"
  std::string side;             // name(Side)
  std::uint64_t delivered = 0;  // output tokens of this attempt that the customer was billed for
  std::uint64_t pieces = 0;     // text pieces received from it
  std::uint64_t bytes = 0;      // UTF-8 bytes of text received from it
  std::optional<TokenCounts> claimed;  // the engine's normalised usage; none: it gave none
  friend bool operator==(const AttemptResult&, const AttemptResult&) = default;
};

// Ends a request. Repeats the ADMIT's pins so that old segments may go.
struct Final {
  Admit admit;
  std::int64_t wall_ms = 0;  // never before the ADMIT's
  Outcome outcome = Outcome::failed;
  std::uint16_t status = 0;  // HTTP status that the customer saw; 0: none
  TokenCounts counts;        // the billed count
  CountSource source = CountSource::none;
  std::uint64_t bytes_delivered = 0;
  std::vector<Attempt> attempts;       // as dispatched
  std::vector<AttemptResult> results;  // same order
  friend bool operator==(const Final&, const Final&) = default;
};

// Any other movement: top-ups, publications, site approvals. `id` is its idempotency key.
struct Command {
  std::string id;    // "opening:acme", "topup:acme:2026-11-24-1"
  std::string kind;  // "topup", "publish_price", "publish_contract", ...
  std::int64_t wall_ms = 0;
  std::string body;  // canonical JSON
  friend bool operator==(const Command&, const Command&) = default;
};

// Where the poster's batches ended, written after each commit, so that a replay reproduces them.
struct Seal {
  std::uint64_t from_lsn = 0, to_lsn = 0;
  Sha256 chain{};
  friend bool operator==(const Seal&, const Seal&) = default;
};

using Record = std::variant<Admit, Attempt, Progress, Final, Command, Seal>;

// A record of any kind by reference, so that it is written without being copied. Must not outlive it.
class RecordRef {
 public:
  template <class T>
    requires std::constructible_from<std::variant<const Admit*, const Attempt*, const Progress*, const Final*, const Command*, const Seal*>, const T*>
  RecordRef(const T& record) : at_(&record) {}
  RecordRef(const Record& record) {
    std::visit([this](const auto& one) { at_ = &one; }, record);
  }
  std::size_t index() const { return at_.index(); }  // the kind's in Record
  template <class Visitor>
  auto visit(Visitor&& visitor) const {
    return std::visit([&](const auto* one) { return visitor(*one); }, at_);
  }
  Record copy() const {
    return visit([](const auto& one) { return Record(one); });
  }

 private:
  std::variant<const Admit*, const Attempt*, const Progress*, const Final*, const Command*, const Seal*> at_;
};

// Bounds of the binary form. A string is at most 65,535 bytes, a command's body
// record_body_bytes_max, a FINAL's lists record_attempts_max entries each.
constexpr std::size_t record_body_bytes_max = 4u << 20;
constexpr std::size_t record_attempts_max = 1024;
constexpr std::size_t record_bytes_max = 8u << 20;  // encoded, whatever the kind

// Appends the binary form; false, and `out` as it was, when a bound is broken.
bool encode_to(RecordRef record, std::string& out);
std::string encode(RecordRef record);  // empty when a bound is broken
// One text for one value: refuses unknown versions, kinds and enumerators, lengths beyond the
// bounds or the input, and trailing bytes. Any input is safe.
std::optional<Record> decode(std::string_view bytes);
bool decode(std::string_view bytes, Record& to);  // likewise, in what memory `to` has; false: `to` is any value
// The record's index in the variant, without decoding; none: not a record of a known version.
std::optional<std::size_t> kind_of(std::string_view bytes);

}  // namespace trib::metering

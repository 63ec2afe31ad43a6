// Request ids: 128 bits, time-ordered inside a shard, minted once by the gateway. The text is 32
// lower-case hex digits. Layout, most significant first: 48 bits Unix milliseconds, 16 bits shard,
// 64 bits random. Time order keeps the ledger's primary key append-mostly.
#pragma once
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace trib {

class Clock;
class Rng;

struct RequestId {
  std::uint64_t hi = 0;
  std::uint64_t lo = 0;
  friend auto operator<=>(const RequestId&, const RequestId&) = default;

  std::string text() const;
  void write_hex(char out[32]) const;
  static std::optional<RequestId> parse(std::string_view text);  // 32 lower-case hex digits only
};

RequestId mint_request_id(std::int64_t wall_ms, std::uint16_t shard, Rng& rng);

}  // namespace trib

template <>
struct std::hash<trib::RequestId> {
  std::size_t operator()(const trib::RequestId& id) const noexcept {
    return static_cast<std::size_t>(id.lo ^ (id.hi * 0x9e3779b97f4a7c15ULL));
  }
};

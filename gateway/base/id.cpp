#include "gateway/base/id.h"

#include "gateway/base/rng.h"

namespace trib {
namespace {

constexpr char digits[] = "0123456789abcdef";

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

}  // namespace

void RequestId::write_hex(char out[32]) const {
  for (int i = 0; i < 16; ++i) {
    out[i] = digits[(hi >> (60 - 4 * i)) & 15];
    out[16 + i] = digits[(lo >> (60 - 4 * i)) & 15];
  }
}

std::string RequestId::text() const {
  std::string out(32, '0');
  write_hex(out.data());
  return out;
}

std::optional<RequestId> RequestId::parse(std::string_view text) {
  if (text.size() != 32) return std::nullopt;
  RequestId id;
  for (std::size_t i = 0; i < 32; ++i) {
    const int v = hex_value(text[i]);
    if (v < 0) return std::nullopt;
    auto& word = i < 16 ? id.hi : id.lo;
    word = (word << 4) | static_cast<std::uint64_t>(v);
  }
  return id;
}

RequestId mint_request_id(std::int64_t wall_ms, std::uint16_t shard, Rng& rng) {
  return {(static_cast<std::uint64_t>(wall_ms) << 16) | shard, rng.next()};
}

}  // namespace trib

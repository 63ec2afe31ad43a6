// Words to values: durations, sizes, counts, addresses, URLs. Pure; empty on anything not exact.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "gateway/config/config.h"

namespace trib::config {

std::optional<std::int64_t> parse_duration_ms(std::string_view text);  // "5ms", "10s", "10m", "24h"
std::optional<std::uint64_t> parse_size(
    std::string_view text);  // "512B", "16KiB", "1MiB", "1GiB", "1TiB"
std::optional<std::uint64_t> parse_count(
    std::string_view text);            // decimal digits, no sign, no leading zero
bool valid_id(std::string_view text);  // [a-z0-9][a-z0-9._-]*, at most 128 bytes
std::optional<Address> parse_address(std::string_view text);  // "host:port", "[::1]:port"

struct Url {
  bool tls = false;
  Address address;
  std::string path;  // "" or "/prefix", no slash at the end
};
// http:// or https://, a host, perhaps a port and a plain path; no user, query or fragment.
std::optional<Url> parse_url(std::string_view text);


}  // namespace trib::config

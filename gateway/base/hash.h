// SHA-256 and CRC32C, and text encodings of bytes.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace trib {

using Sha256 = std::array<unsigned char, 32>;

Sha256 sha256(std::string_view bytes);
Sha256 sha256(std::string_view a, std::string_view b);  // of the concatenation

// Castagnoli, as RFC 3720; `seed` continues a running value.
std::uint32_t crc32c(std::string_view bytes, std::uint32_t seed = 0);

// No early exit: the time does not tell where two values differ.
bool equal_constant_time(std::span<const unsigned char> a, std::span<const unsigned char> b);

std::string to_hex(std::string_view bytes);
std::string to_hex(const Sha256& digest);
std::optional<std::string> from_hex(std::string_view hex);  // lower or upper case, even length

std::string to_base64url(std::string_view bytes);  // RFC 4648 section 5, no padding
std::optional<std::string> from_base64url(std::string_view text);

}  // namespace trib

#include "gateway/api/archive.h"

#include <cstdio>
#include <cstring>

#include "gateway/base/base.h"

namespace trib::api {
namespace {

constexpr std::size_t block = 512;

struct Header {  // POSIX.1-1988 ustar
  char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100], magic[6], version[2], user[32],
      group[32], major[8], minor[8], prefix[155], pad[12];
};
static_assert(sizeof(Header) == block);

unsigned checksum_of(const Header& header) {
  const auto* const bytes = reinterpret_cast<const unsigned char*>(&header);
  unsigned sum = 0;
  for (std::size_t i = 0; i < block; ++i) sum += i >= 148 && i < 156 ? ' ' : bytes[i];
  return sum;
}

}  // namespace

std::string write_tar(const Files& files) {
  std::string out;
  for (const auto& [name, content] : files) {
    TRIB_ASSERT(name.size() < 100);
    Header header{};
    std::memcpy(header.name, name.data(), name.size());
    std::snprintf(header.mode, sizeof header.mode, "0000644");
    std::snprintf(header.uid, sizeof header.uid, "0000000");
    std::snprintf(header.gid, sizeof header.gid, "0000000");
    std::snprintf(header.size, sizeof header.size, "%011llo", static_cast<unsigned long long>(content.size()));
    std::snprintf(header.mtime, sizeof header.mtime, "00000000000");
    header.type = '0';
    std::memcpy(header.magic, "ustar", 6);
    std::memcpy(header.version, "00", 2);
    std::snprintf(header.checksum, sizeof header.checksum, "%06o", checksum_of(header));
    header.checksum[7] = ' ';
    out.append(reinterpret_cast<const char*>(&header), block);
    out.append(content);
    out.append((block - content.size() % block) % block, '\0');
  }
  out.append(2 * block, '\0');
  return out;
}

std::optional<Files> read_tar(std::string_view archive) {
  Files out;
  while (archive.size() >= block && archive[0] != '\0') {
    Header header;
    std::memcpy(&header, archive.data(), block);
    archive.remove_prefix(block);
    if (std::memcmp(header.magic, "ustar", 5) != 0 || header.type != '0') return std::nullopt;
    char checksum[8];
    std::snprintf(checksum, sizeof checksum, "%06o", checksum_of(header));
    if (std::memcmp(header.checksum, checksum, 7) != 0 || header.checksum[7] != ' ') return std::nullopt;
    std::uint64_t size = 0;
    for (std::size_t i = 0; i < 11; ++i) {
      if (header.size[i] < '0' || header.size[i] > '7') return std::nullopt;
      size = size * 8 + static_cast<std::uint64_t>(header.size[i] - '0');
    }
    const std::uint64_t padded = (size + block - 1) / block * block;
    if (padded > archive.size()) return std::nullopt;
    header.name[99] = '\0';
    const std::string_view name = header.name;
    if (name.find('/') != name.npos || name == "." || name == "..") return std::nullopt;  // they become files
    out.emplace_back(name, archive.substr(0, size));
    archive.remove_prefix(padded);
  }
  // Two blocks of zeros end it: without them it is a part of one.
  if (archive.size() != 2 * block || archive.find_first_not_of('\0') != archive.npos) return std::nullopt;
  return out;
}

}  // namespace trib::api

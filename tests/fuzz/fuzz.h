// What the fuzz targets share: splitting the input into reads.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "gateway/base/assert.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace trib::fuzz {

inline std::string_view text(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// Calls `feed` with pieces of `bytes`: the first of `first` bytes, the others of `step`.
template <class Feed>
void in_pieces(std::string_view bytes, std::size_t first, std::size_t step, Feed feed) {
  std::size_t next = first;
  while (!bytes.empty()) {
    feed(bytes.substr(0, next));
    bytes.remove_prefix(next < bytes.size() ? next : bytes.size());
    next = step;
  }
}

}  // namespace trib::fuzz

// Any bytes as a record: refused, or a record with exactly these bytes. Links trib_metering.
#include <cstdint>

#include "gateway/metering/metering.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const auto record = trib::metering::decode(bytes)) {
    TRIB_ASSERT(trib::metering::encode(*record) == bytes);
  }
  return 0;
}

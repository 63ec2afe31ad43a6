// Metrics pages: the same figures however the page is cut, each within its bounds.
#include "backends/engines/engines.h"
#include "tests/fuzz/fuzz.h"

using namespace trib;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 3) return 0;
  const auto kind = static_cast<fleet::MetricsKind>(data[0] % 7);
  const auto page = fuzz::text(data + 3, size - 3);
  engines::MetricsReader whole(kind);
  whole.feed(page);
  const auto figures = whole.finish();
  engines::MetricsReader cut(kind);
  fuzz::in_pieces(page, 1u + data[1], 1u + data[2], [&](std::string_view piece) { cut.feed(piece); });
  TRIB_ASSERT(cut.finish() == figures);
  for (const auto& count : {figures.running, figures.waiting, figures.kv_use_ppm}) TRIB_ASSERT(!count || *count <= 1'000'000);
  return 0;
}

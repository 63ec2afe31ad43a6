// Event streams: the same events however they are cut, each of them whole and in its place.
#include <string>
#include <vector>

#include "gateway/http/http.h"
#include "tests/fuzz/fuzz.h"

using namespace trib::http;
using Status = SseScanner::Status;

namespace {

constexpr std::size_t event_bytes_max = 64;

std::vector<std::string> scan(std::string_view bytes, std::size_t first, std::size_t step) {
  SseScanner scanner(event_bytes_max);
  std::vector<std::string> seen;
  bool over = false;
  trib::fuzz::in_pieces(bytes, first, step, [&](std::string_view in) {
    for (Status status = Status::event; !over && status != Status::need_more;) {
      SseEvent event;
      status = scanner.next(in, event);
      over = status == Status::too_large;
      if (status != Status::event) continue;
      TRIB_ASSERT(event.raw.size() <= event_bytes_max);
      TRIB_ASSERT(event.raw.back() == '\n' || event.raw.back() == '\r');
      seen.push_back(std::string(event.raw)
                         .append(1, '\0')
                         .append(event.data)
                         .append(1, '\0')
                         .append(event.type));
    }
    TRIB_ASSERT(over || in.empty());
  });
  TRIB_ASSERT(scanner.held_bytes() <= event_bytes_max);
  seen.push_back(over ? "too large" : std::to_string(scanner.held_bytes()));
  return seen;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::string_view bytes = trib::fuzz::text(data + 2, size - 2);
  TRIB_ASSERT(scan(bytes, bytes.size() + 1, 1) == scan(bytes, data[0] + 1u, data[1] % 16 + 1u));
  return 0;
}

// A connection's bytes through the heads' and chunks' readers: the same verdict however they are
// cut, and what is served is one request in canonical form, which reads back as itself.
#include "tests/corpus/front.h"
#include "tests/fuzz/fuzz.h"

using trib::corpus::Front;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::string_view bytes = trib::fuzz::text(data + 2, size - 2);
  Front whole;
  whole.feed(bytes);
  Front cut;
  trib::fuzz::in_pieces(bytes, data[0] + 1u, data[1] % 16 + 1u,
                        [&cut](std::string_view piece) { cut.feed(piece); });
  TRIB_ASSERT(cut.served() == whole.served());
  TRIB_ASSERT(cut.end() == whole.end());
  for (const std::string& request : whole.served()) {
    Front again;
    again.feed(request);
    // Without a Host (HTTP/1.0) the canonical form is none of HTTP/1.1's.
    if (request.compare(request.find("\r\n"), 8, "\r\nhost: ") != 0) continue;
    TRIB_ASSERT(again.served().size() == 1 && again.served().front() == request);
    TRIB_ASSERT(again.end() == "open");
  }
  return 0;
}

// Chunked bodies: the same outcome however they are cut; a body that was read, written in chunks
// again, reads back the same.
#include <string>

#include "gateway/http/http.h"
#include "tests/fuzz/fuzz.h"

using namespace trib::http;
using Status = ChunkReader::Status;

namespace {

struct Outcome {
  Status status = Status::need_more;
  std::string body;
  std::size_t taken = 0;
};

Outcome read(std::string_view bytes, std::size_t first, std::size_t step) {
  ChunkReader reader;
  Outcome outcome;
  trib::fuzz::in_pieces(bytes, first, step, [&](std::string_view in) {
    if (outcome.status == Status::bad || outcome.status == Status::done) return;
    const std::size_t size = in.size();
    std::string_view data;
    while ((outcome.status = reader.next(in, data)) == Status::data) {
      TRIB_ASSERT(!data.empty());
      outcome.body.append(data);
    }
    TRIB_ASSERT(outcome.status != Status::need_more || in.empty());
    outcome.taken += size - in.size();
  });
  return outcome;
}

std::string write(std::string_view body, std::size_t step) {
  std::string out;
  trib::fuzz::in_pieces(body, step, step, [&out](std::string_view piece) {
    char line[18];
    out.append(line, write_chunk_size(line, piece.size())).append(piece).append(chunk_end);
  });
  return out.append(last_chunk);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::string_view bytes = trib::fuzz::text(data + 2, size - 2);
  const std::size_t first = data[0] + 1u;
  const std::size_t step = data[1] % 16 + 1u;
  const Outcome whole = read(bytes, bytes.size() + 1, 1);
  const Outcome cut = read(bytes, first, step);
  TRIB_ASSERT(cut.status == whole.status && cut.body == whole.body && cut.taken == whole.taken);
  const Outcome again = read(write(whole.body, first), step, step);
  TRIB_ASSERT(again.status == Status::done && again.body == whole.body);
  return 0;
}

// Any bytes as the detail of a request's row: refused, or contents that are written and read again as the same. Links trib_ledger.
#include "gateway/ledger/detail.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace trib::ledger;
  UsageRow row;
  row.final_ms = 1'793'462'400'000;
  if (size % 2 == 0) row.gross = trib::money::Amount::pico(static_cast<std::int64_t>(size) * 1'000'003);
  row.detail = trib::fuzz::text(data, size);
  std::vector<AttemptRow> attempts, again_attempts;
  std::vector<Part> parts, again_parts;
  if (!decode_detail(row, attempts, parts)) return 0;
  UsageRow again = row;
  encode_detail(again, attempts, parts);
  TRIB_ASSERT(again.detail.size() <= size);
  TRIB_ASSERT(decode_detail(again, again_attempts, again_parts));
  TRIB_ASSERT(again_parts == parts && again_attempts.size() == attempts.size());
  TRIB_ASSERT(again.counts == row.counts && again.admit_ms == row.admit_ms && again.operation == row.operation);
  return 0;
}

// Any bytes as what a site's agent sends: refused, or a root with exactly this text. Links trib_ledger.
#include "gateway/ledger/ledger.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = trib::fuzz::text(data, size);
  if (const auto receipt = trib::ledger::read_receipt(text)) TRIB_ASSERT(trib::ledger::receipt_text(*receipt) == text);
  if (const auto root = trib::ledger::read_receipt_root(text)) {
    TRIB_ASSERT(trib::ledger::to_json(*root) == text);
    (void)trib::ledger::signature_fits(*root);
  }
  return 0;
}

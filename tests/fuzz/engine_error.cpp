// Error bodies and a probe's answers: bounded whole characters come out, whatever goes in.
#include "backends/engines/engines.h"
#include "tests/fuzz/fuzz.h"

using namespace trib;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto body = fuzz::text(data, size);
  const auto facts = engines::read_error(body);
  for (const auto* const text : {&facts.message, &facts.type, &facts.code, &facts.original}) {
    TRIB_ASSERT(text->size() <= 512);
    TRIB_ASSERT(json::valid_utf8(*text));
  }
  engines::classify_status(400, facts);
  engines::Probe probe;
  int steps = 0;
  for (; !probe.next().empty(); ++steps) {
    TRIB_ASSERT(steps < 32);
    TRIB_ASSERT(probe.body().empty() || json::valid(probe.body()));
    probe.answer(200, body);
  }
  TRIB_ASSERT(probe.found().version.size() <= 64);
  return 0;
}

// Heap allocations of one relayed event in steady state. The program's own operator new counts.
#include <cstdlib>
#include <new>

#include "tests/unit/exchange/bench.h"

namespace {
bool counting = false;
std::uint64_t allocations = 0;
void* take(std::size_t bytes) {
  if (counting) ++allocations;
  void* const p = std::malloc(bytes == 0 ? 1 : bytes);
  if (p == nullptr) std::abort();
  return p;
}
}  // namespace

void* operator new(std::size_t bytes) { return take(bytes); }
void* operator new[](std::size_t bytes) { return take(bytes); }
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept { return take(bytes); }
void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept { return take(bytes); }
void operator delete(void* p, const std::nothrow_t&) noexcept { std::free(p); }
void operator delete[](void* p, const std::nothrow_t&) noexcept { std::free(p); }
void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t) noexcept { std::free(p); }

using namespace trib;
using namespace trib::test;

namespace {

// Per read, over a thousand, after some to warm up.
double per_read(const std::vector<std::string>& reads, unsigned continuations) {
  Bench bench;
  bench.continuations = continuations;
  bench.journal().records.reserve(10'000);
  bench.body_text.reserve(64u << 20);
  bench.ask(ask_text(true));
  bench.far().head(200, "text/event-stream");
  bench.far().body(role_chunk());
  auto* const events = bench.far().events;
  const auto feed = [&](int times) {
    for (int i = 0; i < times; ++i)
      for (const auto& read : reads) events->on_body(read);
  };
  feed(50);
  allocations = 0;
  counting = true;
  feed(1000);
  counting = false;
  const auto seen = static_cast<double>(allocations) / (1000.0 * static_cast<double>(reads.size()));
  bench.customer_leaves();
  bench.check_closed();
  return seen;
}

std::string public_chunk(std::string_view delta, std::string_view more = "") {
  return event("{\"id\":\"cmpl-7\",\"object\":\"chat.completion.chunk\",\"created\":1767225600,\"model\":\"m\","
               "\"choices\":[{\"index\":0,\"delta\":" + std::string(delta) + ",\"finish_reason\":null}]" + std::string(more) + "}");
}

}  // namespace

TEST_CASE("the counter counts") {
  allocations = 0;
  counting = true;
  const auto p = std::make_unique<int>(1);
  counting = false;
  CHECK(*p == 1);
  CHECK(allocations == 1);
}

TEST_CASE("a relayed event allocates nothing but, now and then, room for the text that may be gone on from") {
  // Doubling room for 1,000 events takes a handful of allocations; where nobody goes on there are none.
  const auto none = [](const std::vector<std::string>& reads) { return per_read(reads, 0) == 0 && per_read(reads, 3) < 0.02; };
  const auto plain = public_chunk("{\"content\":\"tok\"}");
  CHECK(none({plain}));                                                       // as bytes
  CHECK(none({plain + plain + plain}));                                       // several in one read
  CHECK(none({text_chunk()}));                                                // the model's name put in place
  CHECK(none({plain.substr(0, 70), plain.substr(70)}));                       // in two reads
  CHECK(none({public_chunk("{\"content\":\"tok\"}", ",\"usage\":" + usage_of(12, 3))}));
  CHECK(none({public_chunk("{\"content\":\"a\\nb\\u00e9 and a text that is longer than the small ones\"}")}));
  CHECK(none({public_chunk("{\"reasoning_content\":\"hm\"}")}));
  CHECK(none({public_chunk("{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\\\"a\\\"\"}}]}")}));
  CHECK(none({": ping\n\n", plain}));
}

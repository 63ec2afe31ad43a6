// What we rely on in the compilers: the safe coroutine forms, and integers wide enough for money.
#include "gateway/money/money.h"
#include "tests/catch.h"
#include "tests/toolchain/coroutine_right.h"

using namespace trib::toolchain;

TEST_CASE("safe coroutine forms keep their values") {
  const std::string x = "a first part that is long enough for the heap";
  CHECK(aggregate(x).run() == x + "-a long second part, not in place");
  CHECK(braced(x).run() == x + "-a long second part, not in place");
  CHECK(lambda(x).run() == x + "!");
  CHECK(conditional(true, x).run() == "a long text that lives on the heap");
  CHECK(conditional(false, x).run() == x);
  CHECK(condition(7).run() == 7);
  CHECK(condition(8).run() == -1);
}

TEST_CASE("128-bit integers carry a million yuan times a million ppm") {
  using trib::money::int128;
  const int128 pico = static_cast<int128>(1'000'000) * 1'000'000'000'000;
  CHECK(static_cast<long long>(pico * 1'000'000 / 1'000'000 / 1'000'000'000'000) == 1'000'000);
}

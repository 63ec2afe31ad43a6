// The five forms that GCC 12 miscompiles. Nothing includes this file: tidy_test.py shows that
// tools/tidy sees each line marked "row".
#pragma once
#include "tests/toolchain/coroutine_right.h"

namespace trib::toolchain::wrong {

inline Task<std::string> aggregate(std::string x) {
  co_return co_await join(Agg{x, "b"});  // row 1: aggregate temporary as an argument
}

inline Task<std::string> braced(std::string x) {
  auto r = co_await join_ref({x, "b"});  // row 2: braced aggregate to const&
  co_return r;
}

inline Task<std::string> lambda(std::string x) {
  auto r = co_await call([x] { return x + "!"; });  // row 3: capturing lambda temporary
  co_return r;
}

inline Task<std::string> conditional(bool c, std::string other) {
  auto r = c ? co_await echo("a") : other;  // row 4: in a conditional expression
  co_return r;
}

inline Task<int> condition(int n) {
  if ((co_await number(n)) != 7) {  // row 5: in a condition
    co_return -1;
  }
  co_return 0;
}

}  // namespace trib::toolchain::wrong

// The safe form of each of the five coroutine lines that GCC 12 miscompiles. Compiled and run by
// toolchain_test.cpp on both compilers, also under the sanitizers.
#pragma once
#include <string>
#include <utility>

#include "tests/toolchain/task.h"

namespace trib::toolchain {

struct Agg {
  std::string a, b;
};

inline Task<std::string> join(Agg agg) { co_return agg.a + agg.b; }
inline Task<std::string> join_ref(const Agg& agg) { co_return agg.a + agg.b; }
inline Task<std::string> echo(std::string text) { co_return text; }
inline Task<int> number(int n) { co_return n; }

template <class F>
Task<std::string> call(F f) {
  co_return f();
}

inline Task<std::string> aggregate(std::string x) {
  Agg agg{x, "-a long second part, not in place"};
  auto r = co_await join(std::move(agg));
  co_return r;
}

inline Task<std::string> braced(std::string x) {
  const Agg agg{x, "-a long second part, not in place"};
  auto r = co_await join_ref(agg);
  co_return r;
}

inline Task<std::string> lambda(std::string x) {
  auto work = [x] { return x + "!"; };
  auto r = co_await call(std::move(work));
  co_return r;
}

inline Task<std::string> conditional(bool c, std::string other) {
  auto r = other;
  if (c) {
    r = co_await echo("a long text that lives on the heap");
  }
  co_return r;
}

inline Task<int> condition(int n) {
  const auto v = co_await number(n);
  if (v != 7) co_return -1;
  int left = 3;
  for (;;) {
    const auto more = co_await number(left);
    if (more == 0) break;
    --left;
  }
  co_return v + left;
}

}  // namespace trib::toolchain

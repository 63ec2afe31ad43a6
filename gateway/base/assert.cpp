#include "gateway/base/assert.h"

#include <cstdio>
#include <cstdlib>

namespace trib {

void assert_failed(const char* what, const char* file, int line) noexcept {
  std::fprintf(stderr, "assertion failed: %s at %s:%d\n", what, file, line);
  std::abort();
}

}  // namespace trib

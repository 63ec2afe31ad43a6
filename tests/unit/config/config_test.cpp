#include "gateway/config/config.h"

#include "tests/catch.h"
TEST_CASE("x") { trib::config::parse_gateway("f", "gateway: {}", nullptr); }

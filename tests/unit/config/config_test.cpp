#include "gateway/config/config.h"
#include <iostream>
#include "tests/catch.h"
TEST_CASE("x") { try {auto c=trib::config::load_gateway(getenv("F"), nullptr); std::cout<<c->contracts.at(0).terms<<"\n";} catch (std::exception& e) { std::cout << e.what()<<"\n"; }}

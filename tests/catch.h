// Catch2 is version 2 on Debian 12 and version 3 later; tests include only this.
#pragma once
#ifdef TRIB_CATCH3
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch.hpp>
#endif

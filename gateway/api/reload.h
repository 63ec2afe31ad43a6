// What a reload of the configuration does not change.
#pragma once
#include <string>
#include <vector>

#include "gateway/config/config.h"

namespace trib::api {

// Keys that differ between the configuration the process came up with and the one it reads now, and are read at a
// start only; as they stand in the file.
std::vector<std::string> keys_of_start(const config::ConfigSnapshot& was, const config::ConfigSnapshot& now);

}  // namespace trib::api

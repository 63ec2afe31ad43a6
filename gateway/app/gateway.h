// `tributary gateway`: opens everything in order, serves until SIGTERM, leaves in order.
#pragma once
#include <string>

namespace trib::app {

// Returns the exit code: 0 after a drain, 1 when it cannot run, 2 for a configuration that cannot be.
int run_gateway(const std::string& config_file);

// An exclusive lock on a data folder for as long as the process lives; false when another holds it.
bool lock_data(const std::string& dir);

}  // namespace trib::app

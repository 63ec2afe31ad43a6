// `tributary gateway`: opens everything in order, serves until SIGTERM, leaves in order.
#pragma once
#include <string>

namespace trib::app {

// In the data folder.
inline constexpr const char* checkpoints_name = "checkpoints.jsonl";
inline constexpr const char* backup_name = "backup.json";  // which backup reaches furthest

// Returns the exit code: 0 after a drain, 1 when it cannot run, 2 for a configuration that cannot be.
int run_gateway(const std::string& config_file);

// An exclusive lock on a data folder for as long as the process lives; false when another holds it.
bool lock_data(const std::string& dir);
bool lock_file(const std::string& path);  // likewise, of one file, which is made

}  // namespace trib::app

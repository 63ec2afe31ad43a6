// The administrative subcommands: what each asks of the gateway and how the answer is shown.
#pragma once
#include <string>
#include <vector>

namespace trib::app {

// The words after `tributary`. Returns the exit code: 0 done, 1 failed, 2 wrong usage.
int run_command(const std::vector<std::string>& words);

// `tributary audit verify --config FILE`: on the data of a gateway that is not running.
int verify_offline(const std::string& config_file, bool json);

}  // namespace trib::app

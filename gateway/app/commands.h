// The administrative subcommands: what each asks of the gateway and how the answer is shown.
#pragma once
#include <string>
#include <vector>

namespace trib::app {

// The words after `tributary`. Returns the exit code: 0 done, 1 failed, 2 wrong usage.
int run_command(const std::vector<std::string>& words);

struct Call;
int audit(const Call& call);   // verify, prove, check, checkpoints
int backup(const Call& call);
int store(const Call& call);   // setup, copy

}  // namespace trib::app

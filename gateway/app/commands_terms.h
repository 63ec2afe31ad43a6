// `tributary price`, `contract` and `index`: each returns the exit code.
#pragma once
#include "gateway/app/command_line.h"

namespace trib::app {

int price_command(const Call& call);
int contract_command(const Call& call);
int index_command(const Call& call);

}  // namespace trib::app

// What the ledger made of the quarter, as plain JSON Lines beside the facts: each request's charge and parts,
// each account's movement by month, each statement.
#pragma once
#include <string>

#include "gateway/ledger/ledger.h"

namespace trib::quarter {

// False: the store could not be read.
bool write_result(ledger::Reader& reader, const std::string& path);

}  // namespace trib::quarter

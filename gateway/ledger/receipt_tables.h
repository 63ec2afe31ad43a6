// Questions about receipts to the store. They stand in the table of commands, a root a row, under ids that sort by
// site, key and number. Room-private.
#pragma once
#include <functional>

#include "gateway/ledger/reader.h"

namespace trib::ledger {

// The last root of each site under each key, and every key that was pinned by hand. False: see the reader's error().
bool last_receipt_commands(Reader& reader, const std::function<bool(const CommandRow&)>& visit);

// The roots that came into the journal from `wall_ms` on (at least; an hour before is looked at too), in its order.
bool receipt_commands_since(Reader& reader, std::int64_t wall_ms, const std::function<bool(const CommandRow&)>& visit);

// Requests whose id was minted in [from_ms, to_ms), in that order.
bool requests_minted(Reader& reader, std::int64_t from_ms, std::int64_t to_ms, const std::function<bool(const RequestRow&)>& visit);

}  // namespace trib::ledger

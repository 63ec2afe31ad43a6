// What finance's desk asks of the store.
#include "gateway/ledger/reader.h"

namespace trib::ledger {

std::optional<TransferRow> Reader::transfer(std::uint64_t id) {
  std::optional<TransferRow> out;
  Statement select = transfers_where("id = ?", Rows::few);
  select.reset().bind(static_cast<std::int64_t>(id));
  walk_transfers(std::move(select), [&](const TransferRow& row) {
    out = row;
    return false;
  });
  return out;
}

}  // namespace trib::ledger

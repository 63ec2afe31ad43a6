// A batch in the making. Private to the poster's files.
#pragma once
#include <algorithm>

#include "gateway/ledger/poster.h"
#include "gateway/ledger/quantities.h"

namespace trib::ledger {

struct Poster::Work {
  BatchRow batch;
  Postings postings;
  Quantities quantities;
  std::size_t items = 0;  // records posted
  UsageRow row;           // reused
  std::vector<Sha256> usage, commands, quarantine, quantity;  // leaves
  // The latest admission under a model's prices and under a contract.
  std::map<std::string, std::int64_t, std::less<>> rated_prices, rated_contracts;
  std::shared_ptr<const Book> book;
  std::shared_ptr<const Periods> periods;

  void touches(Period period) {
    batch.period_from = std::min(batch.period_from, period);
    batch.period_to = std::max(batch.period_to, period);
  }
};

}  // namespace trib::ledger

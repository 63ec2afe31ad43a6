// A batch in the making. Private to the poster's files.
#pragma once
#include "gateway/ledger/poster.h"

namespace trib::ledger {

struct Poster::Work {
  BatchRow batch;
  Tally tally;
  std::size_t items = 0;  // records posted
  std::vector<Sha256> commands, quarantine, quantity;  // leaves, beside the tally's
  std::shared_ptr<const Book> book;
  std::shared_ptr<const Periods> periods;
  std::optional<FeedOrder> begun;  // its first order, where the feed is at work on it
};

}  // namespace trib::ledger

// When the journal's old segments may go. A record may go once it is posted, once no request that it could
// belong to is still open, and once a backup of the store covers it; where no backup does, `keep` bounds
// how long it stays. Pure: the caller tells time and figures. One thread.
#pragma once
#include <cstdint>
#include <deque>
#include <utility>

#include "gateway/metering/journal.h"

namespace trib::metering {

class TrimRule {
 public:
  // `keep_ms`: the configured bound. `open_ms`: no request stays open longer. `keys_ms`: how long the records
  // of finished requests are read again at a start, for their idempotency keys.
  TrimRule(std::int64_t keep_ms, std::int64_t open_ms, std::int64_t keys_ms);

  // Due each minute; notes that `last` was the newest record at `now_ms` (monotonic).
  bool due(std::int64_t now_ms) const;
  void note(std::int64_t now_ms, Lsn last);

  // Records before this one may go; 0: none. `backed_up`: the furthest LSN that a backup covers.
  Lsn keep_from(Lsn posted, Lsn backed_up) const;
  // Of them, those before keep_from that no backup covers.
  bool uncovered(Lsn posted, Lsn backed_up) const { return keep_from(posted, backed_up) > backed_up; }

 private:
  const std::int64_t keep_ms_, least_ms_;
  std::deque<std::pair<std::int64_t, Lsn>> marks_;  // each minute: when, and the newest record; at most keep_ms back
  Lsn kept_ = 0, least_ = 0;  // the newest records that are as old as keep_ms_, as least_ms_
};

}  // namespace trib::metering

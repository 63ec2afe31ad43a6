#include "gateway/metering/trim.h"

#include <algorithm>

namespace trib::metering {
namespace {

constexpr std::int64_t mark_every_ms = 60'000;

}  // namespace

TrimRule::TrimRule(std::int64_t keep_ms, std::int64_t open_ms, std::int64_t keys_ms)
    : keep_ms_(std::max(keep_ms, open_ms)), least_ms_(std::min(keep_ms_, std::max(open_ms, keys_ms))) {}

bool TrimRule::due(std::int64_t now_ms) const { return marks_.empty() || now_ms - marks_.back().first >= mark_every_ms; }

void TrimRule::note(std::int64_t now_ms, Lsn last) {
  marks_.emplace_back(now_ms, last);
  for (const auto& [when_ms, lsn] : marks_) {
    if (now_ms - when_ms < least_ms_) break;
    least_ = std::max(least_, lsn);
  }
  while (!marks_.empty() && now_ms - marks_.front().first >= keep_ms_) {
    kept_ = std::max(kept_, marks_.front().second);
    marks_.pop_front();
  }
}

Lsn TrimRule::keep_from(Lsn posted, Lsn backed_up) const {
  return std::min(posted, std::max(kept_, std::min(least_, backed_up)));
}

}  // namespace trib::metering

#include "gateway/tenancy/budget.h"

#include <algorithm>
#include <bit>

#include "gateway/ledger/ledger.h"

namespace trib::tenancy {
namespace {

// Four to the octave from 4 on; below, each length for itself.
std::size_t bucket_of(std::uint64_t tokens) {
  if (tokens < 4) return static_cast<std::size_t>(tokens);
  const auto octave = static_cast<std::uint64_t>(std::bit_width(tokens)) - 3;  // 0 for 4..7
  return static_cast<std::size_t>(4 + octave * 4 + ((tokens >> octave) & 3));
}

// The greatest length in the bucket.
std::uint64_t top_of(std::size_t bucket) {
  if (bucket < 4) return bucket;
  const std::uint64_t octave = (bucket - 4) / 4, quarter = (bucket - 4) % 4;
  return ((4 + quarter + 1) << octave) - 1;
}

}  // namespace

std::int64_t span_end_ms(Span span, std::int64_t wall_ms) {
  return span == Span::day ? ledger::day_end_ms(wall_ms) : ledger::period_end_ms(ledger::period_of(wall_ms));
}

void Spending::add(std::int64_t wall_ms, money::Amount amount) {
  for (const Span span : {Span::day, Span::month}) {
    auto& sums = sums_[static_cast<std::size_t>(span)];
    sums[span_end_ms(span, wall_ms)] += amount;
    if (sums.size() > spans_kept) sums.erase(sums.begin());
  }
}

money::Amount Spending::in(Span span, std::int64_t wall_ms) const {
  const auto& sums = sums_[static_cast<std::size_t>(span)];
  const auto found = sums.find(span_end_ms(span, wall_ms));
  return found == sums.end() ? money::Amount{} : found->second;
}

void Lengths::add(std::uint64_t tokens) {
  ++counts_[std::min(bucket_of(tokens), counts_.size() - 1)];
  if (++samples_ < samples_max) return;
  samples_ = 0;
  for (auto& count : counts_) samples_ += count /= 2;
}

std::optional<std::uint64_t> Lengths::p99() const {
  if (samples_ < samples_min) return std::nullopt;
  std::uint32_t above = samples_ / 100;  // that may be longer
  for (std::size_t bucket = counts_.size(); bucket-- > 0;) {
    if (counts_[bucket] > above) return top_of(bucket);
    above -= counts_[bucket];
  }
  return 0;
}

}  // namespace trib::tenancy

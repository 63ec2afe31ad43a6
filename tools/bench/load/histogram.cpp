#include "tools/bench/load/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>

namespace trib::bench {

// Values below 64 have a bucket each; above, the six bits after the leading one choose it.
std::size_t Histogram::bucket_of(std::uint64_t ns) {
  if (ns < (1U << kSubBits)) return static_cast<std::size_t>(ns);
  const auto shift = static_cast<unsigned>(std::bit_width(ns)) - 1 - kSubBits;
  const std::size_t sub = (ns >> shift) & ((1U << kSubBits) - 1);
  return std::min<std::size_t>(((static_cast<std::size_t>(shift) + 1) << kSubBits) + sub,
                               kBuckets - 1);
}

std::int64_t Histogram::top_of(std::size_t bucket) {
  const std::size_t group = bucket >> kSubBits;
  const auto sub = static_cast<std::int64_t>(bucket & ((1U << kSubBits) - 1));
  if (group == 0) return sub;
  const std::int64_t base = (std::int64_t{1} << kSubBits) + sub;
  return ((base + 1) << (group - 1)) - 1;
}

void Histogram::record(std::int64_t ns) {
  ns = std::clamp<std::int64_t>(ns, 0, std::int64_t{1} << 50);
  ++counts_[bucket_of(static_cast<std::uint64_t>(ns))];
  ++count_;
  max_ = std::max(max_, ns);
  sum_ += static_cast<double>(ns);
}

void Histogram::clear() {
  *this = Histogram{};
}

std::int64_t Histogram::quantile_ns(double share) const {
  if (count_ == 0) return 0;
  const auto want = std::max<std::uint64_t>(
      1, static_cast<std::uint64_t>(std::ceil(share * static_cast<double>(count_))));
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < kBuckets; ++i) {
    seen += counts_[i];
    if (seen >= want) return std::min(top_of(i), max_);
  }
  return max_;
}

std::string Histogram::json_us() const {
  const auto us = [](std::int64_t ns) { return static_cast<double>(ns) / 1000.0; };
  char text[256];
  std::snprintf(
      text, sizeof text,
      R"({"count":%llu,"mean":%.1f,"p50":%.1f,"p90":%.1f,"p99":%.1f,"p999":%.1f,"max":%.1f})",
      static_cast<unsigned long long>(count_),
      count_ ? sum_ / static_cast<double>(count_) / 1000.0 : 0.0, us(quantile_ns(0.5)),
      us(quantile_ns(0.9)), us(quantile_ns(0.99)), us(quantile_ns(0.999)), us(max_));
  return text;
}

void Tenths::record(std::int64_t now_ns, std::int64_t took_ns) {
  if (now_ns >= end_ns_) end(now_ns);
  going_on_.record(took_ns);
}

void Tenths::end(std::int64_t now_ns) {
  constexpr std::int64_t tenth_ns = 100'000'000;
  constexpr std::uint64_t count_min = 200;
  if (going_on_.count() >= count_min) {
    p50s_ns_.push_back(going_on_.quantile_ns(0.5));
    p99s_ns_.push_back(going_on_.quantile_ns(0.99));
  }
  going_on_.clear();
  end_ns_ = now_ns + tenth_ns;
}

Typical Tenths::typical() {
  end(end_ns_);
  const auto median = [](std::vector<std::int64_t> values) {
    std::sort(values.begin(), values.end());
    return values.empty() ? 0 : values[values.size() / 2];
  };
  return {median(p50s_ns_), median(p99s_ns_)};
}

}  // namespace trib::bench

// Counts of durations in log-linear buckets: 64 a power of two, so a quantile is off by 1.6 % at
// most. Fixed memory, no allocation when recording. One owner, one thread.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace trib::bench {

class Histogram {
 public:
  void record(std::int64_t ns);  // negative counts as zero
  void clear();
  std::uint64_t count() const { return count_; }
  std::int64_t max_ns() const { return max_; }
  // The least value that at least `share` (0..1) of the records do not exceed; 0 without records.
  std::int64_t quantile_ns(double share) const;
  // {"count":…,"mean":…,"p50":…,"p90":…,"p99":…,"p999":…,"max":…} in microseconds.
  std::string json_us() const;

 private:
  static constexpr unsigned kSubBits = 6;
  static constexpr std::size_t kBuckets = (64 - kSubBits) << kSubBits;
  static std::size_t bucket_of(std::uint64_t ns);
  static std::int64_t top_of(std::size_t bucket);
  std::array<std::uint64_t, kBuckets> counts_{};
  std::uint64_t count_ = 0;
  std::int64_t max_ = 0;
  double sum_ = 0;
};

// Quantiles of each tenth of a second with at least 200 records, and of those the median: what a stall of the machine does
// to the one tenth that it hits is left out. 0 without such a tenth.
struct Typical {
  std::int64_t p50_ns = 0;
  std::int64_t p99_ns = 0;
};

class Tenths {
 public:
  void record(std::int64_t now_ns, std::int64_t took_ns);  // by rising time
  Typical typical();  // of all that was recorded, the tenth that is going on too
 private:
  void end(std::int64_t now_ns);
  Histogram going_on_;
  std::int64_t end_ns_ = 0;
  std::vector<std::int64_t> p50s_ns_, p99s_ns_;
};

}  // namespace trib::bench

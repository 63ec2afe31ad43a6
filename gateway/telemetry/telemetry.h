// Counters, gauges, histograms in Prometheus text, and the structured log. Updating is lock-free;
// registering and rendering take a lock. Names follow Prometheus' conventions, prefix `tributary_`.
#pragma once
#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trib::telemetry {

using Labels = std::vector<std::pair<std::string, std::string>>;

class Counter {
 public:
  void add(std::uint64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
  std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

class Gauge {
 public:
  void set(std::int64_t v) { value_.store(v, std::memory_order_relaxed); }
  void add(std::int64_t n) { value_.fetch_add(n, std::memory_order_relaxed); }
  std::int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::int64_t> value_{0};
};

// Of durations, in seconds when rendered.
class Histogram {
 public:
  // The upper ends of its buckets, ascending; one more bucket takes the rest.
  using Bounds = std::span<const std::int64_t>;
  static constexpr std::int64_t bounds_us[] = {500,     1000,    2500,    5000,     10'000,    25'000,    50'000,     100'000,
                                               250'000, 500'000, 1000'000, 2500'000, 5000'000, 10'000'000, 30'000'000, 60'000'000};
  // For what a disk or a thread takes.
  static constexpr std::int64_t fine_bounds_us[] = {10,  15,  20,  30,  40,  50,  60,  70,  80,   90,   100,  110,  125,    140,    160,     180,
                                                    200, 225, 250, 275, 300, 350, 400, 450, 500,  550,  600,  700,  800,    1000,   1250,    1500,
                                                    2000, 2500, 3500, 5000, 10'000, 25'000, 100'000, 1000'000};

  explicit Histogram(Bounds bounds);  // of static storage
  void observe_ns(std::int64_t ns, std::uint64_t times = 1);
  Bounds bounds() const { return bounds_; }
  std::uint64_t count(std::size_t bucket) const { return counts_[bucket].load(std::memory_order_relaxed); }
  std::uint64_t sum_us() const { return sum_us_.load(std::memory_order_relaxed); }

 private:
  const Bounds bounds_;
  const std::unique_ptr<std::atomic<std::uint64_t>[]> counts_;
  std::atomic<std::uint64_t> sum_us_{0};
};

// Owns its series; references stay valid for the registry's life. The same name and labels give the
// same series. At most 10,000 series; past that one overflow series a name takes the rest.
class Registry {
 public:
  Counter& counter(std::string_view name, std::string_view help, const Labels& labels = {});
  Gauge& gauge(std::string_view name, std::string_view help, const Labels& labels = {});
  Histogram& histogram(std::string_view name, std::string_view help, const Labels& labels = {},
                       Histogram::Bounds bounds_us = Histogram::bounds_us);
  // Calls `sample` at each rendering, without the lock, for figures that live elsewhere. It must stay
  // callable while anyone renders; registering the same series again replaces it.
  void sampled_gauge(std::string_view name, std::string_view help, const Labels& labels, std::function<std::int64_t()> sample);
  std::string render() const;  // text/plain; version=0.0.4

 private:
  struct Family;
  Family& family(std::string_view name, std::string_view help, std::string_view type);
  mutable std::mutex mutex_;
  std::map<std::string, std::unique_ptr<Family>> families_;
  std::size_t series_ = 0;

 public:
  Registry();
  ~Registry();
};

enum class Level { debug, info, warning, error };

struct LogField {
  std::string_view key;
  std::string value;
  bool number = false;  // a bare number in JSON
  LogField(std::string_view k, std::string v) : key(k), value(std::move(v)) {}
  LogField(std::string_view k, std::string_view v) : key(k), value(v) {}
  LogField(std::string_view k, const char* v) : key(k), value(v) {}
  LogField(std::string_view k, std::int64_t v) : key(k), value(std::to_string(v)), number(true) {}
};

// One line on standard error: human on a terminal, a JSON object otherwise. Thread-safe. Never given
// a key, a prompt or an answer.
void log(Level level, std::string_view event, std::initializer_list<LogField> fields = {});
void set_log_level(Level least);
void set_log_json(bool json);  // default: not a terminal

}  // namespace trib::telemetry

// Load figures from an engine's metrics page (Prometheus text). The reader takes any bytes in bounded
// memory: a piece at a time, one line held at most.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "gateway/fleet/fleet.h"

namespace trib::engines {

enum class Figure : std::uint8_t { running, waiting, kv_use };
// How samples of one name that differ in their labels become one figure.
enum class Fold : std::uint8_t {
  sum,
  max,
  sum_of_dp_max,  // the ranks of one tensor group say the same: the largest of each `dp_rank`, summed
};
// Names of one rank say the same thing, the lowest rank that is there counts; figures of different
// `part`s add up.
struct Gauge {
  Figure figure;
  Fold fold;
  std::string_view name;
  std::uint8_t rank = 0, part = 0;
};

using fleet::EngineFigures;

inline constexpr std::string_view metrics_path = "/metrics";
inline constexpr std::size_t metrics_bytes_max = 4u << 20;  // what comes after is not read
inline constexpr std::size_t metrics_line_max = 4u << 10;   // a longer line is passed over

class MetricsReader {
 public:
  explicit MetricsReader(fleet::MetricsKind kind);
  void feed(std::string_view bytes);
  EngineFigures finish();  // once, when the page has ended

 private:
  static constexpr std::size_t gauges_max = 8, groups_max = 64;
  struct Group {
    std::uint32_t key = 0;
    double value = 0;
  };
  struct Found {
    bool any = false, unusable = false;
    double value = 0;
    std::array<Group, groups_max> groups{};
    std::size_t groups_used = 0;
  };
  void line(std::string_view text);
  void sample(std::size_t gauge, std::string_view labels, double value);
  std::optional<double> figure(Figure which) const;

  std::span<const Gauge> gauges_;
  std::array<Found, gauges_max> found_{};
  std::string held_;
  std::size_t bytes_ = 0;
  bool skipping_ = false;  // the rest of a line that was too long
};

}  // namespace trib::engines

#include "backends/engines/metrics.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <utility>

#include "backends/engines/dialect.h"

namespace trib::engines {
namespace {

constexpr double count_max = 1'000'000;

bool blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

// The number of label `name`, 0 where there is none. `labels` is what stands between the braces.
std::uint32_t label_number(std::string_view labels, std::string_view name) {
  const std::size_t at = labels.find(name);
  if (at == labels.npos || (at > 0 && labels[at - 1] != ',' && !blank(labels[at - 1]))) return 0;
  const std::string_view rest = labels.substr(at + name.size());
  if (!rest.starts_with("=\"")) return 0;
  std::uint32_t value = 0;
  std::from_chars(rest.data() + 2, rest.data() + rest.size(), value);
  return value;
}

// Past the labels' closing brace; npos: none. A brace may stand inside of a quoted value.
std::size_t after_labels(std::string_view text, std::size_t from) {
  bool quoted = false;
  for (std::size_t i = from; i < text.size(); ++i) {
    if (quoted && text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      quoted = !quoted;
    } else if (!quoted && text[i] == '}') {
      return i + 1;
    }
  }
  return text.npos;
}

}  // namespace

MetricsReader::MetricsReader(fleet::MetricsKind kind) : gauges_(dialect_of(kind).gauges) {
  TRIB_ASSERT(gauges_.size() <= gauges_max);
}

void MetricsReader::feed(std::string_view bytes) {
  bytes = bytes.substr(0, metrics_bytes_max - bytes_);
  bytes_ += bytes.size();
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    const auto piece = bytes.substr(0, end);
    if (!skipping_ && held_.size() + piece.size() > metrics_line_max) {
      skipping_ = true;
      held_.clear();
    }
    if (end == bytes.npos) {
      if (!skipping_) held_.append(piece);
      return;
    }
    if (!skipping_) {
      if (held_.empty()) {
        line(piece);
      } else {
        held_.append(piece);
        line(held_);
      }
    }
    held_.clear();
    skipping_ = false;
    bytes.remove_prefix(end + 1);
  }
}

void MetricsReader::line(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size() && blank(text[at])) ++at;
  text.remove_prefix(at);
  const std::size_t end = text.find_first_of("{ \t");
  if (end == text.npos) return;
  const auto name = text.substr(0, end);
  for (std::size_t i = 0; i < gauges_.size(); ++i) {
    if (gauges_[i].name != name) continue;
    at = end;
    while (at < text.size() && blank(text[at])) ++at;
    std::string_view labels;
    if (at < text.size() && text[at] == '{') {
      const std::size_t after = after_labels(text, at + 1);
      if (after == text.npos) return;
      labels = text.substr(at + 1, after - at - 2);
      at = after;
    }
    while (at < text.size() && blank(text[at])) ++at;
    if (at < text.size() && text[at] == '+') ++at;
    double value = 0;
    const auto [rest, ec] = std::from_chars(text.data() + at, text.data() + text.size(), value);
    const bool whole = ec == std::errc{} && (rest == text.data() + text.size() || blank(*rest));
    // A figure that is no figure spoils its name: what is left of it would say too little.
    if (!whole || !std::isfinite(value) || value < 0 || value > count_max) {
      found_[i].unusable = true;
    } else {
      sample(i, labels, value);
    }
    return;
  }
}

void MetricsReader::sample(std::size_t gauge, std::string_view labels, double value) {
  Found& found = found_[gauge];
  found.any = true;
  switch (gauges_[gauge].fold) {
    case Fold::sum: found.value += value; return;
    case Fold::max: found.value = std::max(found.value, value); return;
    case Fold::sum_of_dp_max: break;
  }
  const std::uint32_t rank = label_number(labels, "dp_rank");
  for (std::size_t i = 0; i < found.groups_used; ++i) {
    if (found.groups[i].key != rank) continue;
    found.groups[i].value = std::max(found.groups[i].value, value);
    return;
  }
  if (found.groups_used == groups_max) {
    found.unusable = true;
    return;
  }
  found.groups[found.groups_used++] = {rank, value};
}

std::optional<double> MetricsReader::figure(Figure which) const {
  double sum = 0;
  bool any = false;
  for (std::uint8_t part = 0; part < 2; ++part) {
    const Found* best = nullptr;
    std::uint8_t best_rank = 0;
    for (std::size_t i = 0; i < gauges_.size(); ++i) {
      const Gauge& gauge = gauges_[i];
      if (gauge.figure != which || gauge.part != part || (!found_[i].any && !found_[i].unusable)) continue;
      if (best != nullptr && best_rank <= gauge.rank) continue;
      best = &found_[i];
      best_rank = gauge.rank;
    }
    if (best == nullptr) continue;
    if (best->unusable) return std::nullopt;
    any = true;
    sum += best->value;
    for (std::size_t i = 0; i < best->groups_used; ++i) sum += best->groups[i].value;
  }
  return any ? std::optional(sum) : std::nullopt;
}

EngineFigures MetricsReader::finish() {
  if (!skipping_ && !held_.empty() && bytes_ < metrics_bytes_max) line(held_);
  held_.clear();
  const auto count = [&](Figure which) -> std::optional<std::uint32_t> {
    const auto value = figure(which);
    if (!value || *value > count_max) return std::nullopt;
    return static_cast<std::uint32_t>(std::lround(*value));
  };
  EngineFigures out;
  out.running = count(Figure::running);
  out.waiting = count(Figure::waiting);
  // Some builds say percents under the same name: not to be told apart from a share, so not read.
  if (const auto use = figure(Figure::kv_use); use && *use <= 1.0)
    out.kv_use_ppm = static_cast<std::uint32_t>(std::lround(*use * 1e6));
  return out;
}

}  // namespace trib::engines

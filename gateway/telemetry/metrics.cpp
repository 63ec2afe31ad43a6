#include <algorithm>
#include <cctype>
#include <cstdio>

#include "gateway/base/assert.h"
#include "gateway/telemetry/telemetry.h"

namespace trib::telemetry {
namespace {

constexpr std::size_t series_max = 10'000;

bool name_ok(std::string_view name, bool colon) {
  auto letter = [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (colon && c == ':');
  };
  return !name.empty() && letter(name[0]) && std::all_of(name.begin(), name.end(), [&](char c) {
    return letter(c) || (c >= '0' && c <= '9');
  });
}

// Label values escape the quote too, help texts do not.
std::string escaped(std::string_view text, bool quote) {
  std::string out;
  for (const char c : text) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '"' && quote) {
      out += "\\\"";
    } else {
      out += c;
    }
  }
  return out;
}

// `a="1",b="2"` in the labels' order, without braces.
std::string label_text(const Labels& labels) {
  std::string out;
  for (const auto& [key, value] : labels) {
    out += (out.empty() ? "" : ",") + key + "=\"" + escaped(value, true) + "\"";
  }
  return out;
}

std::string braces(const std::string& labels) {
  return labels.empty() ? "" : "{" + labels + "}";
}

// Whole microseconds as decimal seconds without trailing zeros: exact, unlike a float.
std::string seconds_text(std::uint64_t us) {
  char fraction[8];
  std::snprintf(fraction, sizeof fraction, "%06u", static_cast<unsigned>(us % 1'000'000));
  std::string out = std::to_string(us / 1'000'000) + "." + fraction;
  while (out.back() == '0') out.pop_back();
  if (out.back() == '.') out.pop_back();
  return out;
}

using Sample = std::function<std::int64_t()>;

struct Series {
  Counter counter;
  Gauge gauge;
  std::unique_ptr<Histogram> histogram;
  std::shared_ptr<const Sample> sample;
};

void write_histogram(std::string& out, const std::string& name, const std::string& labels,
                     const Histogram& h) {
  const std::string comma = labels.empty() ? "" : labels + ",";
  std::uint64_t total = 0;
  for (std::size_t i = 0; i <= h.bounds().size(); ++i) {
    total += h.count(i);
    const std::string bound = i == h.bounds().size() ? "+Inf" : seconds_text(static_cast<std::uint64_t>(h.bounds()[i]));
    out += name + "_bucket{" + comma + "le=\"" + bound + "\"} " + std::to_string(total) + "\n";
  }
  out += name + "_sum" + braces(labels) + " " + seconds_text(h.sum_us()) + "\n";
  out += name + "_count" + braces(labels) + " " + std::to_string(total) + "\n";
}

}  // namespace

struct Registry::Family {
  std::string type;
  std::string help;
  std::map<std::string, std::unique_ptr<Series>> series;  // by label text

  Series& at(Labels labels, std::size_t& count) {
    for (const auto& [key, value] : labels) {
      TRIB_ASSERT(name_ok(key, false) && key != "le");
    }
    std::sort(labels.begin(), labels.end());
    std::string text = label_text(labels);
    if (!series.contains(text)) {
      if (count >= series_max) text = "overflow=\"true\"";
      if (!series.contains(text)) ++count;
    }
    auto& slot = series[text];
    if (!slot) slot = std::make_unique<Series>();
    return *slot;
  }
};

Registry::Registry() = default;
Registry::~Registry() = default;

Histogram::Histogram(Bounds bounds) : bounds_(bounds), counts_(std::make_unique<std::atomic<std::uint64_t>[]>(bounds.size() + 1)) {}

void Histogram::observe_ns(std::int64_t ns, std::uint64_t times) {
  ns = std::max<std::int64_t>(ns, 0);
  const auto at = std::find_if(bounds_.begin(), bounds_.end(), [&](std::int64_t bound_us) { return ns <= bound_us * 1000; });
  counts_[static_cast<std::size_t>(at - bounds_.begin())].fetch_add(times, std::memory_order_relaxed);
  sum_us_.fetch_add(static_cast<std::uint64_t>(ns / 1000) * times, std::memory_order_relaxed);
}

Registry::Family& Registry::family(std::string_view name, std::string_view help,
                                   std::string_view type) {
  TRIB_ASSERT(name_ok(name, true));
  auto& slot = families_[std::string(name)];
  if (!slot) {
    slot = std::make_unique<Family>();
    slot->type = type;
    slot->help = help;
  }
  TRIB_ASSERT(slot->type == type);  // one name, one type
  return *slot;
}

Counter& Registry::counter(std::string_view name, std::string_view help, const Labels& labels) {
  const std::lock_guard lock(mutex_);
  return family(name, help, "counter").at(labels, series_).counter;
}

Gauge& Registry::gauge(std::string_view name, std::string_view help, const Labels& labels) {
  const std::lock_guard lock(mutex_);
  return family(name, help, "gauge").at(labels, series_).gauge;
}

Histogram& Registry::histogram(std::string_view name, std::string_view help, const Labels& labels, Histogram::Bounds bounds_us) {
  const std::lock_guard lock(mutex_);
  auto& slot = family(name, help, "histogram").at(labels, series_).histogram;
  if (!slot) slot = std::make_unique<Histogram>(bounds_us);
  return *slot;
}

void Registry::sampled_gauge(std::string_view name, std::string_view help, const Labels& labels,
                             std::function<std::int64_t()> sample) {
  const std::lock_guard lock(mutex_);
  family(name, help, "gauge").at(labels, series_).sample =
      std::make_shared<const Sample>(std::move(sample));
}

std::string Registry::render() const {
  // Samples run outside the lock: they may take locks of their own, or register a series.
  std::vector<std::pair<Series*, std::shared_ptr<const Sample>>> samples;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [name, family] : families_) {
      for (const auto& [labels, series] : family->series) {
        if (series->sample) samples.emplace_back(series.get(), series->sample);
      }
    }
  }
  for (const auto& [series, sample] : samples) series->gauge.set((*sample)());

  const std::lock_guard lock(mutex_);
  std::string out;
  for (const auto& [name, family] : families_) {
    out += "# HELP " + name + " " + escaped(family->help, false) + "\n";
    out += "# TYPE " + name + " " + family->type + "\n";
    for (const auto& [labels, series] : family->series) {
      if (family->type == "histogram") {
        write_histogram(out, name, labels, *series->histogram);
      } else if (family->type == "counter") {
        out += name + braces(labels) + " " + std::to_string(series->counter.value()) + "\n";
      } else {
        out += name + braces(labels) + " " + std::to_string(series->gauge.value()) + "\n";
      }
    }
  }
  return out;
}

}  // namespace trib::telemetry

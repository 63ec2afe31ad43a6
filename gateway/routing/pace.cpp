#include "gateway/routing/pace.h"

#include <algorithm>

namespace trib::routing {
namespace {

constexpr std::uint64_t samples_sure = 8;          // by then the neutral figures weigh a fifth
constexpr std::uint64_t neutral_weight = 2;        // as so many samples
constexpr std::int64_t fresh_ns = 300'000'000'000;
constexpr std::int64_t stale_ns = 1'800'000'000'000;
constexpr std::uint64_t tokens_min = 4;
constexpr std::uint32_t samples_max = 255;
constexpr std::uint32_t refusals_max = 6;
constexpr std::uint32_t halvings_max = 3;
constexpr std::uint64_t scale = 1024;

// 1 at idle, 2 when full, in 1024ths. Where the engine's own page says that more runs and waits there than
// is ours, others use it too, and that counts; less than ours it cannot be.
std::uint64_t load_factor(const fleet::Offer& offer) {
  constexpr std::uint64_t over_max = 8;
  const std::uint64_t capacity = std::max<std::uint32_t>(1, offer.capacity);
  std::uint64_t there = offer.load->in_flight.load(std::memory_order_relaxed);
  const auto running = offer.figures->running.load(std::memory_order_relaxed);
  const auto waiting = offer.figures->waiting.load(std::memory_order_relaxed);
  if (running >= 0 || waiting >= 0)
    there = std::max(there, static_cast<std::uint64_t>(std::max<std::int64_t>(0, running)) + static_cast<std::uint64_t>(std::max<std::int64_t>(0, waiting)));
  return scale + scale * std::min(there, capacity * over_max) / capacity;
}

void smooth(std::atomic<std::uint32_t>& figure, std::uint64_t sample) {
  constexpr std::int64_t part = 8;
  const auto bounded = static_cast<std::int64_t>(std::clamp<std::uint64_t>(sample, 1, UINT32_MAX));
  const std::int64_t had = figure.load(std::memory_order_relaxed);
  const std::int64_t now = had == 0 ? bounded : std::max<std::int64_t>(1, had + (bounded - had) / part);
  figure.store(static_cast<std::uint32_t>(now), std::memory_order_relaxed);
}

}  // namespace

void learn(const fleet::Offer& offer, const Sample& sample, std::int64_t now_ns) {
  auto& pace = *offer.pace;
  const auto factor = load_factor(offer);
  const auto idle_us = [&](std::int64_t ns) { return static_cast<std::uint64_t>(ns / 1000) * scale / factor; };
  if (sample.first_ns > 0) smooth(pace.first_us, idle_us(sample.first_ns));
  if (sample.rest_ns > 0 && sample.tokens >= tokens_min) smooth(pace.token_us, idle_us(sample.rest_ns) / (sample.tokens - 1));
  if (sample.whole && sample.tokens > 0) smooth(pace.answer_tokens, sample.tokens);
  if (sample.tokens == 0) return;
  const auto samples = pace.samples.load(std::memory_order_relaxed);
  if (samples < samples_max) pace.samples.store(samples + 1, std::memory_order_relaxed);
  pace.heard_ns.store(now_ns, std::memory_order_relaxed);
  const auto refusals = pace.refusals.load(std::memory_order_relaxed);
  if (refusals > 0) pace.refusals.store(refusals - 1, std::memory_order_relaxed);
}

Speed believe(const fleet::OfferPace& pace, const Speed& neutral, std::int64_t now_ns) {
  const std::uint64_t samples = std::min<std::uint64_t>(pace.samples.load(std::memory_order_relaxed), samples_sure);
  if (samples == 0) return neutral;
  const std::int64_t silent = now_ns - pace.heard_ns.load(std::memory_order_relaxed);
  const std::int64_t left = std::clamp<std::int64_t>(stale_ns - silent, 0, stale_ns - fresh_ns);
  const std::uint64_t own = scale * static_cast<std::uint64_t>(left / 1'000'000) / static_cast<std::uint64_t>((stale_ns - fresh_ns) / 1'000'000) *
                            samples / (samples + neutral_weight);
  const auto mix = [&](std::uint32_t mine, std::uint32_t theirs) {
    if (mine == 0) return theirs;
    return static_cast<std::uint32_t>((mine * own + theirs * (scale - own)) / scale);
  };
  return {mix(pace.token_us.load(std::memory_order_relaxed), neutral.token_us),
          mix(pace.first_us.load(std::memory_order_relaxed), neutral.first_us),
          mix(pace.answer_tokens.load(std::memory_order_relaxed), neutral.answer_tokens)};
}

void refused(fleet::OfferPace& pace) {
  const auto refusals = pace.refusals.load(std::memory_order_relaxed);
  if (refusals < refusals_max) pace.refusals.store(refusals + 1, std::memory_order_relaxed);
}

std::uint64_t weight(const fleet::Offer& offer, const Speed& speed) {
  const std::uint64_t full = std::max<std::uint64_t>(1, offer.capacity) * 100'000'000 / std::max<std::uint32_t>(1, speed.token_us);
  return std::max<std::uint64_t>(1, full >> std::min(offer.pace->refusals.load(std::memory_order_relaxed), halvings_max));
}

std::uint64_t first_us(const fleet::Offer& offer, const Speed& speed) { return speed.first_us * load_factor(offer) / scale; }

std::uint64_t finish_us(const fleet::Offer& offer, const Speed& speed, std::uint64_t tokens) {
  return (speed.first_us + speed.token_us * tokens) * load_factor(offer) / scale;
}

}  // namespace trib::routing

#include "backends/agent/meter.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "backends/engines/engines.h"
#include "gateway/base/json.h"

namespace trib::agent {
namespace {

constexpr std::string_view paths[] = {"/v1/chat/completions", "/v1/completions", "/v1/embeddings"};
constexpr std::size_t id_digits = 32;

// What is beyond a receipt's bounds is a broken meter's and says nothing.
bool tellable(const metering::TokenCounts& c) {
  return std::max({c.input, c.cached_input, c.cache_write, c.output, c.reasoning}) <= static_cast<std::uint64_t>(ledger::receipt_count_max);
}

std::uint64_t bounded(std::uint64_t n) { return std::min<std::uint64_t>(n, static_cast<std::uint64_t>(ledger::receipt_count_max)); }

}  // namespace

std::optional<Meter> Meter::of(std::string_view attempt, std::string_view path, std::string model, const Clock& clock) {
  if (std::find(std::begin(paths), std::end(paths), path) == std::end(paths)) return std::nullopt;
  if (attempt.size() < id_digits + 2 || attempt[id_digits] != '-') return std::nullopt;
  const auto request = RequestId::parse(attempt.substr(0, id_digits));
  std::uint16_t n = 0;
  const char* const end = attempt.data() + attempt.size();
  const auto [at, error] = std::from_chars(attempt.data() + id_digits + 1, end, n);
  if (!request || error != std::errc() || at != end || n == 0) return std::nullopt;
  return Meter(*request, n, std::move(model), clock);
}

Meter::Meter(const RequestId& request, std::uint16_t attempt, std::string model, const Clock& clock) : clock_(&clock) {
  receipt_.request = request;
  receipt_.attempt = attempt;
  receipt_.model = std::move(model);
  receipt_.began_ms = clock.wall_ms();
}

void Meter::head(int status, std::string_view content_type) {
  receipt_.status = static_cast<std::uint16_t>(std::clamp(status, 0, 999));
  if (content_type.substr(0, 17) == "text/event-stream") events_.emplace();
}

void Meter::body(std::string_view bytes) {
  receipt_.bytes += bytes.size();
  if (events_) {
    http::SseEvent event;
    for (;;) {
      const auto status = events_->next(bytes, event);
      if (status == http::SseScanner::Status::event) read_event(event.data);
      if (status == http::SseScanner::Status::need_more || status == http::SseScanner::Status::too_large) return;
    }
  }
  held_ += bytes;
  if (held_.size() <= body_bytes_max) return;
  whole_ = false;
  held_.erase(0, held_.size() - tail_bytes);
}

void Meter::read_event(std::string_view data) {
  engines::AnswerFacts facts;
  if (!engines::read_answer(data, false, facts) || facts.error) return;
  if (facts.usage == engines::UsageState::valid && tellable(facts.counts)) receipt_.tokens = facts.counts;
  if (facts.choices) receipt_.pieces = bounded(receipt_.pieces + facts.texts);
}

void Meter::read_whole() {
  engines::AnswerFacts facts;
  if (whole_) {
    if (!engines::read_answer(held_, true, facts) || facts.error) return;
    receipt_.pieces = bounded(facts.words);
  } else {
    constexpr std::string_view key = "\"usage\":";
    const auto at = held_.rfind(key);
    if (at == std::string::npos) return;
    json::Cursor cursor(std::string_view(held_).substr(at + key.size()));
    const auto value = cursor.skip();
    if (!cursor.ok() || !engines::read_answer("{\"usage\":" + std::string(value) + "}", false, facts)) return;
  }
  if (facts.usage == engines::UsageState::valid && tellable(facts.counts)) receipt_.tokens = facts.counts;
}

ledger::Receipt Meter::finish(ledger::Served served) {
  if (!events_ && served == ledger::Served::done) read_whole();
  receipt_.served = served;
  receipt_.ended_ms = clock_->wall_ms();
  return std::move(receipt_);
}

}  // namespace trib::agent

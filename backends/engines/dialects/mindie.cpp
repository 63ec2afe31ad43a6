// MindIE. Its error bodies, usage and continuation are not known from a reliable source: absent.
#include "backends/engines/dialect.h"

namespace trib::engines {
namespace {

constexpr std::string_view asks[] = {"/info", "/v2", "/metrics"};
// Anybody could use these names: read only from an engine that is known otherwise.
constexpr Gauge gauges[] = {
    {Figure::running, Fold::sum, "num_requests_running"},
    {Figure::waiting, Fold::sum, "num_requests_waiting"},
    {Figure::kv_use, Fold::max, "npu_cache_usage_perc"},
};

const boost::json::object* model_of(const boost::json::object& info) {
  const auto* const models = info.if_contains("models");
  if (models == nullptr || !models->is_array() || models->get_array().empty()) return nullptr;
  return models->get_array().front().if_object();
}

Sign sign(std::string_view path, const boost::json::object& answer) {
  if (path == "/v1/models") return owner_of(answer).starts_with("MindIE") ? Sign::proof : Sign::none;
  if (path == "/v2") return text_at(answer, "name").starts_with("MindIE") ? Sign::proof : Sign::none;
  if (path != "/info" || !answer.contains("max_concurrent_requests")) return Sign::none;
  const auto* const model = model_of(answer);
  return model != nullptr && text_at(*model, "model_device_type") == "npu" ? Sign::proof : Sign::none;
}

void read(std::string_view path, const boost::json::object& answer, Findings& found) {
  if (path == "/v2" || path == "/info")  // /info may stand on the management port alone
    if (const auto version = text_at(answer, "version"); !version.empty()) found.can.version = version;
  if (path != "/info") return;
  if (const auto slots = number_at(answer, "max_concurrent_requests"); slots > 0) found.can.slots = slots;
  if (const auto* const model = model_of(answer); model != nullptr)
    if (const auto window = number_at(*model, "max_total_tokens"); window > 0) found.can.context = window;
}

void record(Findings&) {}

}  // namespace

constinit const Dialect mindie{"mindie", "mindie", sign, asks, read, record, fleet::MetricsKind::mindie, {}, gauges};

}  // namespace trib::engines

// LMDeploy. It tells no version; the metrics page came after the continuation, so that it proves both.
#include "backends/engines/dialect.h"

namespace trib::engines {
namespace {

constexpr std::string_view asks[] = {"/metrics"};
constexpr Gauge gauges[] = {
    {Figure::running, Fold::sum, "lmdeploy:num_requests_running"},
    {Figure::waiting, Fold::sum, "lmdeploy:num_requests_waiting"},
    {Figure::waiting, Fold::sum, "lmdeploy:num_api_requests_waiting", 0, 1},
    {Figure::kv_use, Fold::max, "lmdeploy:gpu_cache_usage_perc"},
};

Sign sign(std::string_view path, const boost::json::object& answer) {
  return path == "/v1/models" && owner_of(answer) == "lmdeploy" ? Sign::proof : Sign::none;
}

void record(Findings& found) {
  fleet::Capabilities& can = found.can;
  can.cancel = fleet::Cancel::on_disconnect;
  can.unknown_fields = fleet::UnknownFields::ignore;
  can.logprobs = can.seed = true;
  if (can.metrics == fleet::MetricsKind::lmdeploy) can.continue_mode = fleet::ContinueMode::auto_prefill;
}

}  // namespace

constinit const Dialect lmdeploy{"lmdeploy", "lmdeploy", sign, asks, nullptr, record, fleet::MetricsKind::lmdeploy,
                                 "lmdeploy:", gauges, true};

}  // namespace trib::engines

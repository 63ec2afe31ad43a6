// Hugging Face's text-generation-inference.
#include "backends/engines/dialect.h"

namespace trib::engines {
namespace {

constexpr std::string_view asks[] = {"/info", "/metrics"};
constexpr Gauge gauges[] = {
    {Figure::running, Fold::sum, "tgi_batch_current_size"},
    {Figure::waiting, Fold::sum, "tgi_queue_size"},
};

Sign sign(std::string_view path, const boost::json::object& answer) {
  const bool its_own = path == "/info" && answer.contains("model_id") && answer.contains("max_concurrent_requests");
  return its_own ? Sign::proof : Sign::none;  // MindIE copies the page, but lists models
}

void read(std::string_view path, const boost::json::object& answer, Findings& found) {
  if (path != "/info") return;
  found.can.version = text_at(answer, "version");
  if (const auto window = number_at(answer, "max_total_tokens"); window > 0) found.can.context = window;
  if (const auto slots = number_at(answer, "max_concurrent_requests"); slots > 0) found.can.slots = slots;
}

void record(Findings& found) {
  fleet::Capabilities& can = found.can;
  const Version version = read_version(can.version);
  can.cancel = fleet::Cancel::on_disconnect;
  can.unknown_fields = fleet::UnknownFields::ignore;
  can.logprobs = can.seed = can.grammar = can.tools = true;
  can.usage_in_stream = version >= Version{3};
  if (version >= Version{3}) can.continue_mode = fleet::ContinueMode::continue_final;
}

}  // namespace

constinit const Dialect tgi{"tgi", "tgi", sign, asks, read, record, fleet::MetricsKind::tgi, "tgi_", gauges, true};

}  // namespace trib::engines

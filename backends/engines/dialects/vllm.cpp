// vLLM and the vendors' builds of it, which are frozen old ones with version texts of their own.
#include "backends/engines/dialect.h"

namespace trib::engines {
namespace {

constexpr std::string_view asks[] = {"/version", ask_open_turn, ask_closed_turn, "/metrics"};
constexpr Gauge gauges[] = {
    {Figure::running, Fold::sum, "vllm:num_requests_running"},
    {Figure::waiting, Fold::sum, "vllm:num_requests_waiting"},
    {Figure::waiting, Fold::sum, "vllm:num_requests_waiting_by_reason", 1},
    {Figure::kv_use, Fold::max, "vllm:kv_cache_usage_perc"},
    {Figure::kv_use, Fold::max, "vllm:gpu_cache_usage_perc", 1},
    {Figure::kv_use, Fold::max, "vllm:npu_cache_usage_perc", 2},
};

Sign sign(std::string_view path, const boost::json::object& answer) {
  if (path == "/v1/models") {
    if (owner_of(answer) == "vllm") return Sign::proof;
    return window_of(answer) > 0 ? Sign::hint : Sign::none;
  }
  return path == "/version" && !text_at(answer, "version").empty() ? Sign::hint : Sign::none;
}

void read(std::string_view path, const boost::json::object& answer, Findings& found) {
  if (path == "/version") found.can.version = text_at(answer, "version");
  if (path == ask_open_turn) found.open_turn = number_at(answer, "count");
  if (path == ask_closed_turn) found.closed_turn = number_at(answer, "count");
}

void record(Findings& found) {
  fleet::Capabilities& can = found.can;
  Version version = read_version(can.version);
  if (version < Version{0, 2} || version >= Version{2}) version = {};  // a build's own count, not vLLM's
  can.cancel = fleet::Cancel::on_disconnect;
  can.logprobs = can.seed = can.n_gt_1 = true;
  can.token_input = fleet::TokenInput::completions;
  can.usage_in_stream = version >= Version{0, 4, 3} || !version.known();
  can.grammar = version >= Version{0, 4, 3};
  can.tools = version >= Version{0, 6};
  if (version >= Version{0, 5, 4}) can.template_access = fleet::TemplateAccess::tokenize_chat;
  if (found.closed_turn > 0) can.template_access = fleet::TemplateAccess::tokenize_chat;
  // Where the engine renders a last turn for us, what it does with the flag counts, not its version.
  const bool goes_on = found.closed_turn > 0 ? found.open_turn > 0 && found.open_turn < found.closed_turn : version >= Version{0, 6, 3};
  if (goes_on) can.continue_mode = fleet::ContinueMode::continue_final;
  if (!goes_on && can.template_access != fleet::TemplateAccess::none) can.continue_mode = fleet::ContinueMode::token_ids;
  if (version >= Version{0, 6, 4}) can.length_field = fleet::LengthField::both;
  if (version >= Version{0, 6, 5}) can.unknown_fields = fleet::UnknownFields::ignore;
}

}  // namespace

constinit const Dialect vllm{"vllm", "vllm", sign, asks, read, record, fleet::MetricsKind::vllm, "vllm:", gauges, true};

}  // namespace trib::engines

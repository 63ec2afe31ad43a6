// SGLang.
#include "backends/engines/dialect.h"

namespace trib::engines {
namespace {

constexpr std::string_view asks[] = {"/server_info", "/get_server_info", "/metrics"};
constexpr Gauge gauges[] = {
    {Figure::running, Fold::sum_of_dp_max, "sglang:num_running_reqs"},
    {Figure::running, Fold::sum_of_dp_max, "sglang_num_running_reqs", 1},
    {Figure::waiting, Fold::sum_of_dp_max, "sglang:num_queue_reqs"},
    {Figure::waiting, Fold::sum_of_dp_max, "sglang_num_queue_reqs", 1},
    {Figure::kv_use, Fold::max, "sglang:token_usage"},
    {Figure::kv_use, Fold::max, "sglang_token_usage", 1},
};

bool server_info(std::string_view path) { return path == "/server_info" || path == "/get_server_info"; }

Sign sign(std::string_view path, const boost::json::object& answer) {
  if (path == "/v1/models") return owner_of(answer) == "sglang" ? Sign::proof : Sign::none;
  const bool its_own = server_info(path) && (answer.contains("tp_size") || answer.contains("mem_fraction_static"));
  return its_own ? Sign::proof : Sign::none;
}

void read(std::string_view path, const boost::json::object& answer, Findings& found) {
  if (!server_info(path)) return;
  if (const auto version = text_at(answer, "version"); !version.empty()) found.can.version = version;
  if (const auto slots = number_at(answer, "max_running_requests"); slots > 0) found.can.slots = slots;
}

void record(Findings& found) {
  fleet::Capabilities& can = found.can;
  const Version version = read_version(can.version);
  can.cancel = fleet::Cancel::on_disconnect;
  can.unknown_fields = fleet::UnknownFields::ignore;
  can.token_input = fleet::TokenInput::completions;
  can.logprobs = can.n_gt_1 = can.grammar = can.tools = true;
  if (version >= Version{0, 4, 4}) can.continue_mode = fleet::ContinueMode::continue_final;
  if (version >= Version{0, 4, 7}) can.length_field = fleet::LengthField::both;
}

}  // namespace

constinit const Dialect sglang{"sglang", "sglang", sign, asks, read, record, fleet::MetricsKind::sglang, "sglang", gauges, true};

}  // namespace trib::engines

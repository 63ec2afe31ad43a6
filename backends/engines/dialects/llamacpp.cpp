// llama.cpp's server, alone or inside another program.
#include "backends/engines/dialect.h"

namespace trib::engines {
namespace {

constexpr std::string_view asks[] = {"/props", "/apply-template", "/metrics"};
constexpr Gauge gauges[] = {
    {Figure::running, Fold::sum, "llamacpp:requests_processing"},
    {Figure::waiting, Fold::sum, "llamacpp:requests_deferred"},
};

Sign sign(std::string_view path, const boost::json::object& answer) {
  if (path == "/v1/models") return owner_of(answer) == "llamacpp" ? Sign::proof : Sign::none;
  const bool its_own = path == "/props" && (answer.contains("total_slots") || answer.contains("default_generation_settings"));
  return its_own ? Sign::proof : Sign::none;
}

void read(std::string_view path, const boost::json::object& answer, Findings& found) {
  if (path == "/apply-template") {  // rendered, without generating: whether a last assistant's turn stays open
    const auto prompt = text_at(answer, "prompt");
    if (prompt.empty()) return;
    found.can.template_access = fleet::TemplateAccess::apply;
    found.can.continue_mode = prompt.ends_with(prefill_mark) ? fleet::ContinueMode::auto_prefill : fleet::ContinueMode::token_ids;
    return;
  }
  if (path != "/props") return;
  if (const auto build = text_at(answer, "build_info"); !build.empty()) found.can.version = build;
  if (const auto slots = number_at(answer, "total_slots"); slots > 0) found.can.slots = slots;
  if (const auto* const settings = answer.if_contains("default_generation_settings"); settings != nullptr && settings->is_object())
    if (const auto window = number_at(settings->get_object(), "n_ctx"); window > 0) found.can.context = window;
  if (const auto* const caps = answer.if_contains("chat_template_caps"); caps != nullptr && caps->is_object()) {
    const auto* const tools = caps->get_object().if_contains("supports_tools");
    found.can.tools = tools != nullptr && tools->is_bool() && tools->get_bool();
  }
}

void record(Findings& found) {
  fleet::Capabilities& can = found.can;
  can.cancel = fleet::Cancel::on_disconnect;
  can.unknown_fields = fleet::UnknownFields::ignore;
  can.token_input = fleet::TokenInput::completions;
  can.logprobs = can.seed = can.grammar = true;  // n above 1 is served, but its usage counts one choice
}

}  // namespace

constinit const Dialect llamacpp{"llamacpp", "llama.cpp", sign,   asks,  read, record, fleet::MetricsKind::llamacpp,
                                 "llamacpp:", gauges};

}  // namespace trib::engines

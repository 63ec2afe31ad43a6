#include "gateway/fleet/capabilities.h"

#include <iterator>

namespace trib::fleet {
namespace {

constexpr std::string_view token_inputs[] = {"none", "completions"};
constexpr std::string_view continue_modes[] = {"none", "token_ids", "continue_final", "auto_prefill", "raw_text"};
constexpr std::string_view template_accesses[] = {"none", "apply", "tokenize_chat"};
constexpr std::string_view length_fields[] = {"max_tokens", "max_completion_tokens", "both"};
constexpr std::string_view unknown_fields[] = {"reject", "ignore"};
constexpr std::string_view cancels[] = {"none", "on_disconnect"};
constexpr std::string_view error_shapes[] = {"unknown", "nested", "flat", "tgi", "plain"};
constexpr std::string_view metrics_kinds[] = {"none", "vllm", "sglang", "llamacpp", "tgi", "lmdeploy", "mindie"};

template <std::size_t n, class Enum>
std::string_view word(const std::string_view (&words)[n], Enum value) {
  const auto i = static_cast<std::size_t>(value);
  return i < n ? words[i] : "unknown";
}

template <std::size_t n, class Enum>
void take(const std::string_view (&words)[n], std::string_view text, Enum& out) {
  for (std::size_t i = 0; i < n; ++i)
    if (words[i] == text) out = static_cast<Enum>(i);
}

}  // namespace

std::string_view name(TokenInput value) { return word(token_inputs, value); }
std::string_view name(ContinueMode value) { return word(continue_modes, value); }
std::string_view name(TemplateAccess value) { return word(template_accesses, value); }
std::string_view name(LengthField value) { return word(length_fields, value); }
std::string_view name(UnknownFields value) { return word(unknown_fields, value); }
std::string_view name(Cancel value) { return word(cancels, value); }
std::string_view name(MetricsKind value) { return word(metrics_kinds, value); }
std::string_view name(ErrorShape value) { return word(error_shapes, value); }
void parse(std::string_view text, TokenInput& out) { take(token_inputs, text, out); }
void parse(std::string_view text, ContinueMode& out) { take(continue_modes, text, out); }
void parse(std::string_view text, TemplateAccess& out) { take(template_accesses, text, out); }
void parse(std::string_view text, LengthField& out) { take(length_fields, text, out); }
void parse(std::string_view text, UnknownFields& out) { take(unknown_fields, text, out); }
void parse(std::string_view text, Cancel& out) { take(cancels, text, out); }
void parse(std::string_view text, MetricsKind& out) { take(metrics_kinds, text, out); }
void parse(std::string_view text, ErrorShape& out) { take(error_shapes, text, out); }

Ways ways_of(const Capabilities& can) {
  Ways out = 0;
  if (can.template_access != TemplateAccess::none) {
    out = way(ContinueMode::raw_text);
    if (can.token_input == TokenInput::completions) out = static_cast<Ways>(out | way(ContinueMode::token_ids));
  }
  if (can.continue_mode != ContinueMode::token_ids) out = static_cast<Ways>(out | way(can.continue_mode));
  return out;
}

std::string words_of(Ways ways) {
  std::string out;
  for (const auto mode : {ContinueMode::token_ids, ContinueMode::continue_final, ContinueMode::auto_prefill, ContinueMode::raw_text}) {
    if ((ways & way(mode)) == 0) continue;
    if (!out.empty()) out += ' ';
    out += name(mode);
  }
  return out;
}

}  // namespace trib::fleet

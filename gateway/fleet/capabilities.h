// What an engine can do, as probed. One record an engine and model, swapped whole. Unknown
// capabilities are absent: the defaults promise nothing. The words are those of the agents' capacity
// frames and of the documents; `parse` leaves a word that it does not know at the default.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace trib::fleet {

// Where token ids are accepted as a prompt.
enum class TokenInput : std::uint8_t { none, completions };
// Ways of going on from text that was delivered, the best first. As an engine's mode: what its chat route
// does, else the best of what its template and its completions allow.
enum class ContinueMode : std::uint8_t {
  none,
  token_ids,       // ids as a completion's prompt
  continue_final,  // a last message of the assistant with continue_final_message
  auto_prefill,    // the same without being told
  raw_text,        // text as a completion's prompt
};
// How the engine renders its chat template: to text, or to ids.
enum class TemplateAccess : std::uint8_t { none, apply, tokenize_chat };
// Which fields bound the length of an answer.
enum class LengthField : std::uint8_t { max_tokens, max_completion_tokens, both };
enum class UnknownFields : std::uint8_t { reject, ignore };
// Whether closing the stream frees the engine's slot.
enum class Cancel : std::uint8_t { none, on_disconnect };
// Whose names the engine's metrics page uses.
enum class MetricsKind : std::uint8_t { none, vllm, sglang, llamacpp, tgi, lmdeploy, mindie };
// How its errors look. A hint: bodies are read in every shape.
enum class ErrorShape : std::uint8_t { unknown, nested, flat, tgi, plain };

std::string_view name(TokenInput value);
std::string_view name(ContinueMode value);
std::string_view name(TemplateAccess value);
std::string_view name(LengthField value);
std::string_view name(UnknownFields value);
std::string_view name(Cancel value);
std::string_view name(MetricsKind value);
std::string_view name(ErrorShape value);
void parse(std::string_view word, TokenInput& out);
void parse(std::string_view word, ContinueMode& out);
void parse(std::string_view word, TemplateAccess& out);
void parse(std::string_view word, LengthField& out);
void parse(std::string_view word, UnknownFields& out);
void parse(std::string_view word, Cancel& out);
void parse(std::string_view word, MetricsKind& out);
void parse(std::string_view word, ErrorShape& out);

struct Capabilities {
  std::string engine;  // "llama.cpp", "vllm", ...; empty: unknown
  std::string version;
  std::string dialect = "generic";
  bool usage_in_stream = true;  // honours stream_options.include_usage
  std::uint32_t context = 0;    // tokens; 0: unknown
  std::uint32_t slots = 0;      // 0: unknown

  TokenInput token_input = TokenInput::none;
  ContinueMode continue_mode = ContinueMode::none;
  TemplateAccess template_access = TemplateAccess::none;
  LengthField length_field = LengthField::max_tokens;
  UnknownFields unknown_fields = UnknownFields::reject;
  Cancel cancel = Cancel::none;
  MetricsKind metrics = MetricsKind::none;
  ErrorShape error_shape = ErrorShape::unknown;
  // What a trial generation has shown; else the word is that of the dialect's table.
  bool usage_probed = false, continue_probed = false, length_probed = false;
  // Features of a request that may be passed on to it.
  bool tools = false, grammar = false, logprobs = false, seed = false, n_gt_1 = false;

  bool operator==(const Capabilities&) const = default;
};

// Ways of going on, as a set.
using Ways = std::uint8_t;
constexpr Ways way(ContinueMode mode) { return mode == ContinueMode::none ? Ways{0} : static_cast<Ways>(1u << static_cast<unsigned>(mode)); }
// All that the record allows; which of them fits a request is the request's to say (engines::GoingOn).
Ways ways_of(const Capabilities& can);
std::string words_of(Ways ways);  // "token_ids continue_final": the best first; empty: none

// An engine's load in its own words: requests that run, requests that wait, and the used share of its
// key-value cache in millionths. Missing: not known.
struct EngineFigures {
  std::optional<std::uint32_t> running, waiting, kv_use_ppm;
  bool operator==(const EngineFigures&) const = default;
};

}  // namespace trib::fleet

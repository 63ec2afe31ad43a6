// A customer's request in OpenAI's shape: the fields that matter to the gateway and where they stand.
// Everything else stays bytes and is the engine's to judge.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/fleet/fleet.h"

namespace trib::engines {

enum class Operation : std::uint8_t { chat, completions, embeddings };
std::string_view name(Operation operation);          // "chat"
std::string_view engine_path(Operation operation);   // "/v1/chat/completions"

struct Span {  // bytes [from, to) of the body
  std::size_t from = 0, to = 0;
  bool present() const { return to > from; }
};

struct RequestFacts {
  Operation operation = Operation::chat;
  std::string model;
  Span model_at;
  bool stream = false;
  bool include_usage = false;       // the customer asked for it
  Span stream_options_at;           // the object
  bool stream_options_empty = false;
  Span include_usage_at;            // the value inside it
  std::optional<std::uint32_t> tokens_max;  // max_completion_tokens or max_tokens
  Span max_tokens_at, max_completion_tokens_at;  // the values, null too
  std::uint32_t n = 1;
  std::vector<Span> steering;       // values of members that are engines' own: they go no further
  bool tools = false, grammar = false, logprobs = false, stop = false;
  std::size_t close_at = 0;         // of the object's '}'
  std::uint64_t text_pieces = 0;    // words and signs of the prompt: the estimate where nothing better is known
};

struct RequestRefusal {
  std::string message, param, code;  // status is always 400
};

// Reads and judges a body as interfaces.md section 6 says. `context` is looked up by model name and
// bounds the length fields; 0: unknown model, not bounded.
using ContextOf = std::uint32_t (*)(const void* who, std::string_view model);
std::optional<RequestRefusal> read_request(std::string_view body, Operation operation, ContextOf context,
                                           const void* who, RequestFacts& out);

// The body for one engine: its own model name, usage asked for, an explicit length limit where a
// missing one would mean "unbounded".
std::string engine_body(std::string_view body, const RequestFacts& facts, std::string_view engine_model,
                        const fleet::Capabilities& can, std::uint32_t context);

// Runs of letters or digits, and every other sign on its own: a floor for what a tokenizer makes.
std::uint64_t count_pieces(std::string_view text);

}  // namespace trib::engines

// What an engine's answer says: one stream event, a whole body, or an error body.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "backends/engines/request.h"
#include "gateway/metering/metering.h"

namespace trib::engines {

enum class UsageState : std::uint8_t {
  absent,  // no usage field, or null
  valid,
  impossible,  // negative, not whole, or parts above their total
};

struct AnswerFacts {
  bool choices = false;          // at least one
  std::uint64_t texts = 0;       // non-empty pieces of text (content, reasoning, refusal, tool arguments)
  std::uint64_t text_bytes = 0;  // of them, decoded
  std::uint64_t words = 0;       // count_pieces over them; whole bodies only
  bool role = false;
  Span role_at;                  // the member, from its key on, without commas
  bool tool_call = false;
  bool beside = false;           // text that is not the answer's own: reasoning, a refusal, a tool's arguments
  unsigned finishes = 0;         // choices with a finish_reason, one that is not null or empty
  bool data = false;             // at least one element (embeddings)
  bool twice = false;            // a member that is counted stands twice: read_answer refuses it
  bool error = false;
  std::string error_message;     // as the engine wrote it
  UsageState usage = UsageState::absent;
  metering::TokenCounts counts;  // normalised, when valid
  std::string_view id, created;  // raw JSON values, or empty
  Span model_at;                 // the value
  std::string_view model;        // raw, without quotes
  Span id_at, created_at;        // the values
  Span usage_at, timings_at;     // the members, from their key on, without commas
  Span usage_value_at;
  std::string* text = nullptr;   // set by the caller, or none: the answer's own text is appended, decoded
};

// False: not valid JSON, not an object, or a member that matters stands twice. `whole`: a unary body (counts words too).
bool read_answer(std::string_view json, bool whole, AnswerFacts& out);

// A value to put in place of another, or, with an empty text, a member to cut out.
struct Edit {
  Span at;
  std::string_view text;
};
// Appends `json`, edited. A cut member takes one of its commas along, so that valid JSON stays valid.
// Sorts `edits`; they do not overlap.
void write_edited(std::string_view json, std::span<Edit> edits, std::string& out);

// {"prompt_tokens":…}: OpenAI's usage object for these counts.
std::string usage_json(const metering::TokenCounts& counts, Operation operation);

}  // namespace trib::engines

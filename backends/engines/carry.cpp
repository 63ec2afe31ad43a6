#include "backends/engines/carry.h"

#include <algorithm>
#include <utility>

namespace trib::engines {
namespace {

// Members that, when they ask for anything, tie the answer to one uncut run: state that text does not
// carry (grammars, beams), figures about tokens, counts from the answer's beginning, and limits under
// other names.
constexpr std::string_view binding[] = {
    "audio", "best_of", "ebnf", "echo", "grammar", "guided_choice", "guided_grammar", "guided_json",
    "guided_regex", "json_schema", "logprobs", "min_new_tokens",
    "min_tokens", "n_probs", "prompt_logprobs", "regex", "return_hidden_states", "return_token_ids",
    "return_tokens", "return_tokens_as_token_ids", "structural_tag", "structured_outputs", "suffix", "top_logprobs",
    "truncate_prompt_tokens", "use_beam_search",
};
static_assert(std::is_sorted(std::begin(binding), std::end(binding)));

// Members of a chat request that a completion has not, or reads otherwise (its log probabilities are a number).
constexpr std::string_view of_chat[] = {
    "add_special_tokens", "chat_template", "chat_template_kwargs", "documents", "enable_thinking", "functions", "include_reasoning", "logprobs",
    "metadata", "modalities", "parallel_tool_calls", "parse_tool_calls", "prediction", "prompt", "reasoning_effort",
    "reasoning_format", "separate_reasoning", "service_tier", "store", "stream_reasoning", "tools", "top_logprobs", "verbosity",
    "web_search_options",
};
static_assert(std::is_sorted(std::begin(of_chat), std::end(of_chat)));

// The values that ask for nothing.
bool nothing(std::string_view key, std::string_view raw) {
  if (key == "best_of") return raw == "null" || raw == "1";
  if (raw == "0") return key != "logprobs";  // of completions: the chosen token's own
  return raw == "null" || raw == "false" || raw == "\"\"" || raw == "[]" || raw == "{}";
}

// An object's `type`; empty where it has none.
std::string type_of(json::Cursor& in) {
  in.enter_object();
  std::string_view key;
  std::string type;
  while (in.next_key(key)) {
    if (key == "type" && in.peek() == json::Type::string) {
      in.read_string(type);
    } else {
      in.skip();
    }
  }
  return type;
}

bool plain_text_format(std::string_view raw) {
  json::Cursor in(raw);
  if (in.peek() != json::Type::object) return raw == "null";
  const std::string type = type_of(in);
  return in.ok() && type == "text";
}

// A part that is no text (a picture, sound) has no place in a prompt of ids or text.
void scan_parts(json::Cursor& in, Scan& out) {
  in.enter_array();
  while (in.next_element()) {
    if (in.peek() != json::Type::object) {
      in.skip();
      continue;
    }
    out.beyond_text = type_of(in) != "text" || out.beyond_text;
  }
}

void scan_messages(json::Cursor& in, Scan& out) {
  if (!in.enter_array()) return;
  while (in.next_element()) {
    in.peek();
    out.last_message.from = in.offset();
    out.last_role.clear();
    in.enter_object();
    std::string_view key;
    while (in.next_key(key)) {
      if (key == "role" && in.peek() == json::Type::string) {
        in.read_string(out.last_role);
      } else if (key == "content" && in.peek() == json::Type::array) {
        scan_parts(in, out);
      } else {
        in.skip();
      }
    }
    out.last_message.to = in.offset();
  }
}

}  // namespace

bool scan(std::string_view body, Operation operation, Scan& out) {
  json::Cursor in(body, {.depth = 64, .unique_keys = false});
  if (in.peek() != json::Type::object) return false;
  in.enter_object();
  std::string_view key;
  while (in.next_key(key)) {
    const auto type = in.peek();
    const std::size_t from = in.offset();
    if (operation == Operation::chat && key == "messages" && type == json::Type::array) {
      scan_messages(in, out);
      out.messages = {from, in.offset()};
    } else if (operation == Operation::completions && key == "prompt" && type == json::Type::string) {
      in.skip();
      out.prompt = {from, in.offset()};
    } else if (key == "response_format") {
      out.bound = !plain_text_format(in.skip()) || out.bound;
    } else if (key == "tool_choice" || key == "function_call") {
      const auto raw = in.skip();
      if (operation == Operation::chat) out.chat_only.push_back({from, in.offset()});
      out.bound = (raw != "null" && raw != "\"none\"" && raw != "\"auto\"") || out.bound;
    } else if (key == "continue_final_message" || key == "add_generation_prompt") {
      const bool final = key == "continue_final_message";
      const auto raw = in.skip();
      out.bound = (raw != "null" && raw != (final ? "false" : "true")) || out.bound;
      (final ? out.continue_final : out.add_generation_prompt) = {from, in.offset()};
    } else if (operation == Operation::chat && std::binary_search(std::begin(of_chat), std::end(of_chat), key)) {
      const auto* const name = std::lower_bound(std::begin(of_chat), std::end(of_chat), key);
      const auto raw = in.skip();  // `key` ends here
      const bool binds = std::binary_search(std::begin(binding), std::end(binding), *name);
      out.bound = (binds && !nothing(*name, raw)) || out.bound;
      out.chat_only.push_back({from, in.offset()});
      if (*name == "prompt") out.prompt = out.chat_only.back();
    } else {
      const auto* const name = std::lower_bound(std::begin(binding), std::end(binding), key);
      const bool binds = name != std::end(binding) && *name == key;
      const auto raw = in.skip();  // `key` ends here
      out.bound = (binds && !nothing(*name, raw)) || out.bound;
    }
  }
  return in.finish();
}

}  // namespace trib::engines

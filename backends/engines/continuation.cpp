#include "backends/engines/continuation.h"

#include <algorithm>
#include <utility>

#include "backends/engines/body.h"
#include "backends/engines/dialect.h"

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

struct Scan {
  bool bound = false;           // something that cannot be carried over
  Span last_message;            // of chat
  std::string last_role;
  Span prompt;                  // of completions, when it is one string
  Span continue_final, add_generation_prompt;  // the values, when they say what they say by default
};

// The values that ask for nothing.
bool nothing(std::string_view key, std::string_view raw) {
  if (key == "best_of") return raw == "null" || raw == "1";
  if (raw == "0") return key != "logprobs";  // of completions: the chosen token's own
  return raw == "null" || raw == "false" || raw == "\"\"" || raw == "[]" || raw == "{}";
}

bool plain_text_format(std::string_view raw) {
  json::Cursor in(raw);
  if (in.peek() != json::Type::object) return raw == "null";
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
  return in.ok() && type == "text";
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
      } else {
        in.skip();
      }
    }
    out.last_message.to = in.offset();
  }
}

// False: not valid JSON.
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
    } else if (operation == Operation::completions && key == "prompt" && type == json::Type::string) {
      in.skip();
      out.prompt = {from, in.offset()};
    } else if (key == "response_format") {
      out.bound = !plain_text_format(in.skip()) || out.bound;
    } else if (key == "tool_choice" || key == "function_call") {
      const auto raw = in.skip();
      out.bound = (raw != "null" && raw != "\"none\"" && raw != "\"auto\"") || out.bound;
    } else if (key == "continue_final_message" || key == "add_generation_prompt") {
      const bool final = key == "continue_final_message";
      const auto raw = in.skip();
      out.bound = (raw != "null" && raw != (final ? "false" : "true")) || out.bound;
      (final ? out.continue_final : out.add_generation_prompt) = {from, in.offset()};
    } else {
      const auto* const name = std::lower_bound(std::begin(binding), std::end(binding), key);
      const bool binds = name != std::end(binding) && *name == key;
      const auto raw = in.skip();  // `key` ends here
      out.bound = (binds && !nothing(*name, raw)) || out.bound;
    }
  }
  return in.finish();
}

void put_flag(Rewrite& to, Span at, std::string_view name, std::string_view value) {
  if (at.present()) {
    to.replace(at, std::string(value));
  } else {
    to.add(name, value);
  }
}

bool put_turn(Rewrite& to, const Scan& found, std::string_view text, fleet::ContinueMode mode) {
  using fleet::ContinueMode;
  if (mode != ContinueMode::continue_final && mode != ContinueMode::auto_prefill) return false;
  if (!found.last_message.present() || found.last_role == "assistant") return false;
  std::string turn = ",{\"role\":\"assistant\",\"content\":";
  json::quote(text, turn);
  to.insert(found.last_message.to, turn + '}');
  if (mode == ContinueMode::continue_final) {
    put_flag(to, found.continue_final, "continue_final_message", "true");
    put_flag(to, found.add_generation_prompt, "add_generation_prompt", "false");
  }
  return true;
}

}  // namespace

std::optional<Continuation> continue_body(std::string_view customer_body, const RequestFacts& facts,
                                          std::string_view delivered_text, std::uint32_t tokens_left,
                                          std::string_view engine_model, const fleet::Capabilities& can) {
  if (facts.operation == Operation::embeddings || !facts.stream || tokens_left == 0 || facts.n > 1) return {};
  if (can.continue_mode == fleet::ContinueMode::none || (facts.tools && !can.tools)) return {};
  if (delivered_text.empty() || !json::valid_utf8(delivered_text)) return {};
  // Without a limit of the customer's such an engine stops at its own; one of ours above it would be refused.
  const bool own_limit = !facts.tokens_max && dialect(can.dialect).missing_length_is_limit;
  if (own_limit && facts.operation == Operation::completions) return {};  // a small one, and a part of it is used up
  Scan found;
  if (!scan(customer_body, facts.operation, found) || found.bound) return {};

  Rewrite to;
  if (facts.operation == Operation::chat) {
    if (!put_turn(to, found, delivered_text, can.continue_mode)) return {};
  } else {
    if (!found.prompt.present()) return {};
    std::string quoted;
    json::quote(delivered_text, quoted);
    to.insert(found.prompt.to - 1, quoted.substr(1, quoted.size() - 2));
  }
  put_model(to, facts, engine_model);
  put_usage(to, customer_body, facts, can);
  put_no_steering(to, customer_body, facts);
  put_length(to, customer_body, facts, can.length_field, own_limit ? std::nullopt : std::optional(tokens_left));
  return Continuation{std::string(engine_path(facts.operation)), to.apply(customer_body, facts.close_at)};
}

bool half_stopped(std::string_view customer_body, std::string_view delivered_text) {
  bool half = false;
  std::string stop;
  json::Cursor in(customer_body, {.depth = 64, .unique_keys = false});
  const auto look = [&] {
    if (in.peek() != json::Type::string) {
      in.skip();
      return;
    }
    stop.clear();
    in.read_string(stop);
    for (std::size_t n = 1; n < stop.size() && n <= delivered_text.size(); ++n)
      half = half || delivered_text.substr(delivered_text.size() - n) == std::string_view(stop).substr(0, n);
  };
  if (in.peek() != json::Type::object) return false;
  in.enter_object();
  std::string_view key;
  while (in.next_key(key)) {
    if (key != "stop") {
      in.skip();
    } else if (in.peek() == json::Type::array) {
      in.enter_array();
      while (in.next_element()) look();
    } else {
      look();
    }
  }
  return half;
}

}  // namespace trib::engines

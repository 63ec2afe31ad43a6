#include "backends/engines/continuation.h"

#include <utility>

#include "backends/engines/carry.h"
#include "backends/engines/dialect.h"

namespace trib::engines {
namespace {

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

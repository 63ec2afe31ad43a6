#include "backends/engines/request.h"

#include <algorithm>
#include <charconv>
#include <vector>

namespace trib::engines {
namespace {

RequestRefusal refusal(std::string message, std::string param = {}, std::string code = {}) {
  return {std::move(message), std::move(param), std::move(code)};
}

// An integer literal that fits; anything else is passed over and is none.
std::optional<std::int64_t> take_integer(json::Cursor& in) {
  const bool number = in.peek() == json::Type::number;
  const std::string_view raw = in.skip();
  std::int64_t value = 0;
  if (!number) return std::nullopt;
  const auto [end, ec] = std::from_chars(raw.data(), raw.data() + raw.size(), value);
  if (ec != std::errc{} || end != raw.data() + raw.size()) return std::nullopt;
  return value;
}

// The text of a message's content: a string, or a list of parts of which the text ones count. Numbers
// are tokens already.
void count_content(json::Cursor& in, std::uint64_t& pieces) {
  thread_local std::string text;
  if (in.peek() == json::Type::string) {
    if (in.read_string(text)) pieces += count_pieces(text);
    return;
  }
  if (in.peek() != json::Type::array) {
    in.skip();
    return;
  }
  in.enter_array();
  while (in.next_element()) {
    if (in.peek() != json::Type::object) {
      if (in.peek() == json::Type::string) {
        if (in.read_string(text)) pieces += count_pieces(text);
      } else if (in.peek() == json::Type::array) {
        in.enter_array();
        while (in.next_element()) {
          pieces += in.peek() == json::Type::number ? 1 : 0;
          in.skip();
        }
      } else {
        pieces += in.peek() == json::Type::number ? 1 : 0;
        in.skip();
      }
      continue;
    }
    in.enter_object();
    std::string_view key;
    while (in.next_key(key)) {
      if (key == "text" && in.peek() == json::Type::string) {
        if (in.read_string(text)) pieces += count_pieces(text);
      } else {
        in.skip();
      }
    }
  }
}

std::optional<RequestRefusal> read_messages(json::Cursor& in, RequestFacts& out) {
  const auto wrong = [] { return refusal("`messages` must be a non-empty list of objects", "messages"); };
  if (in.peek() != json::Type::array) {
    in.skip();
    return wrong();
  }
  in.enter_array();
  bool any = false, objects = true;
  while (in.next_element()) {
    any = true;
    if (in.peek() != json::Type::object) {
      objects = false;
      in.skip();
      continue;
    }
    in.enter_object();
    std::string_view key;
    while (in.next_key(key)) {
      if (key == "content") {
        count_content(in, out.text_pieces);
      } else {
        in.skip();
      }
    }
    out.text_pieces += 4;  // a turn's own marks
  }
  if (in.ok() && (!any || !objects)) return wrong();
  return std::nullopt;
}

std::optional<RequestRefusal> read_stream_options(json::Cursor& in, RequestFacts& out) {
  if (in.peek() != json::Type::object) {
    in.skip();
    return refusal("`stream_options` must be an object", "stream_options");
  }
  out.stream_options_at.from = in.offset();
  in.enter_object();
  out.stream_options_empty = true;
  std::string_view key;
  std::optional<RequestRefusal> wrong;
  while (in.next_key(key)) {
    out.stream_options_empty = false;
    if (key != "include_usage") {
      in.skip();
      continue;
    }
    if (in.peek() != json::Type::boolean) {
      in.skip();
      wrong = refusal("`stream_options.include_usage` must be true or false", "stream_options");
      continue;
    }
    out.include_usage_at.from = in.offset();
    in.read_bool(out.include_usage);
    out.include_usage_at.to = in.offset();
  }
  out.stream_options_at.to = in.offset();
  return wrong;
}

// Members that some engine obeys although they are no customer's: other names of the length limit, which
// would pass by what is held for it; places in the engine; queues; other machines' addresses; files.
constexpr std::string_view steering[] = {
    "bootstrap_host", "bootstrap_port", "bootstrap_room", "data_parallel_rank", "id_slot", "kv_transfer_params",
    "lora", "lora_path", "max_new_tokens", "n_predict", "priority", "slot_id",
};
static_assert(std::is_sorted(std::begin(steering), std::end(steering)));

}  // namespace

std::string_view name(Operation operation) {
  switch (operation) {
    case Operation::chat: return "chat";
    case Operation::completions: return "completions";
    case Operation::embeddings: return "embeddings";
  }
  return "unknown";
}

std::string_view engine_path(Operation operation) {
  switch (operation) {
    case Operation::chat: return "/v1/chat/completions";
    case Operation::completions: return "/v1/completions";
    case Operation::embeddings: return "/v1/embeddings";
  }
  return "";
}

std::optional<RequestRefusal> read_request(std::string_view body, Operation operation, ContextOf context,
                                           const void* who, RequestFacts& out) {
  out = {};
  out.operation = operation;
  thread_local json::Cursor in({}, {.depth = 64, .unique_keys = true});  // keeps its buffers
  in.reset(body);
  std::optional<RequestRefusal> wrong;
  const auto note = [&](std::optional<RequestRefusal> r) {
    if (!wrong) wrong = std::move(r);
  };
  bool has_prompt = false;
  std::int64_t lengths[2] = {-1, -1};  // max_completion_tokens, max_tokens
  if (in.peek() != json::Type::object) {
    in.skip();
    if (in.ok() && in.finish()) return refusal("the body must be a JSON object");
    return refusal(std::string("the body is not valid JSON: ") + in.error());
  }
  in.enter_object();
  std::string_view key;
  while (in.next_key(key)) {
    if (key == "model") {
      if (in.peek() != json::Type::string) {
        in.skip();
        note(refusal("`model` must be a string", "model"));
        continue;
      }
      out.model_at.from = in.offset();
      in.read_string(out.model);
      out.model_at.to = in.offset();
    } else if (key == "stream") {
      if (in.peek() == json::Type::boolean) {
        in.read_bool(out.stream);
      } else if (in.peek() == json::Type::null) {
        in.skip();
      } else {
        in.skip();
        note(refusal("`stream` must be true or false", "stream"));
      }
    } else if (key == "stream_options") {
      if (in.peek() == json::Type::null) {
        out.stream_options_at.from = in.offset();
        in.skip();
        out.stream_options_at.to = in.offset();
        out.stream_options_empty = true;
      } else {
        note(read_stream_options(in, out));
      }
    } else if (key == "max_tokens" || key == "max_completion_tokens") {
      const std::string param(key);
      Span& at = param == "max_tokens" ? out.max_tokens_at : out.max_completion_tokens_at;
      const bool null = in.peek() == json::Type::null;
      const std::size_t from = in.offset();
      if (null) {
        in.skip();
        at = {from, in.offset()};
        continue;
      }
      const auto length = take_integer(in);
      at = {from, in.offset()};
      if (!length) {
        note(refusal("`" + param + "` must be a whole number of at least 1", param));
      } else if (*length < 1) {
        note(refusal("`" + param + "` must be at least 1", param));
      } else {
        lengths[param == "max_tokens" ? 1 : 0] = *length;
      }
    } else if (key == "messages" && operation == Operation::chat) {
      has_prompt = true;
      note(read_messages(in, out));
    } else if ((key == "prompt" && operation == Operation::completions) ||
               (key == "input" && operation == Operation::embeddings)) {
      has_prompt = true;
      count_content(in, out.text_pieces);
    } else if (key == "n") {
      if (in.peek() == json::Type::null) {
        in.skip();
        continue;
      }
      const auto n = take_integer(in);
      if (n && *n >= 1 && *n <= 128) {
        out.n = static_cast<std::uint32_t>(*n);
      } else {
        note(refusal("`n` must be a whole number from 1 to 128", "n"));
      }
    } else {
      bool* const flag = key == "tools" || key == "functions"                                   ? &out.tools
                         : key == "response_format" || key == "grammar" || key == "json_schema" ? &out.grammar
                         : key == "logprobs" || key == "top_logprobs"                           ? &out.logprobs
                         : key == "stop"                                                        ? &out.stop
                                                                                                : nullptr;
      const bool steers = std::binary_search(std::begin(steering), std::end(steering), key);
      in.peek();
      const std::size_t from = in.offset();
      const std::string_view raw = in.skip();
      if (steers) out.steering.push_back({from, in.offset()});
      const bool nothing = raw == "null" || raw == "false" || raw == "0" || raw == "[]";
      if (flag != nullptr && !nothing) *flag = true;
    }
  }
  out.close_at = in.offset() - 1;
  if (!in.finish()) return refusal(std::string("the body is not valid JSON: ") + in.error());
  if (wrong) return wrong;
  if (out.model.empty()) return refusal("`model` is missing", "model");
  if (operation == Operation::chat && !has_prompt)
    return refusal("`messages` must be a non-empty list of objects", "messages");
  if (operation == Operation::embeddings) out.stream = false;  // there is no such thing
  const std::uint32_t window = context(who, out.model);
  for (int i = 0; i < 2; ++i) {
    if (lengths[i] < 0) continue;
    const char* const param = i == 0 ? "max_completion_tokens" : "max_tokens";
    if (window > 0 && lengths[i] > window)
      return refusal("`" + std::string(param) + "` must be at most " + std::to_string(window) +
                         ", the model's context length",
                     param);
    const auto length = static_cast<std::uint32_t>(std::min<std::int64_t>(lengths[i], UINT32_MAX));
    out.tokens_max = out.tokens_max ? std::min(*out.tokens_max, length) : length;
  }
  return std::nullopt;
}

std::uint64_t count_pieces(std::string_view text) {
  std::uint64_t pieces = 0;
  bool in_word = false;
  for (const char c : text) {
    const auto u = static_cast<unsigned char>(c);
    const bool word = (u >= '0' && u <= '9') || (u >= 'a' && u <= 'z') || (u >= 'A' && u <= 'Z') || u == '_';
    if (word) {
      pieces += in_word ? 0 : 1;
    } else if (u > ' ' && (u & 0xc0) != 0x80) {  // a sign, or the first byte of a character beyond ASCII
      ++pieces;
    }
    in_word = word;
  }
  return pieces;
}

}  // namespace trib::engines

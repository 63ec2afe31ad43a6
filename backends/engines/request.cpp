#include "backends/engines/request.h"

#include <algorithm>
#include <vector>

namespace trib::engines {
namespace {

RequestRefusal refusal(std::string message, std::string param = {}, std::string code = {}) {
  return {std::move(message), std::move(param), std::move(code)};
}

// The text of a message's content: a string, or a list of parts of which the text ones count.
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
      if (in.peek() == json::Type::string && in.read_string(text)) {
        pieces += count_pieces(text);
      } else {
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

struct Edit {
  Span at;
  std::string text;
};

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
      std::int64_t& length = lengths[key == "max_tokens" ? 1 : 0];
      const std::string param(key);
      if (in.peek() == json::Type::null) {
        in.skip();
      } else if (in.peek() != json::Type::number || !in.read_integer(length)) {
        if (in.ok()) in.skip();
        note(refusal("`" + param + "` must be a whole number of at least 1", param));
      } else if (length < 1) {
        note(refusal("`" + param + "` must be at least 1", param));
      }
    } else if (key == "messages" && operation == Operation::chat) {
      has_prompt = true;
      note(read_messages(in, out));
    } else if ((key == "prompt" && operation == Operation::completions) ||
               (key == "input" && operation == Operation::embeddings)) {
      has_prompt = true;
      count_content(in, out.text_pieces);
    } else if (key == "n") {
      std::int64_t n = 1;
      if (in.peek() == json::Type::number && in.read_integer(n) && n >= 1 && n <= 128) {
        out.n = static_cast<std::uint32_t>(n);
      } else if (in.peek() == json::Type::null) {
        in.skip();
      } else {
        if (in.ok()) in.skip();
        note(refusal("`n` must be a whole number from 1 to 128", "n"));
      }
    } else {
      const bool empty = in.peek() == json::Type::null;
      const std::string_view raw = [&] {
        if (key == "tools" || key == "functions") out.tools = !empty;
        if (key == "response_format" || key == "grammar" || key == "json_schema") out.grammar = !empty;
        if (key == "logprobs" || key == "top_logprobs") out.logprobs = !empty;
        if (key == "stop") out.stop = !empty;
        return in.skip();
      }();
      if (raw == "false" || raw == "0" || raw == "[]") continue;
    }
  }
  out.close_at = in.offset() - 1;
  if (!in.finish()) return refusal(std::string("the body is not valid JSON: ") + in.error());
  if (wrong) return wrong;
  if (out.model.empty()) return refusal("`model` is missing", "model");
  if (operation == Operation::chat && !has_prompt)
    return refusal("`messages` must be a non-empty list of objects", "messages");
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

std::string engine_body(std::string_view body, const RequestFacts& facts, std::string_view engine_model,
                        const fleet::Capabilities& can, std::uint32_t context) {
  std::vector<Edit> edits;
  std::string tail;
  if (engine_model != facts.model) {
    std::string quoted;
    json::quote(engine_model, quoted);
    edits.push_back({facts.model_at, std::move(quoted)});
  }
  if (facts.stream && can.usage_in_stream) {
    if (facts.include_usage_at.present()) {
      if (!facts.include_usage) edits.push_back({facts.include_usage_at, "true"});
    } else if (facts.stream_options_at.present()) {
      const std::string_view old = body.substr(facts.stream_options_at.from,
                                               facts.stream_options_at.to - facts.stream_options_at.from);
      std::string fresh = "{\"include_usage\":true";
      if (!facts.stream_options_empty) fresh.append(",").append(old.substr(1)); else fresh += '}';
      edits.push_back({facts.stream_options_at, std::move(fresh)});
    } else {
      tail += ",\"stream_options\":{\"include_usage\":true}";
    }
  }
  const bool missing_is_model_limit = can.dialect == "vllm" || can.dialect == "sglang";
  if (facts.operation != Operation::embeddings && !facts.tokens_max && context > 0 && !missing_is_model_limit)
    tail += ",\"max_tokens\":" + std::to_string(context);
  std::sort(edits.begin(), edits.end(), [](const Edit& a, const Edit& b) { return a.at.from < b.at.from; });
  std::string out;
  out.reserve(body.size() + tail.size() + 64);
  std::size_t at = 0;
  for (const auto& edit : edits) {
    out.append(body.substr(at, edit.at.from - at)).append(edit.text);
    at = edit.at.to;
  }
  out.append(body.substr(at, facts.close_at - at)).append(tail).append(body.substr(facts.close_at));
  return out;
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

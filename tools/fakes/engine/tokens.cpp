// The scripted engine's template and tokenizer: a token is a byte, a turn is "<|role|>" and its text. In the
// shapes of llama.cpp's server and of vLLM.
#include "tools/fakes/engine/tokens.h"

#include "tools/fakes/engine/text.h"

namespace trib::fake {
namespace {

namespace json = boost::json;

// The assistant's last turn stays open, or is closed; where there is none a new one is opened.
bool render(const json::value* messages, bool leaves_open, std::string& out) {
  if (!messages || !messages->is_array() || messages->get_array().empty()) return false;
  std::string_view role;
  for (const json::value& entry : messages->get_array()) {
    const json::object* message = entry.if_object();
    const json::value* who = message ? message->if_contains("role") : nullptr;
    const json::value* content = message ? message->if_contains("content") : nullptr;
    if (!who || !who->is_string() || !content || !content->is_string()) return false;
    role = who->get_string();
    ((out += "<|") += role) += "|>";
    out += std::string_view(content->get_string());
  }
  if (role != "assistant") {
    out += "<|assistant|>";
  } else if (!leaves_open) {
    out += "<|end|>";
  }
  return true;
}

bool flag(const json::object& from, std::string_view key, bool otherwise) {
  const json::value* value = from.if_contains(key);
  return value && value->is_bool() ? value->get_bool() : otherwise;
}

std::string text_member(std::string_view key, std::string_view text) {
  std::string out = "{\"" + std::string(key) + "\":\"";
  escape(text, out);
  return out + "\"}";
}

}  // namespace

bool text_of_ids(const json::array& ids, std::string& out) {
  for (const json::value& id : ids) {
    if (!id.is_int64() || id.get_int64() < 0 || id.get_int64() > 255) return false;
    out += static_cast<char>(id.get_int64());
  }
  return true;
}

// The answer to one of the three doors; empty: the request is not one.
std::string tokens_body(std::string_view path, bool vllm, std::int64_t context, std::string_view body) {
  boost::system::error_code error;
  const json::value root = json::parse(body, error);
  const json::object* object = error ? nullptr : root.if_object();
  if (!object) return {};
  std::string text;
  if (path == "/apply-template") return render(object->if_contains("messages"), true, text) ? text_member("prompt", text) : "";
  if (path == "/detokenize") {
    const json::value* ids = object->if_contains("tokens");
    if (!ids || !ids->is_array() || !text_of_ids(ids->get_array(), text)) return {};
    return text_member(vllm ? "prompt" : "content", text);
  }
  const json::value* plain = object->if_contains(vllm ? "prompt" : "content");
  if (plain && plain->is_string()) {
    text = std::string_view(plain->get_string());
  } else {
    const bool goes_on = flag(*object, "continue_final_message", false);
    if (!vllm || (goes_on && flag(*object, "add_generation_prompt", true)) || !render(object->if_contains("messages"), goes_on, text)) return {};
  }
  std::string out = "{\"tokens\":[";
  for (const char c : text) {
    if (out.back() != '[') out += ',';
    append_number(static_cast<unsigned char>(c), out);
  }
  out += ']';
  if (vllm) {
    out += ",\"count\":";
    append_number(static_cast<std::int64_t>(text.size()), out);
    out += ",\"max_model_len\":";
    append_number(context, out);
    out += ",\"token_strs\":null";
  }
  return out + '}';
}

}  // namespace trib::fake

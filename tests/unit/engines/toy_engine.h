// An engine's small doors (/tokenize, /detokenize, /apply-template) in the shapes of llama.cpp's server and of
// vLLM, with a tokenizer of bytes. Tests drive engines::GoingOn with it.
#pragma once
#include <boost/json.hpp>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gateway/fleet/fleet.h"

namespace trib::test {

struct ToyEngine {
  fleet::TemplateAccess shape = fleet::TemplateAccess::apply;
  bool blank_first = false;     // its tokenizer puts a blank before every text
  bool loses_special = false;   // and it shows no special token
  std::string missing;          // a door that is not there
  std::vector<std::string> asked;

  static constexpr std::int64_t user = 1, assistant = 2, bytes_from = 16;
  using Ids = std::vector<std::int64_t>;

  Ids ids_of(std::string_view text, bool special) const {
    Ids out;
    if (blank_first && !text.starts_with("<|")) out.push_back(' ' + bytes_from);
    while (!text.empty()) {
      if (special && (text.starts_with("<|u|>") || text.starts_with("<|a|>"))) {
        out.push_back(text[2] == 'u' ? user : assistant);
        text.remove_prefix(5);
      } else {
        out.push_back(static_cast<unsigned char>(text[0]) + bytes_from);
        text.remove_prefix(1);
      }
    }
    return out;
  }
  std::string text_of(const Ids& ids) const {
    std::string out;
    for (const auto id : ids) {
      if (id >= bytes_from) {
        out += static_cast<char>(id - bytes_from);
      } else if (!loses_special) {
        out += id == user ? "<|u|>" : "<|a|>";
      }
    }
    return out;
  }
  static std::string render(const boost::json::array& messages) {
    std::string out;
    for (const auto& message : messages)
      out += (message.at("role").as_string() == "user" ? "<|u|>" : "<|a|>") + std::string(message.at("content").as_string());
    return out + "<|a|>";
  }
  // The prompt of a completion as text.
  std::string prompt_of(std::string_view completion_body) const {
    const auto body = boost::json::parse(completion_body).as_object();
    const auto& prompt = body.at("prompt");
    return prompt.is_string() ? std::string(prompt.as_string()) : text_of(numbers(prompt));
  }
  static Ids numbers(const boost::json::value& list) {
    Ids out;
    for (const auto& id : list.as_array()) out.push_back(id.as_int64());
    return out;
  }

  std::pair<int, std::string> answer(std::string_view path, std::string_view text) {
    asked.emplace_back(path);
    if (path == missing) return {404, "{\"detail\":\"Not Found\"}"};
    const auto body = boost::json::parse(text).as_object();
    const bool vllm = shape == fleet::TemplateAccess::tokenize_chat;
    const auto say = [&](const char* key, const std::string& what) {
      return std::pair(200, boost::json::serialize(boost::json::object{{key, what}}));
    };
    if (path == "/apply-template" && !vllm) return say("prompt", render(body.at("messages").as_array()));
    if (path == "/detokenize") return say(vllm ? "prompt" : "content", text_of(numbers(body.at("tokens"))));
    if (path != "/tokenize") return {404, "{}"};
    Ids ids;
    if (body.contains("messages") && vllm) {
      if (!body.at("add_generation_prompt").as_bool()) return {400, "{}"};
      ids = ids_of(render(body.at("messages").as_array()), true);
    } else if (vllm) {
      if (body.at("add_special_tokens").as_bool()) return {400, "{}"};
      ids = ids_of(std::string_view(body.at("prompt").as_string()), true);
    } else {
      ids = ids_of(std::string_view(body.at("content").as_string()), body.at("parse_special").as_bool());
    }
    boost::json::object out{{"tokens", boost::json::array(ids.begin(), ids.end())}};
    if (vllm) out["count"] = ids.size(), out["max_model_len"] = 2048, out["token_strs"] = nullptr;
    return {200, boost::json::serialize(out)};
  }
};

}  // namespace trib::test

#include "tools/fakes/engine/request.h"

#include <boost/json/monotonic_resource.hpp>
#include <boost/json/parse.hpp>
#include <charconv>

#include "tools/fakes/engine/text.h"
#include "tools/fakes/engine/tokens.h"

namespace trib::fake {
namespace {

namespace json = boost::json;
constexpr std::size_t kHeadMost = 256 * 1024;
constexpr std::size_t kBodyMost = 64 * 1024 * 1024;
constexpr std::string_view kScriptWord = "#script ";

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

bool same_name(std::string_view a, std::string_view lower_name) {
  if (a.size() != lower_name.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (lower(a[i]) != lower_name[i]) return false;
  }
  return true;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

bool read_size(std::string_view text, int base, std::size_t& to) {
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, to, base);
  return parsed.ec == std::errc{} && parsed.ptr == end && !text.empty() && to <= kBodyMost;
}

bool read_line(std::string_view line, Request& to) {
  const std::size_t first = line.find(' ');
  const std::size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) return false;
  to.method = line.substr(0, first);
  std::string_view target = line.substr(first + 1, last - first - 1);
  const std::string_view version = line.substr(last + 1);
  if (version != "HTTP/1.1" && version != "HTTP/1.0") return false;
  to.close = version == "HTTP/1.0";
  const std::size_t query = target.find('?');
  to.path = target.substr(0, query);
  to.query = query == std::string_view::npos ? std::string_view{} : target.substr(query + 1);
  return !to.path.empty() && to.path.front() == '/';
}

bool read_fields(std::string_view text, Request& to) {
  while (!text.empty()) {
    const std::size_t end = text.find("\r\n");
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 2);
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || colon == 0) return false;
    to.fields.emplace_back(line.substr(0, colon), trim(line.substr(colon + 1)));
  }
  return true;
}

Reading read_chunks(std::string_view bytes, std::size_t from, Request& to) {
  to.joined.clear();
  std::size_t at = from;
  for (;;) {
    const std::size_t end = bytes.find("\r\n", at);
    if (end == std::string_view::npos)
      return bytes.size() - at > 4096 ? Reading::bad : Reading::more;
    std::size_t size = 0;
    if (!read_size(bytes.substr(at, end - at), 16, size)) return Reading::bad;
    at = end + 2;
    if (bytes.size() < at + size + 2) return Reading::more;
    if (bytes.substr(at + size, 2) != "\r\n") return Reading::bad;
    to.joined.append(bytes.substr(at, size));
    at += size + 2;
    if (to.joined.size() > kBodyMost) return Reading::bad;
    if (size == 0) break;  // no trailers: nobody sends an engine any
  }
  to.body = to.joined;
  to.size = at;
  return Reading::complete;
}

std::string text_of(const json::value& content) {
  if (content.is_string()) return std::string(std::string_view(content.get_string()));
  std::string text;
  if (!content.is_array()) return text;
  for (const json::value& part : content.get_array()) {
    const json::object* object = part.if_object();
    const json::value* words = object ? object->if_contains("text") : nullptr;
    if (words && words->is_string()) text += std::string_view(words->get_string());
  }
  return text;
}

void find_script(std::string_view text, Call& to) {
  if (text.substr(0, kScriptWord.size()) != kScriptWord) return;
  text.remove_prefix(kScriptWord.size());
  to.script = text.substr(0, text.find('\n'));
}

bool read_messages(const json::value* messages, Call& to, std::string& why) {
  why = "messages must be a list of objects that is not empty";
  if (!messages || !messages->is_array() || messages->get_array().empty()) return false;
  for (const json::value& entry : messages->get_array()) {
    const json::object* message = entry.if_object();
    const json::value* role = message ? message->if_contains("role") : nullptr;
    if (!role || !role->is_string()) return false;
    const json::value* content = message->if_contains("content");
    std::string text = content ? text_of(*content) : std::string{};
    to.prompt_tokens += words_in(text) + 1;  // one for the role
    to.ends_with_assistant = std::string_view(role->get_string()) == "assistant";
    if (to.ends_with_assistant)
      to.continued = std::move(text);
    else if (std::string_view(role->get_string()) == "user")
      find_script(text, to);
  }
  return true;
}

// A conversation in this engine's template, with the assistant's turn open at its end.
void read_rendered(std::string_view text, Call& to) {
  constexpr std::string_view user = "<|user|>", assistant = "<|assistant|>";
  std::string words;
  for (const char c : text) words += c == '|' ? ' ' : c;
  to.prompt_tokens = words_in(words);
  const std::size_t turn = text.rfind(assistant);
  if (turn == std::string_view::npos) return;
  to.continued = text.substr(turn + assistant.size());
  const std::size_t asked = text.substr(0, turn).rfind(user);
  if (asked != std::string_view::npos) find_script(text.substr(asked + user.size(), turn - asked - user.size()), to);
}

bool read_prompt(const json::value* prompt, Call& to, std::string& why) {
  why = "prompt must be a text or a list";
  if (!prompt) return false;
  std::string from_ids;
  to.by_ids = to.kind == Call::Kind::completion && prompt->is_array() && !prompt->get_array().empty() &&
              text_of_ids(prompt->get_array(), from_ids);
  if (prompt->is_string() || to.by_ids) {
    const std::string_view text = to.by_ids ? std::string_view(from_ids) : std::string_view(prompt->get_string());
    if (text.starts_with("<|")) {
      read_rendered(text, to);
      return true;
    }
    to.prompt_tokens = words_in(text);
    find_script(text, to);
    const std::size_t line = text.find('\n');
    if (!to.script.empty() && line != std::string_view::npos) to.continued = text.substr(line + 1);
    return true;
  }
  if (!prompt->is_array()) return false;
  to.inputs = static_cast<std::int64_t>(prompt->get_array().size());
  for (const json::value& one : prompt->get_array()) {
    to.prompt_tokens += one.is_string() ? words_in(one.get_string()) : 1;
  }
  return true;
}

void read_bool(const json::object& from, std::string_view key, bool& to) {
  const json::value* value = from.if_contains(key);
  if (value && value->is_bool()) to = value->get_bool();
}

void read_limit(const json::object& from, Call& to) {
  for (const std::string_view key : {"max_completion_tokens", "max_tokens", "n_predict"}) {
    const json::value* value = from.if_contains(key);
    if (!value || !value->is_int64() || value->get_int64() < 0) continue;
    to.max_tokens = value->get_int64();
    return;
  }
}

}  // namespace

std::string_view Request::field(std::string_view lower_name) const {
  for (const auto& [name, value] : fields) {
    if (same_name(name, lower_name)) return value;
  }
  return {};
}

Reading read_request(std::string_view bytes, Request& to) {
  const std::size_t end = bytes.find("\r\n\r\n");
  if (end == std::string_view::npos) return bytes.size() > kHeadMost ? Reading::bad : Reading::more;
  to.fields.clear();
  const std::string_view head = bytes.substr(0, end);
  const std::size_t line_end = head.find("\r\n");
  if (!read_line(head.substr(0, line_end), to)) return Reading::bad;
  if (line_end != std::string_view::npos && !read_fields(head.substr(line_end + 2), to)) {
    return Reading::bad;
  }
  std::size_t length = 0;
  bool has_length = false;
  bool chunked = false;
  to.expects_continue = false;
  for (const auto& [name, value] : to.fields) {
    if (same_name(name, "content-length")) {
      if (has_length || !read_size(value, 10, length)) return Reading::bad;
      has_length = true;
    } else if (same_name(name, "transfer-encoding")) {
      if (chunked || value != "chunked") return Reading::bad;
      chunked = true;
    } else if (same_name(name, "connection")) {
      if (same_name(value, "close")) to.close = true;
      if (same_name(value, "keep-alive")) to.close = false;
    } else if (same_name(name, "expect")) {
      to.expects_continue = true;
    }
  }
  if (chunked && has_length) return Reading::bad;
  if (chunked) return read_chunks(bytes, end + 4, to);
  if (bytes.size() < end + 4 + length) return Reading::more;
  to.body = bytes.substr(end + 4, length);
  to.size = end + 4 + length;
  return Reading::complete;
}

bool read_call(Call::Kind kind, std::string_view body, Call& to, std::string& why) {
  unsigned char space[8192];
  json::monotonic_resource memory(space, sizeof space);
  boost::system::error_code error;
  const json::value root = json::parse(body, error, &memory);
  if (error || !root.is_object()) {
    why = "the body is no JSON object";
    return false;
  }
  const json::object& object = root.get_object();
  to.kind = kind;
  const json::value* model = object.if_contains("model");
  if (model && model->is_string()) to.model = std::string_view(model->get_string());
  read_bool(object, "stream", to.stream);
  read_bool(object, "continue_final_message", to.continue_final);
  read_bool(object, "add_generation_prompt", to.add_generation);
  read_limit(object, to);
  const json::value* options = object.if_contains("stream_options");
  if (options && options->is_object()) {
    read_bool(options->get_object(), "include_usage", to.include_usage);
  }
  if (kind == Call::Kind::chat) return read_messages(object.if_contains("messages"), to, why);
  return read_prompt(object.if_contains(kind == Call::Kind::completion ? "prompt" : "input"), to,
                     why);
}

}  // namespace trib::fake

#include "backends/engines/errors.h"

#include <algorithm>
#include <charconv>
#include <utility>

namespace trib::engines {
namespace {

constexpr std::size_t message_bytes_max = 512;
constexpr std::size_t body_bytes_max = 64u << 10;

void cut_text(std::string& text) {
  if (text.size() <= message_bytes_max) return;
  std::size_t cut = message_bytes_max;
  while (cut > 0 && (static_cast<unsigned char>(text[cut]) & 0xc0) == 0x80) --cut;
  text.resize(cut);
}

void read_number(json::Cursor& in, std::optional<std::uint32_t>& out) {
  const auto raw = in.skip();
  std::uint32_t value = 0;
  const auto [end, ec] = std::from_chars(raw.data(), raw.data() + raw.size(), value);
  if (ec == std::errc{} && end == raw.data() + raw.size()) out = value;
}

// FastAPI's list of what is wrong: the first one's words.
void read_details(json::Cursor& in, ErrorFacts& out) {
  in.enter_array();
  while (in.next_element()) {
    if (in.peek() != json::Type::object) {
      in.skip();
      continue;
    }
    in.enter_object();
    std::string_view key;
    while (in.next_key(key)) {
      if (key == "msg" && in.peek() == json::Type::string && out.message.empty()) {
        in.read_string(out.message);
      } else {
        in.skip();
      }
    }
  }
}

void read_object(json::Cursor& in, ErrorFacts& out) {
  in.enter_object();
  std::string_view key;
  while (in.next_key(key)) {
    const auto type = in.peek();
    if (key == "error" && type == json::Type::object) {
      read_object(in, out);
    } else if ((key == "message" || key == "error" || key == "detail") && type == json::Type::string) {
      in.read_string(out.message);
    } else if (key == "detail" && type == json::Type::array) {
      read_details(in, out);
    } else if ((key == "type" || key == "error_type") && type == json::Type::string) {
      in.read_string(out.type);
    } else if (key == "code") {
      out.code = std::string(in.skip());
      if (out.code.size() > 1 && out.code.front() == '"') out.code = out.code.substr(1, out.code.size() - 2);
    } else if (key == "n_prompt_tokens") {
      read_number(in, out.tokens_asked);
    } else if (key == "n_ctx") {
      read_number(in, out.tokens_max);
    } else {
      in.skip();
    }
  }
}

// The first number after `words`.
std::optional<std::uint32_t> number_after(std::string_view text, std::string_view words) {
  const std::size_t at = text.find(words);
  if (at == text.npos) return std::nullopt;
  const std::size_t from = text.find_first_of("0123456789", at + words.size());
  if (from == text.npos || from > at + words.size() + 24) return std::nullopt;
  std::uint32_t value = 0;
  const auto result = std::from_chars(text.data() + from, text.data() + text.size(), value);
  return result.ec == std::errc{} ? std::optional(value) : std::nullopt;
}

bool too_long(const ErrorFacts& error) {
  const auto says = [&](std::string_view text) { return error.original.find(text) != std::string::npos || error.message.find(text) != std::string::npos; };
  return error.type == "exceed_context_size_error" || error.code == "context_length_exceeded" ||
         says("maximum context length") || says("context length") || says("too large to process") ||
         says("exceeds the available context size") || says("`inputs` tokens + `max_new_tokens` must be") ||
         says("`inputs` must have less than");
}

void note_lengths(ErrorFacts& error) {
  const std::string_view text = error.message;
  if (!error.tokens_max) error.tokens_max = number_after(text, "maximum context length is");
  if (!error.tokens_max) error.tokens_max = number_after(text, "maximum context length of");
  if (!error.tokens_max) error.tokens_max = number_after(text, "must be <=");
  if (!error.tokens_asked) error.tokens_asked = number_after(text, "you requested");
  if (!error.tokens_asked) error.tokens_asked = number_after(text, "a total of");
  if (!error.tokens_asked) error.tokens_asked = number_after(text, "Given:");
}

// ---- what may be told ------------------------------------------------------------------------------

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }
bool letter(char c) { return lower(c) >= 'a' && lower(c) <= 'z'; }
bool digit(char c) { return c >= '0' && c <= '9'; }

bool ends_with_any(std::string_view text, std::initializer_list<std::string_view> ends) {
  return std::any_of(ends.begin(), ends.end(), [&](std::string_view end) { return text.ends_with(end); });
}

bool is_path(std::string_view word) {
  if (word.starts_with("/v1/")) return false;  // ours
  if (word.starts_with("~/") || word.find('\\') != word.npos) return true;
  if (word.size() > 1 && word.front() == '/' && (letter(word[1]) || digit(word[1]) || word[1] == '.' || word[1] == '_')) return true;
  if (std::count(word.begin(), word.end(), '/') >= 2) return true;
  return ends_with_any(word, {".py", ".cpp", ".cu", ".cuh", ".so", ".cc", ".go", ".rs", ".gguf", ".safetensors", ".bin", ".pt", ".log", ".yaml"});
}

bool is_ipv4(std::string_view word) {
  const auto host = word.substr(0, word.find(':'));
  return std::count(host.begin(), host.end(), '.') == 3 &&
         std::all_of(host.begin(), host.end(), [](char c) { return digit(c) || c == '.'; });
}

bool is_ipv6(std::string_view word) {
  return std::count(word.begin(), word.end(), ':') >= 2 && std::any_of(word.begin(), word.end(), digit) &&
         std::all_of(word.begin(), word.end(), [](char c) { return digit(c) || (lower(c) >= 'a' && lower(c) <= 'f') || c == ':' || c == '.' || c == '[' || c == ']'; });
}

bool is_host(std::string_view word) {
  const std::size_t colon = word.rfind(':');
  const auto host = word.substr(0, colon);
  const bool named = !host.empty() && std::all_of(host.begin(), host.end(), [](char c) { return letter(c) || digit(c) || c == '.' || c == '-'; });
  if (!named) return false;
  std::string name;
  for (const char c : host) name += lower(c);
  if (name == "localhost" ||
      ends_with_any(name, {".com", ".net", ".org", ".io", ".cn", ".ai", ".dev", ".local", ".lan", ".internal", ".corp", ".home", ".cloud", ".svc", ".edu", ".localdomain"}))
    return true;
  if (colon == word.npos) return false;
  const auto port = word.substr(colon + 1);  // "node-3:8000"
  return port.size() >= 2 && port.size() <= 5 && std::all_of(port.begin(), port.end(), digit) &&
         std::any_of(host.begin(), host.end(), [](char c) { return c == '-' || c == '.'; }) && letter(host.front());
}

// Vendors, families, their libraries: any part of a word that begins so.
constexpr std::string_view chip_stems[] = {
    "ascend", "biren", "cambricon", "cublas", "cuda",  "cudnn", "cutlass", "enflame", "geforce", "hccl",  "hygon",
    "iluvatar", "kunlun", "metax", "miopen", "mooreth", "nccl",  "nvidia",  "nvlink",  "opencl",  "radeon", "rccl",
    "rocblas", "rocm", "tensorrt", "vulkan", "xpyd",
};
// And whole parts.
constexpr std::string_view chip_words[] = {
    "a10", "a100", "a800", "amd", "cann", "corex", "dcu", "dtk", "gcu", "gpu", "gpus", "h100", "h20", "h200", "h800",
    "hip", "l20", "l40", "l40s", "maca", "mlu", "musa", "mxmaca", "npu", "npus", "ppu", "rtx", "sm", "v100", "vram", "xpu",
};

bool about_chips(std::string_view word) {
  std::string part;
  const auto chip = [&] {
    if (part.empty()) return false;
    const bool stem = std::any_of(std::begin(chip_stems), std::end(chip_stems), [&](std::string_view s) { return part.starts_with(s); });
    std::string_view whole = part;
    if (whole.starts_with("gpu") || whole.starts_with("npu"))  // gpu0
      while (!whole.empty() && digit(whole.back())) whole.remove_suffix(1);
    const bool listed = std::find(std::begin(chip_words), std::end(chip_words), whole) != std::end(chip_words);
    part.clear();
    return stem || listed;
  };
  for (const char c : word) {
    if (letter(c) || digit(c)) {
      part += lower(c);
    } else if (chip()) {
      return true;
    }
  }
  return chip();
}

bool in_word(char c) {
  return static_cast<unsigned char>(c) > ' ' && std::string_view("\"'`()<>{},;=|").find(c) == std::string_view::npos;
}

}  // namespace

std::string passable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    if (!in_word(text[at])) {
      out += text[at++];
      continue;
    }
    std::size_t end = at;
    while (end < text.size() && in_word(text[end])) ++end;
    std::size_t body = end;  // without the signs of the sentence behind it
    while (body > at && std::string_view(".:!?").find(text[body - 1]) != std::string_view::npos) --body;
    const auto word = text.substr(at, body - at);
    if (word.find("://") != word.npos || is_ipv4(word) || is_ipv6(word) || is_host(word)) {
      out += "[address]";
    } else if (is_path(word)) {
      out += "[path]";
    } else if (about_chips(word)) {
      out += "[device]";
    } else {
      out += word;
    }
    out += text.substr(body, end - body);
    at = end;
  }
  return out;
}

ErrorFacts read_error(std::string_view body) {
  ErrorFacts out;
  body = body.substr(0, body_bytes_max);
  json::Cursor in(body, {.depth = 16, .unique_keys = false});
  if (in.peek() == json::Type::object) {
    read_object(in, out);
  } else if (in.peek() == json::Type::string) {
    in.read_string(out.message);
  } else if (json::valid_utf8(body)) {
    out.message = std::string(body.substr(0, body.find('\n')));
  }
  note_lengths(out);
  out.original = out.message;
  for (auto* const text : {&out.original, &out.type, &out.code}) cut_text(*text);
  out.message = out.message.starts_with('<') ? std::string() : passable(out.message);  // some proxy's page says nothing
  cut_text(out.message);
  if (too_long(out) && out.tokens_asked && out.tokens_max && *out.tokens_asked > *out.tokens_max)
    out.message = "The request asks for " + std::to_string(*out.tokens_asked) + " tokens, the model's context is " +
                  std::to_string(*out.tokens_max) + ".";
  return out;
}

Fault classify_status(int status, const ErrorFacts& error) {
  const auto says = [&](std::string_view text) { return error.original.find(text) != std::string::npos || error.message.find(text) != std::string::npos; };
  const std::string detail = "the engine answered " + std::to_string(status);
  const Fault configuration{FaultKind::status_config, Side::site, Retry::elsewhere, detail};
  const Fault request{FaultKind::status_client, Side::client, Retry::never, detail};
  const Fault node{FaultKind::status_server, Side::engine, Retry::elsewhere, detail};
  const bool busy = status == 429 || status == 503;  // whatever its words
  if (busy) return {FaultKind::status_busy, Side::none, Retry::elsewhere, detail};
  if (too_long(error)) return {FaultKind::context_length, Side::client, Retry::never, detail};
  switch (status) {
    case 401:
    case 403:
    case 404:
    case 405:
    case 501:  // a feature that this engine was started without
      return configuration;
    case 424:  // TGI: the generation broke
      return node;
    default:
      break;
  }
  if (status >= 500) return says("--jinja") ? configuration : node;
  if (status >= 400) {
    const bool no_such_model = error.code == "model_not_found" || error.type == "NotFoundError" || error.type == "not_found_error";
    const bool not_started_for_it = says("--enable-auto-tool-choice") || says("does not support tools");
    return no_such_model || not_started_for_it ? configuration : request;
  }
  return {FaultKind::bad_head, Side::engine, Retry::elsewhere, detail};
}

}  // namespace trib::engines

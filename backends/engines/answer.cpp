#include "backends/engines/answer.h"

#include <algorithm>
#include <charconv>

#include "backends/engines/body.h"
#include "backends/engines/errors.h"

namespace trib::engines {
namespace {

// The members of one object that were read. One that stands twice is refused: who counts and who reads
// might each take another.
class Once {
 public:
  bool operator()(unsigned member) {
    const bool first = (seen_ >> member & 1) == 0;
    seen_ |= 1u << member;
    return first;
  }

 private:
  unsigned seen_ = 0;
};

// Of validated raw text between two quotes, without decoding it.
std::uint64_t decoded_bytes(std::string_view raw) {
  std::size_t i = raw.find('\\');
  if (i == raw.npos) return raw.size();
  std::uint64_t bytes = i;
  for (; i < raw.size(); ++i, ++bytes) {
    if (raw[i] != '\\') continue;
    if (raw[++i] != 'u') continue;
    unsigned point = 0;
    for (const char c : raw.substr(i + 1, 4)) {
      const unsigned digit = c <= '9' ? static_cast<unsigned>(c - '0') : static_cast<unsigned>((c | 0x20) - 'a') + 10;
      point = point * 16 + digit;
    }
    i += 4;
    if (point >= 0xd800 && point < 0xe000) {  // a pair: its other half follows
      i += 6;
      bytes += 3;
    } else {
      bytes += point < 0x80 ? 0u : point < 0x800 ? 1u : 2u;
    }
  }
  return bytes;
}

void take_text(json::Cursor& in, bool whole, bool own, AnswerFacts& out) {
  if (in.peek() != json::Type::string) {
    in.skip();
    return;
  }
  const std::string_view raw = in.raw_string();
  if (raw.empty()) return;
  ++out.texts;
  out.text_bytes += decoded_bytes(raw);
  if (!own) out.beside = true;
  if (own && out.text != nullptr) {
    thread_local std::string decoded;  // keeps its memory
    decoded.clear();
    if (raw.find('\\') != raw.npos) json::unescape(raw, decoded);
    out.text->append(decoded.empty() ? raw : std::string_view(decoded));
  }
  if (!whole) return;
  if (raw.find('\\') == raw.npos) {
    out.words += count_pieces(raw);
    return;
  }
  std::string text;
  json::unescape(raw, text);
  out.words += count_pieces(text);
}

void read_tool_calls(json::Cursor& in, bool whole, AnswerFacts& out) {
  if (in.peek() != json::Type::array) {
    in.skip();
    return;
  }
  in.enter_array();
  while (in.next_element()) {
    out.tool_call = true;
    if (in.peek() != json::Type::object) {
      in.skip();
      continue;
    }
    in.enter_object();
    std::string_view key;
    while (in.next_key(key)) {
      if (key != "function" || in.peek() != json::Type::object) {
        in.skip();
        continue;
      }
      in.enter_object();
      std::string_view inner;
      Once once;
      while (in.next_key(inner)) {
        if (inner == "arguments" || inner == "name") {
          out.twice = !once(inner == "name") || out.twice;
          take_text(in, whole, false, out);
        } else {
          in.skip();
        }
      }
    }
  }
}

// 0: none that holds text.
unsigned text_member(std::string_view key) {
  if (key == "content") return 1;
  if (key == "reasoning_content") return 2;
  if (key == "reasoning") return 3;
  return key == "refusal" ? 4 : 0;
}

void read_message(json::Cursor& in, bool whole, AnswerFacts& out) {
  if (in.peek() != json::Type::object) {
    in.skip();
    return;
  }
  in.enter_object();
  std::string_view key;
  Once once;
  while (in.next_key(key)) {
    if (const auto text = text_member(key); text > 0) {
      out.twice = !once(text) || out.twice;
      const bool thought = text == 2 || text == 3;  // newer engines say it under both names
      if (thought && !once(5)) {
        in.skip();
      } else {
        take_text(in, whole, text == 1, out);
      }
    } else if (key == "role") {
      out.role = true;
      in.peek();
      out.role_at.from = in.offset();  // of the value: read_answer makes it the member
      in.skip();
      out.role_at.to = in.offset();
    } else if (key == "tool_calls") {
      out.twice = !once(0) || out.twice;
      read_tool_calls(in, whole, out);
    } else {
      in.skip();
    }
  }
}

void read_choices(json::Cursor& in, bool whole, AnswerFacts& out) {
  if (in.peek() != json::Type::array) {
    in.skip();
    return;
  }
  in.enter_array();
  while (in.next_element()) {
    out.choices = true;
    if (in.peek() != json::Type::object) {
      in.skip();
      continue;
    }
    in.enter_object();
    std::string_view key;
    Once once;
    while (in.next_key(key)) {
      if (key == "delta" || key == "message") {
        out.twice = !once(key == "delta") || out.twice;
        read_message(in, whole, out);
      } else if (key == "text") {
        out.twice = !once(2) || out.twice;
        take_text(in, whole, true, out);
      } else if (key == "finish_reason") {
        if (in.peek() != json::Type::string) {
          in.skip();
        } else if (!in.raw_string().empty()) {  // some engines say "" until there is one
          ++out.finishes;
        }
      } else {
        in.skip();
      }
    }
  }
}

void read_data(json::Cursor& in, AnswerFacts& out) {
  if (in.peek() != json::Type::array) {
    in.skip();
    return;
  }
  in.enter_array();
  while (in.next_element()) {
    out.data = true;
    in.skip();
  }
}

// A count that may be absent or null. False: present and not a whole number of at least 0.
bool read_count(json::Cursor& in, std::uint64_t& out) {
  if (in.peek() == json::Type::null) {
    in.skip();
    return true;
  }
  const bool number = in.peek() == json::Type::number;
  const std::string_view raw = in.skip();
  std::int64_t value = 0;
  if (!number) return false;
  const auto [end, ec] = std::from_chars(raw.data(), raw.data() + raw.size(), value);
  if (ec != std::errc{} || end != raw.data() + raw.size() || value < 0) return false;
  out = static_cast<std::uint64_t>(value);
  return true;
}

void read_usage(json::Cursor& in, AnswerFacts& out) {
  if (in.peek() != json::Type::object) {
    if (in.peek() != json::Type::null) out.usage = UsageState::impossible;
    in.skip();
    return;
  }
  std::uint64_t prompt = 0, completion = 0, cached = 0, reasoning = 0, total = UINT64_MAX;
  bool fine = true, any = false;
  in.enter_object();
  std::string_view key;
  Once once;
  while (in.next_key(key)) {
    if (key == "prompt_tokens") {
      any = true;
      fine = read_count(in, prompt) && once(0) && fine;
    } else if (key == "completion_tokens") {
      any = true;
      fine = read_count(in, completion) && once(1) && fine;
    } else if (key == "total_tokens") {
      fine = read_count(in, total) && once(2) && fine;
    } else if ((key == "prompt_tokens_details" || key == "completion_tokens_details") &&
               in.peek() == json::Type::object) {
      const bool of_prompt = key == "prompt_tokens_details";
      in.enter_object();
      std::string_view inner;
      while (in.next_key(inner)) {
        if (of_prompt && inner == "cached_tokens") {
          fine = read_count(in, cached) && fine;
        } else if (!of_prompt && inner == "reasoning_tokens") {
          fine = read_count(in, reasoning) && fine;
        } else {
          in.skip();
        }
      }
    } else {
      in.skip();
    }
  }
  constexpr std::uint64_t tokens_max = 1'000'000'000;
  fine = fine && any && cached <= prompt && reasoning <= completion && prompt <= tokens_max && completion <= tokens_max &&
         prompt + completion <= total;
  out.usage = fine ? UsageState::valid : UsageState::impossible;
  if (fine) out.counts = {prompt - cached, cached, 0, completion - reasoning, reasoning};
}

// 0: none of those that are read.
unsigned top_member(std::string_view key) {
  constexpr std::string_view names[] = {"choices", "usage", "timings", "model", "id", "created", "error", "data"};
  for (unsigned i = 0; i < std::size(names); ++i)
    if (key == names[i]) return i + 1;
  return 0;
}

}  // namespace

bool read_answer(std::string_view json, bool whole, AnswerFacts& out) {
  json::Cursor in(json, {.depth = 64, .unique_keys = false});
  if (in.peek() != json::Type::object) return false;
  in.enter_object();
  std::string_view key;
  Once once;
  while (in.next_key(key)) {
    if (const auto member = top_member(key); member > 0 && !once(member)) return false;
    if (key == "choices") {
      read_choices(in, whole, out);
    } else if (key == "usage") {
      in.peek();
      const std::size_t from = in.offset();
      read_usage(in, out);
      out.usage_value_at = {from, in.offset()};
      if (in.ok()) out.usage_at = {key_start(json, from), in.offset()};
    } else if (key == "timings") {
      in.peek();
      const std::size_t from = in.offset();
      in.skip();
      if (in.ok()) out.timings_at = {key_start(json, from), in.offset()};
    } else if (key == "model" && in.peek() == json::Type::string) {
      const std::size_t from = in.offset();
      out.model = in.raw_string();
      out.model_at = {from, in.offset()};
    } else if (key == "data") {
      read_data(in, out);
    } else if (key == "id" || key == "created") {
      in.peek();
      const std::size_t from = in.offset();
      const bool id = key == "id";
      (id ? out.id : out.created) = in.skip();
      (id ? out.id_at : out.created_at) = {from, in.offset()};
    } else if (key == "error") {
      if (in.peek() == json::Type::null) {
        in.skip();
      } else {
        out.error = true;
        out.error_message = read_error(in.skip()).original;
      }
    } else {
      in.skip();
    }
  }
  if (!in.finish() || out.twice) return false;
  if (out.role_at.present()) out.role_at.from = key_start(json, out.role_at.from);
  return true;
}

void write_edited(std::string_view json, std::span<Edit> edits, std::string& out) {
  std::sort(edits.begin(), edits.end(), [](const Edit& a, const Edit& b) { return a.at.from < b.at.from; });
  const auto blank = [](char c) { return static_cast<unsigned char>(c) <= ' '; };
  std::size_t at = 0;
  for (const auto& edit : edits) {
    if (edit.at.from > at) out.append(json.substr(at, edit.at.from - at));
    out.append(edit.text);
    at = edit.at.to;
    if (!edit.text.empty()) continue;
    while (at < json.size() && blank(json[at])) ++at;
    if (at < json.size() && json[at] == ',') {
      ++at;
      continue;
    }
    // The last member, now or since those behind it were cut: the comma before it goes.
    while (!out.empty() && blank(out.back())) out.pop_back();
    if (!out.empty() && out.back() == ',') out.pop_back();
  }
  out.append(json.substr(at));
}

std::string usage_json(const metering::TokenCounts& counts, Operation operation) {
  const std::uint64_t prompt = counts.input + counts.cached_input + counts.cache_write;
  const std::uint64_t completion = counts.output + counts.reasoning;
  std::string out = "{\"prompt_tokens\":" + std::to_string(prompt);
  if (operation != Operation::embeddings) out += ",\"completion_tokens\":" + std::to_string(completion);
  out += ",\"total_tokens\":" + std::to_string(prompt + completion);
  if (operation != Operation::embeddings) {
    out += ",\"prompt_tokens_details\":{\"cached_tokens\":" + std::to_string(counts.cached_input) + "}";
    if (counts.reasoning > 0)
      out += ",\"completion_tokens_details\":{\"reasoning_tokens\":" + std::to_string(counts.reasoning) + "}";
  }
  out += '}';
  return out;
}

}  // namespace trib::engines

#include "backends/engines/going_on.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "backends/engines/carry.h"
#include "backends/engines/continuation.h"
#include "backends/engines/dialect.h"

namespace trib::engines {
namespace {

using fleet::ContinueMode;
using fleet::TemplateAccess;

constexpr ContinueMode ladder[] = {ContinueMode::token_ids, ContinueMode::continue_final, ContinueMode::auto_prefill,
                                   ContinueMode::raw_text};

std::string quoted(std::string_view text) {
  std::string out;
  json::quote(text, out);
  return out;
}

std::string_view last_of(std::string_view ids) {
  const auto comma = ids.rfind(',');
  return comma == ids.npos ? ids : ids.substr(comma + 1);
}

// `take(cursor)` reads the one member of this name and type; false when there is none, or two.
template <class Take>
bool only_member(std::string_view body, std::string_view wanted, json::Type type, const Take& take) {
  json::Cursor in(body, {.depth = 16, .unique_keys = false});
  if (in.peek() != json::Type::object) return false;
  in.enter_object();
  std::string_view key;
  bool found = false;
  while (in.next_key(key)) {
    if (key != wanted || in.peek() != type) {
      in.skip();
      continue;
    }
    if (std::exchange(found, true) || !take(in)) return false;
  }
  return in.finish() && found;
}

}  // namespace

GoingOn::GoingOn(std::string_view customer_body, const RequestFacts& facts, std::string delivered_text, std::uint32_t tokens_left,
                 std::string engine_model, const fleet::Capabilities& can, fleet::Ways ways)
    : customer_body_(customer_body), facts_(facts), text_(std::move(delivered_text)), tokens_left_(tokens_left),
      engine_model_(std::move(engine_model)), can_(can), ways_(ways), chat_(facts.operation == Operation::chat) {
  if (chat_) {
    Scan found;
    plain_ = !facts.tools && facts.stream && facts.n == 1 && tokens_left > 0 && !text_.empty() && json::valid_utf8(text_) &&
             scan(customer_body, facts.operation, found) && !found.bound && !found.beyond_text && found.messages.present() &&
             found.last_message.present() && found.last_role != "assistant";
  } else if (ways_ != 0) {  // a prompt of text needs no template: whoever goes on in any way goes on with it
    ways_ = fleet::way(ContinueMode::raw_text);
  }
  take_next_way();
}

bool GoingOn::fits(ContinueMode mode) const {
  if (!chat_ || mode == ContinueMode::continue_final || mode == ContinueMode::auto_prefill) {
    auto can = can_;
    can.continue_mode = mode;
    return continue_body(customer_body_, facts_, text_, tokens_left_, engine_model_, can).has_value();
  }
  if (!plain_ || can_.template_access == TemplateAccess::none) return false;
  // Without a limit of the customer's the engine's window is one, and only ids say what is left of it.
  const bool own_limit = !facts_.tokens_max && dialect(can_.dialect).missing_length_is_limit;
  return !own_limit || (mode == ContinueMode::token_ids && can_.context > 0);
}

void GoingOn::take_next_way() {
  for (const auto mode : ladder) {
    if ((ways_ & fleet::way(mode)) == 0) continue;
    ways_ = static_cast<fleet::Ways>(ways_ & ~fleet::way(mode));
    if (!fits(mode)) continue;
    way_ = mode;
    const bool by_prompt = as_chat();
    const bool ids = can_.template_access == TemplateAccess::tokenize_chat;
    ask_ = !by_prompt ? Ask::request : Ask::render;
    // What an earlier way has learnt of the prompt is learnt.
    if (ask_ == Ask::render && mode == ContinueMode::raw_text && (ids ? prompt_.count > 0 : !rendered_.empty()))
      ask_ = ids ? Ask::prompt_text : Ask::request;
    prepare();
    if (!step_.path.empty()) return;
  }
  way_ = ContinueMode::none;
}

bool GoingOn::as_chat() const { return chat_ && (way_ == ContinueMode::token_ids || way_ == ContinueMode::raw_text); }

GoingOn::Step GoingOn::step() const { return step_; }

void GoingOn::refused() { take_next_way(); }

void GoingOn::answered(int status, std::string_view body) {
  if (status == 200 && take(body)) {
    prepare();
    if (!step_.path.empty()) return;
  }
  take_next_way();
}

// An empty path: this way leads nowhere.
void GoingOn::prepare() {
  step_ = {};
  const bool apply = can_.template_access == TemplateAccess::apply;
  step_.question = ask_ != Ask::request;
  switch (ask_) {
    case Ask::render:
      step_.path = apply ? "/apply-template" : "/tokenize";
      step_.body = render_body();
      return;
    case Ask::text_ids:
      // llama.cpp's template gives text, which is a prompt like the chat route's: with special tokens.
      step_.path = "/tokenize";
      step_.body = tokenize_body(apply && prompt_.count == 0 ? std::string_view(rendered_) : std::string_view(text_), apply && prompt_.count == 0);
      return;
    case Ask::last_prompt_id:
      step_.path = "/detokenize";
      step_.body = detokenize_body(last_of(prompt_.list));
      return;
    case Ask::joined_ids:
      step_.path = "/detokenize";
      step_.body = detokenize_body(std::string(last_of(prompt_.list)) + ',' + said_.list);
      return;
    case Ask::prompt_text:
      step_.path = "/detokenize";
      step_.body = detokenize_body(prompt_.list);
      return;
    case Ask::prompt_again:
      step_.path = "/tokenize";
      step_.body = tokenize_body(rendered_, false);
      return;
    case Ask::request:
      break;
  }
  if (!as_chat()) {
    auto can = can_;
    can.continue_mode = way_;
    if (auto request = continue_body(customer_body_, facts_, text_, tokens_left_, engine_model_, can)) {
      step_.path = std::move(request->path);
      step_.body = std::move(request->body);
    }
    return;
  }
  const bool by_ids = way_ == ContinueMode::token_ids;
  const auto limit = by_ids ? limit_beside(prompt_.count + said_.count) : tokens_left_;
  if (limit == 0) return;
  step_.path = engine_path(Operation::completions);
  step_.body = completion_body(by_ids ? '[' + prompt_.list + ',' + said_.list + ']' : quoted(rendered_ + text_), limit, !by_ids && !apply);
}

// False: not what was asked for. Else ask_ is what comes next.
bool GoingOn::take(std::string_view body) {
  const bool apply = can_.template_access == TemplateAccess::apply;
  const std::string_view text_key = apply ? "content" : "prompt";  // of an answer to /detokenize
  std::string text;
  switch (ask_) {
    case Ask::render:
      if (apply ? !read_text(body, "prompt", rendered_) || rendered_.empty() : !read_ids(body, prompt_) || prompt_.count == 0) return false;
      ask_ = way_ == ContinueMode::token_ids ? Ask::text_ids : apply ? Ask::request : Ask::prompt_text;
      return true;
    case Ask::text_ids:
      if (apply && prompt_.count == 0) return read_ids(body, prompt_) && prompt_.count > 0;  // and the text's after it
      ask_ = Ask::last_prompt_id;
      return read_ids(body, said_) && said_.count > 0;
    case Ask::last_prompt_id:
      ask_ = Ask::joined_ids;
      return read_text(body, text_key, before_);
    case Ask::joined_ids:  // a tokenizer that puts a blank before the text, or writes it anew, shows here
      ask_ = Ask::request;
      return read_text(body, text_key, text) && text == before_ + text_;
    case Ask::prompt_text:
      ask_ = Ask::prompt_again;
      return read_text(body, text_key, rendered_) && !rendered_.empty();
    case Ask::prompt_again: {
      Ids again;
      ask_ = Ask::request;
      return read_ids(body, again) && again.list == prompt_.list;
    }
    case Ask::request:
      return false;
  }
  return false;
}

std::uint32_t GoingOn::limit_beside(std::uint64_t prompt_ids) const {
  if (can_.context == 0) return tokens_left_;
  if (prompt_ids >= can_.context) return 0;
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(tokens_left_, can_.context - prompt_ids));
}

// The customer's own body where the engine takes what it does not know, so that all that bears upon the
// template is there; else the conversation alone.
std::string GoingOn::render_body() const {
  Scan found;
  scan(customer_body_, facts_.operation, found);
  const bool apply = can_.template_access == TemplateAccess::apply;
  if (can_.unknown_fields == fleet::UnknownFields::reject) {
    std::string out = "{\"model\":" + quoted(engine_model_) + ",\"messages\":";
    out += customer_body_.substr(found.messages.from, found.messages.to - found.messages.from);
    return out + (apply ? "}" : ",\"add_generation_prompt\":true}");
  }
  Rewrite to;
  put_model(to, facts_, engine_model_);
  put_no_steering(to, customer_body_, facts_);
  if (found.prompt.present()) to.cut({key_start(customer_body_, found.prompt.from), found.prompt.to});  // /tokenize would take it
  if (!apply && !found.add_generation_prompt.present()) to.add("add_generation_prompt", "true");
  return to.apply(customer_body_, facts_.close_at);
}

std::string GoingOn::tokenize_body(std::string_view text, bool is_prompt) const {
  if (can_.template_access == TemplateAccess::apply) {
    const std::string_view special = is_prompt ? "true" : "false";
    return "{\"content\":" + quoted(text) + ",\"add_special\":" + std::string(special) + ",\"parse_special\":" + std::string(special) + '}';
  }
  return "{\"model\":" + quoted(engine_model_) + ",\"prompt\":" + quoted(text) + ",\"add_special_tokens\":false}";
}

std::string GoingOn::detokenize_body(std::string_view ids) const {
  std::string out = "{";
  if (can_.template_access != TemplateAccess::apply) out += "\"model\":" + quoted(engine_model_) + ',';
  return out.append("\"tokens\":[").append(ids).append("]}");
}

std::string GoingOn::completion_body(std::string_view prompt_json, std::uint32_t limit, bool no_special_tokens) const {
  Scan found;
  scan(customer_body_, facts_.operation, found);
  Rewrite to;
  to.replace({key_start(customer_body_, found.messages.from), found.messages.to}, "\"prompt\":" + std::string(prompt_json));
  for (const Span value : found.chat_only) to.cut({key_start(customer_body_, value.from), value.to});
  for (const Span flag : {found.continue_final, found.add_generation_prompt})
    if (flag.present()) to.cut({key_start(customer_body_, flag.from), flag.to});
  put_model(to, facts_, engine_model_);
  put_usage(to, customer_body_, facts_, can_);
  put_no_steering(to, customer_body_, facts_);
  put_length(to, customer_body_, facts_, fleet::LengthField::max_tokens, limit);
  if (no_special_tokens) to.add("add_special_tokens", "false");
  return to.apply(customer_body_, facts_.close_at);
}

bool GoingOn::read_ids(std::string_view body, Ids& out) {
  out = {};
  return only_member(body, "tokens", json::Type::array, [&](json::Cursor& in) {
    in.enter_array();
    while (in.next_element()) {
      std::int64_t id = -1;
      if (in.peek() != json::Type::number || !in.read_integer(id) || id < 0 || id > std::numeric_limits<std::int32_t>::max()) return false;
      if (out.count++ > 0) out.list += ',';
      out.list += std::to_string(id);
    }
    return true;
  });
}

bool GoingOn::read_text(std::string_view body, std::string_view wanted, std::string& out) {
  out.clear();
  return only_member(body, wanted, json::Type::string, [&](json::Cursor& in) { return in.read_string(out); });
}

bool chat_event(std::string_view event, std::string& out) {
  json::Cursor in(event, {.depth = 64, .unique_keys = false});
  if (in.peek() != json::Type::object) return false;
  const std::size_t began = out.size();
  bool choices = false, fine = true;
  out += "{\"object\":\"chat.completion.chunk\"";
  in.enter_object();
  std::string_view key;
  while (in.next_key(key)) {
    if (key == "object") {
      in.skip();
    } else if (key == "choices" && in.peek() == json::Type::array) {
      fine = fine && !std::exchange(choices, true);
      out += ",\"choices\":[";
      in.enter_array();
      for (bool first = true; in.next_element(); first = false) {
        if (in.peek() != json::Type::object) {
          fine = false;
          in.skip();
          continue;
        }
        std::string_view index = "0", text, finish = "null";
        unsigned texts = 0;
        in.enter_object();
        std::string_view inner;
        while (in.next_key(inner)) {
          const bool is_text = inner == "text", is_index = inner == "index", is_finish = inner == "finish_reason";
          fine = fine && inner != "delta" && inner != "message";
          const auto raw = in.skip();
          if (is_text) text = raw, ++texts;
          if (is_index) index = raw;
          if (is_finish) finish = raw;
        }
        fine = fine && texts == 1 && text.starts_with('"');
        if (!first) out += ',';
        out.append("{\"index\":").append(index).append(",\"delta\":{");
        if (text != "\"\"") out.append("\"content\":").append(text);
        out.append("},\"finish_reason\":").append(finish).append("}");
      }
      out += ']';
    } else {  // id, created, model, usage: the same in both
      const std::string name(key);
      out.append(",").append(quoted(name)).append(":");
      out.append(in.skip());
    }
  }
  out += '}';
  if (in.finish() && choices && fine) return true;
  out.resize(began);
  return false;
}

}  // namespace trib::engines

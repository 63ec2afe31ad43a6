#include "tools/fakes/engine/reply.h"

#include <algorithm>
#include <charconv>
#include <limits>

namespace trib::fake {
namespace {

constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kEndlessTokens = 1'000'000'000'000;
constexpr std::int64_t kOversize = 2 * 1024 * 1024;
constexpr std::int64_t kPing_us_min = 100'000;
constexpr std::string_view kPage =
    "<!doctype html><html><body><h1>Welcome to the portal</h1></body></html>\n";
constexpr std::string_view kJson = "application/json";

bool breaks_inside(Ill ill) {
  switch (ill) {
    case Ill::cut:
    case Ill::cut_reset:
    case Ill::cut_inside:
    case Ill::stall:
    case Ill::pings:
    case Ill::bad_chunk:
    case Ill::bad_json:
    case Ill::bad_utf8:
    case Ill::content_filter:
    case Ill::error_event:
    case Ill::oversize_event:
    case Ill::endless_event:
      return true;
    default:
      return false;
  }
}

bool is_endless(Ill ill) {
  return ill == Ill::endless;
}

}  // namespace

Reply::Reply(Plan plan, std::int64_t now_us)
    : plan_(std::move(plan)),
      shape_(plan_.dialect, plan_.call.kind, plan_.id, plan_.created_s, plan_.call.model),
      start_us_(now_us) {
  const Script& script = plan_.script;
  if (plan_.continues) prefix_ = prefix_of(script, plan_.call.continued);
  const std::int64_t begun = prefix_.rest.empty() ? 0 : 1;
  const std::int64_t left = std::max<std::int64_t>(script.tokens - prefix_.pieces + begun, 0);
  by_length_ = plan_.call.max_tokens >= 0 && plan_.call.max_tokens < left;
  limit_ = by_length_ ? plan_.call.max_tokens : left;
  if (is_endless(script.ill)) limit_ = kEndlessTokens;
  if (breaks_inside(script.ill)) {
    fault_at_ = script.at >= 0 ? script.at : limit_ * 2 / 3;
    if (fault_at_ > limit_) fault_at_ = -1;
  }
}

std::int64_t Reply::due(std::int64_t token) const {
  const Script& script = plan_.script;
  const std::int64_t first = script.first_us < 0 ? script.interval_us : script.first_us;
  return start_us_ + script.head_us + shift_us_ + (token <= 0 ? 0 : first) +
         std::max<std::int64_t>(token - 1, 0) * script.interval_us;
}

Step Reply::step(std::int64_t now_us, std::size_t room, std::string& out) {
  if (at_ == At::head) {
    if (now_us < due(0)) return {Then::wait, due(0)};
    const Step step = head(out);
    if (at_ != At::tokens) return step;
  }
  if (at_ == At::held) {
    if (now_us < held_until_us_ && plan_.script.ill != Ill::pings) {
      return {Then::wait, held_until_us_ == kNever ? -1 : held_until_us_};
    }
    return hold(now_us, out);
  }
  if (at_ == At::forever) return forever(now_us, room, out);
  if (plan_.call.stream) return tokens(now_us, room, out);
  const std::int64_t ready = due(std::min(limit_, plan_.script.tokens));
  if (now_us < ready) return {Then::wait, ready};
  return whole(out);
}

Step Reply::refuse(const Refusal& refusal, std::int64_t retry_after_s, std::string& out) {
  status_ = refusal.status;
  at_ = At::over;
  const std::string body = error_body(plan_.dialect, plan_.flat_errors, refusal);
  out += "HTTP/1.1 ";
  append_number(refusal.status, out);
  out += ' ';
  out += reason_phrase(refusal.status);
  out += "\r\nContent-Type: application/json\r\n";
  if (retry_after_s > 0) {
    out += "Retry-After: ";
    append_number(retry_after_s, out);
    out += "\r\n";
  }
  out += "Content-Length: ";
  append_number(static_cast<std::int64_t>(body.size()), out);
  out += "\r\n\r\n";
  out += body;
  return end();
}

// Answers that hold no token at all. True when there is one.
bool Reply::refusal_of_script(Step& step, std::string& out) {
  const Script& script = plan_.script;
  switch (script.ill) {
    case Ill::rate_limit:
    case Ill::rate_limit_bare:
      step = refuse({429, "rate_limit_error", "rate_limit_exceeded", "too many requests"},
                    script.ill == Ill::rate_limit ? script.retry_after : 0, out);
      return true;
    case Ill::status:
      step = refuse({static_cast<int>(script.status), "server_error", "", "the scripted failure"},
                    script.status == 503 ? script.retry_after : 0, out);
      return true;
    case Ill::context_length: {
      const std::int64_t asked = std::max(plan_.call.prompt_tokens, plan_.context + 1);
      std::string message = "This model's maximum context length is ";
      append_number(plan_.context, message);
      message += " tokens. However, you requested ";
      append_number(asked, message);
      message += " tokens in the messages. Please reduce the length of the messages.";
      step = refuse({400, "invalid_request_error", "context_length_exceeded", std::move(message),
                     asked, plan_.context},
                    0, out);
      return true;
    }
    case Ill::filter_refusal:
      step = refuse({400, "invalid_request_error", "content_filter",
                     "the prompt was refused by the content filter"},
                    0, out);
      return true;
    case Ill::prefill_refused:
      if (!plan_.call.goes_on()) return false;
      step =
          refuse({400, "invalid_request_error", "", "the last message must not be the assistant's"},
                 0, out);
      return true;
    case Ill::unknown:
      step =
          refuse({400, "invalid_request_error", "bad_script", "the script cannot be read"}, 0, out);
      return true;
    case Ill::html:
      plain(200, "text/html; charset=utf-8", kPage, out);
      step = end();
      return true;
    default:
      return false;
  }
}

Step Reply::head(std::string& out) {
  Step step;
  if (refusal_of_script(step, out)) return step;
  at_ = At::over;
  switch (plan_.script.ill) {
    case Ill::silence:
      return {Then::wait, -1};
    case Ill::reset_before_head:
      return {Then::reset, -1};
    case Ill::close_before_head:
      return {Then::close, -1};
    case Ill::bad_head:
      out += "ICY 2OO FINE\r\n\r\n";
      return {Then::close, -1};
    case Ill::huge_head:
      out += "HTTP/1.1 200 OK\r\n";
      for (int i = 0; i < 128; ++i) {
        out += "X-Padding: ";
        out.append(1010, 'p');
        out += "\r\n";
      }
      out += "Content-Length: 2\r\n\r\n{}";
      return {Then::close, -1};
    case Ill::both_framings:
      out +=
          "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
          "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
      return {Then::close, -1};
    case Ill::silence_after_head:
      if (plan_.call.stream)
        stream_head(out);
      else
        plain_head(200, kJson, 1000, out);
      return {Then::wait, -1};
    default:
      break;
  }
  if (plan_.script.ill == Ill::json_for_stream) plan_.call.stream = false;
  at_ = At::tokens;
  if (!plan_.call.stream) return {};
  stream_head(out);
  if (plan_.call.kind == Call::Kind::chat) {
    event_.clear();
    shape_.role(event_);
    event(event_, out);
  }
  return {};
}

void Reply::plain_head(int status, std::string_view type, std::int64_t length, std::string& out) {
  status_ = status;
  out += "HTTP/1.1 ";
  append_number(status, out);
  out += ' ';
  out += reason_phrase(status);
  out += "\r\nContent-Type: ";
  out += type;
  if (length >= 0) {
    out += "\r\nContent-Length: ";
    append_number(length, out);
  } else {
    out += "\r\nTransfer-Encoding: chunked";
  }
  if (plan_.close || plan_.script.close) out += "\r\nConnection: close";
  out += "\r\n\r\n";
}

void Reply::plain(int status, std::string_view type, std::string_view body, std::string& out) {
  at_ = At::over;
  plain_head(status, type, static_cast<std::int64_t>(body.size()), out);
  out += body;
}

void Reply::stream_head(std::string& out) {
  plain_head(
      200,
      plan_.script.ill == Ill::content_type ? "text/plain" : "text/event-stream; charset=utf-8", -1,
      out);
}

void Reply::chunk(std::string_view bytes, std::string& out) {
  const auto split = static_cast<std::size_t>(plan_.script.split);
  while (!bytes.empty()) {
    const std::size_t size = split > 0 ? std::min(split, bytes.size()) : bytes.size();
    char digits[24];
    const auto end = std::to_chars(digits, digits + sizeof digits, size, 16).ptr;
    out.append(digits, end);
    out += "\r\n";
    out += bytes.substr(0, size);
    out += "\r\n";
    bytes.remove_prefix(size);
  }
}

void Reply::event(std::string_view data, std::string& out) {
  std::string whole = "data: ";
  whole += data;
  whole += "\n\n";
  chunk(whole, out);
}

void Reply::next_text(std::string& out) {
  if (sent_ == 0 && !prefix_.rest.empty()) {
    out += prefix_.rest;
  } else {
    piece(plan_.script, prefix_.pieces + sent_ + (prefix_.rest.empty() ? 1 : 0), out);
  }
  ++sent_;
}

void Reply::token_event(std::int64_t count, std::string& out) {
  text_.clear();
  for (std::int64_t i = 0; i < count; ++i) next_text(text_);
  event_ = "data: ";
  shape_.delta(text_, event_);
  event_ += "\n\n";
  chunk(event_, out);
}

Step Reply::tokens(std::int64_t now_us, std::size_t room, std::string& out) {
  while (sent_ < limit_ && sent_ != fault_at_) {
    const std::int64_t next = due(sent_ + 1);
    if (next > now_us) return {Then::wait, next};
    if (out.size() >= room) return {Then::wait, now_us};
    const std::int64_t stop = fault_at_ > sent_ ? std::min(fault_at_, limit_) : limit_;
    token_event(std::min(plan_.script.per_event, stop - sent_), out);
  }
  if (sent_ != fault_at_) return tail(out);
  // In the place of the next token, so that the tokens before it are on their way.
  const std::int64_t next = due(sent_ + 1);
  if (next > now_us) return {Then::wait, next};
  return fault(now_us, out);
}

Step Reply::fault(std::int64_t now_us, std::string& out) {
  fault_at_ = -1;
  const Script& script = plan_.script;
  switch (script.ill) {
    case Ill::cut:
      return {Then::close, -1};
    case Ill::cut_reset:
      return {Then::reset, -1};
    case Ill::cut_inside:
      text_.clear();
      next_text(text_);
      --sent_;  // nobody can count it as delivered
      event_ = "data: ";
      shape_.delta(text_, event_);
      chunk(std::string_view(event_).substr(0, event_.size() / 2), out);
      return {Then::close, -1};
    case Ill::stall:
    case Ill::pings:
      held_until_us_ = script.hold_us > 0 ? now_us + script.hold_us : kNever;
      shift_us_ += script.hold_us;
      at_ = At::held;
      return hold(now_us, out);
    case Ill::bad_chunk:
      out += "zz\r\nno chunk\r\n";
      return {Then::close, -1};
    case Ill::bad_json:
      event(R"({"choices":[{"index":0,"delta":{"content":"hal)", out);
      break;
    case Ill::bad_utf8: {
      std::string broken;
      shape_.delta("ab", broken);
      broken.replace(broken.find("ab"), 2, "\xc3(");
      event(broken, out);
      break;
    }
    case Ill::content_filter:
      limit_ = sent_;
      return tail(out);
    case Ill::error_event:
      event(error_body(plan_.dialect, false,
                       {500, "server_error", "", "the scripted failure inside the stream"}),
            out);
      event("[DONE]", out);
      out += "0\r\n\r\n";
      at_ = At::over;
      return end();
    case Ill::oversize_event: {
      event_.clear();
      const std::int64_t size = script.bytes > 0 ? script.bytes : kOversize;
      shape_.delta(std::string(static_cast<std::size_t>(size), 'x'), event_);
      event(event_, out);
      break;
    }
    case Ill::endless_event:
      at_ = At::forever;
      chunk("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"", out);
      return {Then::wait, now_us};
    default:
      break;
  }
  return {Then::wait, now_us};  // goes on with the tokens
}

Step Reply::hold(std::int64_t now_us, std::string& out) {
  if (now_us >= held_until_us_) {
    at_ = At::tokens;
    if (!plan_.call.stream) {  // the second half of a body
      out += event_;
      at_ = At::over;
      complete_ = true;
      return end();
    }
    return {Then::wait, now_us};
  }
  if (plan_.script.ill != Ill::pings || !plan_.call.stream) {
    return {Then::wait, held_until_us_ == kNever ? -1 : held_until_us_};
  }
  chunk(": ping\n\n", out);
  const std::int64_t next = now_us + std::max(kPing_us_min, plan_.script.interval_us);
  return {Then::wait, std::min(next, held_until_us_)};
}

Step Reply::forever(std::int64_t now_us, std::size_t room, std::string& out) {
  const std::string block(4096, 'e');
  while (out.size() < room) {
    chunk(block, out);
    endless_ += static_cast<std::int64_t>(block.size());
  }
  return {Then::wait, now_us};
}

Step Reply::tail(std::string& out) {
  const Ill ill = plan_.script.ill;
  at_ = At::over;
  if (ill != Ill::no_finish && ill != Ill::no_end) {
    event_.clear();
    shape_.finish(ill == Ill::content_filter ? "content_filter"
                  : by_length_               ? "length"
                                             : "stop",
                  event_);
    event(event_, out);
  }
  if (plan_.call.include_usage && ill != Ill::usage_missing && ill != Ill::no_end) {
    event_.clear();
    shape_.usage(usage_text(plan_.dialect, {plan_.call.prompt_tokens, sent_, plan_.script.cached},
                            plan_.script),
                 event_);
    event(event_, out);
  }
  if (ill != Ill::no_done && ill != Ill::no_end) event("[DONE]", out);
  out += "0\r\n\r\n";
  complete_ = ill != Ill::no_finish && ill != Ill::no_end;
  if (ill == Ill::surplus) out += "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
  if (ill == Ill::stale) return {Then::close, -1};
  return end();
}

Step Reply::whole(std::string& out) {
  const Script& script = plan_.script;
  if (plan_.call.kind == Call::Kind::embedding)
    return odd_whole(embeddings_body(plan_.call, script), out);
  if (script.ill == Ill::error_event) {
    plain(200, kJson,
          error_body(plan_.dialect, false, {500, "server_error", "", "the scripted failure"}), out);
    return end();
  }
  if (is_endless(script.ill) || script.ill == Ill::endless_event) {
    plain_head(200, kJson, -1, out);
    at_ = At::forever;
    chunk(R"({"choices":[{"index":0,"message":{"role":"assistant","content":")", out);
    return {Then::wait, start_us_};
  }
  const std::int64_t stop =
      script.ill == Ill::content_filter && fault_at_ >= 0 ? fault_at_ : limit_;
  text_.clear();
  // llama.cpp repeats the continued text in a chat answer that is not streamed.
  if (plan_.continues && plan_.dialect == Dialect::llamacpp && plan_.call.kind == Call::Kind::chat) text_ = plan_.call.continued;
  while (sent_ < stop) next_text(text_);
  if (script.ill == Ill::bad_utf8) text_ += "\xc3(";
  if (script.ill == Ill::oversize_event) {
    text_.append(static_cast<std::size_t>(script.bytes > 0 ? script.bytes : kOversize), 'x');
  }
  std::string body;
  const Usage usage{plan_.call.prompt_tokens, sent_, script.cached};
  shape_.whole(text_,
               script.ill == Ill::content_filter ? "content_filter"
               : by_length_                      ? "length"
                                                 : "stop",
               usage_text(plan_.dialect, usage, script), body);
  if (script.ill == Ill::no_finish || script.ill == Ill::no_end) {
    const std::size_t at =
        body.find(by_length_ ? "\"finish_reason\":\"length\"" : "\"finish_reason\":\"stop\"");
    const std::size_t value = at + std::string_view("\"finish_reason\":").size();
    body.replace(value, by_length_ ? 8 : 6, "null");
  }
  return spoilt_whole(std::move(body), out);
}

// Faults that leave less than the whole body.
Step Reply::spoilt_whole(std::string body, std::string& out) {
  const auto size = static_cast<std::int64_t>(body.size());
  const std::string_view half = std::string_view(body).substr(0, body.size() / 2);
  at_ = At::over;
  switch (plan_.script.ill) {
    case Ill::cut:
    case Ill::cut_inside:
    case Ill::cut_reset:
      plain_head(200, kJson, size, out);
      out += half;
      sent_ = 0;
      return {plan_.script.ill == Ill::cut_reset ? Then::reset : Then::close, -1};
    case Ill::stall:
    case Ill::pings:
      plain_head(200, kJson, size, out);
      out += half;
      event_ = body.substr(half.size());
      at_ = At::held;
      held_until_us_ = plan_.script.hold_us > 0
                           ? due(std::min(limit_, plan_.script.tokens)) + plan_.script.hold_us
                           : kNever;
      return {Then::wait, held_until_us_ == kNever ? -1 : held_until_us_};
    case Ill::bad_chunk:
      plain_head(200, kJson, -1, out);
      chunk(half, out);
      out += "zz\r\nno chunk\r\n";
      return {Then::close, -1};
    case Ill::bad_json:
      body.resize(body.size() - 2);
      break;
    default:
      break;
  }
  return odd_whole(body, out);
}

// The whole body, with what surrounds it as the fault has it.
Step Reply::odd_whole(std::string_view body, std::string& out) {
  const Ill ill = plan_.script.ill;
  if (plan_.script.split > 0) {
    plain_head(200, ill == Ill::content_type ? "text/plain" : kJson, -1, out);
    at_ = At::over;
    chunk(body, out);
    out += "0\r\n\r\n";
  } else {
    plain(200, ill == Ill::content_type ? "text/plain" : kJson, body, out);
  }
  complete_ = true;
  if (ill == Ill::surplus) out += "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
  if (ill == Ill::stale) return {Then::close, -1};
  return end();
}

}  // namespace trib::fake

#include "backends/engines/trial.h"

#include <algorithm>
#include <utility>

#include "backends/engines/answer.h"
#include "backends/engines/probe.h"

namespace trib::engines {
namespace {

using fleet::ContinueMode;
using fleet::ErrorShape;

// The beginning ends inside a word, so that what goes on from it is told from what begins anew.
constexpr std::string_view question = "Name the days of the week.";
constexpr std::string_view beginning = "Monday, Tuesday, Wednes";
constexpr std::string_view goes_on_with = "day";
constexpr std::string_view begins_anew_with[] = {"Mon", "The", "Here", "Sure", "<", "assistant"};
constexpr std::size_t events_max = 12;  // of one token, its role, finish and usage; more: the limit is not read
constexpr std::uint64_t tokens_fair = 2;

template <class Each>
void each_event(std::string_view body, Each each) {
  while (!body.empty()) {
    const auto end = body.find('\n');
    auto line = body.substr(0, end);
    body.remove_prefix(end == body.npos ? body.size() : end + 1);
    if (end == body.npos || !line.starts_with("data:")) continue;
    line.remove_prefix(5);
    while (!line.empty() && line.front() == ' ') line.remove_prefix(1);
    while (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    each(line);
  }
}

}  // namespace

ErrorShape error_shape_of(std::string_view body) {
  json::Cursor in(body, {.depth = 32, .unique_keys = false});
  if (in.peek() != json::Type::object) return body.empty() ? ErrorShape::unknown : ErrorShape::plain;
  bool nested = false, text = false, type = false, message = false;
  in.enter_object();
  std::string_view key;
  while (in.next_key(key)) {
    const auto is = in.peek();
    nested = nested || (key == "error" && is == json::Type::object);
    text = text || (key == "error" && is == json::Type::string);
    type = type || (key == "error_type" && is == json::Type::string);
    message = message || (key == "message" && is == json::Type::string);
    in.skip();
  }
  if (!in.finish()) return ErrorShape::plain;
  if (nested) return ErrorShape::nested;
  if (text) return type ? ErrorShape::tgi : ErrorShape::flat;
  return message ? ErrorShape::flat : ErrorShape::unknown;
}

fleet::Capabilities Shown::onto(fleet::Capabilities can) const {
  if (error_shape != ErrorShape::unknown) can.error_shape = error_shape;
  if (usage_in_stream) {
    can.usage_in_stream = *usage_in_stream;
    can.usage_probed = true;
  }
  if (length_field) {
    can.length_field = *length_field;
    can.length_probed = true;
  }
  if (!goes_on) return can;
  can.continue_probed = true;
  can.continue_mode = mode;
  if (!*goes_on && can.template_access != fleet::TemplateAccess::none)
    can.continue_mode = can.token_input == fleet::TokenInput::completions ? ContinueMode::token_ids : ContinueMode::raw_text;
  return can;
}

Trial::Trial(std::string_view model, const fleet::Capabilities& can, ErrorShape error_shape) : model_(model), can_(can) {
  shown_.error_shape = error_shape;
  if (error_shape != ErrorShape::unknown) next();
  prepare();
}

std::string_view Trial::path() const { return ask_ == Ask::done ? std::string_view() : "/v1/chat/completions"; }

void Trial::next() {
  switch (ask_) {
    case Ask::error:
      ask_ = can_.continue_mode == ContinueMode::auto_prefill ? Ask::bare : Ask::flagged;
      return;
    case Ask::flagged: ask_ = Ask::bare; return;
    case Ask::bare: ask_ = Ask::fresh; return;
    case Ask::fresh:
    case Ask::done: ask_ = Ask::done; return;
  }
}

void Trial::prepare() {
  body_.clear();
  if (ask_ == Ask::done) return;
  if (ask_ == Ask::error) {  // wrong twice: an engine that looks at no model's name must not answer it either
    body_ = "{\"model\":\"tributary-no-such-model\",\"messages\":\"none\",\"max_tokens\":1}";
    return;
  }
  body_ = "{\"model\":";
  json::quote(model_, body_);
  body_.append(",\"messages\":[{\"role\":\"user\",\"content\":\"").append(question).append("\"}");
  if (ask_ != Ask::fresh) body_.append(",{\"role\":\"assistant\",\"content\":\"").append(beginning).append("\"}");
  body_ += "],\"max_tokens\":1,\"temperature\":0,\"stream\":true";
  if (can_.usage_in_stream) body_ += ",\"stream_options\":{\"include_usage\":true}";
  if (ask_ == Ask::flagged) body_ += ",\"continue_final_message\":true,\"add_generation_prompt\":false";
  body_ += '}';
}

bool Trial::enough(std::string_view so_far) const {
  std::size_t events = 0;
  bool done = false;
  each_event(so_far, [&](std::string_view data) { ++events, done = done || data == "[DONE]"; });
  return done || events > events_max;
}

void Trial::answer(int status, std::string_view body) {
  if (ask_ == Ask::done) return;
  if (ask_ == Ask::error) {
    if (status >= 400 && status < 500) shown_.error_shape = error_shape_of(body.substr(0, probe_bytes_max));
    next();
  } else if (status == 400 || status == 422) {
    outcome_ = "refused";
    refused_ = refused_ || ask_ != Ask::fresh;
    next();
  } else {
    if (status == 200) read_stream(body.substr(0, probe_bytes_max));
    ask_ = Ask::done;
  }
  prepare();
}

void Trial::read_stream(std::string_view body) {
  std::string text;
  std::uint64_t events = 0, texts = 0, output = 0;
  bool usage = false, done = false, finished = false, fine = true, beside = false;
  each_event(body, [&](std::string_view data) {
    ++events;
    done = done || data == "[DONE]";
    if (data == "[DONE]" || !fine) return;
    AnswerFacts facts;
    facts.text = &text;
    fine = read_answer(data, false, facts) && !facts.error;
    beside = beside || facts.beside;
    texts += facts.texts;
    finished = finished || facts.finishes > 0;
    if (facts.usage != UsageState::valid) return;
    usage = true;
    output = facts.counts.output + facts.counts.reasoning;
  });
  outcome_ = "unclear";
  if (!fine || events == 0) return;
  if (can_.usage_in_stream && done) shown_.usage_in_stream = usage;
  const bool short_enough = finished && texts <= tokens_fair && output <= tokens_fair;
  if (events > events_max) {
    shown_.length_field = fleet::LengthField::max_completion_tokens;
  } else if (short_enough && can_.length_field != fleet::LengthField::max_completion_tokens) {
    shown_.length_field = can_.length_field;
  }
  const bool anew = beside || std::any_of(std::begin(begins_anew_with), std::end(begins_anew_with), [&](std::string_view word) {
    const auto from = text.find_first_not_of(" \n");
    return from != text.npos && std::string_view(text).substr(from).starts_with(word);
  });
  if (ask_ == Ask::fresh) {
    if (refused_) shown_.goes_on = false;
  } else if (text.starts_with(goes_on_with)) {
    shown_.goes_on = true;
    shown_.mode = ask_ == Ask::flagged ? ContinueMode::continue_final : ContinueMode::auto_prefill;
  } else if (anew || (refused_ && !text.empty())) {  // refused: the way that the table knows of
    shown_.goes_on = false;
  }
  if (shown_.goes_on) outcome_ = *shown_.goes_on ? "goes on" : "begins anew";
}

}  // namespace trib::engines

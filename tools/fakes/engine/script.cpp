#include "tools/fakes/engine/script.h"

#include <array>
#include <charconv>
#include <utility>

namespace trib::fake {
namespace {

constexpr std::array<std::pair<std::string_view, Ill>, 47> kNames{{
    {"none", Ill::none},
    {"rate_limit", Ill::rate_limit},
    {"rate_limit_bare", Ill::rate_limit_bare},
    {"status", Ill::status},
    {"context_length", Ill::context_length},
    {"filter_refusal", Ill::filter_refusal},
    {"prefill_refused", Ill::prefill_refused},
    {"reset_before_head", Ill::reset_before_head},
    {"close_before_head", Ill::close_before_head},
    {"silence", Ill::silence},
    {"bad_head", Ill::bad_head},
    {"huge_head", Ill::huge_head},
    {"both_framings", Ill::both_framings},
    {"slow_first", Ill::slow_first},
    {"silence_after_head", Ill::silence_after_head},
    {"cut", Ill::cut},
    {"cut_reset", Ill::cut_reset},
    {"cut_inside", Ill::cut_inside},
    {"stall", Ill::stall},
    {"pings", Ill::pings},
    {"bad_chunk", Ill::bad_chunk},
    {"bad_json", Ill::bad_json},
    {"bad_utf8", Ill::bad_utf8},
    {"no_done", Ill::no_done},
    {"no_finish", Ill::no_finish},
    {"no_end", Ill::no_end},
    {"content_filter", Ill::content_filter},
    {"error_event", Ill::error_event},
    {"html", Ill::html},
    {"content_type", Ill::content_type},
    {"json_for_stream", Ill::json_for_stream},
    {"oversize_event", Ill::oversize_event},
    {"endless", Ill::endless},
    {"endless_event", Ill::endless_event},
    {"surplus", Ill::surplus},
    {"stale", Ill::stale},
    {"usage_missing", Ill::usage_missing},
    {"usage_wrong", Ill::usage_wrong},
    {"usage_negative", Ill::usage_negative},
    {"usage_huge", Ill::usage_huge},
    {"usage_zero", Ill::usage_zero},
    {"usage_null", Ill::usage_null},
    {"usage_text", Ill::usage_text},
    // Shorter names for the commonest.
    {"429", Ill::rate_limit},
    {"reset", Ill::reset_before_head},
    {"5xx", Ill::status},
    {"flap", Ill::status},
}};

struct Field {
  std::string_view name;
  std::int64_t Script::* member;
  std::int64_t scale;
  std::int64_t least;
};
constexpr std::array<Field, 20> kFields{{
    {"tokens", &Script::tokens, 1, 0},
    {"interval_ms", &Script::interval_us, 1000, 0},
    {"interval_us", &Script::interval_us, 1, 0},
    {"first_ms", &Script::first_us, 1000, 0},
    {"first_us", &Script::first_us, 1, 0},
    {"head_ms", &Script::head_us, 1000, 0},
    {"at", &Script::at, 1, 0},
    {"hold_ms", &Script::hold_us, 1000, 0},
    {"status", &Script::status, 1, 100},
    {"retry_after", &Script::retry_after, 1, 0},
    {"bytes", &Script::bytes, 1, 0},
    {"usage_delta", &Script::usage_delta, 1, -1'000'000},
    {"cached", &Script::cached, 1, 0},
    {"per_event", &Script::per_event, 1, 1},
    {"split", &Script::split, 1, 0},
    {"every", &Script::every, 1, 1},
    {"times", &Script::times, 1, 0},
    {"continued_times", &Script::continued_times, 1, 0},
    {"interval", &Script::interval_us, 1000, 0},  // the model name's words
    {"first", &Script::first_us, 1000, 0},
}};
constexpr std::int64_t kMost = 1'000'000'000;

struct Flag {
  std::string_view name;
  bool Script::* member;
};
constexpr std::array<Flag, 3> kFlags{
    {{"utf8", &Script::utf8}, {"only_fresh", &Script::only_fresh}, {"close", &Script::close}}};

bool set_number(std::string_view name, std::int64_t value, Script& to) {
  for (const Field& field : kFields) {
    if (field.name != name) continue;
    if (value < field.least || value > kMost) return false;
    to.*field.member = value * field.scale;
    return true;
  }
  return false;
}

void set_ill(Ill ill, std::string_view name, Script& to) {
  to.ill = ill;
  if (name == "flap" && to.every == 1) to.every = 2;
  if (ill == Ill::slow_first && to.first_us < 0) to.first_us = 5'000'000;
}

bool apply_text(std::string_view key, std::string_view value, Script& to, std::string& why) {
  if (key == "fault") {
    const Ill ill = ill_of(value);
    set_ill(ill, value, to);
    if (ill == Ill::unknown) why = "no such fault: " + std::string(value);
    return ill != Ill::unknown;
  }
  if (key == "continued") {
    to.continued = ill_of(value);
    if (to.continued == Ill::unknown) why = "no such fault: " + std::string(value);
    return to.continued != Ill::unknown;
  }
  if (key == "refuses") {
    to.refuses = value;
    return true;
  }
  if (key == "mark") {
    to.mark = value;
    return true;
  }
  if (key == "key") {
    to.key = value;
    return true;
  }
  why = "no such text: " + std::string(key);
  return false;
}

bool apply_one(std::string_view key, const boost::json::value& value, Script& to,
               std::string& why) {
  why = "bad member " + std::string(key);
  if (value.is_string()) return apply_text(key, value.get_string(), to, why);
  if (value.is_int64()) return set_number(key, value.get_int64(), to);
  if (value.is_uint64()) return set_number(key, kMost + 1, to);
  if (!value.is_bool()) return false;
  for (const Flag& flag : kFlags) {
    if (flag.name != key) continue;
    to.*flag.member = value.get_bool();
    return true;
  }
  return false;
}

}  // namespace

Ill ill_of(std::string_view name) {
  for (const auto& [text, ill] : kNames) {
    if (text == name) return ill;
  }
  return Ill::unknown;
}

std::string_view name_of(Ill ill) {
  for (const auto& [text, value] : kNames) {
    if (value == ill) return text;
  }
  return "unknown";
}

bool apply(const boost::json::object& from, std::string_view engine, Script& to, std::string& why) {
  const boost::json::object* own = nullptr;
  for (const auto& member : from) {
    const std::string_view key = member.key();
    if (member.value().is_object()) {  // for one engine only; another's is not ours to judge
      if (key == engine) own = &member.value().get_object();
      continue;
    }
    if (!apply_one(key, member.value(), to, why)) return false;
  }
  if (own == nullptr) return true;
  for (const auto& member : *own) {
    if (!apply_one(member.key(), member.value(), to, why)) return false;
  }
  return true;
}

void apply_model(std::string_view model, Script& to) {
  while (!model.empty()) {
    const std::size_t dot = model.find('.');
    const std::string_view word = model.substr(0, dot);
    model = dot == std::string_view::npos ? std::string_view{} : model.substr(dot + 1);
    const Ill ill = ill_of(word);
    if (ill != Ill::unknown) {
      set_ill(ill, word, to);
      continue;
    }
    for (const Flag& flag : kFlags) {
      if (flag.name == word) to.*flag.member = true;
    }
    const std::size_t dash = word.rfind('-');
    if (dash == std::string_view::npos) continue;
    std::int64_t value = 0;
    const char* end = word.data() + word.size();
    const auto parsed = std::from_chars(word.data() + dash + 1, end, value);
    if (parsed.ec != std::errc{} || parsed.ptr != end) continue;
    const std::string_view name = word.substr(0, dash);
    set_number(name, value, to);
    if (name == "status" && to.ill == Ill::none) to.ill = Ill::status;
  }
}

}  // namespace trib::fake

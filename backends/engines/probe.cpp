#include "backends/engines/probe.h"

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <utility>

#include "backends/engines/dialect.h"

namespace trib::engines {
namespace {

namespace bj = boost::json;

constexpr std::string_view ask_template = "/apply-template";
constexpr std::string_view questions[] = {
    "/v1/models", "/version",      "/server_info", "/get_server_info", "/props",        "/info",
    "/v2",        "/api/version",  ask_template,   ask_open_turn,      ask_closed_turn, metrics_path,
};

std::string_view path_of(std::string_view question) { return question.substr(0, question.find(' ')); }
bool only_of_its_engine(std::string_view question) {
  return question == ask_template || question == ask_open_turn || question == ask_closed_turn;
}

constexpr std::size_t models_max = 256;
constexpr std::size_t name_bytes_max = 64;

bj::value parse(std::string_view body) {
  boost::system::error_code ec;
  bj::parse_options options;
  options.max_depth = 16;
  auto value = bj::parse(bj::string_view(body.data(), body.size()), ec, {}, options);
  return ec ? bj::value{} : value;
}

// A version is shown and logged: printable and short, or none.
std::string shown(std::string_view text) {
  const bool fine = text.size() <= name_bytes_max && std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
  return fine ? std::string(text) : std::string();
}

bool names_on(std::string_view page, const Dialect& dialect) {
  if (dialect.metrics_prefix.empty()) {
    MetricsReader reader(dialect.metrics);
    reader.feed(page);
    return reader.finish() != EngineFigures{};
  }
  for (std::size_t at = 0; at < page.size();) {
    if (page.substr(at).starts_with(dialect.metrics_prefix)) return true;
    at = page.find('\n', at);
    if (at == page.npos) return false;
    ++at;
  }
  return false;
}

}  // namespace

std::string_view Probe::next() const { return step_ < std::size(questions) ? path_of(questions[step_]) : std::string_view(); }

std::string_view Probe::body() const { return body_; }

// Conversations are rendered, nothing is generated.
void Probe::prepare() {
  body_.clear();
  if (step_ >= std::size(questions) || !only_of_its_engine(questions[step_])) return;
  const auto question = questions[step_];
  body_ = "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"" + std::string(prefill_mark) + "\"}]";
  if (question != ask_template) {
    if (!models_.empty()) {
      body_ += ",\"model\":";
      json::quote(models_.front(), body_);
    }
    body_ += ",\"add_generation_prompt\":false";
    if (question == ask_open_turn) body_ += ",\"continue_final_message\":true";
  }
  body_ += '}';
}

bool Probe::wanted(std::size_t step) const {
  const auto question = questions[step];
  if (known_ == nullptr) return !only_of_its_engine(question);
  if (question == "/get_server_info") {  // the older name of /server_info
    const auto place = static_cast<std::size_t>(std::find(dialects().begin(), dialects().end(), known_) - dialects().begin());
    if (!candidates_[place].found.can.version.empty()) return false;
  }
  return std::find(known_->asks.begin(), known_->asks.end(), question) != known_->asks.end();
}

void Probe::answer(int status, std::string_view body) {
  if (step_ >= std::size(questions)) return;
  const auto question = questions[step_];
  if (step_ == 0) reachable_ = status != 0 && status < 500;
  if (status == 200) {
    if (question == metrics_path) {
      read_metrics(body.substr(0, probe_bytes_max));
    } else if (body.size() <= probe_bytes_max) {
      read_json(question, body);
    }
    believe();
  }
  ++step_;
  if (!reachable_) step_ = std::size(questions);
  while (step_ < std::size(questions) && !wanted(step_)) ++step_;
  prepare();
  if (step_ >= std::size(questions)) conclude();
}

void Probe::read_json(std::string_view question, std::string_view body) {
  const bj::value value = parse(body);
  if (!value.is_object()) return;
  const bj::object& object = value.get_object();
  if (question == "/v1/models") {
    if (const auto* const data = object.if_contains("data"); data != nullptr && data->is_array()) {
      for (const auto& item : data->get_array()) {
        if (!item.is_object() || models_.size() >= models_max) continue;
        std::string id = text_at(item.get_object(), "id");
        if (id.empty()) continue;
        models_.push_back(std::move(id));
        if (const auto window = number_at(item.get_object(), "max_model_len"); window > 0) context_ = window;
      }
    }
  }
  for (std::size_t i = 0; i < dialects().size(); ++i) {
    const Dialect& one = *dialects()[i];
    if (one.read != nullptr) one.read(question, object, candidates_[i].found);
    const Sign sign = one.sign(question, object);
    if (sign == Sign::hint) ++candidates_[i].hints;
    if (sign == Sign::proof && known_ == nullptr) known_ = &one;
  }
}

void Probe::read_metrics(std::string_view page) {
  for (std::size_t i = 0; i < dialects().size(); ++i) {
    const Dialect& one = *dialects()[i];
    if (one.metrics == fleet::MetricsKind::none || !names_on(page, one)) continue;
    candidates_[i].metrics = true;
    if (!one.metrics_prefix.empty()) ++candidates_[i].hints;
  }
}

void Probe::believe() {
  for (std::size_t i = 0; i < dialects().size() && known_ == nullptr; ++i)
    if (candidates_[i].hints >= 2) known_ = dialects()[i];
}

void Probe::conclude() {
  const Dialect& is = known_ != nullptr ? *known_ : generic;
  Findings found;
  for (std::size_t i = 0; i < dialects().size(); ++i) {
    if (dialects()[i] != known_) continue;
    found = candidates_[i].found;
    if (candidates_[i].metrics) found.can.metrics = is.metrics;
  }
  found.can.engine = is.engine;
  found.can.dialect = is.name;
  found.can.version = shown(found.can.version);
  if (found.can.context == 0) found.can.context = context_;
  is.record(found);
  found_ = std::move(found.can);
}

}  // namespace trib::engines

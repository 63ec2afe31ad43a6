#include "backends/engines/body.h"

#include <algorithm>
#include <utility>

#include "backends/engines/answer.h"
#include "backends/engines/dialect.h"

namespace trib::engines {

std::size_t key_start(std::string_view json, std::size_t value_from) {
  std::size_t at = json.rfind(':', value_from - 1);
  at = json.rfind('"', at);  // the key's closing quote
  return json.rfind('"', at - 1);
}

void Rewrite::add(std::string_view key, std::string_view value) {
  tail_.append(",\"").append(key).append("\":").append(value);
}

std::string Rewrite::apply(std::string_view body, std::size_t close_at) {
  std::vector<Edit> edits;
  edits.reserve(patches_.size() + 1);
  for (const auto& patch : patches_) edits.push_back({patch.at, patch.text});
  if (!tail_.empty()) edits.push_back({{close_at, close_at}, tail_});
  std::string out;
  out.reserve(body.size() + tail_.size() + 64);
  write_edited(body, edits, out);
  return out;
}

void put_model(Rewrite& to, const RequestFacts& facts, std::string_view engine_model) {
  if (engine_model == facts.model) return;
  std::string quoted;
  json::quote(engine_model, quoted);
  to.replace(facts.model_at, std::move(quoted));
}

void put_usage(Rewrite& to, std::string_view body, const RequestFacts& facts, const fleet::Capabilities& can) {
  if (!facts.stream || !can.usage_in_stream) return;
  if (facts.include_usage_at.present()) {
    if (!facts.include_usage) to.replace(facts.include_usage_at, "true");
  } else if (facts.stream_options_at.present()) {
    const auto& at = facts.stream_options_at;
    std::string fresh = "{\"include_usage\":true";
    if (facts.stream_options_empty) {
      fresh += '}';
    } else {
      fresh.append(",").append(body.substr(at.from + 1, at.to - at.from - 1));
    }
    to.replace(at, std::move(fresh));
  } else {
    to.add("stream_options", "{\"include_usage\":true}");
  }
}

void put_no_steering(Rewrite& to, std::string_view body, const RequestFacts& facts) {
  for (const Span value : facts.steering) to.cut({key_start(body, value.from), value.to});
}

void put_length(Rewrite& to, std::string_view body, const RequestFacts& facts, fleet::LengthField field,
                std::optional<std::uint32_t> limit) {
  using fleet::LengthField;
  const Span older = facts.max_tokens_at, newer = facts.max_completion_tokens_at;
  const bool older_read = field != LengthField::max_completion_tokens;
  const bool newer_read = field != LengthField::max_tokens;
  const auto name = older_read ? "max_tokens" : "max_completion_tokens";
  if (!older.present() && !newer.present()) {
    if (limit) to.add(name, std::to_string(*limit));
    return;
  }
  const bool stays = (older.present() && older_read) || (newer.present() && newer_read);
  const auto bound = limit ? limit : facts.tokens_max;
  const std::string value = bound ? std::to_string(*bound) : "null";
  const auto member = [&](Span at, bool read, Span other) {
    if (!at.present()) return;
    const Span whole{key_start(body, at.from), at.to};
    if (!read) {
      if (stays) {
        to.cut(whole);
      } else {
        to.replace(whole, '"' + std::string(name) + "\":" + value);
      }
    } else if (limit || (other.present() && older_read != newer_read)) {
      to.replace(at, value);
    }
  };
  member(older, older_read, newer);
  member(newer, newer_read, older);
}

std::string engine_body(std::string_view body, const RequestFacts& facts, std::string_view engine_model,
                        const fleet::Capabilities& can, std::uint32_t context) {
  Rewrite to;
  put_model(to, facts, engine_model);
  put_usage(to, body, facts, can);
  put_no_steering(to, body, facts);
  if (facts.operation != Operation::embeddings) {
    const bool bound = !facts.tokens_max && context > 0 && !dialect(can.dialect).missing_length_is_limit;
    put_length(to, body, facts, can.length_field, bound ? std::optional(context) : std::nullopt);
  }
  return to.apply(body, facts.close_at);
}

}  // namespace trib::engines

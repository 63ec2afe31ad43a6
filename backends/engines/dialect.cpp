#include "backends/engines/dialect.h"

#include <algorithm>
#include <array>
#include <utility>

namespace trib::engines {
namespace bj = boost::json;

namespace {

bool digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

Version read_version(std::string_view text) {
  // The first number that a point and another number follow.
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (!digit(text[i]) || (i > 0 && digit(text[i - 1]))) continue;
    std::array<std::uint32_t, 3> numbers{};
    std::size_t n = 0, at = i;
    for (; n < numbers.size(); ++n) {
      const std::size_t from = at;
      for (; at < text.size() && digit(text[at]); ++at) {
        if (at - from >= 6) return {};
        numbers[n] = numbers[n] * 10 + static_cast<std::uint32_t>(text[at] - '0');
      }
      if (at + 1 >= text.size() || text[at] != '.' || !digit(text[at + 1])) {
        ++n;
        break;
      }
      ++at;
    }
    if (n >= 2) return {numbers[0], numbers[1], numbers[2]};
  }
  return {};
}

std::span<const Dialect* const> dialects() {
  static constexpr const Dialect* all[] = {&vllm, &sglang, &llamacpp, &tgi, &lmdeploy, &mindie, &ollama};
  return all;
}

const Dialect& dialect(std::string_view name) {
  for (const auto* const one : dialects())
    if (one->name == name) return *one;
  return generic;
}

const Dialect& dialect_of(fleet::MetricsKind kind) {
  for (const auto* const one : dialects())
    if (kind != fleet::MetricsKind::none && one->metrics == kind) return *one;
  return generic;
}

std::string text_at(const bj::object& object, std::string_view key) {
  const auto* const found = object.if_contains(bj::string_view(key.data(), key.size()));
  if (found == nullptr || !found->is_string()) return {};
  const auto& text = found->get_string();
  return {text.data(), text.size()};
}

std::uint32_t number_at(const bj::object& object, std::string_view key) {
  const auto* const found = object.if_contains(bj::string_view(key.data(), key.size()));
  if (found == nullptr || !found->is_int64() || found->get_int64() <= 0 || found->get_int64() > UINT32_MAX) return 0;
  return static_cast<std::uint32_t>(found->get_int64());
}

namespace {

const bj::object* first_model(const bj::object& models) {
  const auto* const data = models.if_contains("data");
  if (data == nullptr || !data->is_array() || data->get_array().empty()) return nullptr;
  return data->get_array().front().if_object();
}

}  // namespace

std::string owner_of(const bj::object& models) {
  const auto* const model = first_model(models);
  return model == nullptr ? std::string() : text_at(*model, "owned_by");
}

std::uint32_t window_of(const bj::object& models) {
  const auto* const model = first_model(models);
  return model == nullptr ? 0 : number_at(*model, "max_model_len");
}

}  // namespace trib::engines

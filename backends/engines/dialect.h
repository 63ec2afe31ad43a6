// One row a dialect: how an engine is recognised by its answers, what its versions can do, what its
// metrics are called and where its requests deviate. The rows stand in dialects/; `dialects()` is the
// table. Room-private. Rows are constant; their functions are pure and read untrusted answers.
#pragma once
#include <boost/json/object.hpp>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "backends/engines/metrics.h"
#include "backends/engines/probe.h"
#include "gateway/fleet/fleet.h"

namespace trib::engines {

// The numbers of a version wherever they stand in a text: "v0.8.5+maca2" is 0.8.5, "das1.2-0.9" is 1.2.
struct Version {
  std::uint32_t major = 0, minor = 0, patch = 0;
  bool known() const { return *this != Version{}; }
  auto operator<=>(const Version&) const = default;
};
Version read_version(std::string_view text);

enum class Sign : std::uint8_t {
  none,
  hint,   // others say it as well: believed when a second one agrees
  proof,
};

// The questions of a probe by name: a path to GET, or a path and what is asked there.
inline constexpr std::string_view ask_open_turn = "/tokenize open", ask_closed_turn = "/tokenize closed";

struct Dialect {
  std::string_view name, engine;
  // What a JSON answer of 200 to a question says about being this engine.
  Sign (*sign)(std::string_view question, const boost::json::object& answer) = nullptr;
  std::span<const std::string_view> asks;  // questions that tell more once it is known; no others are asked
  // Takes version, context, slots and the like from an answer.
  void (*read)(std::string_view question, const boost::json::object& answer, Findings& found) = nullptr;
  // Fills what the version can do. Called last; `found` holds what the answers said.
  void (*record)(Findings& found) = nullptr;
  fleet::MetricsKind metrics = fleet::MetricsKind::none;
  std::string_view metrics_prefix;         // of every name on its page; empty: its names prove nothing
  std::span<const Gauge> gauges;
  bool missing_length_is_limit = false;    // without a length it stops at its context
};

// Engines are asked to render, not to answer, a conversation that ends with the assistant saying this.
inline constexpr std::string_view prefill_mark = "tributary";

std::span<const Dialect* const> dialects();       // all but generic
const Dialect& dialect(std::string_view name);    // generic when unknown
const Dialect& dialect_of(fleet::MetricsKind kind);

// Reading untrusted answers.
std::string text_at(const boost::json::object& object, std::string_view key);
std::uint32_t number_at(const boost::json::object& object, std::string_view key);  // 0: none above 0
// The first model's `owned_by` and `max_model_len` of an answer to /v1/models.
std::string owner_of(const boost::json::object& models);
std::uint32_t window_of(const boost::json::object& models);

extern const Dialect vllm, sglang, llamacpp, tgi, lmdeploy, mindie, ollama, generic;

}  // namespace trib::engines

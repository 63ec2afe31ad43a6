// One row a key: where it stands, what it takes, its default and bounds. The parsers read defaults
// and bounds from these rows, docs/configuration.md shows them, and a test holds the two together.
#pragma once
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace trib::config {

enum class Type : std::uint8_t {
  section,  // a map with rows of its own
  list,     // of maps with rows of their own; bounds are counts
  texts,    // a list of plain values; bounds are counts
  models,   // a list of names, or a map of public name to the engine's own; bounds are counts
  duration,
  size,
  count,
  flag,
  text,
  path,
  address,
  url,
  id,
  date,
  price,    // CNY per 1M tokens, quoted, at most 6 decimals
  amount,   // CNY, quoted, at most 12 decimals
  digest,   // SHA-256, 64 hex digits
  choice,   // `least` holds the words, parted by '|'
  not_yet,  // known, and refused until a version honours it
};

struct Key {
  std::string_view path;  // "models[].price.input"
  Type type;
  std::string_view fallback;  // as one would write it; "required"; empty: none
  std::string_view least, most;
  std::string_view meaning;
};

constexpr std::string_view required = "required";

std::string_view name(Type type);

// The sections, each beside its parser.
std::span<const Key> gateway_keys();
std::span<const Key> routing_keys();
std::span<const Key> model_keys();
std::span<const Key> contract_keys();
std::span<const Key> exports_keys();
std::span<const Key> layout_keys();  // of the layouts' file
std::span<const Key> site_keys();
std::span<const Key> tenant_keys();
std::span<const Key> agent_keys();

// Of a whole file, in the order of the documentation.
std::vector<Key> gateway_file_keys();
std::vector<Key> agent_file_keys();

}  // namespace trib::config

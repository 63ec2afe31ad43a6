// Prices and contracts that come from outside the file, by the file's own rows.
#include "gateway/config/sections.h"

namespace trib::config {
namespace {

const char* no_environment(const char*) {
  return nullptr;
}

// The rows below a list's entries, as those of a whole document.
std::vector<Key> below(std::span<const Key> keys, std::string_view prefix) {
  std::vector<Key> out;
  for (Key key : keys) {
    if (key.path.substr(0, prefix.size()) != prefix) continue;
    key.path.remove_prefix(prefix.size());
    out.push_back(key);
  }
  return out;
}

}  // namespace

ModelPrice parse_price(const std::string& name, const std::string& text) {
  static const std::vector<Key> keys = [] {
    std::vector<Key> out = below(model_keys(), "models[].price[].");
    out.push_back({"model", Type::id, "required", "", "", "Whose price it is."});
    return out;
  }();
  const Document document(name, text, no_environment);
  const Section in(document, keys, "price");
  ModelPrice out{in.id("model"), read_price(in)};
  if (!out.price.from_ms) in.fail("from", "is missing; a published price needs its date");
  return out;
}

ContractConfig parse_contract(const std::string& name, const std::string& text) {
  static const std::vector<Key> keys = below(contract_keys(), "contracts[].");
  const Document document(name, text, no_environment);
  return read_contract(Section(document, keys, "contract"));
}

}  // namespace trib::config

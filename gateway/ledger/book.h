// Prices and contracts as dated, immutable versions, half-open [from, to), without overlap.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gateway/base/base.h"
#include "gateway/config/config.h"
#include "gateway/money/money.h"

namespace trib::ledger {

struct PriceVersion {
  std::string model;
  std::uint32_t version = 0;  // 1-based, in order of `from`
  std::int64_t from_ms = 0;
  std::optional<std::int64_t> to_ms;
  money::Price input, cached_input, cache_write, output, reasoning;
  std::optional<config::PriceTax> tax;
  std::string terms_hash;  // hex
};

// What was agreed, whole: shares, tiers, guarantee, policies and the rest are those of ContractTerms.
struct ContractVersion : config::ContractTerms {
  std::string contract;
  std::uint32_t version = 0;
  std::int64_t from_ms = 0;
  std::optional<std::int64_t> to_ms;
  std::string terms;  // canonical, whole
  std::string terms_hash;
};

// Immutable; read from any thread.
class Book {
 public:
  std::uint64_t revision() const { return revision_; }
  const PriceVersion* price_at(const std::string& model, std::int64_t wall_ms) const;
  const PriceVersion* price(const std::string& model, std::uint32_t version) const;
  const ContractVersion* contract_at(const std::string& contract, std::int64_t wall_ms) const;
  const ContractVersion* contract(const std::string& contract, std::uint32_t version) const;

  std::uint64_t revision_ = 0;
  std::map<std::string, std::vector<PriceVersion>> prices;        // by model, ordered by from
  std::map<std::string, std::vector<ContractVersion>> contracts;  // by id, ordered by from
};

}  // namespace trib::ledger

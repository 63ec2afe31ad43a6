#include "gateway/ledger/book.h"

#include <algorithm>

namespace trib::ledger {
namespace {

template <class Version>
const Version* at(const std::map<std::string, std::vector<Version>>& by_id, const std::string& id, std::int64_t wall_ms) {
  const auto found = by_id.find(id);
  if (found == by_id.end()) return nullptr;
  const auto& versions = found->second;
  const auto after = std::upper_bound(versions.begin(), versions.end(), wall_ms,
                                      [](std::int64_t t, const Version& v) { return t < v.from_ms; });
  if (after == versions.begin()) return nullptr;
  const Version& last = *std::prev(after);
  return !last.to_ms || wall_ms < *last.to_ms ? &last : nullptr;
}

template <class Version>
const Version* numbered(const std::map<std::string, std::vector<Version>>& by_id, const std::string& id,
                        std::uint32_t version) {
  const auto found = by_id.find(id);
  if (found == by_id.end() || version == 0 || version > found->second.size()) return nullptr;
  const Version& out = found->second[version - 1];
  return out.version == version ? &out : nullptr;
}

}  // namespace

const PriceVersion* Book::price_at(const std::string& model, std::int64_t wall_ms) const {
  return at(prices, model, wall_ms);
}

const PriceVersion* Book::price(const std::string& model, std::uint32_t version) const {
  return numbered(prices, model, version);
}

const ContractVersion* Book::contract_at(const std::string& contract, std::int64_t wall_ms) const {
  return at(contracts, contract, wall_ms);
}

const ContractVersion* Book::contract(const std::string& contract, std::uint32_t version) const {
  return numbered(contracts, contract, version);
}

}  // namespace trib::ledger

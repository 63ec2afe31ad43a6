#include <cstring>

#include "gateway/tenancy/tenancy.h"

namespace trib::tenancy {
namespace {

std::uint64_t prefix(const Sha256& digest) {
  std::uint64_t out = 0;
  std::memcpy(&out, digest.data(), sizeof out);
  return out;
}

}  // namespace

std::shared_ptr<Tenant> TenantBook::find(const Sha256& key_digest) const {
  const auto at = by_prefix_.find(prefix(key_digest));
  if (at == by_prefix_.end()) return nullptr;
  std::shared_ptr<Tenant> found;
  for (const Entry& entry : at->second) {
    if (equal_constant_time(entry.digest, key_digest)) found = entry.tenant;
  }
  return found;
}

std::shared_ptr<Tenant> TenantBook::tenant(const std::string& id) const {
  const auto at = tenants_.find(id);
  return at == tenants_.end() ? nullptr : at->second;
}

std::shared_ptr<Tenant> TenantBook::ever(const std::string& id) const {
  if (auto found = tenant(id)) return found;
  const auto at = gone_.find(id);
  return at == gone_.end() ? nullptr : at->second;
}

std::map<std::string, std::shared_ptr<Tenant>> TenantBook::known() const {
  auto out = tenants_;
  out.insert(gone_.begin(), gone_.end());
  return out;
}

std::shared_ptr<const TenantBook> TenantBook::make(const std::vector<config::TenantConfig>& tenants,
                                                   const TenantBook* previous) {
  auto book = std::make_shared<TenantBook>();
  for (const config::TenantConfig& config : tenants) {
    std::shared_ptr<Tenant> tenant = previous ? previous->ever(config.id) : nullptr;
    if (!tenant) tenant = std::make_shared<Tenant>(config.id);
    tenant->set_policy(config);
    for (const config::TenantKey& key : config.keys)
      book->by_prefix_[prefix(key.sha256)].push_back({key.sha256, tenant});
    book->tenants_.emplace(config.id, std::move(tenant));
  }
  if (previous == nullptr) return book;
  for (const auto* const before : {&previous->tenants_, &previous->gone_}) {
    for (const auto& [id, tenant] : *before)
      if (!book->tenants_.contains(id)) book->gone_.emplace(id, tenant);
  }
  return book;
}

}  // namespace trib::tenancy

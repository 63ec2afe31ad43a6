// The readers of the file's sections; each stands in its own file beside its rows.
#pragma once
#include <vector>

#include "gateway/config/section.h"

namespace trib::config {

GatewayConfig read_gateway(const Section& section);
std::string read_store(const Section& section, const std::string& data);
AuditConfig read_audit(const Section& section);
RoutingConfig read_routing(const Section& section);
ModelRouting read_model_routing(const Section& section, const RoutingConfig& all);
std::vector<ModelConfig> read_models(const Section& file, const RoutingConfig& routing);
PriceConfig read_price(const Section& section);
ContractConfig read_contract(const Section& section);
std::vector<ContractConfig> read_contracts(const Section& file);
std::vector<SiteConfig> read_sites(const Section& file,
                                   const std::vector<ContractConfig>& contracts);
std::vector<TenantConfig> read_tenants(const Section& file);

// An engine's `url`: where to dial and the prefix before /v1.
void read_engine_url(const Section& engine, Endpoint& endpoint, std::string& base_path);

}  // namespace trib::config

// The seeded world of a quarter: partners' terms, prices, tenants, and what happens among them. Each thing
// is told twice: to the ledger in its own types, and as a plain fact in one line of JSON, without versions,
// accounts or sums, for the oracle that knows nothing of the ledger.
#pragma once
#include <cstdio>
#include <string>
#include <vector>

#include "gateway/config/config.h"
#include "gateway/metering/metering.h"

namespace trib::quarter {

constexpr std::int64_t january = 1'767'196'800'000;  // 2026-01-01T00:00:00+08:00

struct Site {
  std::string id, vendor, contract;
};

// One line a fact, in the order in which things are booked.
class Facts {
 public:
  explicit Facts(const std::string& path) : out_(std::fopen(path.c_str(), "w")) { TRIB_ASSERT(out_ != nullptr); }
  ~Facts() { std::fclose(out_); }
  Facts(const Facts&) = delete;
  Facts& operator=(const Facts&) = delete;
  void line(const std::string& json);
  void price(const std::string& model, const config::PriceConfig& price);
  void contract(const config::ContractConfig& contract);
  void site(const Site& site);
  void request(const metering::Final& final);

 private:
  std::FILE* out_;
};

struct Terms {
  config::ConfigSnapshot config;  // models with all their prices, contracts with all their versions
  std::vector<Site> sites;
  std::vector<std::string> tenants;
};
Terms make_terms(Rng& rng, unsigned sites, unsigned tenants);

// One request that ended at `ends_ms`, as the exchange would have written it; its versions are not pinned yet.
metering::Final make_request(Rng& rng, const Terms& terms, std::int64_t ends_ms);

}  // namespace trib::quarter

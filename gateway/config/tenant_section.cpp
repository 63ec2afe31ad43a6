#include <algorithm>
#include <map>

#include "gateway/config/sections.h"

namespace trib::config {
namespace {

constexpr Key rows[] = {
    {"tenants[].id", Type::id, "required", "", "", "The tenant's name."},
    {"tenants[].keys", Type::list, "", "0", "1000", "Its keys, never in clear."},
    {"tenants[].keys[].sha256", Type::digest, "required", "", "",
     "SHA-256 of the key's text, in hex."},
    {"tenants[].keys[].budgets", Type::section, "", "", "", "What this key's requests may cost; as `tenants[].budgets`."},
    {"tenants[].keys[].budgets.day", Type::amount, "0", "", "", "CNY a day; 0: no budget."},
    {"tenants[].keys[].budgets.month", Type::amount, "0", "", "", "CNY a month; 0: no budget."},
    {"tenants[].budgets", Type::section, "", "", "",
     "What its requests may cost, by the day and month in Asia/Shanghai in which they end; hitting one is 429 that says when it resets."},
    {"tenants[].budgets.day", Type::amount, "0", "", "", "CNY a day; 0: no budget."},
    {"tenants[].budgets.month", Type::amount, "0", "", "", "CNY a month; 0: no budget."},
    {"tenants[].credit", Type::amount, "0", "", "",
     "How far below zero its balance may go; above 0 it pays afterwards."},
    {"tenants[].holds", Type::choice, "worst_case", "worst_case|estimate", "",
     "What a request holds until it ends: the most it can cost, or, where there is a credit, the prompt as counted and the output that 99 of 100 of the key's answers stay below."},
    {"tenants[].balance", Type::amount, "0", "", "",
     "Prepaid; posted once, as top-up `opening:TENANT`."},
    {"tenants[].privacy", Type::choice, "dc", "any|dc|tee", "",
     "Who may serve it: any site, no cafés, or attested machines only."},
    {"tenants[].hedge_after", Type::duration, "0s", "0s", "10m",
     "A request whose site has sent nothing for so long is sent to a second one too; 0s: never."},
    {"tenants[].priority", Type::choice, "normal", "low|normal|high", "",
     "In the waiting line a high one gets four times what a normal one gets, a low one a quarter."},
    {"tenants[].limits", Type::section, "", "", "", "Hitting one is 429 with `Retry-After`."},
    {"tenants[].limits.requests_per_minute", Type::count, "600", "0", "100000000", "0: no limit."},
    {"tenants[].limits.tokens_per_minute", Type::count, "200000", "0", "1000000000000",
     "Input and output; 0: no limit."},
    {"tenants[].limits.in_flight", Type::count, "64", "0", "1000000",
     "Requests at once; 0: no limit."},
};

Sha256 read_digest(const Section& in) {
  const auto bytes = from_hex(in.text("sha256"));
  Sha256 out{};
  // The message does not repeat the value: it may be a key in clear.
  if (!bytes || bytes->size() != out.size()) {
    in.fail("sha256",
            "must be the SHA-256 of the key as 64 hex digits; printf %s KEY | sha256sum prints it");
  }
  std::copy(bytes->begin(), bytes->end(), out.begin());
  return out;
}

TenantLimits read_limits(const Section& in) {
  return {in.count32("requests_per_minute"), in.count("tokens_per_minute"),
          in.count32("in_flight")};
}

Budgets read_budgets(const Section& in) {
  return {in.amount("day"), in.amount("month")};
}

}  // namespace

std::span<const Key> tenant_keys() {
  return rows;
}

std::vector<TenantConfig> read_tenants(const Section& file) {
  std::vector<TenantConfig> out;
  std::map<std::string, std::string> places;
  std::map<Sha256, std::string> owners;
  for (const Section& in : file.sections("tenants")) {
    TenantConfig tenant;
    tenant.id = in.id("id");
    const auto [at, fresh] = places.emplace(tenant.id, in.place());
    if (!fresh)
      in.fail("id", "the tenant " + tenant.id + " stands at " + at->second +
                        " already; keep one of them");
    for (const Section& key : in.sections("keys")) {
      tenant.keys.emplace_back(read_digest(key), read_budgets(key.section("budgets")));
      const auto [owner, fresh_key] = owners.emplace(tenant.keys.back().sha256, tenant.id);
      if (!fresh_key)
        key.fail("sha256", "this key belongs to the tenant " + owner->second +
                               " already; a key has one tenant and stands once");
    }
    tenant.balance = in.amount("balance");
    tenant.credit = in.amount("credit");
    tenant.holds = static_cast<HoldRule>(in.choice("holds"));
    if (tenant.holds == HoldRule::estimate && tenant.credit.zero())
      in.fail("holds", "an estimate may be passed, so it needs a `credit` above 0; take worst_case, or give the tenant a credit");
    tenant.budgets = read_budgets(in.section("budgets"));
    tenant.privacy = static_cast<Privacy>(in.choice("privacy"));
    tenant.hedge_after_ms = in.duration_ms("hedge_after");
    tenant.priority = static_cast<Priority>(in.choice("priority"));
    tenant.limits = read_limits(in.section("limits"));
    out.push_back(std::move(tenant));
  }
  return out;
}

}  // namespace trib::config

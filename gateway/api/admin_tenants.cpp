// The doors of tenants: balances, holds, credit and budgets.
#include "gateway/api/admin.h"
#include "gateway/api/admin_answer.h"

namespace trib::api {

namespace bj = boost::json;

namespace {

std::string_view name(tenancy::Span span) { return span == tenancy::Span::day ? "day" : "month"; }

bj::array budgets_of(const tenancy::Tenant& tenant, std::int64_t wall_ms) {
  bj::array out;
  for (const auto& budget : tenant.budgets(wall_ms)) {
    out.push_back(bj::object{{"of", budget.of_key ? "key:" + to_hex(budget.key) : "tenant"},
                             {"per", name(budget.span)},
                             {"limit", budget.limit.text()},
                             {"spent", budget.spent.text()},
                             {"held", budget.held.text()},
                             {"resets_at", ledger::time_text(budget.resets_at_ms)}});
  }
  return out;
}

// `unposted`: charges of requests that have ended and are not in the ledger yet.
bj::object shown(const tenancy::Tenant& tenant, ledger::Ledger& ledger, std::int64_t wall_ms) {
  const auto view = tenant.view();
  return {{"id", view.id},
          {"balance", view.balance.text()},
          {"held", view.held.text()},
          {"unposted", (ledger.tenant_balance(view.id) - view.balance).text()},
          {"credit", view.credit.text()},
          {"available", (view.balance + view.credit - view.held).text()},
          {"in_flight", view.in_flight},
          {"holds", view.holds == config::HoldRule::estimate ? "estimate" : "worst_case"},
          {"budgets", budgets_of(tenant, wall_ms)},
          {"privacy", config::name(view.privacy)},
          {"limits", bj::object{{"requests_per_minute", view.limits.requests_per_minute},
                                {"tokens_per_minute", view.limits.tokens_per_minute},
                                {"in_flight", view.limits.in_flight}}}};
}

}  // namespace

Answer Admin::tenants() {
  bj::array out;
  for (const auto& [id, tenant] : parts_.live()->tenants->all()) out.push_back(shown(*tenant, parts_.ledger, parts_.clock.wall_ms()));
  return ok(out);
}

Answer Admin::tenant(const std::string& id) {
  const auto known = parts_.live()->tenants->tenant(id);
  if (known == nullptr) return error(404, "There is no tenant `" + id + "`.", "tenant_not_found");
  return ok(shown(*known, parts_.ledger, parts_.clock.wall_ms()));
}

}  // namespace trib::api

#include "gateway/ledger/accounts.h"

#include "gateway/base/base.h"

namespace trib::ledger {
namespace {

constexpr AccountKind chart[] = {
    {"A100", "bank and payment-provider clearing", true, false, false},
    {"A110", "customer receivable", true, true, false},
    {"A120", "supplier receivable", true, true, false},
    {"C150", "batch clearing", false, false, false},
    {"L200", "customer prepaid", false, true, false},
    {"L210", "site payable, accruing", false, true, false},
    {"L211", "site reserve", false, true, true},
    {"L212", "site payable, stated", false, true, true},
    {"L220", "vendor payable, accruing", false, true, false},
    {"L221", "vendor reserve", false, true, true},
    {"L222", "vendor payable, stated", false, true, true},
    {"L230", "referrer payable, accruing", false, true, false},
    {"L231", "referrer reserve", false, true, true},
    {"L232", "referrer payable, stated", false, true, true},
    {"L240", "VAT accruing", false, false, false},
    {"L241", "VAT invoiced", false, false, false},
    {"L250", "disputed and suspense", false, true, false},
    {"R300", "platform share", false, false, false},
    {"E400", "goodwill and credits", true, false, false},
    {"E410", "minimum-guarantee top-up", true, false, false},
    {"E420", "payment fees and bad debt", true, false, false},
    {"E430", "rounding at closure", true, false, false},
};

struct PartyKind {
  std::string_view prefix;
  std::string_view account, reserve, stated;
  std::string_view suspense;
  Code code;
};
constexpr PartyKind party_kinds[] = {
    {"site:", "L210/", "L211/", "L212/", "L250/site", Code::share_site},
    {"vendor:", "L220/", "L221/", "L222/", "L250/vendor", Code::share_vendor},
    {"referrer:", "L230/", "L231/", "L232/", "L250/referrer", Code::share_referrer},
};

const PartyKind& kind_of(std::string_view party) {
  for (const auto& kind : party_kinds) {
    if (party.substr(0, kind.prefix.size()) == kind.prefix) return kind;
  }
  assert_failed("a party of an unknown kind", __FILE__, __LINE__);
}

}  // namespace

const AccountKind* account_kind(std::string_view account) {
  const std::size_t slash = account.find('/');
  for (const AccountKind& kind : chart) {
    if (kind.code != account.substr(0, slash)) continue;
    const bool named = slash != std::string_view::npos && slash + 1 < account.size();
    return kind.of_party == named && (named || slash == std::string_view::npos) ? &kind : nullptr;
  }
  return nullptr;
}

std::string customer_account(std::string_view tenant) { return "L200/" + std::string(tenant); }

std::string receivable_account(std::string_view tenant) { return "A110/" + std::string(tenant); }

std::string tenant_of(std::string_view account) {
  const std::string_view code = account.substr(0, 5);
  return code == "L200/" || code == "A110/" ? std::string(account.substr(5)) : std::string();
}

std::string party_account(std::string_view party) {
  if (party == "platform") return std::string(account_platform);
  if (party == "vat") return std::string(account_vat);
  const PartyKind& kind = kind_of(party);
  const std::string_view name = party.substr(kind.prefix.size());
  return name.empty() ? std::string(kind.suspense) : std::string(kind.account) + std::string(name);
}

std::string reserve_account(std::string_view party) {
  const PartyKind& kind = kind_of(party);
  return std::string(kind.reserve) + std::string(party.substr(kind.prefix.size()));
}

std::string stated_account(std::string_view party) {
  const PartyKind& kind = kind_of(party);
  return std::string(kind.stated) + std::string(party.substr(kind.prefix.size()));
}

std::string clawback_account(std::string_view party) { return "A120/" + std::string(party); }

std::string party_of(std::string_view account) {
  for (const auto& kind : party_kinds) {
    for (const auto prefix : {kind.account, kind.reserve, kind.stated}) {
      if (account.substr(0, prefix.size()) == prefix) return std::string(kind.prefix) + std::string(account.substr(prefix.size()));
    }
  }
  return {};
}

Code share_code(std::string_view party) {
  if (party == "platform") return Code::share_platform;
  if (party == "vat") return Code::usage_charge;
  const PartyKind& kind = kind_of(party);
  return party.size() == kind.prefix.size() ? Code::suspense : kind.code;
}

std::string_view reason(Code code) {
  switch (code) {
    case Code::usage_charge: return "usage charge";
    case Code::share_site: return "share to site";
    case Code::share_vendor: return "share to vendor";
    case Code::share_referrer: return "share to referrer";
    case Code::share_platform: return "share to platform";
    case Code::overrun: return "overrun of a hold";
    case Code::reversal: return "reversal";
    case Code::late_usage: return "late usage";
    case Code::reprice: return "re-price";
    case Code::tier_trueup: return "tier true-up";
    case Code::guarantee: return "minimum guarantee";
    case Code::suspense: return "to or from suspense";
    case Code::penalty: return "penalty";
    case Code::reserve_withhold: return "reserve withheld";
    case Code::reserve_release: return "reserve released";
    case Code::chargeback: return "chargeback";
    case Code::clawback: return "clawback";
    case Code::forfeiture: return "forfeiture";
    case Code::early_exit: return "early exit";
    case Code::topup: return "top-up";
    case Code::cash_refund: return "cash refund";
    case Code::payout: return "payout";
    case Code::payout_returned: return "payout returned";
    case Code::fee: return "fee";
    case Code::goodwill: return "goodwill";
    case Code::vat_trueup: return "VAT true-up";
    case Code::statement_lock: return "locked in a statement";
    case Code::closure: return "closure of an account";
    case Code::manual: return "manual entry";
  }
  return {};
}

}  // namespace trib::ledger

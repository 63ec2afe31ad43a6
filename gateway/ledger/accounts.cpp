#include "gateway/ledger/accounts.h"

#include "gateway/base/base.h"

namespace trib::ledger {
namespace {

struct PartyKind {
  std::string_view prefix;
  std::string_view account;
  std::string_view suspense;
  Code code;
};
constexpr PartyKind party_kinds[] = {
    {"site:", "L210/", "L250/site", Code::share_site},
    {"vendor:", "L220/", "L250/vendor", Code::share_vendor},
    {"referrer:", "L230/", "L250/referrer", Code::share_referrer},
};

const PartyKind& kind_of(std::string_view party) {
  for (const auto& kind : party_kinds) {
    if (party.substr(0, kind.prefix.size()) == kind.prefix) return kind;
  }
  assert_failed("a party of an unknown kind", __FILE__, __LINE__);
}

}  // namespace

std::string customer_account(std::string_view tenant) { return "L200/" + std::string(tenant); }

std::string party_account(std::string_view party) {
  if (party == "platform") return std::string(account_platform);
  if (party == "vat") return std::string(account_vat);
  const PartyKind& kind = kind_of(party);
  const std::string_view name = party.substr(kind.prefix.size());
  return name.empty() ? std::string(kind.suspense) : std::string(kind.account) + std::string(name);
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
    case Code::suspense: return "part of an unknown party";
    case Code::topup: return "top-up";
  }
  return "unknown";
}

}  // namespace trib::ledger

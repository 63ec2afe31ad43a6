// The chart of accounts and the transfer codes that usage and top-ups need. An account's name is its
// code and, where one exists a party, "/" and the party: "L210/dc-one", "L200/acme", "R300".
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace trib::ledger {

inline constexpr std::string_view account_bank = "A100";      // bank / payment-provider clearing
inline constexpr std::string_view account_clearing = "C150";  // zero after every batch
inline constexpr std::string_view account_platform = "R300";
inline constexpr std::string_view account_vat = "L240";       // accruing: a leg of each charge that holds VAT

std::string customer_account(std::string_view tenant);  // L200/TENANT
// Where a party's part accrues: "vat" L240, "platform" R300, "site:X" L210/X, "vendor:X" L220/X, "referrer:X"
// L230/X; a party without a name waits in suspense, L250/site or L250/vendor.
std::string party_account(std::string_view party);

enum class Code : std::uint16_t {
  usage_charge = 20,   // customer -> clearing
  share_site = 21,     // clearing -> site, and so on
  share_vendor = 22,
  share_referrer = 23,
  share_platform = 24,
  suspense = 35,       // to or from L250
  topup = 50,
};
// Under which transfer a part is posted; VAT is a leg of the charge itself.
Code share_code(std::string_view party);
std::string_view reason(Code code);

}  // namespace trib::ledger

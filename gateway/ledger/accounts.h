// The chart of accounts and the transfer codes. An account's name is its code and, where one exists a
// party, "/" and the party: "L210/dc-one", "L200/acme", "R300".
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace trib::ledger {

inline constexpr std::string_view account_bank = "A100";      // bank / payment-provider clearing
inline constexpr std::string_view account_clearing = "C150";  // zero after every batch
inline constexpr std::string_view account_platform = "R300";
inline constexpr std::string_view account_vat = "L240";        // accruing: a leg of each charge that holds VAT
inline constexpr std::string_view account_vat_invoiced = "L241";  // moves with an invoice alone
inline constexpr std::string_view account_goodwill = "E400";   // goodwill, SLA credits, promotions
inline constexpr std::string_view account_guarantee = "E410";  // minimum-guarantee top-up
inline constexpr std::string_view account_fees = "E420";       // payment fees, bad debt
inline constexpr std::string_view account_rounding = "E430";   // rounding to fen when an account closes
inline constexpr std::string_view account_disputed = "L250/disputed";

// One kind of account in the chart.
struct AccountKind {
  std::string_view code, name;
  bool asset;      // its balance stands on the debit side: assets and expenses
  bool of_party;   // written with "/PARTY"
  bool not_below_zero;  // a document that would take it below zero is refused
};
const AccountKind* account_kind(std::string_view account);  // null: not in the chart, or a party is missing

std::string customer_account(std::string_view tenant);    // L200/TENANT
std::string receivable_account(std::string_view tenant);  // A110/TENANT, postpaid
std::string tenant_of(std::string_view account);          // of one of these two; empty for others
// Where a party's part accrues: "vat" L240, "platform" R300, "site:X" L210/X, "vendor:X" L220/X, "referrer:X"
// L230/X; a party without a name waits in suspense, L250/site or L250/vendor.
std::string party_account(std::string_view party);
// The other two of a party that is paid: withheld (L211, L221, L231) and locked in a statement (L212,
// L222, L232); and what it owes beyond its payable, A120/site:X. Precondition: a party with a name.
std::string reserve_account(std::string_view party);
std::string stated_account(std::string_view party);
std::string clawback_account(std::string_view party);
// "L210/dc-one" -> "site:dc-one", for accruing, reserve and stated accounts; empty for others.
std::string party_of(std::string_view account);

enum class Code : std::uint16_t {
  usage_charge = 20,   // customer -> clearing
  share_site = 21,     // clearing -> site, and so on
  share_vendor = 22,
  share_referrer = 23,
  share_platform = 24,
  overrun = 25,        // of a hold
  reversal = 30,       // of a request's parts, or of a whole transfer
  late_usage = 31,     // booked in the open period, its own being closed
  reprice = 32,
  tier_trueup = 33,
  guarantee = 34,
  suspense = 35,       // to or from L250
  penalty = 40,
  reserve_withhold = 41,
  reserve_release = 42,
  chargeback = 43,
  clawback = 44,
  forfeiture = 45,
  early_exit = 46,
  topup = 50,
  cash_refund = 51,
  payout = 52,
  payout_returned = 53,
  fee = 54,
  goodwill = 55,
  vat_trueup = 60,
  statement_lock = 61,  // accruing -> stated
  // 62, a carry to the next period, is not posted: what a statement leaves stays on the party's account
  closure = 63,         // fen rounding when an account closes
  manual = 70,          // two persons, a document's hash
};
// Under which transfer a part is posted; VAT is a leg of the charge itself.
Code share_code(std::string_view party);
std::string_view reason(Code code);  // empty: not a code of this list

}  // namespace trib::ledger

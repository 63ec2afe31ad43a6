// Finance's desk: every movement of money that people cause. An order names what is to be done and its
// arguments; the desk reckons the legs, and one document in the journal says all of them. An order whose
// record is there already is told as repeated, so that a call that broke off is simply made again. Which
// legs, in which order and rounded how: docs/desk.md. Calls exclude each other by what they post; callers
// that must not race give each other way (the administrative thread does).
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/ledger/ledger.h"
#include "gateway/settlement/invoice.h"

namespace trib::settlement {

inline constexpr std::string_view kind_reversal = "reversal", kind_dispute = "dispute", kind_upheld = "dispute_upheld",
                                  kind_rejected = "dispute_rejected", kind_reprice = "reprice", kind_chargeback = "chargeback",
                                  kind_goodwill = "goodwill", kind_fee = "fee", kind_fee_share = "fee_share", kind_penalty = "penalty",
                                  kind_invoice = "invoice", kind_setting = "setting";

// What finance has set by the order `set`; the newest holds.
inline constexpr std::string_view set_goodwill_budget = "goodwill_budget";  // of a period, on E400; unset: none may be given
inline constexpr std::string_view set_item_code = "item_code";              // 19 digits, of what is sold; unset: no invoices
std::string setting(ledger::Reader& reader, std::string_view name);          // empty: unset

struct Order {
  std::string what;                         // the name of a form
  std::map<std::string, std::string> args;  // as people give them: amounts in CNY, times as dates
  std::optional<money::Amount> available = {};  // of the customer's balance, beside what running requests hold; none: all
};

struct Form {
  std::string_view what;
  std::vector<std::string_view> required, optional;  // arguments; `required` in the order of a command's words
  std::string_view says;                             // what it does, in one line
};
const std::vector<Form>& desk_forms();
bool is_order(std::string_view what);

struct Entry {
  enum class Result : std::uint8_t {
    posted,
    repeated,  // the same was there already
    wrong,     // the order cannot be read, or what it names is not there
    refused,   // the rules or the ledger do not allow it; nothing changed
    conflict,  // the id stands for another order
    failed,    // not known to be durable: the same order again is safe
  };
  Result result{};
  std::string id;   // the document's; of several, the last one's
  std::string why;  // unless it is posted or repeated: what is wrong, and the mend
  ledger::Document document;  // posted or repeated; of several, with the transfers of all
  // credit - debit of each customer's account (L200) that this call moved, for who keeps figures in memory.
  std::map<std::string, money::Amount> moved() const;
};

// Blocks until durable and posted.
Entry enter(ledger::Ledger& ledger, const Order& order, std::int64_t wall_ms);

// What is to be invoiced of a closed month and is not yet: one document a customer. The same again makes the
// rest. `why` of an entry that is refused holds for that customer alone.
std::vector<Entry> make_invoices(ledger::Ledger& ledger, ledger::Period period, std::int64_t wall_ms);

}  // namespace trib::settlement

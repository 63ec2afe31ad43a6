// One order at the desk. Private to desk*.cpp.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gateway/settlement/amounts.h"
#include "gateway/settlement/booked.h"
#include "gateway/settlement/desk.h"

namespace trib::settlement {

using ledger::Code;
using ledger::Document;
using ledger::DocumentTransfer;
using ledger::Leg;
using ledger::Part;
using ledger::Period;
using money::Amount;

// A request with all that documents have made of it.
struct Sale {
  ledger::RequestRow request;
  std::uint32_t price_version = 0;  // under which it is rated now
  std::vector<Part> left;           // what each part still holds, by attempt and party
  Amount gross;                     // their sum
  bool disputed = false, credited = false;  // its amount waits in L250; goodwill was given for it
  bool documents = false;           // there is one about it
  std::string chain;                // "request:ID", of which its documents are numbers
};

// A document whose id is a number in a chain: nobody can put two under one number, so that what was reckoned
// from the ones before it still holds.
struct Link {
  ledger::CommandRow row;
  Document document;
  Attached attached;
};

// The same order came before, or cannot be carried out: the order ends here.
struct Ended {
  Entry entry;
};

class DeskCall {
 public:
  DeskCall(ledger::Ledger& ledger, const Order& order, std::int64_t wall_ms);
  Entry run();

 private:
  // Orders, each in the file of its kind. They throw Ended.
  Entry reverse();            // desk_request.cpp
  Entry dispute();
  Entry resolve();
  Entry chargeback();
  Entry chargeback_payment();  // desk_payment.cpp
  Entry goodwill();           // desk_request.cpp
  Entry reprice();            // desk_reprice.cpp
  Entry payout();             // desk_party.cpp
  Entry payout_returned();
  Entry penalty();
  Entry early_exit();
  Amount earned_towards(const ledger::ContractVersion& contract, const std::string& site, Period month);
  Entry forfeit();
  Entry clawback();
  Entry refund();             // desk_account.cpp
  Entry payment();
  Entry fee();
  Entry suspense();
  Entry close_account();
  Entry manual();
  Entry set();
  Entry reverse_transfer();

  [[noreturn]] void end(Entry::Result result, std::string why);
  [[noreturn]] void wrong(std::string why) { end(Entry::Result::wrong, std::move(why)); }
  [[noreturn]] void refused(std::string why) { end(Entry::Result::refused, std::move(why)); }
  void sound();  // the store could be read

  const std::string& arg(const std::string& name) const;  // empty: not given
  Amount amount(const std::string& name);                 // above zero
  std::optional<Amount> amount_if(const std::string& name) { return arg(name).empty() ? std::nullopt : std::optional(amount(name)); }
  std::int64_t at();                                      // of the fact: `at`, or now
  // Where something of that month is booked. Refused while the month is being closed.
  Period booking(Period period);
  Amount stands(const std::string& account, Period period = 0);
  void known_account(const std::string& account);         // something was ever booked on it

  // All applied links of a chain, the last being the newest; the number after them. Ends when one of them is
  // this very order, or has its id.
  std::vector<Link> chain(const std::string& prefix);
  std::vector<Link> links(const std::string& prefix, std::uint32_t& next);  // as they are
  void end_repeated(Link& link);
  void end_other_order(const Link& link);
  bool same_id(const Link& link) const;
  std::string next_id(const std::string& prefix);
  Sale sale(const std::string& request);
  Sale sale(ledger::RequestRow request, const std::vector<Link>& own);  // `own`: its chain
  std::vector<Part> parts_now(const ledger::RequestRow& request, const std::vector<const Link*>& documents, std::uint32_t& price_version);
  std::vector<Part> rerated(const ledger::RequestRow& request, std::uint32_t price_version);

  // A document of one order.
  struct Draft {
    Document document;
    Attached attached;
  };
  Draft draft(std::string_view kind, Period period);
  DocumentTransfer& transfer(Draft& draft, Code code, std::int64_t effective_at, std::string doc = {});
  void take(Draft& draft, const Sale& sale, const std::vector<Part>& parts, DocumentTransfer& transfer);
  void add_supply(Draft& draft, const Sale& sale, const std::vector<Part>& parts);
  void add_customer(Draft& draft, const Sale& sale, const std::vector<Part>& parts);
  // Takes back parts of a request's charge: whose they are by its contracts' rules, or out of its dispute.
  void charge_back(Draft& draft, const Sale& sale, const std::vector<Part>& parts, std::map<std::string, Amount>& due, DocumentTransfer& from);
  // Each gives what it has, the rest becomes its debt; the bank has taken all of it.
  void collect_all(Draft& draft, const std::map<std::string, Amount>& due, DocumentTransfer& from, DocumentTransfer& debt);
  void give_back_quantities(Draft& draft, const Sale& sale);
  // What a party gives back: out of its reserve, then of what is payable, then as a debt.
  void collect(Draft& draft, const std::string& party, Amount due, DocumentTransfer& from_party, DocumentTransfer& as_debt);
  Entry post(const std::string& id, Draft draft);
  // Chargebacks of payments: a chain of its own for each customer, "chargeback:TENANT".
  struct Payments {
    std::vector<Link> links;
    std::map<std::string, std::vector<std::size_t>> by_request;  // indexes of links
    std::uint32_t next = 0;
  };
  const Payments& payments(const std::string& tenant);
  Amount paid_by(const std::string& tenant, const std::string& payment);  // and not reversed
  Draft from_balance(const std::string& account, const std::string& reference, Amount amount);
  // Documents that take `rest` back of requests, and what could not be taken.
  void from_requests(const std::string& tenant, const std::string& reference, Amount& rest, std::vector<Draft>& out);
  void from_month(const std::vector<RequestId>& requests, const std::string& reference, Amount& rest, std::vector<Draft>& out);
  Entry post_chain(const std::string& prefix, std::uint32_t number, std::vector<Draft> drafts);
  // For orders that are known by the caller's id alone: ends when it is there. What may be done once more after it was
  // undone passes over other orders of that name.
  std::string own_id(const std::string& prefix, bool may_repeat = false);

  ledger::Ledger& ledger_;
  const Order& order_;
  const std::int64_t wall_ms_;
  std::string asked_;
  std::string why_;
  const std::shared_ptr<const ledger::Book> book_;
  std::unique_ptr<ledger::Reader> reader_;
  std::optional<ledger::TrialBalance> trial_;
  Amount& left_on(const std::string& account);  // after what collect() has used already
  std::map<std::string, Amount> left_;
  std::map<std::string, Payments> payments_;  // by tenant
  std::size_t charged_back_ = 0;              // requests, by this order
  std::map<std::string, std::uint32_t> next_;  // by chain
  std::map<Period, Period> booked_in_;         // by the month of the fact
  friend struct Action;
};

// Adds to the leg of the account, or a new one; legs of nothing are left out at the end.
void add_leg(DocumentTransfer& transfer, const std::string& account, Amount debit);

// `amount` of them, less than their sum: each its part, the units that are missing to the largest remainders.
std::vector<Part> portion(std::vector<Part> parts, Amount amount);

}  // namespace trib::settlement

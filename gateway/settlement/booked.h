// What documents have changed of requests' money. Each document of the desk says it in its `attach`, so that
// tiers, statements and invoices need not ask the requests again. Values and their text.
#pragma once
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "gateway/ledger/ledger.h"
#include "gateway/settlement/turnover.h"

namespace trib::settlement {

// Of what one site was paid for under one version; signed, as it moves what was earned.
struct SupplyChange {
  std::string site, contract;
  std::uint32_t version = 0;
  money::Amount gross;                          // of what customers were charged for it
  std::map<std::string, money::Amount> parts;   // by party
  bool referred = true;  // as in ContractKey
  bool shared = true;    // else what the loser of a hedged pair was paid
  friend bool operator==(const SupplyChange&, const SupplyChange&) = default;
};
// Of what one customer was charged; signed likewise.
struct CustomerChange {
  std::string tenant, model;
  std::uint32_t price_version = 0;
  money::Amount gross, vat;
  friend bool operator==(const CustomerChange&, const CustomerChange&) = default;
};

struct Attached {
  std::string asked;   // the order, canonical: the same asked again is the same document
  ledger::Period period = 0;  // where it is booked
  std::map<std::string, std::string> facts;  // such as the requests' count
  std::vector<ledger::Part> parts;           // of a request: what each party gives back, by attempt
  std::vector<SupplyChange> supply;
  std::vector<CustomerChange> customers;
  std::vector<std::string> requests;         // of a payment that was charged back: of which it took all that was left
  friend bool operator==(const Attached&, const Attached&) = default;
};
inline constexpr std::size_t attached_list_max = 10'000;

std::string attached_text(const Attached& attached);  // canonical JSON
std::optional<Attached> read_attached(const std::string& text);

// What a request's parts change, by the attempt that they were earned with; `taken_back`: negated.
std::vector<SupplyChange> supply_of(const ledger::RequestRow& request, const std::vector<ledger::Part>& parts, const ledger::Book& book,
                                    bool taken_back);

// Changes of many requests, summed where the same parties have a part: gross counts for each of them.
class SupplySum {
 public:
  void add(const std::vector<SupplyChange>& changes);
  std::size_t size() const { return sums_.size(); }
  std::vector<SupplyChange> take();

 private:
  // Site, contract, version, referred, shared, parties.
  using Key = std::tuple<std::string, std::string, std::uint32_t, bool, bool, std::vector<std::string>>;
  std::map<Key, SupplyChange> sums_;
};

// The documents of the desk, applied ones, in order. False: the store failed.
bool desk_documents(ledger::Reader& reader, const std::function<bool(const ledger::CommandRow&, const ledger::Document&, const Attached&)>& visit);

// What waits in L250/disputed at the period's end, by the disputes and their ends.
money::Amount disputed(ledger::Reader& reader, ledger::Period period);

// One document's part of it.
void add(const ledger::Document& document, const Attached& attached, const ledger::Book& book, Turnover& to);

// Adds what documents changed in the period to what its requests say: bases and parts by contract, and the
// parties' gross, refunds, fees and VAT. A close reads it after differs(). False: the store failed.
bool add_booked(ledger::Reader& reader, const ledger::Book& book, ledger::Period period, Turnover& out);

}  // namespace trib::settlement

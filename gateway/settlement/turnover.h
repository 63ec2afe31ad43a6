// A period's requests, added up for the close: who earned what, under which contract. One walk over the
// usage rows, some microseconds each.
#pragma once
#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "gateway/ledger/ledger.h"

namespace trib::settlement {

// Called now and then during long work with what has been done of it.
using Progress = std::function<void(std::string_view what, std::uint64_t done)>;

struct PartyUse {
  money::Amount gross;  // what customers were charged for the attempts that it has a part of, VAT too
  money::Amount vat;    // of that, what its contract takes out before it shares; zero for other bases
  money::Amount share;
  money::Amount refunds, fees;  // of gross, signed: what documents took back, what payment fees took (booked.h)
  std::uint64_t requests = 0, tokens_in = 0, tokens_out = 0, batch_from = 0, batch_to = 0;
};

struct ContractUse {  // of one site under one version
  money::Amount gross;  // what customers were charged for it
  std::map<std::string, money::Amount> parts;  // by party
  // What was divided by weights, VAT in it unless the contract takes it out first, and the parts that came of it: they sum to
  // it. The platform's is here before the VAT that it bears, and what the loser of a hedged pair is paid is not of it.
  money::Amount base;
  std::map<std::string, money::Amount> divided;
  money::Amount estimated;  // of the site's own part: what rests on counts that are estimates, as they were rated
};
struct ContractKey {
  std::string site, contract;
  std::uint32_t version = 0;
  bool referred = true;  // false: requests whose referrer's weight was the platform's (ledger's referrer_shares)
  friend auto operator<=>(const ContractKey&, const ContractKey&) = default;
};
// `contract`: the part's; null where the book has none.
ContractKey key_of(const ledger::AttemptRow& attempt, const ledger::Part& part, const ledger::ContractVersion* contract, std::int64_t admit_ms);
bool net_of_vat(const ledger::ContractVersion* contract);  // false for null

// Takes a part into account, `shared` when tokens were billed for its attempt.
void add(ContractUse& to, const ledger::ContractVersion* contract, const std::string& party, money::Amount amount, bool shared);

struct Turnover {
  std::map<std::string, PartyUse> parties;  // "platform", "vat", "site:dc-one" ...
  std::map<ContractKey, ContractUse> contracts;
  std::map<std::string, std::string> vendors;  // by site, of its last request that names one
  money::Amount charged;
  std::int64_t estimated_from_ms = INT64_MAX;  // when the first request with an estimated count was minted
  money::Amount fees;  // payment fees of the period, from documents
  std::uint64_t requests = 0, quarantined = 0;
};

// One request's part of it.
void add(const ledger::RequestRow& request, const ledger::Book& book, Turnover& to);

// Calls `visit(key, contract)` for each version of the period under which the party has a part.
template <class Visit>
void versions_of(const Turnover& turnover, const ledger::Book& book, const std::string& party, const Visit& visit) {
  for (const auto& [key, use] : turnover.contracts) {
    const auto* const contract = use.parts.contains(party) ? book.contract(key.contract, key.version) : nullptr;
    if (contract != nullptr) visit(key, *contract);
  }
}
// The one of them that began last; null: none.
const ledger::ContractVersion* latest_of(const Turnover& turnover, const ledger::Book& book, const std::string& party);

// Of the requests booked in `period`, as they were rated. False: the store failed (reader.error()).
bool read_turnover(ledger::Reader& reader, const ledger::Book& book, ledger::Period period, Turnover& out, const Progress& progress);

// The ledger's legs of the period must say the same; why not, or empty. Documents may have moved accounts
// beside the requests: those are taken out first.
std::string differs(ledger::Reader& reader, ledger::Period period, const Turnover& turnover);

}  // namespace trib::settlement

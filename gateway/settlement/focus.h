// What customers are charged, for their FinOps tools: FOCUS 1.2 (FinOps Open Cost and Usage Specification,
// https://focus.finops.org), CSV.
#pragma once
#include <map>
#include <string>
#include <tuple>

#include "gateway/settlement/sheet.h"

namespace trib::settlement {

// The month's charges as they add up: requests by customer, day, model, price, site, chip and token class,
// and what documents moved on customers' accounts.
class FocusRows {
 public:
  // `customer` empty: everybody.
  FocusRows(ledger::Period period, std::string customer) : period_(period), customer_(std::move(customer)) {}

  std::string add(const ledger::RequestRow& request, const ledger::Book& book);  // why not, or empty
  void add(const ledger::TransferRow& adjustment);
  void invoiced(const std::string& tenant, const std::string& no) { invoices_[tenant] = no; }
  ExportFile take(const SheetForm& form, const ledger::Book& book, const config::ExportsConfig& config, std::string& why) const;

 private:
  struct Key {
    std::string tenant, day, model, site, chip;
    std::uint32_t price_version = 0;
    std::size_t token_class = 0;
    std::string doc;  // of a document: what it is about, with its code
    std::uint16_t code = 0;
    auto operator<=>(const Key&) const = default;
  };
  struct Sum {
    std::uint64_t tokens = 0;
    money::Amount cost;
    std::int64_t at_ms = 0;
  };
  void row(Sheet& sheet, const Key& key, const Sum& sum, const ledger::Book& book, const config::ExportsConfig& config) const;

  const ledger::Period period_;
  const std::string customer_;
  std::map<Key, Sum> rows_;
  std::map<std::string, std::string> invoices_;  // by customer
};

}  // namespace trib::settlement

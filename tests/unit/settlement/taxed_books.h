// A month with VAT on its prices, closed and invoiced for two customers.
#pragma once
#include <string>
#include <vector>

#include "tests/unit/settlement/books.h"

namespace trib::test {

struct TaxedBooks : Books {
  config::ExportsConfig exports;

  TaxedBooks(std::uint64_t seed, bool inclusive)
      : Books([&](config::ConfigSnapshot& config) { config.models[0].prices[0].tax = config::PriceTax{6, inclusive}; }) {
    rng = SeededRng(seed);
    std::string layouts;
    REQUIRE_FALSE(read_file(system_disk(), "configs/exports.yaml", layouts));
    exports.layouts = config::parse_layouts("configs/exports.yaml", layouts, [](const char*) -> const char* { return nullptr; });
    exports.parties["customer:acme"] = {"customer:acme", "北京爱可米科技有限公司", "91110000MA00000003", "北京市海淀区 1 号", "010-1", "工商银行", "6222", "a@acme.example"};
    exports.parties["customer:bolt"] = {"customer:bolt", "=上海博特有限公司", "91310000MA00000004", {}, {}, {}, {}, {}};
    REQUIRE(settlement::enter(*ledger, {"set", {{"name", "item_code"}, {"value", "3040803000000000000"}, {"id", "1"}}}, noon).result ==
            settlement::Entry::Result::posted);
    serve(200, noon);
    close(november, december_4);
  }
  std::vector<settlement::Invoice> invoiced() {
    for (const auto& entry : settlement::make_invoices(*ledger, november, december_4)) {
      INFO(entry.why);
      CHECK((entry.result == settlement::Entry::Result::posted || entry.result == settlement::Entry::Result::repeated));
    }
    return settlement::invoices(*read(), november);
  }
  settlement::Export make(settlement::Format format, std::string party = {}) {
    settlement::ExportOptions options;
    options.period = "2026-11";
    options.format = format;
    options.party = std::move(party);
    options.config = exports;
    return settlement::export_period(*ledger, options, *key);
  }
};

}  // namespace trib::test

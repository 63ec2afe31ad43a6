// Random books over two months for the exports' tests: three sites, two known vendors, a referrer, three
// customers; late requests, penalties, a reversal; November may be closed, stated and partly paid.
#pragma once
#include <string>

#include "tests/unit/settlement/books.h"

namespace trib::test {

struct RandomBooks : Books {
  std::size_t served = 0;
  config::ExportsConfig config;

  explicit RandomBooks(std::uint64_t seed, bool show_gross = false)
      : Books([&](config::ConfigSnapshot& golden) {
          for (auto& contract : golden.contracts) contract.holdback.ppm = 100'000;
          golden.contracts[1].policies.show_gross = show_gross;
        }) {
    rng = SeededRng(seed);
    std::string layouts;
    REQUIRE_FALSE(read_file(system_disk(), "configs/exports.yaml", layouts));
    config.layouts = config::parse_layouts("configs/exports.yaml", layouts, [](const char*) -> const char* { return nullptr; });
    config.parties["site:dc-one"] = {"site:dc-one", "北京示例算力有限公司 <一号>", "91110000MA00000001", {}, {}, {}, {}, {}};
    config.parties["platform"] = {"platform", "Beispiel & Söhne", "91110000MA00000002", {}, {}, {}, {}, {}};
    REQUIRE(ledger->topup("corp", "t", cny("1000.01"), nov_2026 + 1) == ledger::Posting::posted);
  }
  metering::Final final_at(std::int64_t wall_ms) {
    static const char* const sites[] = {"dc-one", "cafe-one", "lab.two"};
    static const char* const vendors[] = {"nvidia", "amd", "nvidia", ""};
    static const char* const tenants[] = {"acme", "bolt", "corp"};
    metering::TokenCounts counts{rng.below(3000), rng.below(1000), rng.below(10), 1 + rng.below(900), rng.below(50)};
    if (rng.below(20) == 0) counts = {};
    metering::Final out = request({static_cast<std::uint64_t>(wall_ms) << 16, rng.next()}, wall_ms, counts);
    out.admit.tenant = tenants[rng.below(3)];
    const std::uint64_t attempts = 1 + rng.below(3);
    for (std::uint64_t i = 0; i < attempts; ++i) {
      const bool last = i + 1 == attempts;
      const std::uint64_t site = rng.below(3);
      const char* const vendor = vendors[rng.below(4)];  // drawn before what it delivered, with any compiler
      const std::uint64_t delivered = last || rng.below(2) ? rng.below(600) + (last ? 1 : 0) : 0;
      add_attempt(out, sites[site], vendor, delivered, last ? "none" : "reset", site == 0 ? "c" : "d");
    }
    return out;
  }
  // Requests spread over days from `from_ms` on.
  void serve_days(int count, std::int64_t from_ms, std::int64_t days) {
    for (int i = 0; i < count; ++i) {
      journal.append(final_at(from_ms + static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(days * ledger::day_ms - 1000)))));
      ++served;
      if (rng.below(30) == 0) ledger->post_once();
    }
    post_all();
  }
  void post(const char* id, ledger::Code code, const std::string& debit, const std::string& credit, money::Amount amount, ledger::Period period,
            std::int64_t effective_at, const std::string& doc = {}) {
    ledger::DocumentTransfer one;
    one.code = code;
    one.period = period;
    one.effective_at = effective_at;
    one.doc = doc;
    one.legs = {{debit, amount}, {credit, -amount}};
    REQUIRE(ledger->post(id, {.kind = "test", .evidence = "e", .transfers = {one}, .quantities = {}, .expect = {}, .floors = {}, .attach = {}}, effective_at) ==
            ledger::Posting::posted);
  }
  void close_november() {
    for (const char* account : {"L250/vendor", "L250/site"})
      settlement::explain(*ledger, std::string(account) + ":2026-11", "the vendor is asked", "ticket 7", december_4);
    close(november, december_4);
  }
  // Both months, November stated; December runs and holds late requests of November.
  void live(int requests) {
    serve_days(requests, nov_2026, 30);
    post("penalty:1", ledger::Code::penalty, "L210/dc-one", "E400", cny("0.000000123457"), november, noon);
    post("reversal:1", ledger::Code::reversal, "L210/cafe-one", "L200/acme", cny("0.000000000019"), november, noon + 5000);
    close_november();
    serve_days(requests / 2, nov_2026 + 30 * ledger::day_ms, 3);
    serve_days(requests / 10 + 1, nov_2026 + 29 * ledger::day_ms, 1);  // late
    std::string why;
    const auto reader = ledger->reader(why);
    for (const auto& one : settlement::statements(*reader, november)) {
      if (one.party != "site:dc-one" || one.net_payable.zero()) continue;
      post("payout:1", ledger::Code::payout, "L212/dc-one", "A100", one.net_payable, december, december_4, one.no);
    }
  }
  settlement::Export make(std::string period, settlement::Format format, std::string party = {}) {
    settlement::ExportOptions options;
    options.period = std::move(period);
    options.format = format;
    options.party = std::move(party);
    options.config = config;
    return settlement::export_period(*ledger, options, *key);
  }
};

}  // namespace trib::test

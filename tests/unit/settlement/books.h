// Books of a month or two: a store with prices, contracts and customers' money, and the close.
#pragma once
#include <map>
#include <optional>
#include <string>

#include "gateway/settlement/settlement.h"
#include "tests/support/mem_disk.h"
#include "tests/unit/ledger/world.h"

namespace trib::test {

using ledger::Period;
using money::Amount;
using settlement::Closing;
using settlement::Item;
using settlement::Statement;

constexpr Period november = 202611, december = 202612;
constexpr std::int64_t december_4 = nov_2026 + 33 * ledger::day_ms + 3'600'000, january_4 = nov_2026 + 64 * ledger::day_ms + 3'600'000;

inline Amount cny(const char* text) { return *Amount::parse(text); }

struct Books : World {
  MemDisk disk{1};
  std::optional<SigningKey> key;
  settlement::CloseRules rules;
  SeededRng rng{11};

  explicit Books(const std::function<void(config::ConfigSnapshot&)>& change = [](config::ConfigSnapshot&) {}) {
    std::string why;
    key = SigningKey::open(disk, "key.pem", why);
    REQUIRE(key);
    open();
    auto config = golden_config();
    for (auto& contract : config.contracts) contract.holdback.ppm = 0;
    change(config);
    const auto problem = ledger->publish(config, noon);
    INFO((problem ? problem->path + ": " + problem->why : ""));
    REQUIRE_FALSE(problem);
    REQUIRE(this->ledger->topup("acme", "t", cny("1000"), noon) == ledger::Posting::posted);
    REQUIRE(this->ledger->topup("bolt", "t", cny("1000"), noon) == ledger::Posting::posted);
  }
  // Requests that are billed or void, none in quarantine.
  void serve(int count, std::int64_t wall_ms) {
    for (int i = 0; i < count; ++i) {
      auto final = random_final(rng, wall_ms + i);
      final.admit.price_version = 1;
      for (auto& attempt : final.attempts) attempt.vendor = "nvidia";
      journal.append(final);
    }
    post_all();
  }
  Closing advance(Period period, std::int64_t wall_ms) { return settlement::advance(*ledger, *key, period, wall_ms, rules, {}); }
  std::string step(Period period, std::int64_t wall_ms) {  // what is missing, or the state that was reached
    const Closing made = advance(period, wall_ms);
    if (!made.error.empty()) return "error: " + made.error;
    if (made.moved) return std::string(name(made.state));
    std::string out;
    for (const Item& item : made.items)
      if (!item.fine) out += item.name + ": " + item.why + "\n";
    return out;
  }
  void close(Period period, std::int64_t wall_ms) {
    for (const char* state : {"grace", "reconciled", "closed", "stated"}) REQUIRE(step(period, wall_ms) == state);
  }
  std::unique_ptr<ledger::Reader> read() {
    std::string why;
    return ledger->reader(why);
  }
  Amount stands(const std::string& account, Period period = 0) { return read()->stands(account, period); }
  std::map<std::string, Statement> stated(Period period) {
    std::map<std::string, Statement> out;
    for (const auto& one : settlement::statements(*read(), period)) out[one.party] = one;
    return out;
  }
  void sound() {
    const auto verdict = ledger::verify(path(), "", 0, &journal);
    INFO(verdict.place << ": " << verdict.why);
    CHECK(verdict.ok);
    CHECK(ledger->trial_balance().sum.zero());
  }
};

}  // namespace trib::test

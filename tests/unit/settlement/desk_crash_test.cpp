// The desk's crash matrix: orders over the real journal and the real SQLite on a disk that breaks at every operation, in
// every way. After the next start each order is made again and has happened once: the books are those of a sound disk.
#include <cstdio>
#include <map>
#include <set>

#include "gateway/settlement/settlement.h"
#include "tests/unit/ledger/crash_world.h"

using namespace trib;
using namespace trib::settlement;
using test::ManualClock;
using test::MemDisk;
using test::noon;
using test::Process;
using test::Site;
using money::Amount;
using Result = Entry::Result;

namespace {

constexpr ledger::Period november = 202611;
constexpr std::int64_t later = noon + ledger::day_ms;

Amount cny(const char* text) { return *Amount::parse(text); }

RequestId request_id(std::uint64_t n) { return {static_cast<std::uint64_t>(noon) << 16, n}; }

// None of them depends on whether another has happened: everybody has enough for all.
std::vector<Order> orders() {
  return {{"reverse", {{"request", request_id(1).text()}, {"reason", "r"}}},
          {"refund", {{"tenant", "acme"}, {"amount", "1.25"}, {"id", "1"}}},
          {"payout", {{"statement", "2026-11/site:dc-one"}}},
          {"chargeback-payment", {{"tenant", "bolt"}, {"payment", "t"}, {"evidence", "case"}, {"amount", "0.03"}}}};
}

// What a site is owed, locked under a statement's number.
ledger::Document statement() {
  Statement one;
  one.no = "2026-11/site:dc-one";
  one.period = november;
  one.party = "site:dc-one";
  one.net_payable = one.share_amount = cny("0.01");
  ledger::DocumentTransfer lock;
  lock.code = ledger::Code::statement_lock;
  lock.period = november;
  lock.effective_at = noon;
  lock.doc = one.no;
  lock.legs = {{"L210/dc-one", one.net_payable}, {"L212/dc-one", -one.net_payable}};
  return {.kind = "statement", .evidence = {}, .transfers = {lock}, .quantities = {}, .expect = {}, .floors = {}, .attach = statement_text(one)};
}

// Two customers' money and requests, on a sound disk.
void found(MemDisk& disk, ManualClock& clock, const std::string& vfs) {
  Process process(disk, clock, vfs);
  INFO(process.why);
  REQUIRE(process.ledger);
  REQUIRE_FALSE(process.ledger->publish(test::golden_config(), noon));
  REQUIRE(process.ledger->topup("acme", "t", cny("3"), noon) == ledger::Posting::posted);
  REQUIRE(process.ledger->topup("bolt", "t", cny("0.06"), noon) == ledger::Posting::posted);
  for (std::uint64_t n = 1; n <= 6; ++n) {
    auto final = test::request(request_id(n), noon + static_cast<std::int64_t>(n), {1000, 0, 0, 1000, 0});
    final.admit.tenant = n == 1 ? "acme" : "bolt";
    final.admit.price_version = 1;
    test::add_attempt(final, "dc-one", "nvidia", 1000);
    process.journal->append(final.admit);
    for (const auto& attempt : final.attempts) process.journal->append(attempt);
    REQUIRE(process.journal->append(final) != 0);
  }
  process.post_all();
  REQUIRE(process.ledger->post("statement:1", statement(), noon) == ledger::Posting::posted);
  REQUIRE(process.ledger->tenant_balance("bolt") == cny("0.009999995"));  // then two requests, the second in part: two documents
}

// What was told as done.
std::set<std::size_t> live(MemDisk& disk, ManualClock& clock, const std::string& vfs) {
  std::set<std::size_t> told;
  Process process(disk, clock, vfs);
  if (!process.ledger) return told;
  const auto all = orders();
  for (std::size_t i = 0; i < all.size(); ++i) {
    const Result result = enter(*process.ledger, all[i], later).result;
    if (result == Result::posted || result == Result::repeated) told.insert(i);
  }
  return told;
}

using Accounts = std::map<std::string, std::string>;
Accounts accounts(Process& process) {
  Accounts out;
  for (const auto& row : process.ledger->trial_balance().accounts) out[row.account] = (row.credit_total - row.debit_total).text();
  return out;
}

std::string text_of(const Accounts& accounts) {
  std::string out;
  for (const auto& [account, amount] : accounts) out += account + " " + amount + "\n";
  return out;
}

Accounts check(MemDisk& disk, ManualClock& clock, const std::string& vfs, const std::set<std::size_t>& told) {
  Accounts out;
  for (int start = 0; start < 2; ++start) {
    Process process(disk, clock, vfs);
    INFO(process.why);
    REQUIRE(process.ledger);
    const auto all = orders();
    for (std::size_t i = 0; i < all.size(); ++i) {
      const Entry entry = enter(*process.ledger, all[i], later);
      INFO(all[i].what << ": " << entry.why);
      REQUIRE((entry.result == Result::posted || entry.result == Result::repeated));
      if (start > 0 || told.contains(i)) REQUIRE(entry.result == Result::repeated);
    }
    process.post_all();
    REQUIRE(process.ledger->failure() == "");
    const auto verdict = ledger::verify("var/ledger.db", vfs, 0, process.journal.get());
    INFO(verdict.place << ": " << verdict.why);
    REQUIRE(verdict.ok);
    REQUIRE(process.ledger->trial_balance().sum.zero());
    out = accounts(process);
  }
  return out;
}

}  // namespace

TEST_CASE("invariant 12: an order happens once, whatever the disk does at each of its operations", "[invariant]") {
  Accounts undisturbed;
  std::uint64_t before = 0, operations = 0;
  {
    Site site(1);
    found(site.disk, site.clock, site.vfs.name());
    before = site.disk.operations();
    REQUIRE(live(site.disk, site.clock, site.vfs.name()).size() == orders().size());
    operations = site.disk.operations() - before;
    undisturbed = check(site.disk, site.clock, site.vfs.name(), {0, 1, 2, 3});
    REQUIRE(undisturbed.at("L212/dc-one") == "0");
  }
  std::uint64_t runs = 0;
  for (const auto& [way, what] : test::ways) {
    for (std::uint64_t k = 1; k <= operations; ++k) {
      if (!test::whole() && static_cast<std::uint64_t>(way) != k % std::size(test::ways)) continue;  // fast: one way each
      Site site(1);
      found(site.disk, site.clock, site.vfs.name());
      REQUIRE(site.disk.operations() == before);
      test::break_at(site.disk, way, before + k);
      const auto told = live(site.disk, site.clock, site.vfs.name());
      test::end_of(site.disk, way, k);
      INFO(what << " at operation " << k << " of " << operations);
      const Accounts made = check(site.disk, site.clock, site.vfs.name(), told);
      INFO(text_of(made) << "instead of\n" << text_of(undisturbed));
      REQUIRE((made == undisturbed));
      ++runs;
    }
  }
  std::printf("desk's crash matrix: %llu operations, %llu runs\n", static_cast<unsigned long long>(operations), static_cast<unsigned long long>(runs));
}

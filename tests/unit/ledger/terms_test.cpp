// Contracts and prices as text, and as versions that never change.
#include "gateway/ledger/contract_terms.h"

#include <algorithm>
#include <set>

#include "gateway/ledger/terms.h"
#include "tests/catch.h"
#include "tests/unit/ledger/world.h"

using namespace trib;
using namespace trib::ledger;
using test::noon;
using test::World;

namespace {

constexpr const char* head = "contract: ";

// The terms of a contract as a file has it.
std::string terms(const std::string& rest) { return contract_terms(config::parse_contract("f", "id: a\n" + rest)); }

config::ModelPrice price(std::int64_t from_ms, std::int64_t output) {
  const auto config = test::golden_config();
  config::ModelPrice out{"m", config.models[0].prices[0]};
  out.price.from_ms = from_ms;
  out.price.output = money::Price::pico_per_unit(output);
  return out;
}

config::ContractConfig contract(std::int64_t from_ms, std::uint32_t platform) {
  config::ContractConfig out;
  out.id = "c";
  out.from_ms = from_ms;
  out.shares = {platform, 1'000'000 - platform, 0, 0};
  return out;
}

std::string dump(World& world) {
  std::string why, out;
  const auto reader = world.ledger->reader(why);
  REQUIRE(reader);
  Statement rows = reader->connection().prepare(
      "SELECT contract || version || from_ms || coalesce(to_ms, '') || base_enum || weights || terms || terms_hash AS row FROM "
      "contract_version UNION ALL SELECT model || unit || version || from_ms || pico || coalesce(tax_incl, '') || terms_hash FROM price_book ORDER BY row");
  while (rows.row()) out += std::string(rows.text()) + "\n";
  return out;
}

}  // namespace

TEST_CASE("terms are canonical: spelling does not matter, substance does") {
  const std::string said = terms("from: 2026-01-01\nshares: { platform: 400000, site: 600000 }\n");
  // The text that the first version of the program published: it must read the same for ever.
  CHECK(said ==
        R"({"contract":"a","from":1767196800000,"platform":400000,"site":600000,"vendor":0,"referrer":0,"on_cancel":"received",)"
        R"("on_break":"output_only","terms":"{\"base\":\"gross\",\"chargeback\":\"by_split\",\"from\":\"2026-01-01T00:00:00+08:00\",)"
        R"(\"id\":\"a\",\"policies\":{\"meters\":\"lower\",\"on_break\":\"output_only\",\"on_cancel\":\"received\",\"pay_loser\":false,)"
        R"(\"show_gross\":false,\"zero_output\":\"nothing\"},\"referrer\":null,\"shares\":{\"platform\":400000,\"referrer\":0,)"
        R"(\"site\":600000,\"vendor\":0},\"to\":null}"})");
  CHECK(said == terms("shares: { site: 600000, vendor: 0, platform: 400000 }\nbase: gross\nfrom: \"2025-12-31T16:00:00Z\"\n"
                      "policies: { pay_loser: false }\nholdback: { ppm: 100000 }\nguarantee: \"0.00\"\npenalties: []\n"));
  std::set<std::string> texts{said};
  for (const char* term : {"to: 2027-01-01", "base: net_of_refunds", "base: net_of_vat", "base: net_of_fees", "referrer: { party: p }",
                           "tiers: { steps: [ { over: \"1\", shares: { site: 1000000 } } ] }",
                           "tiers: { mode: whole, steps: [ { over: \"1\", shares: { site: 1000000 } } ] }", "guarantee: \"1\"",
                           "holdback: { ppm: 0 }", "holdback: { days: 31 }", "min_payout: \"0.01\"", "chargeback: site",
                           "chargeback: platform", "chargeback_cost: site",
                           "penalties: [ { cause: a, below_ppm: 1, amount: \"1\", cap: \"1\" } ]", "early_exit: { ppm: 1 }",
                           "early_exit: { by: site, ppm: 1 }", "index: { name: i, reference: \"1\" }",
                           "index: { name: i, reference: \"1\", alarm_ppm: 1 }", "policies: { on_cancel: delivered }",
                           "policies: { on_break: all }", "policies: { zero_output: input }", "policies: { pay_loser: true }",
                           "policies: { meters: gateway }", "policies: { show_gross: true }"}) {
    INFO(term);
    const std::string text = terms("from: 2026-01-01\nshares: { platform: 400000, site: 600000 }\n" + std::string(term) + "\n");
    CHECK(texts.insert(text).second);
    const auto read = read_contract(text);
    REQUIRE(read);
    CHECK(read->terms == text);
  }
}

TEST_CASE("a contract's text broken at any byte is refused") {
  const std::string good = terms(
      "from: 2026-01-01\nto: 2027-01-01\nshares: { platform: 400000, site: 590000, referrer: 10000 }\nreferrer: { party: p }\n"
      "tiers: { steps: [ { over: \"1\", shares: { site: 1000000 } } ] }\nguarantee: \"1\"\nholdback: { days: 3 }\n"
      "index: { name: i, reference: \"1\" }\nearly_exit: { ppm: 1 }\n");
  REQUIRE(read_contract(good));
  const auto hash = read_contract(good)->terms_hash;
  SeededRng rng(5);
  for (int i = 0; i < 4000; ++i) {
    std::string bad = good;
    bad[rng.below(bad.size())] = static_cast<char>(rng.below(256));
    if (const auto read = read_contract(bad); read && bad != good) CHECK(read->terms_hash != hash);
  }
  for (std::size_t size = 0; size < good.size(); ++size) CHECK_FALSE(read_contract(good.substr(0, size)));
}

TEST_CASE("a price's terms read back with their tax") {
  config::PriceConfig plain;
  plain.input = money::Price::pico_per_unit(1);
  CHECK(price_terms("m", plain, 5) ==
        R"({"model":"m","from":5,"input":"0.000001","cached_input":"0","cache_write":"0","output":"0","reasoning":"0"})");
  CHECK_FALSE(read_price(price_terms("m", plain, 5))->tax);
  for (const auto tax : {config::PriceTax{6, true}, config::PriceTax{6, false}, config::PriceTax{0, true}}) {
    plain.tax = tax;
    CHECK(read_price(price_terms("m", plain, 5))->tax == tax);
  }
}

TEST_CASE("invariant 20: exactly one price and one contract version for any instant, else none") {
  SeededRng rng(20);
  for (int round = 0; round < 200; ++round) {
    Book book;
    std::int64_t from = 1'000;
    for (int i = 0; i < 8; ++i) {
      ContractVersion next;
      next.contract = "c";
      next.shares = {1'000'000, 0, 0, 0};
      next.from_ms = from + static_cast<std::int64_t>(rng.below(50)) - 10;
      if (rng.below(2) == 0) next.to_ms = next.from_ms + static_cast<std::int64_t>(rng.below(60)) - 5;
      add(book, next);  // some are refused
      PriceVersion price;
      price.model = "m";
      price.from_ms = next.from_ms;
      add(book, price);
      from = next.from_ms + static_cast<std::int64_t>(rng.below(40));
    }
    for (std::int64_t at = 980; at < 1'500; ++at) {
      const auto covers = [&](const auto& v) { return v.from_ms <= at && (!v.to_ms || at < *v.to_ms); };
      const auto& contracts = book.contracts["c"];
      const auto n = std::count_if(contracts.begin(), contracts.end(), covers);
      REQUIRE(n <= 1);
      const auto* found = book.contract_at("c", at);
      REQUIRE((found != nullptr) == (n == 1));
      if (found) REQUIRE((covers(*found) && book.contract("c", found->version) == found));
      const auto& prices = book.prices["m"];
      REQUIRE(std::count_if(prices.begin(), prices.end(), covers) == (at >= prices.front().from_ms ? 1 : 0));
    }
  }
}

TEST_CASE("invariant 21: publishing a new version never changes an existing row") {
  World world;
  world.start();
  auto final = test::request({static_cast<std::uint64_t>(noon) << 16, 1}, noon, {10, 0, 0, 10, 0});
  test::add_attempt(final, "dc-one", "nvidia", 10);
  world.journal.append(final);
  world.post_all();
  const auto before = world.ledger->request(final.admit.id);
  const std::string versions = dump(world);
  const auto book = world.ledger->book();

  REQUIRE(world.ledger->publish(price(noon + 1, 1), noon).result == Publishing::published);
  REQUIRE(world.ledger->publish(contract(noon + 1, 1), noon).result == Publishing::published);
  const auto after = world.ledger->request(final.admit.id);
  CHECK(after->row.leaf == before->row.leaf);
  CHECK(after->parts == before->parts);
  CHECK(dump(world).find(versions.substr(0, versions.find('\n'))) != std::string::npos);
  std::size_t kept = 0, lines = 0;
  for (std::size_t at = 0; at < versions.size(); at = versions.find('\n', at) + 1) {
    ++lines;
    kept += dump(world).find(versions.substr(at, versions.find('\n', at) + 1 - at)) != std::string::npos ? 1 : 0;
  }
  CHECK(kept == lines);
  CHECK(book->price_at("m", noon + 1)->version == 1);  // who has the book of before keeps it
  CHECK(world.ledger->book()->price_at("m", noon)->version == 1);
  CHECK(world.ledger->book()->price_at("m", noon + 1)->version == 2);
  CHECK(world.ledger->book()->contract_at("c", noon + 1)->version == 2);
  std::string why;
  const auto reader = world.ledger->reader(why);
  const auto verdict = verify(*reader, 0, &world.journal);
  INFO(verdict.place << ": " << verdict.why);
  CHECK(verdict.ok);
}

TEST_CASE("one version is published once, however often it is asked for, and refused with its reason") {
  World world;
  world.start();
  CHECK(world.ledger->publish(price(noon + 5, 7), noon).version == 2);
  CHECK(world.ledger->publish(price(noon + 5, 7), noon).result == Publishing::repeated);
  CHECK(world.ledger->publish(price(noon + 5, 7), noon).version == 2);
  const auto changed = world.ledger->publish(price(noon + 5, 8), noon);
  CHECK(changed.result == Publishing::refused);
  CHECK(changed.why.find("models.m.price: its terms changed under `from`") == 0);
  CHECK(world.ledger->publish(price(noon + 4, 8), noon).result == Publishing::refused);
  CHECK(world.ledger->publish(contract(test::nov_2026, 1), noon).why.find("contracts.c: its terms changed") == 0);

  auto final = test::request({static_cast<std::uint64_t>(noon) << 16, 1}, noon + 100, {10, 0, 0, 10, 0});
  final.admit.price_version = 2;
  test::add_attempt(final, "dc-one", "nvidia", 10);
  world.journal.append(final);
  world.post_all();
  CHECK(world.ledger->publish(contract(noon + 100, 1), noon).why.find("lies before what was already rated") != std::string::npos);
  CHECK(world.ledger->publish(contract(noon + 101, 1), noon).result == Publishing::published);
  // A file that does not know of them changes nothing.
  CHECK_FALSE(world.ledger->publish(test::golden_config(), noon + 200));
  CHECK(world.ledger->book()->contracts.at("c").size() == 2);
  world.open();  // and they are there after a restart
  CHECK(world.ledger->book()->contract_at("c", noon + 101)->version == 2);
  world.journal.refuse = true;
  CHECK(world.ledger->publish(price(noon + 500, 9), noon).result == Publishing::failed);
}

TEST_CASE("a fixed term is not cut short by a later version; the next may begin where it ends") {
  World world;
  world.start();
  auto fixed = contract(noon, 100'000);
  fixed.id = "fixed";
  fixed.to_ms = noon + 1000;
  REQUIRE(world.ledger->publish(fixed, noon).result == Publishing::published);
  auto next = fixed;
  next.from_ms = noon + 999;
  next.to_ms.reset();
  CHECK(world.ledger->publish(next, noon).why.find("it overlaps the version before") != std::string::npos);
  next.from_ms = noon + 1000;
  CHECK(world.ledger->publish(next, noon).version == 2);
  CHECK(world.ledger->book()->contract_at("fixed", noon + 999)->version == 1);
  CHECK(world.ledger->book()->contract_at("fixed", noon + 1000)->version == 2);
}

TEST_CASE("every term of a contract lies in its table, and verification knows it") {
  World world;
  world.open();
  auto config = test::golden_config();
  config.models[0].prices[0].tax = config::PriceTax{6, false};
  config.contracts = {config::parse_contract(head, R"(
id: all
from: 2026-11-01
base: net_of_vat
shares: { platform: 400000, site: 600000 }
tiers: { mode: whole, steps: [ { over: "10.5", shares: { platform: 300000, site: 700000 } } ] }
guarantee: "5000.00"
holdback: { ppm: 50000, days: 90 }
min_payout: "12.34"
chargeback: site
penalties: [ { cause: availability, below_ppm: 950000, amount: "500.00", cap: "2000.00" } ]
)")};
  REQUIRE_FALSE(world.ledger->publish(config, noon));
  std::string why;
  const auto reader = world.ledger->reader(why);
  Statement row = reader->connection().prepare(
      "SELECT base_enum || '|' || tiers || '|' || guarantee || '|' || holdback_ppm || '|' || holdback_days || '|' || min_payout_fen "
      "|| '|' || chargeback_enum || '|' || penalty_rules FROM contract_version");
  REQUIRE(row.row());
  CHECK(row.text() ==
        R"(net_of_vat|{"mode":"whole","steps":[{"over":"10.5","shares":{"platform":300000,"referrer":0,"site":700000,"vendor":0}}]}|)"
        R"(5000|50000|90|1234|site|[{"amount":"500","below_ppm":950000,"cap":"2000","cause":"availability"}])");
  Statement tax = reader->connection().prepare("SELECT min(tax_incl), max(tax_incl), count(*) FROM price_book");
  REQUIRE(tax.row());
  CHECK(tax.integer() == -6);
  CHECK(tax.integer() == -6);
  CHECK(tax.integer() == 5);
  const auto verdict = verify(*reader, 0, &world.journal);
  INFO(verdict.place << ": " << verdict.why);
  CHECK(verdict.ok);
}

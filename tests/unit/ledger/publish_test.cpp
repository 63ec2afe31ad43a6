#include "gateway/ledger/terms.h"
#include "tests/unit/ledger/world.h"

using namespace trib;
using namespace trib::ledger;
using test::noon;
using test::World;

namespace {

std::string refusal(World& world, const config::ConfigSnapshot& config, std::int64_t wall_ms = noon) {
  const metering::Lsn before = world.journal.last();
  const auto problem = world.ledger->publish(config, wall_ms);
  if (!problem) return "published";
  CHECK(world.journal.last() == before);  // a refused publication leaves nothing behind
  return problem->path + ": " + problem->why;
}

config::ConfigSnapshot with_price(std::optional<std::int64_t> from_ms, std::int64_t output) {
  auto config = test::golden_config();
  auto price = config.models[0].prices[0];
  price.from_ms = from_ms;
  price.output = money::Price::pico_per_unit(output);
  config.models[0].prices = {price};
  return config;
}

}  // namespace

TEST_CASE("publishing the same file again, also after a restart, changes nothing") {
  World world;
  world.start();
  const auto book = world.ledger->book();
  CHECK(book->revision() == 3);
  const metering::Lsn last = world.journal.last();
  CHECK_FALSE(world.ledger->publish(test::golden_config(), noon + 1));
  world.open();
  CHECK_FALSE(world.ledger->publish(test::golden_config(), noon + 2));
  CHECK(world.journal.last() == last);
  const auto again = world.ledger->book();
  CHECK(again->revision() == 3);
  REQUIRE(again->price("m", 1));
  CHECK(again->price("m", 1)->output.pico() == 8'000'001);
  CHECK(again->price("m", 1)->terms_hash == book->price("m", 1)->terms_hash);
  CHECK(again->contract("c", 1)->referrer_party == "lianmeng");
  CHECK(again->contract("c", 1)->shares.site == 650'000);
}

TEST_CASE("a price without a from starts with the first start, whenever that was") {
  World world;
  world.open();
  CHECK_FALSE(world.ledger->publish(with_price({}, 5), noon));
  CHECK(world.ledger->book()->price("m", 1)->from_ms == noon);
  world.open();
  CHECK_FALSE(world.ledger->publish(with_price({}, 5), noon + 1'000'000));
  CHECK(world.ledger->book()->prices.at("m").size() == 1);
  CHECK(refusal(world, with_price({}, 6), noon + 2'000'000).find("its terms changed") != std::string::npos);

  auto more = with_price({}, 5);
  more.models.push_back(more.models[0]);
  more.models[1].id = "n";
  CHECK_FALSE(world.ledger->publish(more, noon + 3'000'000));
  CHECK(world.ledger->book()->price("n", 1)->from_ms == noon);
}

TEST_CASE("a later version ends the one before at its own from, to the millisecond") {
  World world;
  world.start();
  auto config = test::golden_config();
  auto next = config.models[0].prices[0];
  next.from_ms = noon + 1000;
  next.output = money::Price::pico_per_unit(9);
  config.models[0].prices.push_back(next);
  auto contract = config.contracts[0];
  contract.from_ms = noon + 2000;
  contract.shares = {400'000, 600'000, 0, 0};
  contract.referrer_party.clear();
  config.contracts.insert(config.contracts.begin(), contract);  // the file's order does not matter
  REQUIRE_FALSE(world.ledger->publish(config, noon));
  const auto book = world.ledger->book();
  CHECK(book->price_at("m", noon + 999)->version == 1);
  CHECK(book->price_at("m", noon + 1000)->version == 2);
  CHECK(book->contract_at("c", noon + 1999)->version == 1);
  CHECK(book->contract_at("c", noon + 2000)->version == 2);
  CHECK(book->contract("c", 1)->shares.platform == 285'000);
}

TEST_CASE("what may not be published is refused with its place and the mend") {
  World world;
  world.start();
  SECTION("changed terms of a published price") {
    CHECK(refusal(world, with_price(test::nov_2026, 8)) ==
          "models.m.price: its terms changed under `from` 2026-11-01T00:00:00.000+08:00, which is published; give the new "
          "terms a later `from`");
  }
  SECTION("changed terms of a published contract, whatever the term") {
    auto config = test::golden_config();
    config.contracts[0].policies.on_break = config::OnBreak::nothing;
    CHECK(refusal(world, config).find("contracts.c: its terms changed") == 0);
    config = test::golden_config();
    config.contracts[0].min_payout = *money::Amount::parse("1");
    CHECK(refusal(world, config).find("contracts.c: its terms changed") == 0);
  }
  SECTION("a from before the last one") {
    CHECK(refusal(world, with_price(test::nov_2026 - 1, 8)).find("models.m.price: its `from` is not after") == 0);
  }
  SECTION("a from at or before what was rated") {
    auto final = test::request({static_cast<std::uint64_t>(noon) << 16, 1}, noon, {1, 0, 0, 1, 0});
    test::add_attempt(final, "dc-one", "nvidia", 1);
    world.journal.append(final);
    world.post_all();
    CHECK(refusal(world, with_price(noon, 8)).find("lies before what was already rated") != std::string::npos);
    CHECK(refusal(world, with_price(noon + 1, 8)) == "published");
    auto config = with_price(noon + 1, 8);
    config.contracts[0].from_ms = noon;
    CHECK(refusal(world, config).find("contracts.c: `from`") == 0);
    config.contracts[0].from_ms = noon + 1;
    CHECK(refusal(world, config) == "published");
  }
  SECTION("an overlap with a declared end") {
    auto config = test::golden_config();
    config.contracts.resize(1);
    config.contracts[0].id = "ends";
    config.contracts[0].to_ms = noon + 5000;
    CHECK(refusal(world, config) == "published");
    config.contracts[0].from_ms = noon + 4999;
    config.contracts[0].to_ms.reset();
    CHECK(refusal(world, config).find("contracts.ends: it overlaps the version before") == 0);
    config.contracts[0].from_ms = noon + 5001;
    CHECK(refusal(world, config) == "published");
    CHECK(world.ledger->book()->contract_at("ends", noon + 5000) == nullptr);  // neither version's
  }
  SECTION("shares that do not sum, a referrer without a name") {
    auto config = test::golden_config();
    config.contracts[0].id = "new";
    config.contracts[0].shares.site -= 1;
    CHECK(refusal(world, config) == "contracts.new: its shares sum to 999999 ppm, not 1000000");
    config.contracts[0].shares.site += 1;
    config.contracts[0].referrer_party.clear();
    CHECK(refusal(world, config) == "contracts.new: a referrer has a share but no party");
  }
  SECTION("a base net of VAT beside a price that says none, whichever comes second") {
    auto config = test::golden_config();
    auto contract = config.contracts[1];
    contract.from_ms = noon + 1;
    contract.base = config::ShareBase::net_of_vat;
    config.contracts.push_back(contract);
    CHECK(refusal(world, config) ==
          "contracts.d.base: net_of_vat from " + time_text(noon + 1) + " meets the price of m from 2026-11-01T00:00:00.000+08:00, "
          "which says no tax; publish that model's price with `tax: { percent: N }` from then on first (0 is written out)");
    auto taxed = config.models[0].prices[0];
    taxed.from_ms = noon + 1;
    taxed.tax = config::PriceTax{0, true};
    config.models[0].prices.push_back(taxed);
    CHECK(refusal(world, config) == "published");
    auto untaxed = test::golden_config();
    untaxed.models[0].id = "n";
    CHECK(refusal(world, untaxed).find("contracts.d.base: net_of_vat") == 0);
  }
  SECTION("one bad version keeps the good ones out too") {
    auto config = test::golden_config();
    config.models.push_back(config.models[0]);
    config.models[1].id = "n";
    config.contracts[0].shares = {};
    CHECK(refusal(world, config).find("contracts.c: its terms changed") == 0);
    CHECK(world.ledger->book()->price("n", 1) == nullptr);
  }
}

TEST_CASE("a publication that the journal does not take is told") {
  World world;
  world.open();
  world.journal.refuse = true;
  const auto problem = world.ledger->publish(test::golden_config(), noon);
  REQUIRE(problem);
  CHECK(problem->path.empty());
  CHECK(world.ledger->book()->revision() == 0);
}

TEST_CASE("requests are rated under the versions that they pinned") {
  World world;
  world.start();
  auto config = test::golden_config();
  auto next = config.models[0].prices[0];
  next.from_ms = noon + 1000;
  next.output = money::Price::pico_per_unit(9'000'000);
  config.models[0].prices.push_back(next);
  REQUIRE_FALSE(world.ledger->publish(config, noon));
  for (std::uint32_t version : {1u, 2u}) {
    auto final = test::request({static_cast<std::uint64_t>(noon) << 16, version}, noon + 999 + version - 1, {0, 0, 0, 10, 0});
    final.admit.price_version = world.ledger->book()->price_at("m", final.admit.wall_ms)->version;
    CHECK(final.admit.price_version == version);
    test::add_attempt(final, "dc-one", "nvidia", 10);
    world.journal.append(final);
  }
  world.post_all();
  CHECK(world.ledger->request({static_cast<std::uint64_t>(noon) << 16, 1})->row.gross == money::Amount::pico(80'000'010));
  CHECK(world.ledger->request({static_cast<std::uint64_t>(noon) << 16, 2})->row.gross == money::Amount::pico(90'000'000));
}

TEST_CASE("terms read back as they were written") {
  config::ContractConfig contract;
  contract.id = "c";
  contract.from_ms = -5;
  contract.to_ms = 7;
  contract.shares = {1, 2, 3, 999'994};
  contract.policies = {config::OnCancel::acknowledged, config::OnBreak::all, config::ZeroOutput::input, true,
                       config::Meters::gateway, true};
  contract.referrer_party = "quote\"and\\slash";
  contract.referrer_until_ms = 9;
  contract.base = config::ShareBase::net_of_fees;
  contract.tiers = {config::Tiers::Mode::whole, {{money::Amount::pico(1), {4, 3, 2, 1}}, {money::Amount::pico(9), {0, 1'000'000, 0, 0}}}};
  contract.guarantee = money::Amount::pico(7);
  contract.holdback = {0, 0};
  contract.min_payout = *money::Amount::parse("0.01");
  contract.chargeback = config::Chargeback::site;
  contract.chargeback_cost = config::ChargebackCost::by_split;
  contract.penalties = {{"a", 1, money::Amount::pico(2), money::Amount::pico(3)}, {"b", 0, {}, {}}};
  contract.early_exit = config::EarlyExit{config::EarlyExit::By::site, 5};
  contract.index = config::MarketIndex{"i", money::Amount::pico(3), 1};
  const auto read = read_contract(contract_terms(contract));
  REQUIRE(read);
  CHECK(read->contract == "c");
  CHECK(read->from_ms == -5);
  CHECK(read->to_ms == 7);
  CHECK(static_cast<const config::ContractTerms&>(*read) == contract);
  CHECK(read->terms == contract_terms(contract));
  for (const char* bad : {"", "{}", "[]", "{\"contract\":\"c\"}", "{\"contract\":\"c\",\"contract\":\"c\"}", "nonsense"}) {
    CHECK_FALSE(read_contract(bad));
    CHECK_FALSE(read_price(bad));
    CHECK_FALSE(read_topup(bad));
  }
  CHECK(read_topup("{\"tenant\":\"a\",\"amount\":\"1.5\"}")->amount.text() == "1.5");
  CHECK_FALSE(read_topup("{\"tenant\":\"a\",\"amount\":\"0\"}"));
  CHECK_FALSE(read_topup("{\"tenant\":\"a\",\"amount\":1}"));
}

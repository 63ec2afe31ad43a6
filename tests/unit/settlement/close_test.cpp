// A month from its requests to its payment.
#include "gateway/settlement/close.h"

#include <map>

#include "gateway/settlement/trueup.h"
#include "tests/unit/settlement/books.h"

using namespace trib;
using namespace trib::settlement;
using namespace trib::test;
using ledger::PeriodState;
using ledger::Posting;

namespace {

ledger::Document move(const char* kind, ledger::Code code, const std::string& debit, const std::string& credit, Amount amount, Period period,
                      std::int64_t effective_at, const std::string& doc = {}) {
  ledger::DocumentTransfer one;
  one.code = code;
  one.period = period;
  one.effective_at = effective_at;
  one.doc = doc;
  one.legs = {{debit, amount}, {credit, -amount}};
  return {.kind = kind, .evidence = "e", .transfers = {one}, .quantities = {}, .expect = {}, .floors = {}, .attach = {}};
}

}  // namespace

TEST_CASE("a step shares with the site's vendor, though the contract's own shares leave him out") {
  Books books([](config::ConfigSnapshot& config) {
    config.contracts[0].shares = {335'000, 650'000, 0, 15'000};
    config.contracts[0].tiers.steps.push_back({cny("0.001"), {250'000, 650'000, 85'000, 15'000}});
    config.contracts[0].tiers.mode = config::Tiers::Mode::whole;
  });
  books.serve(60, noon);
  Amount base;
  books.read()->usage(november, [&](const ledger::RequestRow& row) {
    for (const auto& part : row.parts)
      if (part.contract == "c") base += part.amount;
    return true;
  });
  books.close(november, december_4);
  CHECK(books.stands("L250/vendor").zero());
  const auto vendor = books.stated(november).at("vendor:nvidia");
  const Amount due = Amount::pico(base.pico() * 85 / 1000);
  CHECK(vendor.tier_trueup <= due + Amount::pico(2));  // two sites, each by the largest remainder
  CHECK(vendor.tier_trueup >= due - Amount::pico(2));
  CHECK(vendor.share_amount.zero());
  CHECK(adds_up(vendor));
  books.sound();
}

TEST_CASE("a month goes to its payment a state at a time, and says what is missing") {
  Books books;
  books.serve(60, noon);
  CHECK(books.step(november, noon) == "the month is over: it runs until 2026-12-01T00:00:00.000+08:00\n");
  CHECK(books.step(november, nov_2026 + 30 * ledger::day_ms) == "grace");
  CHECK(books.step(november, nov_2026 + 31 * ledger::day_ms) == "the days of grace are over: they run until 2026-12-04T00:00:00.000+08:00\n");
  CHECK(books.step(november, december_4) == "reconciled");
  CHECK(books.step(november, december_4) == "closed");
  CHECK(books.step(november, december_4) == "stated");
  const auto made = books.stated(november);
  REQUIRE(made.size() == 4);  // two sites, the vendor, the referrer
  for (const auto& [party, one] : made) {
    CHECK(adds_up(one));
    CHECK(one.share_amount == one.net_payable + one.closing_carry);
    CHECK(books.stands(ledger::stated_account(party)) == one.net_payable);
    CHECK(books.stands(ledger::party_account(party)) == one.closing_carry);
    CHECK(one.closing_carry < cny("0.01"));
    CHECK(one.seal_hash == books.ledger->periods()[0].seal);
  }
  const Statement& site = made.at("site:dc-one");
  const std::string missing = books.step(november, december_4);
  CHECK(missing.find("every statement is paid: ") == 0);
  for (const auto& [party, one] : made) {
    if (one.net_payable.zero()) continue;
    REQUIRE(books.ledger->post("pay:" + one.no, move("payout", ledger::Code::payout, ledger::stated_account(party), "A100", one.net_payable, december, december_4, one.no), december_4) == Posting::posted);
  }
  CHECK(books.step(november, december_4) == "paid");
  CHECK(books.advance(november, december_4).items.empty());
  CHECK(books.stands("L212/dc-one").zero());
  CHECK(site.requests > 0);
  books.sound();
}

TEST_CASE("looking moves nothing") {
  Books books;
  books.serve(10, noon);
  const auto seen = look(*books.ledger, november, december_4, books.rules, {});
  CHECK(seen.items.size() == 1);
  CHECK(seen.items[0].fine);
  CHECK_FALSE(seen.moved);
  CHECK(books.ledger->periods().empty());
}

TEST_CASE("what waits in quarantine or suspense holds up the close until it is explained") {
  Books books;
  books.serve(5, noon);
  auto odd = test::random_final(books.rng, noon);
  odd.admit.price_version = 7;
  odd.results.back().delivered = 5;
  odd.counts.output = 10;
  books.journal.append(odd);
  auto nobody = test::random_final(books.rng, noon);
  nobody.admit.price_version = 1;
  nobody.counts.output = 10;
  for (auto& attempt : nobody.attempts) {
    attempt.vendor.clear();
    attempt.contract = "c";
  }
  nobody.results.back().delivered = 5;
  books.journal.append(nobody);
  books.post_all();
  REQUIRE(books.step(november, december_4) == "grace");
  const std::string missing = books.step(november, december_4);
  CHECK(missing.find("1 waiting, the first " + odd.admit.id.text()) != std::string::npos);
  CHECK(missing.find("L250/vendor holds ") != std::string::npos);
  CHECK(explain(*books.ledger, odd.admit.id.text(), "a test of ours", "doc 7", december_4) == Posting::posted);
  CHECK(explain(*books.ledger, "L250/vendor:2026-11", "the card is not known yet", "doc 8", december_4) == Posting::posted);
  CHECK(books.step(november, december_4) == "reconciled");
  books.sound();
}

TEST_CASE("invariant 7: what is paid and carried is what was earned, over months, payouts in whole fen") {
  Books books;
  Amount earned, paid;
  std::int64_t wall = noon;
  Period period = november;
  for (int month = 0; month < 4; ++month) {
    books.serve(40, wall);
    const std::int64_t close_at = ledger::period_end_ms(period) + 4 * ledger::day_ms;
    books.close(period, close_at);
    const auto one = books.stated(period).at("site:dc-one");
    earned += one.share_amount;
    paid += one.net_payable;
    CHECK(earned == paid + one.closing_carry);
    CHECK_FALSE(one.closing_carry.negative());
    CHECK(one.closing_carry < cny("0.01"));
    CHECK(books.stands("L212/dc-one") == paid);
    CHECK(books.stands("L210/dc-one") == one.closing_carry);
    period = ledger::next_period(period);
    wall = ledger::period_begin_ms(period) + ledger::day_ms;
  }
  books.sound();
}

TEST_CASE("less than the least payout is carried, and so is a debt") {
  Books books([](config::ConfigSnapshot& config) {
    for (auto& contract : config.contracts) contract.min_payout = cny("500");
  });
  books.serve(40, noon);
  REQUIRE(books.ledger->post("penalty", move("penalty", ledger::Code::penalty, "L220/nvidia", "R300", cny("700"), november, noon), noon) == Posting::posted);
  books.close(november, december_4);
  const auto made = books.stated(november);
  CHECK(made.at("site:dc-one").net_payable.zero());
  CHECK(made.at("site:dc-one").closing_carry == made.at("site:dc-one").share_amount);
  CHECK(made.at("vendor:nvidia").penalties == cny("-700"));
  CHECK(made.at("vendor:nvidia").net_payable.zero());
  CHECK(made.at("vendor:nvidia").closing_carry.negative());
  books.serve(10, ledger::period_begin_ms(december) + ledger::day_ms);
  books.close(december, january_4);
  CHECK(books.stated(december).at("vendor:nvidia").opening_carry == made.at("vendor:nvidia").closing_carry);
  books.sound();
}

TEST_CASE("invariant 26: a reserve is withheld, never below zero, and released once when its days are over") {
  Books books([](config::ConfigSnapshot& config) {
    for (auto& contract : config.contracts) contract.holdback = {100'000, 30};
  });
  books.serve(50, noon);
  books.close(november, december_4);
  const auto nov = books.stated(november).at("site:dc-one");
  CHECK(nov.reserve_withheld.negative());
  // Two versions floor by themselves: at most a pico each below a tenth.
  CHECK(nov.share_amount.pico() / 10 + nov.reserve_withheld.pico() <= 2);
  CHECK(nov.share_amount.pico() / 10 + nov.reserve_withheld.pico() >= 0);
  CHECK(books.stands("L211/dc-one") == -nov.reserve_withheld);
  books.serve(20, ledger::period_begin_ms(december) + ledger::day_ms);
  books.close(december, january_4);
  const auto dec = books.stated(december).at("site:dc-one");
  CHECK(dec.reserve_released == -nov.reserve_withheld);
  CHECK(books.stands("L211/dc-one") == -dec.reserve_withheld);
  books.serve(20, ledger::period_begin_ms(202701) + ledger::day_ms);
  books.close(202701, ledger::period_end_ms(202701) + 4 * ledger::day_ms);
  // December's days end on 30 January: with January's close, and November's are not released again.
  CHECK(books.stated(202701).at("site:dc-one").reserve_released == -dec.reserve_withheld);
  books.sound();
}

TEST_CASE("a reserve that a chargeback has used up releases what is left") {
  Books books([](config::ConfigSnapshot& config) {
    for (auto& contract : config.contracts) contract.holdback = {500'000, 30};
  });
  books.serve(50, noon);
  books.close(november, december_4);
  const Amount reserve = books.stands("L211/dc-one");
  const Amount used = reserve - Amount::pico(5);
  REQUIRE(books.ledger->post("cb", move("chargeback", ledger::Code::chargeback, "L211/dc-one", "L200/acme", used, december, december_4), december_4) == Posting::posted);
  books.close(december, january_4);
  CHECK(books.stated(december).at("site:dc-one").reserve_released == Amount::pico(5));
  CHECK(books.stands("L211/dc-one").zero());
  books.sound();
}

TEST_CASE("invariant 25: the tiers' true-up is rating from scratch less what was booked") {
  config::Tiers tiers;
  tiers.steps.push_back({cny("0.01"), {250'000, 685'000, 50'000, 15'000}});
  tiers.steps.push_back({cny("0.03"), {200'000, 735'000, 50'000, 15'000}});
  for (const auto mode : {config::Tiers::Mode::graduated, config::Tiers::Mode::whole}) {
    tiers.mode = mode;
    Books books([&](config::ConfigSnapshot& config) { config.contracts[0].tiers = tiers; });
    books.serve(80, noon);
    Turnover turnover;
    REQUIRE(read_turnover(*books.read(), *books.ledger->book(), november, turnover, {}));
    const ContractUse& use = turnover.contracts.at({"dc-one", "c", 1});
    REQUIRE(use.base > cny("0.03"));
    books.close(november, december_4);
    // By hand, in picos: the site's part of each slice.
    const auto part = [](Amount of, std::int64_t ppm) { return money::int128{of.pico()} * ppm / 1'000'000; };
    const money::int128 expected = mode == config::Tiers::Mode::whole
                                       ? part(use.base, 735'000)
                                       : part(cny("0.01"), 650'000) + part(cny("0.02"), 685'000) + part(use.base - cny("0.03"), 735'000);
    const auto one = books.stated(november).at("site:dc-one");
    const ContractUse* other = turnover.contracts.contains({"dc-one", "d", 1}) ? &turnover.contracts.at({"dc-one", "d", 1}) : nullptr;
    const Amount beside = other != nullptr ? other->parts.at("site:dc-one") : Amount{};
    const money::int128 got = (one.share_amount + one.tier_trueup - beside).pico();
    CHECK(got - expected >= 0);
    CHECK(got - expected <= 3);  // a unit that is left over in a slice
    CHECK(books.ledger->trial_balance().sum.zero());
    books.sound();
  }
}

TEST_CASE("invariant 25: below the first step the true-up is nothing, and above it it takes from no one what tiers do not rate") {
  constexpr std::int64_t requests = 40;
  const config::Shares first{285'000, 650'000, 50'000, 15'000}, second{185'000, 750'000, 50'000, 15'000};
  bool reached = false;
  bool ends = false;
  std::string referrer = "lianmeng";
  config::ShareBase base = config::ShareBase::gross;
  SECTION("VAT in the price") { base = config::ShareBase::gross; }
  SECTION("VAT in the price, a base net of it") { base = config::ShareBase::net_of_vat; }
  SECTION("a referrer who brings himself") { referrer = "dc-one"; }
  SECTION("a referrer whose time ends in the midst of the month") { ends = true; }
  SECTION("the first step is passed") { reached = true; }

  Books books([&](config::ConfigSnapshot& config) {
    config.models[0].prices[0].tax = config::PriceTax{6, true};
    auto& contract = config.contracts[0];
    contract.base = base;
    contract.shares = first;
    contract.referrer_party = referrer;
    if (ends) contract.referrer_until_ms = noon - noon % ledger::day_ms;
    contract.tiers.steps.push_back({reached ? Amount::pico(1) : cny("1000"), second});
    contract.policies.pay_loser = true;
    config.contracts[1].policies.pay_loser = true;
  });
  Amount gross, net;
  for (int i = 0; i < requests; ++i) {
    const std::int64_t at = noon + (i % 2 == 0 ? 0 : 3 * ledger::day_ms) + i;
    auto final = test::request({static_cast<std::uint64_t>(at) << 16, static_cast<std::uint64_t>(i)}, at, {100, 0, 0, 200, 0});
    test::add_attempt(final, "dc-one", "nvidia", 200);
    test::add_attempt(final, "dc-one", "nvidia", 0, "outrun");  // it lost, and is paid for what it read
    REQUIRE(books.journal.append(final) > 0);
  }
  books.post_all();
  Turnover turnover;
  REQUIRE(read_turnover(*books.read(), *books.ledger->book(), november, turnover, {}));
  Amount divided;
  for (const auto& [key, use] : turnover.contracts) {
    Amount sum;
    for (const auto& [party, amount] : use.divided) sum += amount;
    CHECK(sum == use.base);
    divided += use.base;
  }
  const Amount vat = turnover.parties.at("vat").share;
  CHECK(divided == turnover.charged - (base == config::ShareBase::net_of_vat ? vat : Amount{}));
  books.close(november, december_4);
  const auto made = books.stated(november);
  const auto near = [](Amount of, Amount wanted) { return of <= wanted + Amount::pico(2 * requests) && wanted <= of + Amount::pico(2 * requests); };
  const auto stated = made.at("site:dc-one");
  CHECK(near(stated.tier_trueup, reached ? withheld(divided, second.site - first.site) : Amount{}));
  CHECK(near(made.at("vendor:nvidia").tier_trueup, {}));
  CHECK(made.contains("referrer:dc-one") == false);
  if (const auto lianmeng = made.find("referrer:lianmeng"); lianmeng != made.end()) CHECK(near(lianmeng->second.tier_trueup, {}));
  CHECK(books.ledger->trial_balance().sum.zero());
  books.sound();
}

TEST_CASE("tiers: any versions and steps give every unit of the base to somebody, and no tier is the plain split") {
  SeededRng rng(3);
  for (int round = 0; round < 2000; ++round) {
    std::vector<ledger::ContractVersion> contracts(1 + rng.below(3));
    std::vector<VersionBase> versions;
    Amount total;
    for (auto& contract : contracts) {
      const auto shares = [&] {
        const auto platform = static_cast<std::uint32_t>(rng.below(500'001)), vendor = static_cast<std::uint32_t>(rng.below(100'001));
        return config::Shares{platform, 1'000'000 - platform - vendor, vendor, 0};
      };
      contract.shares = shares();
      contract.tiers.mode = rng.below(2) ? config::Tiers::Mode::whole : config::Tiers::Mode::graduated;
      Amount over;
      for (std::uint64_t i = rng.below(4); i > 0; --i) {
        over += Amount::pico(static_cast<std::int64_t>(1 + rng.below(1'000'000)));
        contract.tiers.steps.push_back({over, shares()});
      }
      versions.push_back({&contract, "s", "v", Amount::pico(static_cast<std::int64_t>(rng.below(rng.below(2) ? 3'000'000 : 5)))});
      total += versions.back().base;
    }
    const auto parts = rate_tiers(versions);
    Amount sum;
    for (const auto& [party, amount] : parts) {
      CHECK_FALSE(amount.negative());
      sum += amount;
    }
    CHECK(sum == total);
    CHECK(trueup(parts, parts).empty());
  }
}

TEST_CASE("a guarantee is topped up after the true-up, for the days that the contract ran") {
  Books books([](config::ConfigSnapshot& config) {
    config.contracts[0].guarantee = cny("100");
    config.contracts[1].id = "d";
  });
  books.serve(30, noon);
  books.close(november, december_4);
  const auto one = books.stated(november).at("site:dc-one");
  Turnover turnover;
  REQUIRE(read_turnover(*books.read(), *books.ledger->book(), november, turnover, {}));
  const Amount under_c = turnover.contracts.at({"dc-one", "c", 1}).parts.at("site:dc-one");
  CHECK(one.guarantee_topup == cny("100") - under_c);
  CHECK(books.stands("E410") == -(one.guarantee_topup + books.stated(november).at("site:cafe-one").guarantee_topup));
  ledger::ContractVersion half;
  half.guarantee = cny("30");
  half.from_ms = nov_2026 + 15 * ledger::day_ms;
  CHECK(guarantee_due(half, november) == cny("15"));
  half.to_ms = nov_2026 + 20 * ledger::day_ms;
  CHECK(guarantee_due(half, november) == cny("5"));
  CHECK(guarantee_due(half, 202610).zero());
  books.sound();
}

TEST_CASE("a site that nobody asked gets its guarantee for the days that it stood under the contract") {
  Books books([](config::ConfigSnapshot& config) {
    config.contracts[0].guarantee = cny("30");
    config.contracts[0].holdback = {100'000, 30};
    config.contracts[0].min_payout = cny("20");
    config.contracts[0].early_exit = config::EarlyExit{config::EarlyExit::By::either, 500'000};
    config.contracts[0].to_ms = nov_2026 + 61 * ledger::day_ms;  // the year's end
  });
  const auto assign = [&](std::map<std::string, std::string> contracts, std::int64_t wall_ms) {
    REQUIRE(settlement::assign(*books.ledger, contracts, wall_ms) == "");
  };
  assign({{"dc-one", "c"}, {"idle", "c"}, {"other", "d"}}, nov_2026 - 5 * ledger::day_ms);
  assign({{"dc-one", "c"}, {"idle", "c"}, {"other", "d"}}, nov_2026);  // nothing is new
  assign({{"dc-one", "c"}, {"idle", "c"}, {"late", "c"}, {"other", "c"}}, nov_2026 + 20 * ledger::day_ms);
  assign({{"dc-one", "c"}, {"idle", "c"}, {"other", "c"}}, nov_2026 + 25 * ledger::day_ms);
  const auto all = Assignments(*books.read()).by_site();
  CHECK(all.at("idle").size() == 1);
  CHECK(all.at("late").size() == 2);
  CHECK(all.at("other").size() == 2);

  books.close(november, december_4);
  auto made = books.stated(november);
  CHECK(made.at("site:idle").guarantee_topup == cny("30"));
  CHECK(made.at("site:idle").reserve_withheld == -cny("3"));
  CHECK(made.at("site:idle").net_payable == cny("27"));
  CHECK(made.at("site:idle").contract == "c");
  CHECK(made.at("site:late").guarantee_topup == cny("5"));
  CHECK(made.at("site:late").net_payable.zero());  // below the least payout
  CHECK(made.at("site:late").closing_carry == cny("4.5"));
  CHECK(made.at("site:other").guarantee_topup == cny("10"));
  CHECK(made.at("site:dc-one").guarantee_topup == cny("30"));
  CHECK(books.stands("E410") == -cny("75"));

  SECTION("the next month has it, though nothing was booked in it") {
    books.close(december, january_4);
    CHECK(books.stated(december).at("site:idle").guarantee_topup == cny("30"));
    made = books.stated(december);
    CHECK(made.at("site:late").net_payable.zero());  // it has left, and its carry is still below what was least
    CHECK(made.at("site:late").contract == "c");
  }
  SECTION("an early exit has the rest in its price") {
    const auto left = enter(*books.ledger, {"early-exit", {{"contract", "c"}, {"site", "idle"}, {"by", "site"}, {"reason", "moved"}, {"evidence", "doc 3"}}}, december_4);
    INFO(left.why);
    REQUIRE(left.result == Entry::Result::posted);
    books.close(december, january_4);
    CHECK(books.stated(december).at("site:idle").guarantee_topup.zero());
    CHECK(books.stated(december).at("site:other").guarantee_topup == cny("30"));
  }
  SECTION("an early exit that is undone has no price, so the guarantee stands; one that took a second number ends it") {
    using settlement::Order;
    const Order exit{"early-exit", {{"contract", "c"}, {"site", "idle"}, {"by", "site"}, {"evidence", "doc 3"}}};
    REQUIRE(enter(*books.ledger, exit, december_4).result == Entry::Result::posted);
    std::string number;
    books.read()->transfers_of("early_exit:c:1:idle", [&](const ledger::TransferRow& row) {
      number = std::to_string(row.id);
      return false;
    });
    REQUIRE(enter(*books.ledger, {"reverse-transfer", {{"transfer", number}}}, december_4).result == Entry::Result::posted);
    // A document that was refused has used up the other's name.
    CHECK(books.ledger->post("early_exit:c:1:other", move("early_exit", ledger::Code::early_exit, "L210/other", "R300", cny("1"), november, december_4), december_4) != Posting::posted);
    Order other = exit;
    other.args["site"] = "other";
    const auto left = enter(*books.ledger, other, december_4);
    REQUIRE(left.result == Entry::Result::posted);
    CHECK(left.id == "early_exit:c:1:other#2");
    books.close(december, january_4);
    CHECK(books.stated(december).at("site:idle").guarantee_topup == cny("30"));
    CHECK(books.stated(december).at("site:other").guarantee_topup.zero());
  }
  SECTION("a month of guarantees alone is not passed over") {
    CHECK(books.step(202701, january_4 + 31 * ledger::day_ms) == "grace");
    CHECK(books.step(202701, january_4 + 31 * ledger::day_ms) == "reconciled");
    CHECK(books.step(202701, january_4 + 31 * ledger::day_ms).find("close 2026-12 first") != std::string::npos);
  }
  books.sound();
}

TEST_CASE("what is least to be paid out holds in a month in which nothing was earned") {
  Books books([](config::ConfigSnapshot& config) {
    for (auto& contract : config.contracts) contract.min_payout = cny("100");
  });
  books.serve(30, noon);
  books.close(november, december_4);
  const auto before = books.stated(november);
  REQUIRE(before.at("site:dc-one").closing_carry > cny("0.01"));
  REQUIRE(before.at("site:dc-one").net_payable.zero());
  books.close(december, january_4);
  for (const auto& [party, one] : books.stated(december)) {
    INFO(party);
    CHECK(one.net_payable.zero());
    CHECK(one.closing_carry == before.at(party).closing_carry);
    CHECK(one.contract == before.at(party).contract);
  }
  books.sound();
}

TEST_CASE("a fact about a closed month stands among the adjustments of the next") {
  Books books;
  books.serve(30, noon);
  books.close(november, december_4);
  const auto before = books.stated(november);
  REQUIRE(books.ledger->post("late", move("penalty", ledger::Code::penalty, "L210/dc-one", "R300", cny("0.001"), december, noon), december_4) == Posting::posted);
  auto final = test::random_final(books.rng, noon);
  final.admit.price_version = 1;
  final.counts.output = 100;
  final.results.back().delivered = 9;
  for (auto& attempt : final.attempts) attempt.vendor = "nvidia";
  books.journal.append(final);
  books.post_all();
  books.close(december, january_4);
  const auto after = books.stated(december);
  Amount adjusted;
  for (const auto& [party, one] : after) {
    CHECK(one.share_amount.zero());  // nothing was served in December
    adjusted += one.prior_period_adj;
  }
  const auto row = books.ledger->request(final.admit.id);
  Amount parts;
  for (const auto& part : row->parts)
    if (part.party != "platform") parts += part.amount;
  CHECK(adjusted == parts - cny("0.001"));
  CHECK((books.stated(november) == before));
  books.sound();
}

TEST_CASE("invariant 22: a close that is made again over the same journal gives the same bytes") {
  Books books([](config::ConfigSnapshot& config) {
    config.contracts[0].tiers.steps.push_back({cny("0.05"), {250'000, 685'000, 50'000, 15'000}});
    config.contracts[0].holdback = {100'000, 30};
    config.contracts[0].guarantee = cny("1");
  });
  books.serve(40, noon);
  books.close(november, december_4);
  const auto before = books.stated(november);
  const auto seal = books.ledger->periods()[0];
  books.ledger.reset();
  books.lose_store();
  books.open();
  books.post_all();
  CHECK((books.stated(november) == before));
  CHECK(books.ledger->periods()[0] == seal);
  CHECK(signature_fits(books.key->public_key(), seal.seal, *from_hex(seal.signature)));
  books.sound();
}

TEST_CASE("a close that broke off anywhere is made again and posts nothing twice") {
  // The journal refuses after `n` records: the call fails, the next one goes on.
  std::optional<std::map<std::string, Statement>> whole;
  for (int n = 0;; ++n) {
    Books books([](config::ConfigSnapshot& config) {
      config.contracts[0].holdback = {100'000, 30};
      config.contracts[0].guarantee = cny("1");
    });
    books.serve(30, noon);
    bool broke = false;
    const std::size_t limit = books.journal.records.size() + static_cast<std::size_t>(n);
    for (const char* state : {"grace", "reconciled", "closed", "stated"}) {
      for (int attempt = 0;; ++attempt) {
        REQUIRE(attempt < 3);
        books.journal.records_max = broke ? SIZE_MAX : limit;
        const std::string got = books.step(november, december_4);
        books.journal.records_max = SIZE_MAX;
        if (got == state) break;
        REQUIRE(got.find("error: ") == 0);
        broke = true;
      }
    }
    if (!whole) whole = books.stated(november);
    CHECK((books.stated(november) == *whole));
    books.sound();
    if (!broke) break;
  }
}

TEST_CASE("a close that broke off after it withheld releases what one that did not releases") {
  // None of it on the very day, and no more of what a chargeback has used up than was left before.
  for (const std::uint32_t days : {0u, 30u}) {
    std::optional<std::map<std::string, Statement>> whole;
    for (int n = 40; n >= 0; --n) {  // first the one that does not break off
      Books books([&](config::ConfigSnapshot& config) {
        for (auto& contract : config.contracts) contract.holdback = {500'000, days};
      });
      books.serve(30, noon);
      const auto close = [&](Period period, std::int64_t wall_ms, std::size_t records) {
        for (const char* state : {"grace", "reconciled", "closed", "stated"}) {
          const bool breaks = std::string_view(state) == "closed" && records < 40;
          books.journal.records_max = breaks ? books.journal.records.size() + records : SIZE_MAX;
          const std::string got = books.step(period, wall_ms);
          books.journal.records_max = SIZE_MAX;
          if (got == state) continue;
          REQUIRE(got.find("error: ") == 0);
          REQUIRE(books.step(period, wall_ms) == state);
        }
      };
      close(november, december_4, static_cast<std::size_t>(n));
      const Amount used = books.stands("L211/dc-one") - Amount::pico(5);
      REQUIRE(books.ledger->post("cb", move("chargeback", ledger::Code::chargeback, "L211/dc-one", "L200/acme", used, december, december_4), december_4) == Posting::posted);
      books.serve(30, december_4);
      close(december, january_4, static_cast<std::size_t>(n));
      if (!whole) whole = books.stated(december);
      INFO(days << " days, broken off after " << n);
      CHECK(whole->at("site:dc-one").reserve_released == Amount::pico(5));
      CHECK((books.stated(december) == *whole));
      books.sound();
    }
  }
}

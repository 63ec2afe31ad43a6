// Finance's desk: what each order moves, and what no order can.
#include "gateway/settlement/desk.h"

#include <set>

#include "gateway/settlement/booked.h"
#include "gateway/settlement/trueup.h"
#include "tests/unit/settlement/desk_books.h"

using namespace trib;
using namespace trib::settlement;
using namespace trib::test;
using ledger::Posting;

TEST_CASE("invariant 8: reversal + original = 0 on every account and quantity", "[invariant]") {
  Desk books(vat_inside);
  for (int round = 0; round < 30; ++round) {
    const auto accounts = books.accounts();
    const auto quantities = books.quantities();
    books.serve(1, noon + round);
    const auto row = books.billed();
    if (row.empty() || row.back().row.final_ms != noon + round + 500) continue;
    const std::string id = text_of(row.back());
    if (round % 3 == 1) {  // in parts
      const std::string half = Amount::pico(std::max<money::int128>(1, row.back().row.gross->pico() / 3)).text();
      books.must("reverse", {{"request", id}, {"amount", half}, {"id", "a"}});
      CHECK(books.quantities() != quantities);
    } else if (round % 3 == 2) {
      books.must("dispute", {{"request", id}, {"reason", "garbage"}, {"evidence", "ticket 7"}});
      CHECK(books.why("reverse", {{"request", id}}).find("is in dispute") != std::string::npos);
      books.must("resolve", {{"request", id}, {"for", "customer"}});
      CHECK(books.accounts() == accounts);
      CHECK(books.quantities() == quantities);
      continue;
    }
    const Entry entry = books.must("reverse", {{"request", id}});
    CHECK(books.accounts() == accounts);
    CHECK(books.quantities() == quantities);
    CHECK(books.ask("reverse", {{"request", id}}).result == Result::repeated);
    CHECK(books.why("reverse", {{"request", id}, {"id", "again"}}).find("nothing is left") == 0);
    CHECK(entry.moved().size() == 1);
  }
  books.sound();
}

TEST_CASE("a request is taken back in any parts, and never more than it was") {
  Desk books(vat_inside);
  books.serve(25, noon);
  SeededRng rng(4);
  for (const auto& row : books.billed()) {
    const std::string id = text_of(row);
    Amount left = *row.row.gross;
    std::map<std::string, Amount> before;
    for (const auto& [party, amount] : parts_of(row)) before[party] = books.worth(party);
    for (int n = 0; !left.zero(); ++n) {
      const Amount back = n == 4 ? left : Amount::pico(1 + static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(left.pico()))));
      books.must("reverse", {{"request", id}, {"amount", back.text()}, {"id", std::to_string(n)}});
      left -= back;
      CHECK(books.why("reverse", {{"request", id}, {"amount", (left + Amount::pico(1)).text()}, {"id", "more"}}) != "");
    }
    for (const auto& [party, amount] : parts_of(row)) CHECK(books.worth(party) == before[party] - amount);
  }
  books.guarded();
  books.sound();
}

TEST_CASE("a dispute waits in suspense with its reason, holds up no close, and ends once") {
  Desk books;
  books.serve(10, noon);
  const auto rows = books.billed();
  const std::string id = text_of(rows[0]);
  const auto accounts = books.accounts();
  CHECK(books.why("dispute", {{"request", id}, {"reason", "x"}}) == "dispute needs \"evidence\"");
  books.must("dispute", {{"request", id}, {"reason", "cut short"}, {"evidence", "ticket 9"}});
  CHECK(books.stands("L250/disputed") == *rows[0].row.gross);
  CHECK(books.why("dispute", {{"request", id}, {"reason", "other"}, {"evidence", "x"}}).find("in dispute already") != std::string::npos);
  books.must("resolve", {{"request", id}, {"for", "supplier"}});
  CHECK(books.accounts() == accounts);
  CHECK(books.why("resolve", {{"request", id}, {"for", "customer"}}).find("not in dispute") != std::string::npos);
  const std::string other = text_of(rows[1]);
  books.must("dispute", {{"request", other}, {"reason", "cut short"}, {"evidence", "ticket 10"}});
  books.close(november, december_4);
  for (const auto& [party, one] : books.stated(november)) CHECK(adds_up(one));
  // It ends in December, among the adjustments.
  books.must("resolve", {{"request", other}, {"for", "supplier"}}, december_4);
  books.close(december, january_4);
  const auto parts = parts_of(rows[1]);
  for (const auto& [party, one] : books.stated(december)) {
    CHECK(adds_up(one));
    if (parts.contains(party)) CHECK(one.prior_period_adj == parts.at(party));
  }
  books.sound();
}

TEST_CASE("invariant 29: a chargeback by ratio restores each party to its state before the sale", "[invariant]") {
  for (const std::uint64_t seed : {1u, 2u, 3u}) {
    INFO("seed " << seed);
    Desk books(vat_and_reserve);
    books.rng = SeededRng(seed);
    books.serve(30, noon);
    if (seed == 2) books.close(november, december_4);  // stated and in reserve: beyond the payable it is a debt
    const std::int64_t now = seed == 2 ? december_4 : noon + ledger::day_ms;
    std::set<std::string> all;
    for (const auto& row : books.billed()) {
      std::map<std::string, Amount> before;
      for (const auto& [party, amount] : parts_of(row)) {
        before[party] = books.worth(party);
        all.insert(party);
      }
      const Amount bank = books.stands("A100");
      books.must("chargeback", {{"request", text_of(row)}, {"evidence", "case 1"}}, now);
      for (const auto& [party, amount] : parts_of(row)) CHECK(books.worth(party) == before[party] - amount);
      CHECK(books.stands("A100") == bank + *row.row.gross);
      books.guarded();
      CHECK(books.why("chargeback", {{"request", text_of(row)}, {"evidence", "case 2"}}, now).find("nothing is left") == 0);
    }
    for (const auto& party : all) CHECK(books.worth(party).zero());
    if (seed == 2) CHECK(books.stands("A120/site:dc-one").negative());
    books.sound();
  }
}

TEST_CASE("a chargeback lies on whom the contract names, its cost too, and a debt is netted or paid") {
  Desk books([](config::ConfigSnapshot& config) {
    config.contracts[0].chargeback = config::Chargeback::site;
    config.contracts[0].chargeback_cost = config::ChargebackCost::site;
    config.contracts[1].chargeback = config::Chargeback::platform;
  });
  books.serve(40, noon);
  for (const auto& row : books.billed()) {
    if (row.attempts.size() != 1) continue;
    const bool by_site = row.parts[0].contract == "c";
    const std::string site = "site:" + row.attempts[0].sent.site;
    const Amount platform = books.worth("platform"), worth = books.worth(site), vendor = books.worth("vendor:nvidia"), fees = books.stands("E420");
    books.must("chargeback", {{"request", text_of(row)}, {"evidence", "case"}, {"cost", "0.5"}});
    CHECK(books.worth("platform") == platform - (by_site ? Amount{} : *row.row.gross));
    CHECK(books.worth(site) == worth - (by_site ? *row.row.gross + cny("0.5") : Amount{}));
    CHECK(books.worth("vendor:nvidia") == vendor);
    CHECK(books.stands("E420") == fees - (by_site ? Amount{} : cny("0.5")));
  }
  const Amount owed = -books.stands("A120/site:dc-one");
  REQUIRE(owed > cny("0.2"));
  books.must("clawback", {{"party", "site:dc-one"}, {"amount", "0.1"}, {"by", "bank"}, {"id", "1"}});
  CHECK(books.stands("A120/site:dc-one") == -owed + cny("0.1"));
  CHECK(books.why("clawback", {{"party", "site:dc-one"}, {"amount", "100"}, {"by", "payable"}, {"id", "2"}}).find("owes") != std::string::npos);
  books.guarded();
  books.sound();
}

TEST_CASE("a chargeback of a disputed request comes out of the dispute, and ends it") {
  Desk books(vat_inside);
  books.serve(20, noon);
  for (const auto& row : books.billed()) {
    const std::string id = text_of(row);
    const auto accounts = books.accounts();
    std::map<std::string, Amount> before;
    for (const auto& [party, amount] : parts_of(row)) before[party] = books.worth(party) - amount;
    books.must("dispute", {{"request", id}, {"reason", "r"}, {"evidence", "e"}});
    const std::string gross = row.row.gross->text();
    const Entry entry = books.must("chargeback", {{"request", id}, {"evidence", "case"}});
    CHECK(legs_of(entry) == Legs{{"43 L250/disputed", gross}, {"43 A100", "-" + gross}});
    CHECK(books.stands("L250/disputed").zero());
    for (const auto& [party, amount] : before) CHECK(books.worth(party) == amount);
    CHECK(books.why("resolve", {{"request", id}, {"for", "supplier"}}).find("not in dispute") != std::string::npos);
  }
  books.close(november, december_4);
  for (const auto& [party, one] : books.stated(november)) {
    CHECK(adds_up(one));
    CHECK((one.share_amount + one.chargebacks).zero());
  }
  books.sound();
}

TEST_CASE("a chargeback's cost that nobody is left to bear is the platform's") {
  Desk books([](config::ConfigSnapshot& config) {
    vat_inside(config);
    config.models[0].prices[0].tax = config::PriceTax{90, true};
    for (auto& contract : config.contracts) {
      contract.base = config::ShareBase::net_of_vat;
      contract.chargeback_cost = config::ChargebackCost::by_split;
    }
  });
  books.serve(20, noon);
  std::size_t alone = 0;  // nothing is left but VAT
  for (const auto& row : books.billed()) {
    const std::string id = text_of(row);
    books.must("reverse", {{"request", id}, {"amount", (*row.row.gross - Amount::pico(1)).text()}, {"id", "1"}});  // the largest part keeps a unit
    const Entry entry = books.must("chargeback", {{"request", id}, {"evidence", "case"}, {"cost", "0.5"}});
    const auto legs = legs_of(entry);
    if (!legs.contains("43 L240")) continue;
    ++alone;
    CHECK(legs == Legs{{"43 L240", "0.000000000001"}, {"43 A100", "-0.000000000001"}, {"54 E420", "0.5"}, {"54 A100", "-0.5"}});
  }
  CHECK(alone > 0);
  books.sound();
}

TEST_CASE("a chargeback's cost lies on who served last, by its own contract, and not on an attempt that brought nothing") {
  Desk books([](config::ConfigSnapshot& config) {
    config.contracts[0].chargeback_cost = config::ChargebackCost::site;
    config.contracts[1].policies.pay_loser = true;
  });
  std::uint64_t number = 0;
  const auto serve = [&](const auto& attempts) {
    auto final = test::request({static_cast<std::uint64_t>(noon) << 16, ++number}, noon, {100, 0, 0, 500, 0});
    attempts(final);
    books.journal.append(final);
    books.post_all();
    return final.admit.id.text();
  };
  const auto cost_of = [&](const std::string& id) { return legs_of(books.must("chargeback", {{"request", id}, {"evidence", "case"}, {"cost", "0.5"}})); };
  for (const char* site : {"dc-one", "cafe-one"}) serve([&](auto& final) { add_attempt(final, site, "nvidia", 500); });
  for (const bool by_site : {true, false}) {
    const std::string served = by_site ? "c" : "d", other = by_site ? "d" : "c";
    const auto check = [&](const std::string& what, const std::string& id) {
      INFO(what << " under " << served);
      const Amount idle = books.worth("site:cafe-one"), fees = books.stands("E420");
      cost_of(id);
      CHECK(books.worth("site:cafe-one") == idle);
      CHECK(books.stands("E420") == fees - (by_site ? Amount{} : cny("0.5")));
    };
    check("the last attempt failed", serve([&](auto& final) {
      add_attempt(final, "dc-one", "nvidia", 500, "reset", served);
      add_attempt(final, "cafe-one", "nvidia", 0, "connect", other);
      final.outcome = metering::Outcome::partial;
    }));
  }
  // The first of a hedged pair was outrun, and is paid for what it read: it has not served.
  const std::string hedged = serve([&](auto& final) {
    add_attempt(final, "cafe-one", "nvidia", 0, "outrun", "d");
    add_attempt(final, "dc-one", "nvidia", 500);
  });
  const Amount served = books.worth("site:dc-one"), fees = books.stands("E420");
  Amount part;
  for (const auto& row : books.billed())
    if (text_of(row) == hedged) part = parts_of(row).at("site:dc-one");
  cost_of(hedged);
  CHECK(books.worth("site:dc-one") == served - part - cny("0.5"));
  CHECK(books.stands("E420") == fees);
  books.guarded();
  books.sound();
}

TEST_CASE("invariant 27: penalties stay within their cap, whatever the schedule", "[invariant]") {
  SeededRng rng(9);
  for (int round = 0; round < 12; ++round) {
    const Amount each = Amount::pico(1 + static_cast<std::int64_t>(rng.below(5'000'000'000'000))), cap = each + Amount::pico(static_cast<std::int64_t>(rng.below(9'000'000'000'000)));
    Desk books([&](config::ConfigSnapshot& config) { config.contracts[0].penalties = {{"availability", 950'000, each, cap}}; });
    books.serve(10, noon);
    Amount sum;
    for (int n = 0; n < 8; ++n) {
      const Amount before = books.stands("L210/dc-one");
      const std::string measured = std::to_string(rng.below(1'000'001));
      const Entry entry = books.ask("penalty", {{"contract", "c"}, {"site", "dc-one"}, {"cause", "availability"}, {"measured_ppm", measured}, {"evidence", "report"}, {"id", std::to_string(n)}});
      if (std::stoul(measured) >= 950'000 || sum == cap) {
        CHECK(entry.result == Result::refused);
        continue;
      }
      REQUIRE(entry.result == Result::posted);
      const Amount taken = std::min(each, cap - sum);
      sum += taken;
      CHECK(books.stands("L210/dc-one") == before - taken);
      CHECK(sum <= cap);
    }
    CHECK(books.why("penalty", {{"contract", "c"}, {"site", "nowhere"}, {"cause", "availability"}, {"measured_ppm", "1"}, {"evidence", "r"}, {"id", "x"}}).find("nothing was ever booked") == 0);
    books.close(november, december_4);
    CHECK(books.stated(november).at("site:dc-one").penalties == -sum);
    books.sound();
  }
}

TEST_CASE("requests are re-priced exactly, once, and reversed as they are then") {
  Desk books(vat_inside);
  const auto empty = books.accounts();
  books.serve(40, noon);
  config::ModelPrice price{"m", {}};
  price.price.from_ms = december_4;
  price.price.input = price.price.cache_write = money::Price::pico_per_unit(1'000'003);
  price.price.cached_input = money::Price::pico_per_unit(77'777);
  price.price.output = price.price.reasoning = money::Price::pico_per_unit(5'000'011);
  price.price.tax = config::PriceTax{6, true};
  REQUIRE(books.ledger->publish(price, noon).result == ledger::Publishing::published);
  const auto rows = books.billed();
  const std::string reversed = text_of(rows[0]);
  books.must("reverse", {{"request", reversed}});
  Amount expected;
  for (const auto& row : rows)
    if (text_of(row) != reversed) expected += ledger::gross(*books.ledger->book()->price("m", 2), row.row.counts) - *row.row.gross;
  const Amount before = books.stands("L200/acme") + books.stands("L200/bolt");
  const std::map<std::string, std::string> range{{"model", "m"}, {"from", "2026-11-01"}, {"to", "2026-12-01"}, {"version", "2"}};
  const Entry entry = books.must("reprice", range);
  CHECK(books.stands("L200/acme") + books.stands("L200/bolt") == before - expected);
  CHECK(read_attached(entry.document.attach)->facts.at("requests") == std::to_string(rows.size() - 1));
  CHECK(read_attached(entry.document.attach)->facts.at("skipped") == "1");
  CHECK(books.ask("reprice", range).result == Result::repeated);
  auto other = range;
  other["id"] = "again";
  CHECK(books.why("reprice", other).find("no request of that time is to be re-priced") == 0);
  auto back = range;
  back["version"] = "1";
  books.must("reprice", back);
  CHECK(books.stands("L200/acme") + books.stands("L200/bolt") == before);
  books.must("reprice", other);
  for (const auto& row : rows)
    if (text_of(row) != reversed) books.must("reverse", {{"request", text_of(row)}});
  CHECK(books.accounts() == empty);
  books.sound();
}

TEST_CASE("a re-price tells each party of the gross that it has a part of, before and after a referrer's end") {
  const std::int64_t until = noon + 5 * ledger::day_ms;
  Desk books([&](config::ConfigSnapshot& config) { config.contracts[0].referrer_until_ms = until; });
  books.serve(20, noon);
  books.serve(20, ledger::day_end_ms(until) + 1);
  config::ModelPrice price{"m", {}};
  price.price.from_ms = december_4;
  price.price.input = price.price.cache_write = price.price.cached_input = price.price.output = price.price.reasoning = money::Price::pico_per_unit(3'000'001);
  REQUIRE(books.ledger->publish(price, noon).result == ledger::Publishing::published);
  std::map<std::string, Amount> gross;  // at the new price, by party, an attempt counts once
  for (const auto& row : books.billed())
    for (const auto& part : row.parts)
      for (const auto& attempt : row.attempts)
        if (attempt.sent.n == part.attempt) gross[part.party] += ledger::gross(*books.ledger->book()->price("m", 2), attempt.billed);
  REQUIRE(gross.at("referrer:lianmeng") < gross.at("site:dc-one") + gross.at("site:cafe-one"));
  books.must("reprice", {{"model", "m"}, {"from", "2026-11-01"}, {"to", "2026-12-01"}, {"version", "2"}}, ledger::period_end_ms(november) - 1);
  for (const auto& unknown : {"L250/vendor", "L250/site"}) settlement::explain(*books.ledger, std::string(unknown) + ":2026-11", "r", "e", december_4);
  books.close(november, december_4);
  for (const auto& [party, one] : books.stated(november)) {
    INFO(party);
    CHECK(one.gross_revenue == gross.at(party));
    CHECK(adds_up(one));
  }
  books.sound();
}

TEST_CASE("a month is paid by its statements' numbers, and what comes back is owed again") {
  Desk books;
  books.serve(60, noon);
  books.close(november, december_4);
  const auto one = books.stated(november).at("site:dc-one");
  REQUIRE_FALSE(one.net_payable.zero());
  CHECK(books.step(november, december_4).find("tributary ledger payout 2026-11/") != std::string::npos);
  const Amount part = Amount::pico(10'000'000'000);
  books.must("payout", {{"statement", one.no}, {"amount", part.text()}, {"id", "first"}}, december_4);
  CHECK(books.why("payout", {{"statement", one.no}, {"amount", one.net_payable.text()}, {"id", "b"}}, december_4).find("still owed") != std::string::npos);
  CHECK(books.why("payout", {{"statement", one.no}, {"amount", "0.001"}, {"id", "b"}}, december_4).find("whole fen") != std::string::npos);
  if (part < one.net_payable) {
    const Entry rest = books.must("payout", {{"statement", one.no}}, december_4);
    CHECK(books.ask("payout", {{"statement", one.no}}, december_4).result == Result::repeated);
    books.must("payout-returned", {{"payout", rest.id}, {"reason", "account closed"}}, december_4);
    CHECK(books.ask("payout-returned", {{"payout", rest.id}, {"reason", "account closed"}}, december_4).result == Result::repeated);
    CHECK(books.stands("L212/dc-one") == one.net_payable - part);
    books.must("payout", {{"statement", one.no}, {"id", "2"}}, december_4);
  }
  for (const auto& [party, statement] : books.stated(november))
    if (party != "site:dc-one" && !statement.net_payable.zero()) books.must("payout", {{"statement", statement.no}}, december_4);
  CHECK(books.step(november, december_4) == "paid");
  books.sound();
}

TEST_CASE("a reversal after the seal is the site's: a contract that guarantees nothing gives nothing back") {
  Desk books;
  books.serve(10, noon);
  books.close(november, december_4);
  const auto row = books.billed().back();
  const std::string site = "site:" + row.attempts.back().sent.site;
  books.must("reverse", {{"request", text_of(row)}}, december_4);
  books.close(december, january_4);
  const auto made = books.stated(december).at(site);
  CHECK(made.guarantee_topup.zero());
  CHECK(made.prior_period_adj == -parts_of(row).at(site));
  CHECK(books.stands("E410").zero());
  books.sound();
}

TEST_CASE("goodwill keeps to its budget, and who shares net of refunds bears his part") {
  Desk books([](config::ConfigSnapshot& config) { config.contracts[0].base = config::ShareBase::net_of_refunds; });
  books.serve(30, noon);
  CHECK(books.why("goodwill", {{"tenant", "acme"}, {"amount", "101"}, {"id", "g"}}).find("above the budget of 100") != std::string::npos);
  books.must("goodwill", {{"tenant", "acme"}, {"amount", "99"}, {"id", "g"}});
  CHECK(books.ask("goodwill", {{"tenant", "acme"}, {"amount", "99"}, {"id", "g"}}).result == Result::repeated);
  CHECK(books.ask("goodwill", {{"tenant", "acme"}, {"amount", "98"}, {"id", "g"}}).result == Result::conflict);
  for (const auto& row : books.billed()) {
    if (row.row.tenant != "acme" || row.parts[0].contract != "c" || row.attempts.size() != 1) continue;
    const auto parts = parts_of(row);
    const std::string site = "site:" + row.attempts[0].sent.site;
    const Amount before = books.worth(site);
    books.must("goodwill", {{"tenant", "acme"}, {"amount", row.row.gross->text()}, {"id", "r"}, {"request", text_of(row)}});
    CHECK(books.worth(site) == before - parts.at(site));
    CHECK(books.why("reverse", {{"request", text_of(row)}}).find("goodwill was given") == 0);
    break;
  }
  books.close(november, december_4);
  for (const auto& [party, one] : books.stated(november)) CHECK(adds_up(one));
  books.sound();
}

TEST_CASE("payment fees of a month lie on who shares net of them, by his part of what was charged") {
  Desk books([](config::ConfigSnapshot& config) {
    for (auto& contract : config.contracts) contract.base = config::ShareBase::net_of_fees;
  });
  books.serve(30, noon);
  const Amount before = books.worth("site:dc-one");
  Amount charged, site;
  for (const auto& row : books.billed()) {
    charged += *row.row.gross;
    for (const auto& part : row.parts)
      if (part.party == "site:dc-one") site += part.amount;
  }
  const Entry wrong = books.must("fee", {{"amount", "0.5"}, {"id", "wrong"}});
  std::uint64_t number = 0;
  books.read()->transfers_of(wrong.id, [&](const ledger::TransferRow& row) {
    number = row.id;
    return true;
  });
  books.must("reverse-transfer", {{"transfer", std::to_string(number)}});
  books.must("fee", {{"amount", "0.01"}, {"id", "f"}});
  books.close(november, december_4);
  const auto one = books.stated(november).at("site:dc-one");
  CHECK(adds_up(one));
  CHECK(one.payment_fees.negative());
  const auto borne = before - (one.net_payable + one.closing_carry);
  const money::int128 exact = cny("0.01").pico() * (site.pico() / 1'000'000) / (charged.pico() / 1'000'000);
  CHECK(borne.pico() - exact < 1'000'000);
  CHECK(exact - borne.pico() < 1'000'000);
  books.sound();
}

TEST_CASE("invariant 25: re-rating at close is rating from scratch less what was booked, with reversals and re-prices among the facts", "[invariant]") {
  config::Tiers tiers;
  tiers.steps.push_back({cny("0.01"), {250'000, 685'000, 50'000, 15'000}});
  for (const auto mode : {config::Tiers::Mode::graduated, config::Tiers::Mode::whole}) {
    tiers.mode = mode;
    Desk books([&](config::ConfigSnapshot& config) { config.contracts[0].tiers = tiers; });
    books.serve(60, noon);
    config::ModelPrice price{"m", {}};
    price.price.from_ms = december_4;
    price.price.input = price.price.cache_write = price.price.cached_input = price.price.output = price.price.reasoning = money::Price::pico_per_unit(3'000'001);
    REQUIRE(books.ledger->publish(price, noon).result == ledger::Publishing::published);
    const auto rows = books.billed();
    for (std::size_t i = 0; i < rows.size(); i += 5) books.must("reverse", {{"request", text_of(rows[i])}});
    books.must("reprice", {{"model", "m"}, {"from", "2026-11-01"}, {"to", "2026-12-01"}, {"version", "2"}});
    // From scratch: what the requests that stay are worth at the new price, by the attempts' tokens.
    Amount base, other;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (i % 5 == 0) continue;
      for (const auto& attempt : rows[i].attempts) {
        if (attempt.billed.total() == 0 || attempt.sent.site != "dc-one") continue;
        const Amount gross = ledger::gross(*books.ledger->book()->price("m", 2), attempt.billed);
        if (attempt.sent.contract == "c") base += gross;
        else other += Amount::pico(gross.pico() * 7 / 10);  // a leftover unit a request, at most
      }
    }
    REQUIRE(base > cny("0.01"));
    books.close(november, december_4);
    const auto part = [](Amount of, std::int64_t ppm) { return money::int128{of.pico()} * ppm / 1'000'000; };
    const money::int128 expected = mode == config::Tiers::Mode::whole ? part(base, 685'000) : part(cny("0.01"), 650'000) + part(base - cny("0.01"), 685'000);
    const auto one = books.stated(november).at("site:dc-one");
    CHECK(adds_up(one));
    const money::int128 got = (one.share_amount + one.tier_trueup - other).pico();
    CHECK(got - expected >= 0);
    CHECK(got - expected <= 3 + 60);  // contract d's units
    books.sound();
  }
}

TEST_CASE("an order that broke off is made again and moves once; others say what is wrong") {
  Desk books;
  books.serve(10, noon);
  const auto rows = books.billed();
  const std::map<std::string, std::string> order{{"request", text_of(rows[0])}};
  books.journal.records_max = books.journal.records.size();
  CHECK(books.ask("reverse", order).result == Result::failed);
  books.journal.records_max = SIZE_MAX;
  books.journal.durable_max = books.journal.records.size();  // the record is there, but not known to be durable
  CHECK(books.ask("reverse", order).result == Result::failed);
  books.journal.durable_max = UINT64_MAX;
  CHECK(books.ask("reverse", order).result == Result::repeated);
  CHECK(books.why("reverse", {{"request", "x"}}).find("a request id is 32") == 0);
  CHECK(books.why("reverse", {{"request", std::string(32, '0')}}).find("no request") == 0);
  CHECK(books.why("no-such", {}).find("there is no order") == 0);
  CHECK(books.why("refund", {{"tenant", "acme"}, {"amount", "1e3"}, {"id", "1"}}).find("must be a decimal string") != std::string::npos);
  CHECK(books.why("refund", {{"tenant", "acme"}, {"amount", "1"}, {"id", "1"}, {"colour", "red"}}).find("does not take") != std::string::npos);
  CHECK(books.why("refund", {{"tenant", "nobody"}, {"amount", "1"}, {"id", "1"}}).find("nothing was ever booked") == 0);
  CHECK(books.why("refund", {{"tenant", "acme"}, {"amount", "5000"}, {"id", "1"}}).find("would stand at") != std::string::npos);
  books.must("refund", {{"tenant", "acme"}, {"amount", "10"}, {"id", "1"}});
  const std::string hash(64, 'a');
  CHECK(books.why("manual", {{"legs", "E400=1,R300=-1"}, {"made_by", "li"}, {"approved_by", "li"}, {"evidence", hash}, {"id", "m"}}).find("two persons") != std::string::npos);
  CHECK(books.why("manual", {{"legs", "E400=1,R300=-2"}, {"made_by", "li"}, {"approved_by", "wu"}, {"evidence", hash}, {"id", "m"}}).find("sum to") != std::string::npos);
  books.must("manual", {{"legs", "E400=1,R300=-1"}, {"made_by", "li"}, {"approved_by", "wu"}, {"evidence", hash}, {"id", "m"}});
  CHECK(books.why("close-account", {{"account", "L200/acme"}, {"id", "1"}}).find("more than a fen") != std::string::npos);
  books.must("refund", {{"tenant", "acme"}, {"amount", Amount::pico(books.stands("L200/acme").pico() / 10'000'000'000 * 10'000'000'000).text()}, {"id", "all"}});
  books.must("close-account", {{"account", "L200/acme"}, {"id", "1"}});
  CHECK(books.stands("L200/acme").zero());
  books.guarded();
  books.sound();
}

TEST_CASE("random orders over a month: the books stay sound, orders repeat to nothing, and its close is the same again") {
  for (const std::uint64_t seed : {21u, 22u}) {
    INFO("seed " << seed);
    Desk books([](config::ConfigSnapshot& config) {
      vat_inside(config);
      config.contracts[0].holdback = {100'000, 30};
      config.contracts[0].tiers.steps.push_back({cny("0.02"), {250'000, 685'000, 50'000, 15'000}});
      config.contracts[0].penalties = {{"availability", 950'000, cny("0.001"), cny("0.004")}};
      config.contracts[1].guarantee = cny("1");
    });
    SeededRng rng(seed);
    std::vector<std::pair<Order, std::int64_t>> posted;
    const auto round = [&](Period period, std::int64_t wall) {
      books.serve(30, wall);
      auto rows = books.billed(november);
      for (int i = 0; i < 40; ++i) {
        const auto& row = rows[rng.below(rows.size())];
        const std::string id = text_of(row), n = std::to_string(i);
        const std::string little = Amount::pico(static_cast<std::int64_t>(1 + rng.below(3'000'000'000))).text();
        const std::vector<Order> orders{{"reverse", {{"request", id}}},
                                        {"reverse", {{"request", id}, {"amount", little}, {"id", n}}},
                                        {"dispute", {{"request", id}, {"reason", "r"}, {"evidence", "e"}, {"id", n}}},
                                        {"resolve", {{"request", id}, {"for", rng.below(2) ? "customer" : "supplier"}, {"id", n}}},
                                        {"chargeback", {{"request", id}, {"evidence", "e"}, {"cost", "0.1"}, {"id", n}}},
                                        {"goodwill", {{"tenant", row.row.tenant}, {"amount", little}, {"id", ledger::period_text(period) + n}, {"request", id}}},
                                        {"fee", {{"amount", little}, {"id", ledger::period_text(period) + n}}},
                                        {"penalty", {{"contract", "c"}, {"site", "dc-one"}, {"cause", "availability"}, {"measured_ppm", "5"}, {"evidence", "e"}, {"id", n}}},
                                        {"forfeit", {{"party", "site:dc-one"}, {"amount", little}, {"from", rng.below(2) ? "reserve" : "payable"}, {"evidence", "e"}, {"id", ledger::period_text(period) + n}}}};
        const Order& order = orders[rng.below(orders.size())];
        const Entry entry = enter(*books.ledger, order, wall + ledger::day_ms);
        INFO(order.what << ": " << entry.why);
        CHECK(entry.result != Result::failed);
        if (entry.result == Result::posted) posted.emplace_back(order, wall + ledger::day_ms);
      }
      books.guarded();
    };
    round(november, noon);
    books.close(november, december_4);
    round(december, december_4);
    books.close(december, january_4);
    CHECK(posted.size() > 20);
    const auto accounts = books.accounts();
    for (const auto& [order, wall] : posted) CHECK(enter(*books.ledger, order, wall).result == Result::repeated);
    CHECK(books.accounts() == accounts);
    const auto nov = books.stated(november), dec = books.stated(december);
    for (const auto* month : {&nov, &dec})
      for (const auto& [party, one] : *month) CHECK(adds_up(one));
    books.guarded();
    books.sound();
    books.ledger.reset();
    books.lose_store();
    books.open();
    books.post_all();
    CHECK((books.stated(november) == nov));
    CHECK((books.stated(december) == dec));
    CHECK(books.accounts() == accounts);
    books.sound();
  }
}

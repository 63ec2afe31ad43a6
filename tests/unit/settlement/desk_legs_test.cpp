// The legs of each order that stands by itself, as docs/desk.md has them.
#include "gateway/settlement/booked.h"
#include "tests/unit/settlement/desk_books.h"

using namespace trib;
using namespace trib::settlement;
using namespace trib::test;

namespace {

std::string number_of(Desk& books, const Entry& entry) {
  std::string out;
  books.read()->transfers_of(entry.id, [&](const ledger::TransferRow& row) {
    out = std::to_string(row.id);
    return false;
  });
  return out;
}

// The site's parts of the month under one contract.
Amount earned(Desk& books, const std::string& site, const std::string& contract) {
  Amount out;
  for (const auto& row : books.billed())
    for (const auto& part : row.parts)
      if (part.party == "site:" + site && part.contract == contract) out += part.amount;
  return out;
}

}  // namespace

TEST_CASE("orders about customers' accounts move what they say") {
  Desk books;
  CHECK(legs_of(books.must("refund", {{"tenant", "acme"}, {"amount", "10"}, {"id", "1"}})) == Legs{{"51 L200/acme", "10"}, {"51 A100", "-10"}});
  CHECK(legs_of(books.must("goodwill", {{"tenant", "acme"}, {"amount", "2.5"}, {"id", "1"}})) == Legs{{"55 E400", "2.5"}, {"55 L200/acme", "-2.5"}});
  CHECK(legs_of(books.must("fee", {{"amount", "0.3"}, {"id", "1"}})) == Legs{{"54 E420", "0.3"}, {"54 A100", "-0.3"}});
  const Entry manual = books.must("manual", {{"legs", "A110/acme=3,L200/acme=-3"}, {"made_by", "li"}, {"approved_by", "wu"}, {"evidence", std::string(64, 'a')}, {"id", "1"}});
  CHECK(legs_of(manual) == Legs{{"70 A110/acme", "3"}, {"70 L200/acme", "-3"}});
  CHECK(legs_of(books.must("payment", {{"tenant", "acme"}, {"amount", "2"}, {"id", "1"}})) == Legs{{"50 A100", "2"}, {"50 A110/acme", "-2"}});
  CHECK(books.why("payment", {{"tenant", "acme"}, {"amount", "1.01"}, {"id", "2"}}).find("owes 1 ") != std::string::npos);
  books.must("refund", {{"tenant", "bolt"}, {"amount", "1000"}, {"id", "1"}});
  books.must("goodwill", {{"tenant", "bolt"}, {"amount", "0.007"}, {"id", "2"}});
  CHECK(legs_of(books.must("close-account", {{"account", "L200/bolt"}, {"id", "1"}})) == Legs{{"63 L200/bolt", "0.007"}, {"63 E430", "-0.007"}});
  books.must("manual", {{"legs", "E400=-0.004,L200/bolt=0.004"}, {"made_by", "li"}, {"approved_by", "wu"}, {"evidence", std::string(64, 'b')}, {"id", "2"}});
  CHECK(legs_of(books.must("close-account", {{"account", "L200/bolt"}, {"id", "2"}})) == Legs{{"63 L200/bolt", "-0.004"}, {"63 E430", "0.004"}});
  books.guarded();
  books.sound();
}

TEST_CASE("what a whole transfer moved moves back once, and not below what is there") {
  Desk books;
  const auto accounts = books.accounts();
  const Entry fee = books.must("fee", {{"amount", "0.3"}, {"id", "1"}});
  const std::string number = number_of(books, fee);
  CHECK(legs_of(books.must("reverse-transfer", {{"transfer", number}})) == Legs{{"30 E420", "-0.3"}, {"30 A100", "0.3"}});
  CHECK(books.accounts() == accounts);
  CHECK(books.ask("reverse-transfer", {{"transfer", number}}).result == Result::repeated);
  CHECK(books.why("reverse-transfer", {{"transfer", number}, {"reason", "other"}}).find("stands for another order") != std::string::npos);
  const Entry goodwill = books.must("goodwill", {{"tenant", "acme"}, {"amount", "5"}, {"id", "1"}});
  books.must("refund", {{"tenant", "acme"}, {"amount", "1004"}, {"id", "1"}});
  CHECK(books.why("reverse-transfer", {{"transfer", number_of(books, goodwill)}}).find("would stand at") != std::string::npos);
  books.serve(5, noon);
  std::string charge;
  books.read()->transfers({}, [&](const ledger::TransferRow& row) {
    if (row.code == 20) charge = std::to_string(row.id);
    return charge.empty();
  });
  CHECK(books.why("reverse-transfer", {{"transfer", charge}}).find("is not reversed by itself") != std::string::npos);
  CHECK(books.why("reverse-transfer", {{"transfer", "999999"}}).find("there is no transfer") == 0);
  books.guarded();
}

TEST_CASE("a penalty that is reversed still counts against the cap") {
  Desk books([](config::ConfigSnapshot& config) { config.contracts[0].penalties = {{"availability", 950'000, cny("0.002"), cny("0.005")}}; });
  books.serve(10, noon);
  const auto accounts = books.accounts();
  const auto penalty = [&](const std::string& id) {
    return books.ask("penalty", {{"contract", "c"}, {"site", "dc-one"}, {"cause", "availability"}, {"measured_ppm", "900000"}, {"evidence", "report"}, {"id", id}});
  };
  const Entry first = penalty("1");
  CHECK(legs_of(first) == Legs{{"40 L210/dc-one", "0.002"}, {"40 R300", "-0.002"}});
  CHECK(legs_of(books.must("reverse-transfer", {{"transfer", number_of(books, first)}})) == Legs{{"30 L210/dc-one", "-0.002"}, {"30 R300", "0.002"}});
  CHECK(books.accounts() == accounts);
  CHECK(legs_of(penalty("2"))["40 L210/dc-one"] == "0.002");
  CHECK(legs_of(penalty("3"))["40 L210/dc-one"] == "0.001");  // 0.005 less the two before it
  CHECK(penalty("4").why.find("reached their cap") != std::string::npos);
  books.close(november, december_4);
  CHECK(books.stated(november).at("site:dc-one").penalties == -cny("0.003"));  // the reversal stands beside its original
  books.sound();
}

TEST_CASE("a party loses what it has, in reserve or payable, and pays its debt out of what is payable") {
  Desk books([](config::ConfigSnapshot& config) {
    config.contracts[0].holdback = {100'000, 180};
    config.contracts[0].chargeback = config::Chargeback::site;
  });
  books.serve(40, noon);
  books.close(november, december_4);
  const Amount reserve = books.stands("L211/dc-one");
  REQUIRE(reserve > cny("0.000002"));
  CHECK(books.why("forfeit", {{"party", "site:dc-one"}, {"amount", (reserve + Amount::pico(1)).text()}, {"from", "reserve"}, {"evidence", "e"}, {"id", "1"}}, december_4).find("below 0") != std::string::npos);
  CHECK(legs_of(books.must("forfeit", {{"party", "site:dc-one"}, {"amount", "0.000001"}, {"from", "reserve"}, {"evidence", "e"}, {"id", "1"}}, december_4)) ==
        Legs{{"45 L211/dc-one", "0.000001"}, {"45 R300", "-0.000001"}});
  books.serve(20, december_4 - ledger::day_ms);
  CHECK(legs_of(books.must("forfeit", {{"party", "site:dc-one"}, {"amount", "0.000002"}, {"from", "payable"}, {"evidence", "e"}, {"id", "2"}}, december_4)) ==
        Legs{{"45 L210/dc-one", "0.000002"}, {"45 R300", "-0.000002"}});
  for (const auto& row : books.billed()) books.ask("chargeback", {{"request", text_of(row)}, {"evidence", "case"}}, december_4);
  REQUIRE(books.stands("A120/site:dc-one").negative());
  CHECK(books.stands("L210/dc-one").zero());
  books.serve(20, december_4 - ledger::day_ms / 2);
  CHECK(legs_of(books.must("clawback", {{"party", "site:dc-one"}, {"amount", "0.000003"}, {"by", "payable"}, {"id", "1"}}, december_4)) ==
        Legs{{"44 L210/dc-one", "0.000003"}, {"44 A120/site:dc-one", "-0.000003"}});
  CHECK(legs_of(books.must("clawback", {{"party", "site:dc-one"}, {"amount", "0.000004"}, {"by", "bank"}, {"id", "2"}}, december_4)) ==
        Legs{{"44 A100", "0.000004"}, {"44 A120/site:dc-one", "-0.000004"}});
  books.guarded();
  books.sound();
}

TEST_CASE("a payout's legs and those of its return") {
  Desk books;
  books.serve(60, noon);
  books.close(november, december_4);
  const auto one = books.stated(november).at("site:dc-one");
  const std::string paid = one.net_payable.text();
  const Entry payout = books.must("payout", {{"statement", one.no}}, december_4);
  CHECK(legs_of(payout) == Legs{{"52 L212/dc-one", paid}, {"52 A100", "-" + paid}});
  CHECK(legs_of(books.must("payout-returned", {{"payout", payout.id}}, december_4)) == Legs{{"53 L212/dc-one", "-" + paid}, {"53 A100", paid}});
  CHECK(books.why("payout-returned", {{"payout", "payout:x"}}, december_4).find("there is no payout") == 0);
}

TEST_CASE("what an unknown vendor earned waits in suspense, and moves to its owner") {
  Desk books;
  auto final = test::request({static_cast<std::uint64_t>(noon) << 16, 5}, noon, {1000, 0, 0, 500, 0});
  add_attempt(final, "dc-one", "", 500);
  final.admit.price_version = 1;
  books.journal.append(final);
  books.post_all();
  const Amount waits = books.stands("L250/vendor");
  REQUIRE(waits > cny("0.0001"));
  CHECK(books.step(november, december_4) == "grace");
  CHECK(books.step(november, december_4).find("L250/vendor holds") != std::string::npos);
  const std::map<std::string, std::string> order{{"from", "L250/vendor"}, {"to", "L220/amd"}, {"amount", waits.text()}, {"reason", "the device was identified"}, {"evidence", "mail"}, {"id", "1"}};
  auto more = order;
  more["amount"] = (waits + Amount::pico(1)).text();
  CHECK(books.why("suspense", more).find("below 0") != std::string::npos);
  const Entry moved = books.must("suspense", order);
  CHECK(legs_of(moved) == Legs{{"35 L250/vendor", waits.text()}, {"35 L220/amd", "-" + waits.text()}});
  books.must("reverse-transfer", {{"transfer", number_of(books, moved)}});
  CHECK(books.stands("L250/vendor") == waits);
  more = order;
  more["id"] = "2";
  books.must("suspense", more);
  CHECK(books.why("suspense", {{"from", "L250/disputed"}, {"to", "L220/amd"}, {"amount", "1"}, {"reason", "r"}, {"evidence", "e"}, {"id", "3"}}).find("a dispute is resolved") != std::string::npos);
  CHECK(books.why("suspense", {{"from", "L250/vendor"}, {"to", "L250/site"}, {"amount", "1"}, {"reason", "r"}, {"evidence", "e"}, {"id", "3"}}).find("must be another account") != std::string::npos);
  for (const char* state : {"reconciled", "closed", "stated"}) REQUIRE(books.step(november, december_4) == state);
  const auto vendor = books.stated(november).at("vendor:amd");
  CHECK(vendor.share_amount == waits);
  CHECK(adds_up(vendor));
  books.sound();
}

TEST_CASE("leaving a contract costs its part of the guarantee that remains, and who leaves pays") {
  const auto leave = [](const char* by, config::EarlyExit::By agreed, const auto& check) {
    Desk books([&](config::ConfigSnapshot& config) {
      config.contracts[0].guarantee = cny("1");
      config.contracts[0].to_ms = ledger::period_begin_ms(202702) + 10 * ledger::day_ms;  // three months after November, the last one begun
      config.contracts[0].early_exit = config::EarlyExit{agreed, 250'000};
    });
    books.serve(20, noon);
    check(books, [&](std::int64_t at = noon + ledger::day_ms) { return books.ask("early-exit", {{"contract", "c"}, {"site", "dc-one"}, {"by", by}, {"evidence", "letter"}}, at); });
    books.guarded();
  };
  const auto cost_of = [](Amount remaining) { return Amount::pico(remaining.pico() / 4).text(); };
  leave("site", config::EarlyExit::By::either, [&](Desk& books, const auto& ask) {
    // What was given back, or came back out of a dispute, is not earned twice.
    const auto rows = books.billed();
    books.must("dispute", {{"request", text_of(rows[0])}, {"reason", "r"}, {"evidence", "e"}});
    books.must("resolve", {{"request", text_of(rows[0])}, {"for", "supplier"}});
    books.must("reverse", {{"request", text_of(rows[1])}});
    Amount got = earned(books, "dc-one", "c");
    for (const auto& part : rows[1].parts)
      if (part.party == "site:dc-one" && part.contract == "c") got -= part.amount;
    const std::string cost = cost_of(cny("4") - got);
    const Entry entry = ask();
    INFO(entry.why);
    CHECK(legs_of(entry) == Legs{{"46 L210/dc-one", cost}, {"46 R300", "-" + cost}});
    CHECK(ask().result == Result::repeated);
    CHECK(books.why("early-exit", {{"contract", "c"}, {"site", "dc-one"}, {"by", "platform"}, {"evidence", "letter"}}).find("has left contract c already") != std::string::npos);
    books.close(november, december_4);
    CHECK(books.stated(november).at("site:dc-one").penalties == -cny(cost.c_str()));
    books.sound();
  });
  leave("platform", config::EarlyExit::By::platform, [&](Desk& books, const auto& ask) {
    const std::string cost = cost_of(cny("4") - earned(books, "dc-one", "c"));
    CHECK(legs_of(ask()) == Legs{{"46 E410", cost}, {"46 L210/dc-one", "-" + cost}});
    CHECK(books.why("early-exit", {{"contract", "d"}, {"site", "dc-one"}, {"by", "site"}, {"evidence", "e"}}).find("costs nothing") != std::string::npos);
  });
  leave("site", config::EarlyExit::By::platform, [&](Desk&, const auto& ask) { CHECK(ask().why.find("asks nothing of the site") != std::string::npos); });
  leave("platform", config::EarlyExit::By::either, [&](Desk& books, const auto&) {  // of months that are closed, also after that of the exit
    books.close(november, december_4);
    books.close(december, january_4);
    const auto legs = legs_of(books.must("early-exit", {{"contract", "c"}, {"site", "dc-one"}, {"by", "platform"}, {"evidence", "e"}, {"at", "2026-11-20"}}, january_4));
    CHECK(legs == Legs{{"46 E410", "0.5"}, {"46 L210/dc-one", "-0.5"}});
  });
  {  // What remained was paid for: under the contract's next version nothing is left.
    Desk books([](config::ConfigSnapshot& config) {
      auto next = config.contracts[0];
      config.contracts[0].guarantee = next.guarantee = cny("1");
      config.contracts[0].early_exit = next.early_exit = config::EarlyExit{config::EarlyExit::By::either, 250'000};
      next.from_ms = noon + 5 * ledger::day_ms;
      next.to_ms = ledger::period_begin_ms(202702);
      config.contracts.push_back(next);
    });
    books.serve(20, noon);
    const std::map<std::string, std::string> exit{{"contract", "c"}, {"site", "dc-one"}, {"by", "site"}, {"evidence", "e"}};
    books.must("early-exit", exit);
    const std::int64_t later = noon + 9 * ledger::day_ms;
    CHECK(books.why("early-exit", exit, later).find("has left contract c") != std::string::npos);
    books.must("reverse-transfer", {{"transfer", number_of(books, [] { Entry out; out.id = "early_exit:c:1:dc-one"; return out; }())}});
    CHECK(books.must("early-exit", exit, later).id == "early_exit:c:2:dc-one");
    books.must("reverse-transfer", {{"transfer", number_of(books, [] { Entry out; out.id = "early_exit:c:2:dc-one"; return out; }())}}, later);
    auto again = exit;
    again["evidence"] = "another letter";
    CHECK(books.must("early-exit", again, later).id == "early_exit:c:2:dc-one#2");
    CHECK(books.why("early-exit", again, later).empty());  // it is there
    books.sound();
  }
  leave("site", config::EarlyExit::By::site, [&](Desk& books, const auto&) {  // of a month that is closed, its guarantee was topped up
    books.close(november, december_4);
    CHECK(legs_of(books.must("early-exit", {{"contract", "c"}, {"site", "dc-one"}, {"by", "site"}, {"evidence", "e"}, {"at", "2026-11-20"}}, december_4))["46 L210/dc-one"] == "0.75");
  });
}

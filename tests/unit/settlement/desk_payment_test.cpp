// What a customer's bank took back of a payment: his balance, then his newest requests.
#include <algorithm>
#include <set>

#include "gateway/settlement/booked.h"
#include "tests/unit/settlement/desk_books.h"

using namespace trib;
using namespace trib::settlement;
using namespace trib::test;

namespace {

std::vector<ledger::RequestRow> newest_first(Desk& books, const std::string& tenant) {
  std::vector<ledger::RequestRow> out;
  for (const Period period : {november, december})
    for (auto& row : books.billed(period))
      if (row.row.tenant == tenant) out.push_back(std::move(row));
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) {
    return a.row.final_ms != b.row.final_ms ? a.row.final_ms > b.row.final_ms : b.row.id < a.row.id;
  });
  return out;
}

std::set<std::string> parties(Desk& books) {
  std::set<std::string> out;
  for (const Period period : {november, december})
    for (const auto& row : books.billed(period))
      for (const auto& part : row.parts) out.insert(part.party);
  return out;
}

// Uses up what the customer has, but for `left`.
void spend(Desk& books, const std::string& tenant, Amount left, std::int64_t wall_ms) {
  const Amount back = Amount::pico((books.stands("L200/" + tenant) - left).pico() / 10'000'000'000 * 10'000'000'000);
  books.must("refund", {{"tenant", tenant}, {"amount", back.text()}, {"id", "spend"}}, wall_ms);
}

Amount sum(const std::vector<ledger::RequestRow>& rows) {
  Amount out;
  for (const auto& row : rows) out += *row.row.gross;
  return out;
}

}  // namespace

TEST_CASE("invariant 29: a payment that is charged back restores each party to its state before the sales", "[invariant]") {
  for (const std::uint64_t seed : {1u, 2u, 3u}) {
    INFO("seed " << seed);
    Desk books(vat_and_reserve);
    books.rng = SeededRng(seed);
    REQUIRE(books.ledger->topup("acme", "pay", cny("50"), noon) == ledger::Posting::posted);
    spend(books, "acme", cny("50"), noon);
    std::map<std::string, Amount> before;
    books.serve(40, noon);  // bolt's stay
    for (const auto& party : parties(books)) before[party] = books.worth(party);
    for (const auto& row : newest_first(books, "acme"))
      for (const auto& [party, amount] : parts_of(row)) before[party] -= amount;
    if (seed == 2) books.close(november, december_4);  // stated and in reserve: beyond the payable it is a debt
    const std::int64_t now = seed == 2 ? december_4 : noon + ledger::day_ms;
    const Amount bank = books.stands("A100");
    const Entry entry = books.must("chargeback-payment", {{"tenant", "acme"}, {"payment", "pay"}, {"evidence", "case 1"}}, now);
    CHECK(books.stands("A100") == bank + cny("50"));
    CHECK(books.stands("L200/acme") < cny("0.01"));
    for (const auto& [party, amount] : before) {
      INFO(party);
      CHECK(books.worth(party) == amount);
    }
    CHECK(entry.moved().size() == 1);
    const auto accounts = books.accounts();
    const Entry again = books.ask("chargeback-payment", {{"tenant", "acme"}, {"payment", "pay"}, {"evidence", "case 1"}}, now);
    CHECK(again.result == Result::repeated);
    CHECK(again.id == entry.id);
    CHECK(legs_of(again) == legs_of(entry));
    CHECK(books.accounts() == accounts);
    for (const auto& row : newest_first(books, "acme")) CHECK(books.why("reverse", {{"request", text_of(row)}}, now).find("nothing is left") == 0);
    CHECK(books.why("chargeback-payment", {{"tenant", "acme"}, {"payment", "pay"}, {"evidence", "case 2"}, {"id", "2"}}, now).find("nothing is left of the payment") == 0);
    books.guarded();
    books.close(seed == 2 ? december : november, seed == 2 ? january_4 : december_4);
    for (const auto& [party, one] : books.stated(seed == 2 ? december : november)) CHECK(adds_up(one));
    books.sound();
  }
}

TEST_CASE("an opening balance is charged back by its name, and the payment of an invoice is undone instead") {
  Desk books;
  REQUIRE(books.ledger->opening("carl", cny("7"), noon) == ledger::Posting::posted);
  books.must("chargeback-payment", {{"tenant", "carl"}, {"payment", "opening"}, {"evidence", "case 1"}});
  CHECK(books.stands("L200/carl").zero());
  std::uint64_t opened = 0;
  books.read()->transfers_of("opening:carl", [&](const ledger::TransferRow& one) {
    opened = one.id;
    return true;
  });
  CHECK(books.why("reverse-transfer", {{"transfer", std::to_string(opened)}, {"reason", "again"}}).find("the top-up was charged back") == 0);
  CHECK(books.why("chargeback-payment", {{"tenant", "acme"}, {"payment", "opening"}, {"evidence", "case 2"}}).find("there is no top-up opening of acme") == 0);

  books.must("manual", {{"legs", "A110/acme=3,L200/acme=-3"}, {"made_by", "a"}, {"approved_by", "b"}, {"evidence", std::string(64, 'a')}, {"id", "1"}});  // invoiced
  books.must("payment", {{"tenant", "acme"}, {"amount", "2"}, {"id", "p"}});
  const std::string why = books.why("chargeback-payment", {{"tenant", "acme"}, {"payment", "p"}, {"evidence", "case 3"}});
  const std::string mend = "tributary ledger reverse-transfer ";
  REQUIRE(why.find(mend) != std::string::npos);
  books.must("reverse-transfer", {{"transfer", why.substr(why.find(mend) + mend.size())}, {"reason", "the bank took it back"}});
  CHECK(books.stands("A110/acme") == -cny("3"));
  books.sound();
}

TEST_CASE("a payment's chargeback takes the balance, then whole requests by time, and the last one in part") {
  Desk books(vat_inside);
  REQUIRE(books.ledger->topup("acme", "pay", cny("50"), noon) == ledger::Posting::posted);
  books.serve(60, noon);
  const auto rows = newest_first(books, "acme");
  REQUIRE(rows.size() > 8);
  spend(books, "acme", cny("0.02"), noon);
  const Amount balance = books.stands("L200/acme");
  // The newest is reversed in part, the second disputed, the third got goodwill: that one is passed over.
  const Amount part = Amount::pico(rows[0].row.gross->pico() / 3);
  books.must("reverse", {{"request", text_of(rows[0])}, {"amount", part.text()}});
  books.must("dispute", {{"request", text_of(rows[1])}, {"reason", "r"}, {"evidence", "e"}});
  books.must("goodwill", {{"tenant", "acme"}, {"amount", "0.000001"}, {"id", "g"}, {"request", text_of(rows[2])}});
  const Amount has = books.stands("L200/acme");
  CHECK(has == balance + part + cny("0.000001"));
  const Amount last = Amount::pico(rows[4].row.gross->pico() / 7);
  const Amount amount = has + (*rows[0].row.gross - part) + *rows[1].row.gross + *rows[3].row.gross + last;
  const std::map<std::string, std::string> order{{"tenant", "acme"}, {"payment", "pay"}, {"evidence", "case"}, {"amount", amount.text()}, {"id", "1"}};
  auto more = order;
  more["amount"] = "50.01";
  CHECK(books.why("chargeback-payment", more).find("only 50 is left") == 0);
  const Entry entry = books.must("chargeback-payment", order);
  CHECK(legs_of(entry).at("43 L200/acme") == has.text());
  CHECK(legs_of(entry).at("43 L250/disputed") == rows[1].row.gross->text());
  CHECK(legs_of(entry).at("43 A100") == "-" + amount.text());
  CHECK(books.stands("L250/disputed").zero());
  const auto attached = read_attached(entry.document.attach);
  CHECK(attached->requests == std::vector<std::string>{text_of(rows[0]), text_of(rows[1]), text_of(rows[3])});
  CHECK(attached->facts.at("part_of") == text_of(rows[4]));
  CHECK(attached_text(*read_attached(attached_text(*attached))) == entry.document.attach);
  CHECK(books.why("resolve", {{"request", text_of(rows[1])}, {"for", "customer"}}).find("not in dispute") != std::string::npos);
  CHECK(books.why("goodwill", {{"tenant", "acme"}, {"amount", "0.000001"}, {"id", "h"}, {"request", text_of(rows[4])}}).find("stands alone") != std::string::npos);
  CHECK(books.why("reverse", {{"request", text_of(rows[4])}, {"amount", (*rows[4].row.gross - last + Amount::pico(1)).text()}}).find("only") == 0);
  books.must("chargeback", {{"request", text_of(rows[4])}, {"evidence", "the rest"}});
  // The rest of the payment: more than is left of requests.
  const std::string why = books.why("chargeback-payment", {{"tenant", "acme"}, {"payment", "pay"}, {"evidence", "case 2"}, {"id", "2"}});
  Amount rest;
  for (std::size_t i = 5; i < rows.size(); ++i) rest += *rows[i].row.gross;
  CHECK(why.find("only " + rest.text() + " can be charged back") != std::string::npos);
  books.must("chargeback-payment", {{"tenant", "acme"}, {"payment", "pay"}, {"evidence", "case 2"}, {"id", "2"}, {"amount", rest.text()}});
  CHECK(books.ask("chargeback-payment", order).result == Result::repeated);
  CHECK(books.ask("chargeback-payment", {{"tenant", "acme"}, {"payment", "pay"}, {"evidence", "case 3"}, {"id", "2"}}).result == Result::conflict);
  books.guarded();
  books.close(november, december_4);
  for (const auto& [party, one] : books.stated(november)) CHECK(adds_up(one));
  books.sound();
}

TEST_CASE("a payment's chargeback leaves a dispute that it takes a part of, and what requests hold") {
  Desk books;
  REQUIRE(books.ledger->topup("acme", "pay", cny("5"), noon) == ledger::Posting::posted);
  books.serve(30, noon);
  const auto rows = newest_first(books, "acme");
  const Amount gross = *rows[0].row.gross, half = Amount::pico(gross.pico() / 2);
  const auto accounts = books.accounts();
  books.must("dispute", {{"request", text_of(rows[0])}, {"reason", "r"}, {"evidence", "e"}});
  Order order{"chargeback-payment", {{"tenant", "acme"}, {"payment", "pay"}, {"evidence", "case"}, {"amount", (cny("0.5") + half).text()}}};
  order.available = cny("0.5");  // running requests hold the others
  const Entry entry = enter(*books.ledger, order, noon + ledger::day_ms);
  INFO(entry.why);
  REQUIRE(entry.result == Result::posted);
  CHECK(legs_of(entry).at("43 L200/acme") == "0.5");
  CHECK(books.stands("L250/disputed") == gross - half);
  books.must("resolve", {{"request", text_of(rows[0])}, {"for", "supplier"}});
  CHECK(books.stands("L250/disputed").zero());
  Amount left;
  for (const auto& [party, amount] : parts_of(rows[0])) left += amount;
  books.must("reverse", {{"request", text_of(rows[0])}});
  CHECK(books.why("reverse", {{"request", text_of(rows[0])}, {"id", "x"}}).find("nothing is left") == 0);
  CHECK(books.stands("L200/acme") == cny(accounts.at("L200/acme").c_str()) - cny("0.5") + (gross - half));
  std::string topup;
  books.read()->transfers_of("topup:acme:pay", [&](const ledger::TransferRow& row) {
    topup = std::to_string(row.id);
    return false;
  });
  CHECK(books.why("reverse-transfer", {{"transfer", topup}}).find("was charged back") != std::string::npos);
  CHECK(books.why("chargeback-payment", {{"tenant", "acme"}, {"payment", "none"}, {"evidence", "e"}}).find("there is no top-up none") == 0);
  books.read()->transfers_of("topup:bolt:t", [&](const ledger::TransferRow& row) {
    topup = std::to_string(row.id);
    return false;
  });
  spend(books, "bolt", {}, noon);
  REQUIRE(books.ledger->topup("bolt", "u", cny("1000"), noon) == ledger::Posting::posted);
  books.must("reverse-transfer", {{"transfer", topup}});
  CHECK(books.why("chargeback-payment", {{"tenant", "bolt"}, {"payment", "t"}, {"evidence", "e"}}).find("was reversed") != std::string::npos);
  books.sound();
}

TEST_CASE("a payment over months and a thousand requests is several documents, and goes on where it broke off") {
  Desk books(vat_inside);
  REQUIRE(books.ledger->topup("acme", "pay", cny("50"), noon) == ledger::Posting::posted);
  books.serve(3'700, noon);
  books.close(november, december_4);
  books.serve(30, december_4 - ledger::day_ms);
  books.serve(20, noon + 10'000);  // late: they ended in November
  const auto rows = newest_first(books, "acme");
  spend(books, "acme", cny("0.02"), december_4);
  const Amount has = books.stands("L200/acme");
  REQUIRE(rows.size() > 1'050);
  const Amount amount = sum({rows.begin(), rows.begin() + 1'050}) + has;
  REQUIRE(amount < cny("50"));
  const std::map<std::string, std::string> order{{"tenant", "acme"}, {"payment", "pay"}, {"evidence", "case"}, {"amount", amount.text()}};
  std::map<std::string, Amount> before;
  for (const auto& party : parties(books)) before[party] = books.worth(party);
  books.journal.records_max = books.journal.records.size() + 3;  // SEALs are records, too
  const Entry broken = books.ask("chargeback-payment", order, december_4);
  CHECK(broken.result == Result::failed);
  CHECK(broken.why.find("the same order again goes on") != std::string::npos);
  books.journal.records_max = SIZE_MAX;
  books.must("chargeback-payment", order, december_4);
  CHECK(books.ask("chargeback-payment", order, december_4).result == Result::repeated);
  std::vector<std::size_t> sizes;
  std::vector<std::string> taken;
  Amount told;
  desk_documents(*books.read(), [&](const ledger::CommandRow& row, const ledger::Document&, const Attached& attached) {
    if (row.id.rfind("chargeback:acme:", 0) != 0) return true;
    CHECK(attached.period == december);
    sizes.push_back(attached.requests.size());
    taken.insert(taken.end(), attached.requests.begin(), attached.requests.end());
    told += cny(attached.facts.at("amount").c_str());
    return true;
  });
  CHECK(told == amount);
  REQUIRE(taken.size() == 1'050);
  for (std::size_t i = 0; i < taken.size(); ++i) REQUIRE(taken[i] == text_of(rows[i]));
  CHECK(sizes.size() >= 4);  // the balance, December's, a thousand of November's, the others
  CHECK(*std::max_element(sizes.begin(), sizes.end()) == 1'000);
  for (std::size_t i = 0; i < taken.size(); ++i)
    for (const auto& [party, part] : parts_of(rows[i])) before[party] -= part;
  for (const auto& [party, worth] : before) CHECK(books.worth(party) == worth);
  // A re-price leaves them out.
  config::ModelPrice price{"m", {}};
  price.price.from_ms = january_4;
  price.price.input = price.price.cache_write = price.price.cached_input = price.price.output = price.price.reasoning = money::Price::pico_per_unit(3'000'001);
  price.price.tax = config::PriceTax{6, true};
  REQUIRE(books.ledger->publish(price, december_4).result == ledger::Publishing::published);
  const Entry repriced = books.must("reprice", {{"model", "m"}, {"from", "2026-11-01"}, {"to", "2027-01-01"}, {"version", "2"}, {"tenant", "acme"}}, december_4);
  CHECK(read_attached(repriced.document.attach)->facts.at("skipped") == "1050");
  books.guarded();
  books.close(december, january_4);
  for (const auto& [party, one] : books.stated(december)) CHECK(adds_up(one));
  books.sound();
}

// Statements against the rows that they were reckoned from.
#include "gateway/settlement/audit.h"

#include "gateway/settlement/close.h"
#include "gateway/settlement/reckon.h"
#include "tests/support/mem_disk.h"
#include "tests/unit/ledger/world.h"

using namespace trib;
using namespace trib::settlement;

namespace {

constexpr ledger::Period november = 202611;
constexpr std::int64_t december_4 = test::nov_2026 + 33 * ledger::day_ms + 3'600'000;
const auto one_pico = money::Amount::pico(1);

// November with 200 requests, so many steps towards PAID.
struct Books : test::World {
  test::MemDisk disk{1};
  std::string why;
  std::optional<SigningKey> key = SigningKey::open(disk, "key.pem", why);

  explicit Books(int steps) {
    REQUIRE(key);
    start();
    SeededRng rng(7);
    for (int i = 0; i < 200; ++i) {
      auto final = test::random_final(rng, test::noon + i);
      final.admit.price_version = 1;
      for (auto& attempt : final.attempts) attempt.vendor = "nvidia";
      journal.append(final);
    }
    post_all();
    for (int i = 0; i < steps; ++i) step();
  }
  void step() {
    const auto made = advance(*ledger, *key, november, december_4, {}, {});
    INFO(made.error);
    for (const auto& item : made.items) INFO(item.name << ": " << item.why);
    REQUIRE(made.moved);
  }
  // What the statement of the site says, or will say.
  Statement statement(const std::string& party) {
    const auto reader = ledger->reader(why);
    const auto book = reader->book();
    Turnover turnover;
    REQUIRE(read_turnover(*reader, *book, november, turnover, {}));
    return reckon(*reader, *book, november, turnover, Whose::partners).at(party);
  }
  void tell(const std::string& id, const Statement& statement) {
    ledger::Document document;
    document.kind = "statement";
    document.attach = statement_text(statement);
    REQUIRE(ledger->post(id, document, december_4) == ledger::Posting::posted);
  }
  StatementAudit audit() {
    const auto reader = ledger->reader(why);
    REQUIRE(reader);
    return audit_statements(*reader, *ledger->book());
  }
};

constexpr int to_closed = 3, to_stated = 4;

}  // namespace

TEST_CASE("the statements of a month are those of its rows") {
  Books books(to_stated);
  const auto fine = books.audit();
  INFO(fine.place << ": " << fine.why);
  CHECK(fine.ok);
  CHECK(fine.statements >= 3);
}

TEST_CASE("a statement with one figure that is not that of its rows is found and located") {
  Books books(to_closed);
  const auto party = GENERATE(std::string("vendor:nvidia"), std::string("referrer:lianmeng"));
  auto told = books.statement(party);
  std::string column;
  SECTION("a base") {
    column = "gross_revenue";
    told.gross_revenue += one_pico;
    told.share_base += one_pico;
  }
  SECTION("a line, and another that makes up for it") {
    column = "share_amount";
    told.share_amount += one_pico;
    told.penalties = told.penalties - one_pico;
  }
  SECTION("what was carried in") {
    column = "opening_carry";
    told.opening_carry += one_pico;
    told.closing_carry += one_pico;
  }
  books.tell("statement:a", told);
  const auto found = books.audit();
  CHECK_FALSE(found.ok);
  CHECK(found.place == "statement, command statement:a, " + column);
}

TEST_CASE("a second statement of one month is found") {
  Books books(to_stated);
  books.tell("statement:a", books.statement("vendor:nvidia"));
  const auto found = books.audit();
  CHECK_FALSE(found.ok);
  CHECK(found.place == "statement, command statement:a");
}

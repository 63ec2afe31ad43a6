// Statements against the rows that they were reckoned from.
#include "gateway/settlement/audit.h"

#include "gateway/settlement/close.h"
#include "tests/support/mem_disk.h"
#include "tests/unit/ledger/world.h"

using namespace trib;
using namespace trib::settlement;

namespace {

constexpr ledger::Period november = 202611;
constexpr std::int64_t december_4 = test::nov_2026 + 33 * ledger::day_ms + 3'600'000;

StatementAudit audit(test::World& world) {
  std::string why;
  const auto reader = world.ledger->reader(why);
  REQUIRE(reader);
  return audit_statements(*reader, *world.ledger->book());
}

}  // namespace

TEST_CASE("a statement whose figures are not those of its rows is found and located") {
  test::World world;
  test::MemDisk disk(1);
  std::string why;
  const auto key = SigningKey::open(disk, "key.pem", why);
  REQUIRE(key);
  world.start();
  SeededRng rng(7);
  for (int i = 0; i < 200; ++i) {
    auto final = test::random_final(rng, test::noon + i);
    final.admit.price_version = 1;
    for (auto& attempt : final.attempts) attempt.vendor = "nvidia";
    world.journal.append(final);
  }
  world.post_all();
  for (int step = 0; step < 4; ++step) {
    const auto made = advance(*world.ledger, *key, november, december_4, {}, {});
    INFO(made.error);
    for (const auto& item : made.items) INFO(item.name << ": " << item.why);
    REQUIRE(made.moved);
  }
  const auto fine = audit(world);
  INFO(fine.place << ": " << fine.why);
  REQUIRE(fine.ok);
  REQUIRE(fine.statements >= 3);

  // Another telling of one of them, which the ledger takes as it moves nothing.
  const auto reader = world.ledger->reader(why);
  auto told = statements(*reader, november).front();
  const auto one_pico = money::Amount::pico(1);
  const auto lie = [&](const char* id, const Statement& statement) {
    ledger::Document document;
    document.kind = "statement";
    document.attach = statement_text(statement);
    REQUIRE(world.ledger->post(id, document, december_4) == ledger::Posting::posted);
    return audit(world);
  };
  auto gross = told;
  gross.gross_revenue += one_pico;
  gross.share_base += one_pico;
  const auto first = lie("statement:a", gross);
  CHECK_FALSE(first.ok);
  CHECK(first.place == "statement, command statement:a, gross_revenue");
}

// Documents and periods: what moves money beside requests, and what a closed month refuses.
#include "gateway/ledger/documents.h"

#include <map>

#include "gateway/ledger/accounts.h"
#include "gateway/ledger/verify.h"
#include "tests/unit/ledger/world.h"

using namespace trib;
using namespace trib::ledger;
using money::Amount;
using test::noon;
using test::nov_2026;
using test::World;

namespace {

constexpr std::int64_t december = nov_2026 + 30 * day_ms;
constexpr Period november = 202611;

Amount cny(const char* text) { return *Amount::parse(text); }

DocumentTransfer transfer(Code code, const std::string& debit, const std::string& credit, Amount amount, Period period = november) {
  DocumentTransfer out;
  out.code = code;
  out.period = period;
  out.effective_at = noon;
  out.legs = {{debit, amount}, {credit, -amount}};
  return out;
}

Document one(const std::string& kind, DocumentTransfer transfer) {
  Document out;
  out.kind = kind;
  out.transfers.push_back(std::move(transfer));
  return out;
}

Amount stands(World& world, const std::string& account, Period period = 0) {
  std::string why;
  return world.ledger->reader(why)->stands(account, period);
}

// Moves the month to `to`, a step at a time; the reason when one is refused.
std::string step(World& world, Period period, PeriodState to, std::int64_t wall_ms = december) {
  static int count = 0;
  PeriodStep step{period, to, {}, {}};
  std::string why;
  if (to == PeriodState::closed) step.seal = to_hex(*world.ledger->reader(why)->seal(period));
  const std::string id = "period:" + std::to_string(++count);
  world.ledger->step(id, step, wall_ms);
  return world.ledger->refusal(id);
}

void close(World& world, Period period = november, std::int64_t wall_ms = december) {
  for (const auto to : {PeriodState::grace, PeriodState::reconciled, PeriodState::closed}) REQUIRE(step(world, period, to, wall_ms) == "");
}

void sound(World& world) {
  const Verdict verdict = verify(world.path(), "", 0, &world.journal);
  INFO(verdict.place << ": " << verdict.why);
  CHECK(verdict.ok);
}

}  // namespace

TEST_CASE("every account of the chart has a name and a side, and a party where it needs one") {
  for (const char* fine : {"A100", "A110/acme", "A120/site:dc-one", "C150", "L200/acme", "L212/dc-one", "L250/disputed", "E430"}) CHECK(account_kind(fine));
  for (const char* wrong : {"", "A100/x", "L200", "L200/", "L999/x", "R301", "/x", "l200/x"}) CHECK_FALSE(account_kind(wrong));
  CHECK(reserve_account("vendor:nvidia") == "L221/nvidia");
  CHECK(stated_account("site:dc-one") == "L212/dc-one");
  CHECK(party_of("L231/lianmeng") == "referrer:lianmeng");
  CHECK(party_of("L200/acme") == "");
}

TEST_CASE("a document reads back as it was written, and nothing else reads as one") {
  Document document = one("penalty", transfer(Code::penalty, "L210/dc-one", "R300", cny("1.5")));
  document.evidence = "report \"7\"";
  document.transfers[0].doc = "x";
  document.transfers[0].reverses = 3;
  document.expect = {{"L210/dc-one", november, cny("-2")}};
  document.floors = {{"L200/acme", 0, {}}};
  document.attach = "{\"a\":1}";
  const std::string terms = document_terms(document);
  const auto back = read_document(terms);
  REQUIRE(back);
  CHECK(document_terms(*back) == terms);
  CHECK(back->transfers[0].legs == document.transfers[0].legs);
  for (std::size_t cut = 0; cut < terms.size(); ++cut) CHECK_FALSE(read_document(terms.substr(0, cut)));
  CHECK_FALSE(read_document(R"({"document":"x","transfers":[],"more":1})"));
  CHECK_FALSE(read_document(R"({"document":"x","transfers":[{"code":40,"period":202611,"effective_at":1,"legs":[["R300",1.5]]}]})"));
}

TEST_CASE("a document's quantities read back, sum to zero, and are booked and verified with the others") {
  World world;
  world.start();
  Document document = one("reversal", transfer(Code::goodwill, "E400", "L200/acme", cny("1")));
  document.quantities = {{november, "dc-one", "m", QuantityAccount::produced, {1, 2, 0, 0, 5, 0}}, {november, "dc-one", "m", QuantityAccount::consumed, {-1, -2, 0, 0, -5, 0}}};
  const auto back = read_document(document_terms(document));
  REQUIRE(back);
  CHECK(back->quantities == document.quantities);
  CHECK(world.ledger->post("q", document, noon) == Posting::posted);
  CHECK(world.ledger->quantities().size() == 2);
  document.quantities[1].amount[4] = -4;
  CHECK(refuse(document) == "the quantities of site dc-one do not sum to 0");
  document.quantities[1].amount[4] = -5;
  document.quantities[0].period = document.quantities[1].period = 202701;
  CHECK(world.ledger->post("early", document, noon) == Posting::failed);
  CHECK(world.ledger->refusal("early") == "period 2027-01 has not begun");
  sound(world);
}

TEST_CASE("a document moves what it says, once, and the books stay sound") {
  World world;
  world.start();
  REQUIRE(world.ledger->topup("acme", "t", cny("100"), noon) == Posting::posted);
  const Document refund = one("refund", transfer(Code::cash_refund, "L200/acme", "A100", cny("30")));
  CHECK(world.ledger->post("refund:1", refund, noon) == Posting::posted);
  CHECK(world.ledger->post("refund:1", refund, noon) == Posting::repeated);
  CHECK(world.ledger->post("refund:1", one("refund", transfer(Code::cash_refund, "L200/acme", "A100", cny("31"))), noon) == Posting::conflict);
  CHECK(stands(world, "L200/acme") == cny("70"));
  CHECK(stands(world, "A100") == cny("-70"));
  CHECK(world.ledger->trial_balance().sum.zero());
  sound(world);
}

TEST_CASE("a document that does not balance, or names what is not there, moves nothing and says why") {
  World world;
  world.start();
  Document odd = one("penalty", transfer(Code::penalty, "L210/dc-one", "R300", cny("1")));
  odd.transfers[0].legs[1].amount = cny("-2");
  CHECK(refuse(odd) == "a transfer of code 40: its legs sum to -1, not to 0");
  CHECK(world.ledger->post("odd", odd, noon) == Posting::failed);
  CHECK(refuse(one("x", transfer(Code::penalty, "L210", "R300", cny("1")))) == "a transfer of code 40: there is no account \"L210\"");
  CHECK(refuse(one("x", transfer(Code::usage_charge, "L200/a", "R300", cny("1")))) == "a transfer of code 20: requests post it, not documents");
  CHECK(refuse(one("x", transfer(static_cast<Code>(99), "L200/a", "R300", cny("1")))) == "a transfer of code 99: there is no such code");
  CHECK(refuse(one("x", transfer(Code::manual, "E400", "R300", cny("1")))) == "a manual entry needs its document's hash as evidence");
  // The poster checks what the journal says, whoever wrote it.
  world.journal.append(metering::Command{"forged", "document", noon, document_terms(odd)});
  world.post_all();
  CHECK(world.ledger->refusal("forged") == "a transfer of code 40: its legs sum to -1, not to 0");
  CHECK(stands(world, "R300").zero());
  sound(world);
}

TEST_CASE("what must not go below zero does not, and what was reckoned from must still stand") {
  World world;
  world.start();
  REQUIRE(world.ledger->topup("acme", "t", cny("10"), noon) == Posting::posted);
  REQUIRE(world.ledger->post("w", one("withhold", transfer(Code::reserve_withhold, "L210/dc-one", "L211/dc-one", cny("4"))), noon) == Posting::posted);
  CHECK(world.ledger->post("r", one("release", transfer(Code::reserve_release, "L211/dc-one", "L210/dc-one", cny("4.000000000001"))), noon) == Posting::failed);
  CHECK(world.ledger->refusal("r") == "L211/dc-one would stand at -0.000000000001, below 0");
  CHECK(world.ledger->post("r2", one("release", transfer(Code::reserve_release, "L211/dc-one", "L210/dc-one", cny("4"))), noon) == Posting::posted);

  Document refund = one("refund", transfer(Code::cash_refund, "L200/acme", "A100", cny("10.5")));
  refund.floors = {{"L200/acme", 0, {}}};
  CHECK(world.ledger->post("f", refund, noon) == Posting::failed);
  CHECK(world.ledger->refusal("f") == "L200/acme would stand at -0.5, below 0");

  Document stale = one("payout", transfer(Code::goodwill, "E400", "L200/acme", cny("1")));
  stale.expect = {{"L200/acme", november, cny("9")}};
  CHECK(world.ledger->post("s", stale, noon) == Posting::failed);
  CHECK(world.ledger->refusal("s") == "L200/acme in 2026-11 stands at 10, not at 9 as the document was reckoned from");
  stale.expect[0].amount = cny("10");
  CHECK(world.ledger->post("s2", stale, noon) == Posting::posted);
  sound(world);
}

TEST_CASE("a reversal negates its transfer on every account, once") {
  World world;
  world.start();
  REQUIRE(world.ledger->post("p", one("penalty", transfer(Code::penalty, "L210/dc-one", "R300", cny("3"))), noon) == Posting::posted);
  std::string why;
  std::uint64_t id = 0;
  world.ledger->reader(why)->transfers({}, [&](const TransferRow& row) {
    if (row.doc_id == "p") id = row.id;
    return true;
  });
  REQUIRE(id != 0);
  Document reversal = one("reversal", transfer(Code::reversal, "L210/dc-one", "R300", cny("-2")));
  reversal.transfers[0].reverses = id;
  CHECK(world.ledger->post("r1", reversal, noon) == Posting::failed);
  CHECK(world.ledger->refusal("r1").find("other legs") != std::string::npos);
  reversal.transfers[0].legs = {{"L210/dc-one", cny("-3")}, {"R300", cny("3")}};
  CHECK(world.ledger->post("r2", reversal, noon) == Posting::posted);
  CHECK(world.ledger->post("r3", reversal, noon) == Posting::failed);
  CHECK(world.ledger->refusal("r3") == "transfer " + std::to_string(id) + " is reversed already");
  for (const auto& row : world.ledger->trial_balance().accounts) CHECK((row.debit.zero() && row.credit.zero()));
  sound(world);
}

TEST_CASE("a period goes its steps in order, and only when it is over") {
  World world;
  world.start();
  CHECK(step(world, november, PeriodState::grace, december - 1) == "period 2026-11 is still running");
  CHECK(step(world, november, PeriodState::closed) == "period 2026-11 is open and cannot become closed");
  CHECK(step(world, november, PeriodState::grace) == "");
  CHECK(step(world, november, PeriodState::grace) == "period 2026-11 is grace and cannot become grace");
  CHECK(step(world, november, PeriodState::reconciled) == "");
  const PeriodStep blind{november, PeriodState::closed, std::string(64, '0'), {}};
  CHECK(world.ledger->step("blind", blind, december) == Posting::failed);
  CHECK(world.ledger->refusal("blind") == "period 2026-11 has moved since its seal was reckoned");
  CHECK(step(world, november, PeriodState::closed) == "");
  CHECK(step(world, november, PeriodState::stated) == "");
  CHECK(step(world, november, PeriodState::paid) == "");
  const auto periods = world.ledger->periods();
  REQUIRE(periods.size() == 1);
  CHECK(periods[0].state == PeriodState::paid);
  CHECK(periods[0].closed_ms == december);
  sound(world);
}

TEST_CASE("invariants 22 and 24: a closed period takes nothing more; what comes late is booked in the open one, as of its time") {
  World world;
  world.start();
  SeededRng rng(5);
  REQUIRE(world.ledger->topup("acme", "t", cny("100"), noon) == Posting::posted);
  for (int i = 0; i < 50; ++i) world.journal.append(test::random_final(rng, noon + i));
  world.post_all();
  close(world);
  std::string why;
  const auto seal = to_hex(*world.ledger->reader(why)->seal(november));
  CHECK(world.ledger->periods()[0].seal == seal);

  CHECK(world.ledger->post("late", one("penalty", transfer(Code::penalty, "L210/dc-one", "R300", cny("1"))), december) == Posting::failed);
  CHECK(world.ledger->refusal("late") == "period 2026-11 is closed");
  CHECK(world.ledger->post("early", one("penalty", transfer(Code::penalty, "L210/dc-one", "R300", cny("1"), 202701)), december) == Posting::failed);
  CHECK(world.ledger->refusal("early") == "period 2027-01 has not begun");

  // A FINAL whose clock stood in November arrives now.
  metering::TokenCounts counts;
  counts.input = 100;
  counts.output = 10;
  metering::Final final = test::request({static_cast<std::uint64_t>(noon) << 16, 77}, noon, counts);
  test::add_attempt(final, "dc-one", "nvidia", 10);
  world.journal.append(final);
  world.post_all();
  const auto row = world.ledger->request(final.admit.id);
  REQUIRE(row);
  CHECK(row->row.period == 202612);
  CHECK(row->row.final_ms == final.wall_ms);
  std::size_t late = 0;
  const auto reader = world.ledger->reader(why);
  reader->transfers(202612, [&](const TransferRow& transfer) {
    late += transfer.code == static_cast<std::uint16_t>(Code::late_usage);
    if (transfer.code == static_cast<std::uint16_t>(Code::late_usage)) CHECK(transfer.effective_at == final.wall_ms);
    return true;
  });
  CHECK(late == 1);
  CHECK(to_hex(*reader->seal(november)) == seal);
  CHECK(world.ledger->trial_balance().sum.zero());
  // A top-up of November's clock too.
  CHECK(world.ledger->topup("acme", "t2", cny("5"), noon) == Posting::posted);
  CHECK(stands(world, "L200/acme", 202612) == cny("5") - *row->row.gross);
  sound(world);

  // The store itself refuses what the program would not do.
  Connection db;
  REQUIRE(db.open(world.owner_path(), "", Connection::Mode::write, why));
  Statement insert = db.prepare("INSERT INTO transfer(shard, id, batch, code, reason, effective_at, booked_at, period, doc_id, leaf) "
                                "VALUES(0, 999, 1, 40, '', 0, 0, 202611, '', ?)");
  CHECK_FALSE(insert.reset().blob(std::string_view("leaf")).done());
  CHECK(db.error() == "the period is closed");
}

TEST_CASE("invariant 10: documents and steps redelivered, or posted to a new store, give the same books") {
  World world;
  world.batch_max = 7;
  world.start();
  SeededRng rng(6);
  for (int i = 0; i < 40; ++i) {
    world.journal.append(test::random_final(rng, noon + i));
    if (i % 9 == 0) {
      const Document document = one("goodwill", transfer(Code::goodwill, "E400", "L200/acme", Amount::pico(1 + static_cast<std::int64_t>(rng.below(1000)))));
      world.journal.append(metering::Command{"g" + std::to_string(i), "document", noon, document_terms(document)});
    }
  }
  world.post_all();
  close(world);
  const auto seal = world.ledger->periods()[0].seal;
  std::map<std::string, std::string> before, after;
  for (const auto& row : world.ledger->trial_balance().accounts) before[row.account] = row.debit.text() + " " + row.credit.text();

  const auto records = world.journal.records;
  for (const auto& record : records)
    if (std::holds_alternative<metering::Command>(record)) world.journal.append(record);  // delivered again
  world.post_all();
  for (const auto& row : world.ledger->trial_balance().accounts) after[row.account] = row.debit.text() + " " + row.credit.text();
  CHECK(before == after);
  CHECK(world.ledger->periods()[0].seal == seal);

  world.ledger.reset();
  world.lose_store();
  world.open();
  world.post_all();
  after.clear();
  for (const auto& row : world.ledger->trial_balance().accounts) after[row.account] = row.debit.text() + " " + row.credit.text();
  CHECK(before == after);
  CHECK(world.ledger->periods()[0].seal == seal);
  sound(world);
}

TEST_CASE("a period that was changed behind the program's back is found") {
  World world;
  world.start();
  close(world);
  world.ledger.reset();
  Connection db;
  std::string why;
  REQUIRE(db.open(world.path(), "", Connection::Mode::write, why));
  REQUIRE(db.run("UPDATE period SET state = 2"));
  const Verdict verdict = verify(world.path(), "", 0, &world.journal);
  CHECK_FALSE(verdict.ok);
  CHECK(verdict.place == "table period, 2026-11");
}

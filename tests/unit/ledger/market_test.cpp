// Market indexes and the contracts that they put at risk.
#include "gateway/ledger/market.h"

#include "gateway/ledger/period.h"
#include "tests/catch.h"
#include "tests/unit/ledger/world.h"

using namespace trib;
using namespace trib::ledger;
using money::Amount;
using test::noon;
using test::World;

namespace {

Amount cny(const char* text) { return *Amount::parse(text); }

Book book_with(const std::string& terms) {
  Book book;
  const auto contract = config::parse_contract("f", "id: c\nfrom: 2026-01-01\nshares: { site: 1000000 }\n" + terms);
  ContractVersion version;
  static_cast<config::ContractTerms&>(version) = contract;
  version.contract = contract.id;
  version.version = 1;
  version.from_ms = contract.from_ms;
  version.to_ms = contract.to_ms;
  book.contracts["c"] = {version};
  return book;
}

}  // namespace

TEST_CASE("an index value is set once for its time, kept in order, and there after a restart") {
  World world;
  world.start();
  const IndexValue first{"h100-hour", noon, cny("15.5")}, later{"h100-hour", noon + day_ms, cny("11")};
  CHECK(world.ledger->set_index(later, noon) == Posting::posted);
  CHECK(world.ledger->set_index(first, noon) == Posting::posted);
  CHECK(world.ledger->set_index(first, noon + 5) == Posting::repeated);
  CHECK(world.ledger->set_index({"h100-hour", noon, cny("16")}, noon) == Posting::conflict);
  CHECK(world.ledger->set_index({"h100-hour", noon + 1, {}}, noon) == Posting::failed);
  CHECK(world.ledger->set_index({"", noon + 1, cny("1")}, noon) == Posting::failed);
  world.open();
  CHECK(world.ledger->index_values() == std::vector<IndexValue>{first, later});
  std::string why;
  CHECK(verify(*world.ledger->reader(why), 0, &world.journal).ok);
}

TEST_CASE("an index alarms beyond its bound, up and down, by its latest value") {
  const Book book = book_with("index: { name: i, reference: \"15\" }\n");  // 20 %
  const auto risk = [&](std::vector<IndexValue> values) {
    const auto all = contract_risks({book, std::move(values), {}, {}, noon});
    REQUIRE(all.size() == 1);
    return all[0];
  };
  CHECK_FALSE(risk({}).index);
  CHECK_FALSE(risk({}).alarm);
  for (const auto& [value, moved, alarm] : {std::tuple("18", 200'000, false), {"18.000000000001", 200'000, true}, {"12", -200'000, false},
                                            {"11.999999999999", -200'000, true}, {"15", 0, false}, {"30", 1'000'000, true}}) {
    INFO(value);
    const auto found = risk({{"i", noon, cny(value)}, {"other", noon, cny("99")}});
    CHECK(found.moved_ppm == moved);
    CHECK(found.alarm == alarm);
  }
  CHECK_FALSE(risk({{"i", noon - 2, cny("30")}, {"i", noon - 1, cny("15")}}).alarm);  // it came back
  CHECK_FALSE(risk({{"i", noon + 1, cny("30")}}).index);                              // not yet
}

TEST_CASE("what is left of a guarantee, and what leaving early would cost") {
  const auto risks = [](const Book& book) {
    return contract_risks({book, {}, {{"b", "c"}, {"a", "c"}, {"x", "other"}}, {{"a", cny("300")}, {"b", cny("9999")}}, noon});
  };
  const std::string fixed = "to: 2027-02-01\nguarantee: \"1000\"\nearly_exit: { ppm: 200000 }\n";
  auto all = risks(book_with(fixed));  // November, then December and January
  REQUIRE(all.size() == 2);
  CHECK(all[0].site == "a");
  CHECK(all[0].remaining_guarantee == cny("2700"));
  CHECK(all[0].early_exit_cost == cny("540"));
  CHECK(all[1].remaining_guarantee == cny("2000"));
  all = risks(book_with("guarantee: \"1000\"\nearly_exit: { ppm: 200000 }\n"));
  CHECK_FALSE(all[0].remaining_guarantee);  // an open term has no rest
  CHECK_FALSE(all[0].early_exit_cost);
  CHECK(risks(book_with(""))[0].remaining_guarantee == Amount{});
  CHECK(risks(book_with("to: 2026-11-02\n")).empty());  // over
  Book next = book_with(fixed);
  next.contracts["c"][0].from_ms = period_begin_ms(202701);
  CHECK(risks(next)[0].remaining_guarantee == cny("1000"));  // of the term that is still to begin
}

// The bank's file beside A100: each movement is of one month's report alone.
#include "gateway/settlement/report.h"

#include "tests/unit/settlement/desk_books.h"

using namespace trib;
using namespace trib::settlement;
using namespace trib::test;

namespace {

Report bank(Desk& books, Period period, const std::string& lines) {
  ReportQuestion question;
  question.from_ms = ledger::period_begin_ms(period);
  question.to_ms = ledger::period_end_ms(period);
  question.now_ms = january_4;
  question.file = ReportFile{"bank.csv", "reference,amount\n" + lines, {}};
  auto report = make_report(*books.ledger, "bank", question);
  REQUIRE(report);
  INFO(report->error);
  REQUIRE(report->error == "");
  return *report;
}

}  // namespace

TEST_CASE("a file is needed to compare: without one the report says nothing") {
  Desk books;
  ReportQuestion question;
  question.to_ms = 1;
  const auto report = make_report(*books.ledger, "bank", question);
  REQUIRE(report);
  CHECK_FALSE(report->compared);
  CHECK(report_json(*report).find("\"fine\":null") != std::string::npos);
}

TEST_CASE("what a bank moved after its month was closed is found in the month in which it moved") {
  Desk books;
  books.serve(20, noon);
  const auto sold = books.billed().front().row;
  const std::string paid = "topup:acme:t,1000\ntopup:bolt:t,1000\n";
  CHECK(bank(books, november, paid).fine());
  books.close(november, december_4);

  books.must("chargeback", {{"request", sold.id.text()}, {"evidence", "case 1"}}, december_4);  // of November, which is closed
  books.must("fee", {{"amount", "2.5"}, {"id", "late"}, {"at", "2026-11-28"}, {"evidence", "bill"}}, december_4);  // told late
  const std::string fee = "fee:late,-2.5\n", back = sold.id.text() + ",-" + sold.gross->text() + "\n";
  CHECK(bank(books, november, paid + fee).fine());
  CHECK(bank(books, november, paid).found == 1);  // the fee is missed
  CHECK(bank(books, december, back).fine());
  CHECK(bank(books, december, "").found == 1);
  CHECK(bank(books, december, back + fee).found == 1);  // not of this month
  books.sound();
}

TEST_CASE("a chargeback in the month's grace is the bank's of the month after") {
  Desk books;
  books.serve(20, noon);
  const auto sold = books.billed().front().row;
  REQUIRE(books.step(november, december_4) == "grace");
  books.must("chargeback", {{"request", sold.id.text()}, {"evidence", "case 1"}}, december_4);
  CHECK(bank(books, november, "topup:acme:t,1000\ntopup:bolt:t,1000\n").fine());
  CHECK(bank(books, december, sold.id.text() + ",-" + sold.gross->text() + "\n").fine());
}

// The batch for the tax bureau: checked whole before it is written.
#include "gateway/settlement/einvoice.h"

#include "tests/unit/settlement/taxed_books.h"

using namespace trib;
using namespace trib::settlement;
using test::TaxedBooks;

namespace {

config::ExportsConfig without(const config::ExportsConfig& config, const std::string& party) {
  auto out = config;
  out.parties.erase(party);
  return out;
}

}  // namespace

TEST_CASE("one bad line is named and the whole batch is refused") {
  TaxedBooks books(1, true);
  const auto made = books.invoiced();
  REQUIRE(made.size() == 2);
  for (const Invoice& one : made) CHECK(refuse(one, books.exports) == "");
  std::string why;
  CHECK_FALSE(make_einvoices(made, 0, books.exports, why).content.empty());
  CHECK(why == "");

  const auto refused = [&](Invoice bad, const config::ExportsConfig& config, const std::string& says) {
    why.clear();
    CHECK(make_einvoices({made[0], bad}, 0, config, why).content.empty());
    INFO(why);
    CHECK(why.find(says) != std::string::npos);
  };
  refused(made[1], without(books.exports, "customer:bolt"), "invoice 2026-11/bolt: the buyer's name is not said: add party customer:bolt");
  auto nameless = books.exports;
  nameless.parties["customer:bolt"].tax_no.clear();
  refused(made[1], nameless, "the buyer's tax number is not said");
  auto wordy = books.exports;
  wordy.parties["customer:bolt"].legal_name = std::string(101, 'x');
  refused(made[1], wordy, "longer than 100 letters");
  Invoice bad = made[1];
  bad.item_code = "123";
  refused(bad, books.exports, "invoice 2026-11/bolt, line 1 (m): the item's code `123` is not 19 digits");
  bad = made[1];
  bad.lines[0].amount = bad.lines[0].net = bad.amount = bad.net = money::Amount{} - made[1].amount;
  refused(bad, books.exports, "invoice 2026-11/bolt");
  auto unnamed = books.exports;
  auto layouts = *books.exports.layouts;
  layouts.items.clear();
  unnamed.layouts = std::make_shared<config::ExportLayouts>(layouts);
  refused(made[1], unnamed, "add it to `einvoice.items`");
  CHECK(make_einvoices({}, 0, books.exports, why).content.empty());
  CHECK(why.find("no invoice of this month has an amount") == 0);
}

TEST_CASE("the month's batch is exported once it is invoiced, with the tax inside or on top") {
  for (const bool inclusive : {true, false}) {
    TaxedBooks books(2, inclusive);
    CHECK(books.make(Format::einvoice).error.find("no invoice of this month") == 0);
    const auto made = books.invoiced();
    const Export out = books.make(Format::einvoice);
    REQUIRE(out.error == "");
    money::Amount sum;
    for (const Invoice& one : made) sum += one.amount;
    CHECK(out.files[0].sum_debit == sum);
    CHECK(out.files[0].sum_credit == sum);
    CHECK(books.make(Format::einvoice, "customer:acme").files[0].rows == 1);
    const Export focus = books.make(Format::focus);
    REQUIRE(focus.error == "");
    CHECK(focus.files[0].content.find(",2026-11/acme,") != std::string::npos);
  }
}

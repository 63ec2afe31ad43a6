// Hidden: writes books and their exports for the acceptance by foreign tools (tests/integration/exports_test.py).
#include <cstdlib>

#include "tests/unit/settlement/random_books.h"
#include "tests/unit/settlement/taxed_books.h"

using namespace trib;
using namespace trib::settlement;

TEST_CASE("writes exports for foreign tools into $TRIB_BOOKS", "[.books]") {
  const char* const folder = std::getenv("TRIB_BOOKS");
  REQUIRE(folder != nullptr);
  for (const std::uint64_t seed : {1u, 2u}) {
    test::RandomBooks books(seed);
    books.live(300);
    const std::string root = std::string(folder) + "/" + std::to_string(seed) + "/";
    for (const std::string period : {"2026-11", "2026-12"}) {
      for (const std::string format : {"csv", "jsonl", "xlsx", "hledger", "beancount"}) {
        for (const std::string party : {"", "site:dc-one", "vendor:nvidia"}) {
          const Export made = books.make(period, *parse_format(format), party);
          REQUIRE(made.error == "");
          REQUIRE_FALSE(write_export(system_disk(), root + period + "/" + format + (party.empty() ? "" : "-" + party.substr(party.find(':') + 1)), made));
        }
      }
    }
    for (const std::string period : {"2026-11", "2026-12"}) {
      for (const std::string format : {"voucher", "focus"}) {
        const Export made = books.make(period, *parse_format(format));
        REQUIRE(made.error == "");
        REQUIRE_FALSE(write_export(system_disk(), root + period + "/" + format, made));
      }
      const Export one = books.make(period, Format::focus, "customer:acme");
      REQUIRE(one.error == "");
      REQUIRE_FALSE(write_export(system_disk(), root + period + "/focus-acme", one));
      for (const std::string party : {"site:dc-one", "vendor:nvidia"}) {
        std::string why;
        const auto page = read_statement_page(*books.ledger, period + "/" + party, books.config, *books.key, why);
        REQUIRE(page);
        REQUIRE_FALSE(write_file(system_disk(), root + period + "/" + party.substr(party.find(':') + 1) + ".html", statement_html(*page)));
      }
    }
    ledger::Connection db;
    std::string why;
    REQUIRE(db.open(books.path(), "", ledger::Connection::Mode::write, why));
    REQUIRE(db.run(("VACUUM INTO '" + root + "ledger.db'").c_str()));
  }
  test::TaxedBooks taxed(3, true);
  std::string invoices;
  for (const Invoice& one : taxed.invoiced()) invoices += invoice_text(one) + "\n";
  const std::string root = std::string(folder) + "/taxed/";
  const Export made = taxed.make(Format::einvoice);
  REQUIRE(made.error == "");
  REQUIRE_FALSE(write_export(system_disk(), root + "einvoice", made));
  REQUIRE_FALSE(write_file(system_disk(), root + "invoices.jsonl", invoices));
}

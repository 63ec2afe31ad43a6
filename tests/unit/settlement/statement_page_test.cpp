// A statement as a printed page.
#include "gateway/settlement/statement_page.h"

#include <set>

#include "tests/unit/settlement/random_books.h"

using namespace trib;
using namespace trib::settlement;
using test::RandomBooks;

TEST_CASE("a statement's page shows its figures, its seal and a chart, and escapes what others wrote") {
  RandomBooks books(7, true);
  books.live(40);
  std::string why;
  const auto page = read_statement_page(*books.ledger, "2026-11/site:cafe-one", books.config, *books.key, why);
  INFO(why);
  REQUIRE(page);
  CHECK_FALSE(page->provisional);
  StatementPage wild = *page;
  wild.legal_name = "<script>alert('x')</script> & \"Co\"";
  const std::string html = statement_html(wild);
  CHECK(html.find("<script") == std::string::npos);
  CHECK(html.find("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;Co&quot;") != std::string::npos);
  for (const char* outside : {"http:", "https:", "url(", "src=", "@import", "<link"}) CHECK(html.find(outside) == std::string::npos);
  CHECK(html.find(page->statement.seal_hash) != std::string::npos);
  CHECK(html.find("<svg") != std::string::npos);
  CHECK(html.find("What was shared") != std::string::npos);
  REQUIRE_FALSE(page->policies.empty());
  CHECK(html.find("on_cancel received &nbsp;on_break output_only &nbsp;zero_output nothing") != std::string::npos);
  // The chart's bars are the month's own parts.
  const std::string chart = statement_chart(*page);
  std::size_t bars = 0, lines = 0;
  for (auto at = chart.find("<rect"); at != std::string::npos; at = chart.find("<rect", at + 1)) ++bars;
  for (const auto& [key, line] : page->lines) lines += key.model.empty() ? 0 : 1;
  CHECK(bars == lines);
}

TEST_CASE("a running month's page says that it is provisional, and a page of nobody is refused") {
  RandomBooks books(8);
  books.live(40);
  std::string why;
  const auto page = read_statement_page(*books.ledger, "2026-12/site:dc-one", books.config, *books.key, why);
  REQUIRE(page);
  CHECK(page->provisional);
  const std::string html = statement_html(*page);
  CHECK(html.find(">Provisional<") != std::string::npos);
  CHECK(html.find("What was shared") == std::string::npos);  // its contract does not show the gross
  for (const char* no : {"2026-12/site:nobody", "2026-13/site:dc-one", "2026-12", "", "2026-12/vat"}) {
    INFO(no);
    CHECK_FALSE(read_statement_page(*books.ledger, no, books.config, *books.key, why));
    CHECK(why.find("there is no account behind a statement") == 0);
  }
}

TEST_CASE("the house has a page of its own, whose chart shows every site") {
  RandomBooks books(7, true);
  books.live(40);
  std::string why;
  const auto page = read_statement_page(*books.ledger, "2026-11/platform", books.config, *books.key, why);
  INFO(why);
  REQUIRE(page);
  CHECK_FALSE(page->provisional);
  std::set<std::string> sites;
  money::Amount share;
  for (const auto& [key, line] : page->lines) {
    CHECK(key.party == "platform");
    if (!key.site.empty()) sites.insert(key.site);
    share += line.share_amount;
  }
  CHECK(sites.size() > 1);
  CHECK(share == page->statement.share_amount);
  const std::string html = statement_html(*page);
  CHECK(html.find("The house's own part") != std::string::npos);
  CHECK(html.find("Payee") == std::string::npos);
  CHECK(html.find(" · ") != std::string::npos);  // a series' site and model
  CHECK(read_statement_page(*books.ledger, "2027-01/platform", books.config, *books.key, why)->provisional);
}

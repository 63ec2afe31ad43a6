// A statement as one printed page: HTML with its style and chart inside, no script, nothing from elsewhere.
#pragma once
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gateway/config/config.h"
#include "gateway/settlement/lines.h"
#include "gateway/settlement/signing.h"

namespace trib::settlement {

struct StatementPage {
  Statement statement;
  bool provisional = false;   // the month is not stated; the house's: not closed
  bool house = false;         // "2026-11/platform": what stays with the platform, by every site; it has no number
  bool gross = false;         // the party may see what customers paid
  money::Amount paid;
  std::vector<std::pair<LineKey, Statement>> lines;
  struct Policies {
    std::string contract;
    std::uint32_t version = 0;
    config::Policies terms;
  };
  std::vector<Policies> policies;  // by which the month was billed: a site's versions of it, else the one that the statement names
  std::string legal_name, tax_no, house_name, house_tax_no;  // empty: not said
  std::string signature, public_key;  // of the month's seal; hex, empty before the close
};

// Reads it from one moment of the store; empty with the reason where there is none. `no` is "2026-11/site:dc-one",
// or "2026-11/platform" for the house's own.
std::optional<StatementPage> read_statement_page(ledger::Ledger& ledger, const std::string& no, const config::ExportsConfig& config,
                                                 const SigningKey& key, std::string& why);
std::string statement_html(const StatementPage& page);

// What a party earned a day, stacked by site (where the page may name it) and model, as an SVG element.
std::string statement_chart(const StatementPage& page);
std::string html_text(std::string_view text);  // escaped, for elements and quoted attributes

}  // namespace trib::settlement

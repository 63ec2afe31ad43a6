// Vouchers and charges for FinOps tools: what cannot be exported is refused in words.
#include "tests/unit/settlement/random_books.h"

using namespace trib;
using namespace trib::settlement;
using test::RandomBooks;

namespace {

const char* no_env(const char*) { return nullptr; }

std::string refusal(const std::string& yaml) {
  try {
    config::parse_layouts("layouts.yaml", yaml, no_env);
  } catch (const config::ConfigError& error) {
    return error.what();
  }
  return {};
}

}  // namespace

TEST_CASE("an account without a code refuses the vouchers, and so does a missing layout") {
  RandomBooks books(3);
  books.live(30);
  CHECK(books.make("2026-11", Format::voucher).error == "");
  CHECK(books.make("2026-11", Format::voucher, "site:dc-one").error == "vouchers are the house's own: leave the party out");
  auto layouts = *books.config.layouts;
  layouts.accounts.erase("L200");
  books.config.layouts = std::make_shared<config::ExportLayouts>(layouts);
  const std::string why = books.make("2026-11", Format::voucher).error;
  INFO(why);
  CHECK(why.find("account L200/") == 0);
  CHECK(why.find(" has no code in the layouts") != std::string::npos);
  layouts.accounts["L200/acme"] = layouts.accounts["L200/bolt"] = layouts.accounts["L200/corp"] = {"1", "x"};
  books.config.layouts = std::make_shared<config::ExportLayouts>(layouts);
  CHECK(books.make("2026-11", Format::voucher).error == "");
  books.config.layouts = nullptr;
  CHECK(books.make("2026-11", Format::voucher).error.find("there is no voucher layout") == 0);
}

TEST_CASE("a layout's mistakes are named with line and column") {
  CHECK(refusal("voucher:\n  columns:\n    - { header: a, field: dates }\n").find("layouts.yaml:3:") == 0);
  CHECK(refusal("voucher:\n  columns:\n    - { header: a, field: dates }\n").find("did you mean `date`?") != std::string::npos);
  CHECK(refusal("voucher:\n  columns:\n    - { header: a, field: date, value: x }\n").find("a column has one of them") != std::string::npos);
  CHECK(refusal("accounts:\n  - { account: L210, code: '1', name: a }\n  - { account: L210, code: '2', name: b }\n").find("layouts.yaml:3:") == 0);
  CHECK(refusal("einvoice:\n  items:\n    - { model: m, name: n, code: '123' }\n").find("must be 19 digits") != std::string::npos);
  CHECK(refusal("vouchers: {}\n").find("unknown key") != std::string::npos);
}

TEST_CASE("charges for FinOps tools are a customer's, and of months before they are corrections") {
  RandomBooks books(4);
  books.live(60);
  CHECK(books.make("2026-11", Format::focus, "site:dc-one").error == "this is for customers: a party is customer:TENANT");
  const Export acme = books.make("2026-11", Format::focus, "customer:acme");
  REQUIRE(acme.error == "");
  CHECK(acme.files[0].content.find("bolt") == std::string::npos);
  CHECK(acme.files[0].content.find(",Correction,") == std::string::npos);
  CHECK(books.make("2026-12", Format::focus).files[0].content.find(",Correction,") != std::string::npos);  // late requests
}

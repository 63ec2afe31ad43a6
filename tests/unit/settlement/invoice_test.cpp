// Customers' invoices: whole fen, their tax, and what is carried.
#include "gateway/settlement/invoice.h"

#include "gateway/settlement/amounts.h"
#include "tests/unit/settlement/books.h"

using namespace trib;
using namespace trib::settlement;
using namespace trib::test;
using Result = Entry::Result;

namespace {

void set_code(Books& books) {
  REQUIRE(enter(*books.ledger, {"set", {{"name", "item_code"}, {"value", "3040803000000000000"}, {"id", "1"}}}, noon).result == Result::posted);
}

void tax(config::ConfigSnapshot& config, std::uint32_t percent, bool inclusive) {
  config.models[0].prices[0].tax = config::PriceTax{percent, inclusive};
}

std::map<std::string, Invoice> invoiced(Books& books, Period period) {
  std::map<std::string, Invoice> out;
  for (auto& one : invoices(*books.read(), period)) out[one.tenant] = std::move(one);
  return out;
}

}  // namespace

TEST_CASE("invariant 9: VAT + net = gross in fen, per line and per invoice", "[invariant]") {
  for (const bool inclusive : {true, false}) {
    for (const std::uint32_t percent : {0u, 3u, 6u, 13u}) {
      INFO(percent << (inclusive ? " inside" : " on top"));
      Books books([&](config::ConfigSnapshot& config) {
        tax(config, percent, inclusive);
        auto more = config.models[0];
        more.id = "n";
        config.models.push_back(more);
      });
      set_code(books);
      Amount charged, invoiced_sum;
      std::int64_t wall = noon;
      Period period = november;
      for (int month = 0; month < 3; ++month) {
        for (int i = 0; i < 40; ++i) {
          auto final = random_final(books.rng, wall + i);
          final.admit.price_version = 1;
          if (i % 3 == 0) final.admit.model = "n";
          for (auto& attempt : final.attempts) attempt.vendor = "nvidia";
          books.journal.append(final);
        }
        books.post_all();
        const std::int64_t close_at = ledger::period_end_ms(period) + 4 * ledger::day_ms;
        books.read()->usage(period, [&](const ledger::RequestRow& row) {
          if (row.row.tenant == "acme") charged += row.row.gross.value_or(Amount{});
          return true;
        });
        books.close(period, close_at);
        const Amount before = books.stands("L240") + books.stands("L241") + books.stands("L200/acme") + books.stands("L200/bolt");
        for (const auto& entry : make_invoices(*books.ledger, period, close_at)) {
          INFO(entry.why);
          CHECK(entry.result == Result::posted);
        }
        CHECK(make_invoices(*books.ledger, period, close_at).empty());
        CHECK(books.stands("L240") + books.stands("L241") + books.stands("L200/acme") + books.stands("L200/bolt") == before);
        const auto made = invoiced(books, period);
        REQUIRE(made.contains("acme"));
        for (const auto& [tenant, one] : invoiced(books, period)) {
          CHECK(adds_up(one));
          CHECK(one.net + one.tax == one.amount);
          CHECK(one.receivable.zero());  // prepaid
          for (const auto& line : one.lines) {
            CHECK(line.net + line.tax == line.amount);
            CHECK(line.amount == floor_fen(line.amount));
          }
        }
        const auto& acme = made.at("acme");
        invoiced_sum += inclusive ? acme.amount : acme.net;
        CHECK(charged == invoiced_sum + acme.closing_carry);
        CHECK(acme.closing_carry < cny("0.01"));
        period = ledger::next_period(period);
        wall = ledger::period_begin_ms(period) + ledger::day_ms;
      }
      if (inclusive) CHECK(books.stands("L240").zero());  // all that accrued is invoiced, or went back
      books.sound();
    }
  }
}

TEST_CASE("what a customer owes moves to receivables with the invoice, and is paid from there") {
  Books books([](config::ConfigSnapshot& config) { tax(config, 6, true); });
  const auto all = Amount::pico(books.stands("L200/acme").pico());
  REQUIRE(enter(*books.ledger, {"refund", {{"tenant", "acme"}, {"amount", all.text()}, {"id", "1"}}}, noon).result == Result::posted);
  books.serve(200, noon);
  const Amount charged = -books.stands("L200/acme");
  REQUIRE(charged > cny("0.02"));
  CHECK(make_invoices(*books.ledger, november, december_4)[0].why.find("is not closed yet") != std::string::npos);
  books.close(november, december_4);
  CHECK(make_invoices(*books.ledger, november, december_4)[0].why.find("no item code") == 0);
  set_code(books);
  for (const auto& entry : make_invoices(*books.ledger, november, december_4)) CHECK(entry.result == Result::posted);
  const auto acme = invoiced(books, november).at("acme");
  CHECK(adds_up(acme));
  CHECK(acme.amount - acme.receivable <= cny("0.01"));
  CHECK(-books.stands("A110/acme") == acme.receivable);
  REQUIRE(enter(*books.ledger, {"payment", {{"tenant", "acme"}, {"amount", acme.receivable.text()}, {"id", "p"}}}, december_4).result == Result::posted);
  CHECK(books.stands("A110/acme").zero());
  CHECK(enter(*books.ledger, {"payment", {{"tenant", "acme"}, {"amount", "1"}, {"id", "q"}}}, december_4).why.find("owes 0") != std::string::npos);
  const auto again = invoice_text(acme);
  CHECK(invoice_text(*read_invoice(again)) == again);
  for (std::size_t cut = 0; cut < again.size(); ++cut) CHECK_FALSE(read_invoice(again.substr(0, cut)));
  books.sound();
}

TEST_CASE("no VAT rate, no invoice; a month's corrections are on it") {
  Books bare;
  bare.serve(20, noon);
  set_code(bare);
  bare.close(november, december_4);
  const auto refused = make_invoices(*bare.ledger, november, december_4);
  REQUIRE_FALSE(refused.empty());
  CHECK(refused[0].why.find("says no VAT rate") != std::string::npos);

  Books books([](config::ConfigSnapshot& config) { tax(config, 6, true); });
  set_code(books);
  books.serve(40, noon);
  std::vector<ledger::RequestRow> rows;
  books.read()->usage(november, [&](const ledger::RequestRow& row) {
    if (row.row.state == ledger::State::billed && row.row.tenant == "bolt") rows.push_back(row);
    return true;
  });
  Amount charged;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (i % 2) charged += *rows[i].row.gross;
    else REQUIRE(enter(*books.ledger, {"reverse", {{"request", rows[i].row.id.text()}}}, noon + ledger::day_ms).result == Result::posted);
  }
  books.close(november, december_4);
  for (const auto& entry : make_invoices(*books.ledger, november, december_4)) CHECK(entry.result == Result::posted);
  CHECK(invoiced(books, november).at("bolt").charged == charged);
  books.sound();
}

TEST_CASE("a credit of an earlier month makes a line negative; what outweighs the month's sales is carried, its VAT too") {
  for (const bool outweighs : {false, true}) {
    INFO((outweighs ? "outweighs" : "does not"));
    Books books([](config::ConfigSnapshot& config) {
      tax(config, 6, true);
      auto more = config.models[0];
      more.id = "n";
      config.models.push_back(more);
    });
    set_code(books);
    std::uint64_t number = 0;
    const auto serve = [&](const char* model, std::uint64_t output, std::int64_t wall_ms) {
      auto final = test::request({static_cast<std::uint64_t>(wall_ms) << 16, ++number}, wall_ms, {0, 0, 0, output, 0});
      final.admit.model = model;
      final.admit.tenant = "acme";
      final.admit.price_version = 1;
      add_attempt(final, "dc-one", "nvidia", output);
      books.journal.append(final);
      books.post_all();
      return final.admit.id.text();
    };
    const auto invoice = [&](Period period, std::int64_t now) {
      for (const auto& entry : make_invoices(*books.ledger, period, now)) {
        INFO(entry.why);
        REQUIRE(entry.result == Result::posted);
      }
      return invoiced(books, period).at("acme");
    };
    const std::string sold = serve("m", 40'000, noon);  // 0.32 CNY
    books.close(november, december_4);
    const auto first = invoice(november, december_4);
    CHECK(first.amount == cny("0.32"));
    CHECK(first.tax == cny("0.02"));
    const Amount accrued = books.stands("L240");
    const std::int64_t in_december = december_4 - ledger::day_ms;
    serve("n", outweighs ? 10'000 : 60'000, in_december);  // 0.08 or 0.48
    REQUIRE(enter(*books.ledger, {"reverse", {{"request", sold}}}, december_4).result == Result::posted);
    const Amount vat = books.stands("L240") - accrued;  // of December: the credit's taken off
    books.close(december, january_4);
    const auto second = invoice(december, january_4);
    if (!outweighs) {
      REQUIRE(second.lines.size() == 2);
      CHECK(second.lines[0].model == "m");
      CHECK(second.lines[0].requests == 0);
      CHECK(second.lines[0].charged == -cny("0.32000004"));
      CHECK(second.lines[0].amount == -cny("0.32"));  // -0.33, towards minus infinity, and the fen that is missing to 0.16
      CHECK(second.lines[0].tax == -cny("0.02"));
      CHECK(second.lines[0].net == -cny("0.3"));
      CHECK(second.lines[1].amount == cny("0.48"));
      CHECK(second.amount == cny("0.16"));
      CHECK(second.tax == second.lines[0].tax + second.lines[1].tax);
      CHECK(adds_up(second));
      CHECK(books.stands("L240") == Amount{});
    } else {
      CHECK(second.lines.empty());
      CHECK(second.amount.zero());
      CHECK(second.closing_carry == cny("0.00000004") + cny("0.08000001") - cny("0.32000004"));
      CHECK(second.vat_accrued == vat);
      CHECK(vat.negative());
      const auto third_period = ledger::next_period(december);
      const std::int64_t february_4 = ledger::period_end_ms(third_period) + 3 * ledger::day_ms;
      serve("n", 60'000, january_4);
      const Amount customer = books.stands("L200/acme");
      books.close(third_period, february_4);
      const auto third = invoice(third_period, february_4);
      CHECK(third.opening_carry == first.closing_carry);
      CHECK(third.amount == floor_fen(second.closing_carry + cny("0.48000006")));
      REQUIRE(third.lines.size() == 2);  // the credit under its own model and price, the sales of both months
      CHECK(third.lines[0].charged == -cny("0.32000004"));
      CHECK(third.lines[1].charged == cny("0.56000007"));
      CHECK(third.lines[1].requests == 2);
      CHECK(invoice_text(*read_invoice(invoice_text(second))) == invoice_text(second));
      CHECK(books.stands("L240") == Amount{});
      CHECK(books.stands("L200/acme") == customer + third.vat_accrued - third.tax);
      CHECK(third.vat_accrued == vat + Amount::pico(cny("0.48000006").pico() * 6 / 106));
      CHECK(adds_up(third));
    }
    books.sound();
  }
}

TEST_CASE("invoices that are made late, after the month after was closed, ask for what is owed once") {
  std::optional<Amount> in_time;
  for (const bool late : {false, true}) {
    INFO((late ? "late" : "in time"));
    Books books([](config::ConfigSnapshot& config) { tax(config, 6, true); });
    set_code(books);
    REQUIRE(enter(*books.ledger, {"refund", {{"tenant", "acme"}, {"amount", books.stands("L200/acme").text()}, {"id", "1"}}}, noon).result == Result::posted);
    const auto invoice = [&](Period period, std::int64_t now) {
      for (const auto& entry : make_invoices(*books.ledger, period, now)) REQUIRE(entry.result == Result::posted);
      return invoiced(books, period).at("acme");
    };
    books.serve(100, noon);
    const Amount owes = -books.stands("L200/acme");
    books.close(november, december_4);
    if (!late) invoice(november, december_4);
    REQUIRE(books.ledger->topup("acme", "half", Amount::pico(owes.pico() / 2), december_4) == ledger::Posting::posted);
    books.serve(100, december_4);
    books.close(december, january_4);
    if (late) invoice(november, january_4);
    const auto second = invoice(december, january_4);
    if (!in_time) in_time = second.receivable;
    CHECK(second.receivable == *in_time);
    CHECK(second.receivable < second.amount);  // some of it was paid before
    books.sound();
  }
}

#include <map>

#include "gateway/base/json.h"
#include "gateway/settlement/settlement.h"
#include "gateway/settlement/sheet.h"
#include "tests/unit/ledger/world.h"

using namespace trib;
using namespace trib::settlement;
using money::Amount;
using test::noon;
using test::World;
using Row = std::map<std::string, std::string>;

namespace {

// An independent reader of RFC 4180 as the exports write it.
std::vector<Row> parse_csv(const std::string& text) {
  std::vector<std::vector<std::string>> lines(1, std::vector<std::string>(1));
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    std::string& cell = lines.back().back();
    if (quoted && c == '"' && i + 1 < text.size() && text[i + 1] == '"') {
      cell += text[++i];
    } else if (c == '"') {
      quoted = !quoted;
    } else if (!quoted && c == ',') {
      lines.back().emplace_back();
    } else if (!quoted && c == '\n') {
      lines.emplace_back(1);
    } else {
      cell += c;
    }
  }
  lines.pop_back();
  std::vector<Row> out;
  for (std::size_t i = 1; i < lines.size(); ++i) {
    REQUIRE(lines[i].size() == lines[0].size());
    Row& row = out.emplace_back();
    for (std::size_t k = 0; k < lines[0].size(); ++k) row[lines[0][k]] = lines[i][k];
  }
  return out;
}

std::vector<Row> parse_jsonl(const std::string& text) {
  std::vector<Row> out;
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t end = text.find('\n', at);
    REQUIRE(end != std::string::npos);
    const std::string line = text.substr(at, end - at);
    json::Cursor cursor(line, {.unique_keys = true});
    REQUIRE(cursor.enter_object());
    Row& row = out.emplace_back();
    std::string_view key;
    while (cursor.next_key(key)) {
      const std::string name(key);
      if (cursor.peek() == json::Type::string) {
        cursor.read_string(row[name]);
      } else {
        row[name] = cursor.skip();
      }
    }
    REQUIRE(cursor.finish());
    at = end + 1;
  }
  return out;
}

const ExportFile& file(const Export& made, const std::string& stem) {
  for (const auto& f : made.files) {
    if (f.name.compare(0, stem.size() + 1, stem + ".") == 0) return f;
  }
  FAIL("no file " << stem);
  return made.files[0];
}

Amount sum(const std::vector<Row>& rows, const std::string& column) {
  Amount out;
  for (const auto& row : rows) {
    const std::string& text = row.at(column);
    if (!text.empty() && text != "null") out += *Amount::parse(text);
  }
  return out;
}

// Every row by itself, in whole pico.
void carries_run(const std::vector<Row>& rows) {
  for (const auto& row : rows) {
    const auto at = [&](const char* column) { return *Amount::parse(row.at(column)); };
    CHECK(at("opening_carry") + at("share_amount") + at("tier_trueup") + at("guarantee_topup") + at("penalties") + at("chargebacks") +
              at("prior_period_adj") + at("reserve_withheld") + at("reserve_released") ==
          at("net_payable") + at("closing_carry"));
    CHECK(at("gross_revenue") + at("refunds") + at("vat_excluded") + at("payment_fees") == at("share_base"));
  }
}

struct Books : World {
  std::unique_ptr<SigningKey> key;
  std::vector<metering::Final> sent;
  explicit Books(std::uint64_t seed) {
    start();
    REQUIRE(ledger->topup("acme", "t", *Amount::parse("50"), noon) == ledger::Posting::posted);
    SeededRng rng(seed);
    const std::int64_t edge = ledger::period_end_ms(202611);
    for (int i = 0; i < 200; ++i) {
      sent.push_back(test::random_final(rng, edge - 4 * ledger::day_ms + static_cast<std::int64_t>(rng.below(6 * 86'400'000))));
      journal.append(sent.back());
      if (rng.below(40) == 0) ledger->post_once();
    }
    post_all();
    std::string why;
    key = std::make_unique<SigningKey>(*SigningKey::open(system_disk(), dir.file("export.pem"), why));
  }
  Export make(std::string period, Format format, std::string party = "") {
    ExportOptions options;
    options.period = std::move(period);
    options.format = format;
    options.party = std::move(party);
    return export_period(*ledger, options, *key);
  }
};

}  // namespace

TEST_CASE("an export read back by a foreign parser gives the store's sums") {
  Books books(1);
  std::size_t requests = 0;
  for (const std::string period : {"2026-11", "2026-12"}) {
    for (const Format format : {Format::csv, Format::jsonl}) {
      const Export made = books.make(period, format);
      REQUIRE(made.error == "");
      const auto parse = [&](const std::string& stem) {
        const ExportFile& f = file(made, stem);
        auto rows = format == Format::csv ? parse_csv(f.content) : parse_jsonl(f.content);
        CHECK(rows.size() == f.rows);
        return rows;
      };
      const auto detail = parse("usage_detail");
      const auto summary = parse("settlement_summary");
      const auto lines = parse("settlement_lines");
      const auto trial = parse("ledger_trial_balance");
      const auto legs = parse("legs");
      const auto transfers = parse("transfers");
      if (format == Format::csv) requests += detail.size();

      std::map<std::string, Amount> moved;  // by account, from the legs
      for (const auto& leg : legs) moved[leg.at("account")] += *Amount::parse(leg.at("credit")) - *Amount::parse(leg.at("debit"));
      Amount sites, customers;
      for (const auto& [account, amount] : moved) {
        if (account.compare(0, 5, "L210/") == 0) sites += amount;
        if (account.compare(0, 5, "L200/") == 0) customers += amount;
      }
      CHECK(moved["C150"].zero());
      CHECK(sum(detail, "part_site") == sites);
      CHECK(sum(detail, "part_platform") == moved["R300"]);
      CHECK(sum(detail, "part_referrer") == moved["L230/lianmeng"]);
      CHECK(sum(detail, "part_vendor") == moved["L220/nvidia"] + moved["L250/vendor"]);
      const Amount charge = sum(detail, "charge");
      CHECK(charge == sum(detail, "part_platform") + sum(detail, "part_site") + sum(detail, "part_vendor") + sum(detail, "part_referrer"));
      CHECK(customers == (period == "2026-11" ? *Amount::parse("50") : Amount{}) - charge);
      CHECK(sum(summary, "share_amount") == charge);
      CHECK(sum(lines, "share_amount") == charge);
      CHECK(sum(trial, "debit") == sum(trial, "credit"));
      CHECK(sum(trial, "period_debit") == sum(trial, "period_credit"));
      CHECK(sum(legs, "debit") == sum(transfers, "amount"));
      CHECK(file(made, "usage_detail").sum_debit == charge);
      CHECK(file(made, "usage_detail").sum_credit == charge);
      carries_run(summary);
      carries_run(lines);
    }
  }
  CHECK(requests == books.sent.size());
}

TEST_CASE("voided rows are there with zeros, unknown ones without a figure") {
  Books books(2);
  int voided = 0, quarantined = 0;
  for (const auto& row : parse_csv(file(books.make("2026-11", Format::csv), "usage_detail").content)) {
    if (row.at("state") == "voided") {
      ++voided;
      for (const char* column : {"charge", "part_platform", "part_site", "part_vendor", "part_referrer", "tokens_input", "tokens_output"}) {
        CHECK(row.at(column) == "0");
      }
    }
    if (row.at("state") == "quarantined") {
      ++quarantined;
      CHECK(row.at("charge") == "");
      CHECK(row.at("part_site") == "");
    }
  }
  CHECK(voided > 0);
  CHECK(quarantined > 0);
}

TEST_CASE("a party's export holds its own part and nothing of anyone else") {
  Books books(3);
  const auto whole = parse_jsonl(file(books.make("2026-11", Format::jsonl), "usage_detail").content);
  Amount of_all;
  for (const std::string party : {"site:dc-one", "site:cafe-one", "vendor:nvidia", "referrer:lianmeng"}) {
    const Export made = books.make("2026-11", Format::jsonl, party);
    REQUIRE(made.error == "");
    CHECK(made.files.size() == 4);  // detail, summary, lines, manifest
    std::string text;
    for (const auto& f : made.files) text += f.content;
    for (const std::string other : {"dc-one", "cafe-one", "nvidia", "lianmeng", "acme", "bolt", "platform\":\"0"}) {
      INFO(party << " sees " << other);
      CHECK((party.find(other) != std::string::npos || text.find(other) == std::string::npos));
    }
    const auto rows = parse_jsonl(file(made, "usage_detail").content);
    const std::string column = "part_" + party.substr(0, party.find(':'));
    for (const auto& row : rows) {
      for (const char* hidden : {"tenant", "charge", "part_platform", "part_site", "part_vendor", "part_referrer"}) {
        if (hidden != column) CHECK(row.at(hidden) == "null");
      }
    }
    const Amount own = sum(rows, column);
    CHECK(own == sum(parse_jsonl(file(made, "settlement_summary").content), "share_amount"));
    CHECK(own == sum(parse_jsonl(file(made, "settlement_lines").content), "share_amount"));
    CHECK(own == file(made, "usage_detail").sum_credit);
    if (party.compare(0, 5, "site:") == 0) of_all += own;
  }
  CHECK(of_all == sum(whole, "part_site"));
}

TEST_CASE("what cannot be exported is refused in words") {
  Books books(4);
  CHECK(books.make("2026-13", Format::csv).error == "a period is YYYY-MM");
  CHECK(books.make("2026-11", Format::csv, "site:").error.find("a party is") == 0);
  CHECK(books.make("2026-11", Format::csv, "acme").error.find("a party is") == 0);
  ExportOptions options;
  options.period = "2026-11";
  options.bytes_max = 1000;
  const Export small = export_period(*books.ledger, options, *books.key);
  CHECK(small.error.find("larger than 1000 bytes") != std::string::npos);
  CHECK(small.files.empty());
  const Export nothing = books.make("2020-01", Format::csv);
  CHECK(nothing.error == "");
  CHECK(file(nothing, "usage_detail").rows == 0);
}

TEST_CASE("a ledger that contradicts its requests gives no export") {
  Books books(5);
  ledger::Connection db;
  std::string why;
  REQUIRE(db.open(books.owner_path(), "", ledger::Connection::Mode::write, why));
  REQUIRE(db.run("UPDATE balance SET credit_mu = credit_mu + 1 WHERE account = 'L210/dc-one'"));
  const Export made = books.make("2026-11", Format::csv);
  CHECK(made.error.find("account L210/dc-one and the requests differ by") == 0);
  CHECK(made.files.empty());
}

TEST_CASE("the manifest names every file, its sums and its hash, and is signed") {
  Books books(6);
  const Export made = books.make("2026-11", Format::csv);
  const std::string& manifest = made.files.back().content;
  CHECK(made.files.back().name == "manifest.json");
  CHECK(json::valid(manifest));
  CHECK(manifest_fits(manifest));
  for (const auto& f : made.files) {
    if (f.name == "manifest.json") continue;
    CHECK(manifest.find("{\"name\":\"" + f.name + "\",\"rows\":" + std::to_string(f.rows) + ",\"sha256\":\"" +
                        to_hex(sha256(f.content)) + "\"") != std::string::npos);
  }
  for (std::size_t i = 0; i + 2 < manifest.size(); i += 7) {
    std::string altered = manifest;
    altered[i] = altered[i] == '1' ? '2' : '1';
    CHECK_FALSE(manifest_fits(altered));
  }
  CHECK(books.make("2026-11", Format::csv).files.back().content == manifest);  // the same books, the same bytes

  REQUIRE_FALSE(write_export(system_disk(), books.dir.file("out/a"), made));
  std::string back;
  REQUIRE_FALSE(read_file(system_disk(), books.dir.file("out/a/usage_detail.csv"), back));
  CHECK(back == file(made, "usage_detail").content);
}

TEST_CASE("the signing key is made once, kept private, and nothing else is taken for one") {
  test::TempDir dir;
  std::string why;
  const std::string path = dir.file("key.pem");
  const auto made = SigningKey::open(system_disk(), path, why);
  REQUIRE(made);
  const auto mode = std::filesystem::status(path).permissions();
  CHECK((mode & (std::filesystem::perms::group_all | std::filesystem::perms::others_all)) == std::filesystem::perms::none);
  const auto again = SigningKey::open(system_disk(), path, why);
  REQUIRE(again);
  CHECK(again->public_key() == made->public_key());
  CHECK(signature_fits(made->public_key(), "message", again->sign("message")));
  CHECK_FALSE(signature_fits(made->public_key(), "messagf", again->sign("message")));
  CHECK_FALSE(signature_fits("short", "message", again->sign("message")));
  REQUIRE_FALSE(write_file(system_disk(), path, "no key"));
  CHECK_FALSE(SigningKey::open(system_disk(), path, why));
  CHECK(why.find("not an Ed25519 private key") != std::string::npos);
}

TEST_CASE("a text that a spreadsheet would run is guarded; a negative amount stays a number") {
  Sheet sheet({Format::csv}, "t", {"a", "b", "c"});
  sheet.text("=1+1").text("say \"hi\", you").amount(Amount::pico(-5));
  sheet.end_row();
  std::string why;
  const auto rows = parse_csv(sheet.take(why).content);
  CHECK(rows[0].at("a") == "'=1+1");
  CHECK(rows[0].at("b") == "say \"hi\", you");
  CHECK(rows[0].at("c") == "-0.000000000005");
  for (const char* bad : {"+1", "-1", "@x", "\tx", "\rx", "\xef\xbc\x9d" "1"}) {
    Sheet one({Format::csv, true}, "t", {"a"});
    one.text(bad);
    one.end_row();
    const std::string content = one.take(why).content;
    CHECK(content.starts_with("\xef\xbb\xbf" "a,schema_version\n"));
    CHECK(parse_csv(content.substr(3))[0].at("a") == std::string("'") + bad);
  }
}

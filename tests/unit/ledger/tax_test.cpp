// The split over any weights, taxes and bases: VAT as a recipient, who bears it, who pays a hedge's loser,
// and what becomes of it in the accounts.
#include <map>

#include "gateway/ledger/terms.h"
#include "tests/catch.h"
#include "tests/unit/ledger/world.h"

using namespace trib;
using namespace trib::ledger;
using metering::Final;
using metering::TokenCounts;
using money::Amount;
using money::int128;
using test::noon;
using test::World;

namespace {

std::map<std::string, Amount> by_party(const std::vector<Part>& parts) {
  std::map<std::string, Amount> out;
  for (const auto& part : parts) out[part.party] += part.amount;
  return out;
}

config::Shares random_shares(Rng& rng) {
  std::uint32_t cut[3];
  for (auto& c : cut) c = static_cast<std::uint32_t>(rng.below(4) == 0 ? rng.below(2) * 1'000'000 : rng.below(1'000'001));
  std::sort(cut, cut + 3);
  return {cut[0], cut[1] - cut[0], cut[2] - cut[1], 1'000'000 - cut[2]};
}

// A random book and a random request under it.
struct Sample {
  Book book = test::golden_book();
  Final final;
  explicit Sample(Rng& rng) {
    ContractVersion& contract = book.contracts["c"][0];
    contract.shares = random_shares(rng);
    contract.base = static_cast<config::ShareBase>(rng.below(4));
    contract.policies.pay_loser = rng.below(2) == 0;
    const auto price = [&] { return static_cast<std::int64_t>(rng.below(9'000'000)); };
    PriceVersion& version = book.prices["m"][0] = test::price_version("m", 1, 0, price(), price(), price());
    if (contract.base == config::ShareBase::net_of_vat || rng.below(4) != 0)
      version.tax = config::PriceTax{static_cast<std::uint32_t>(rng.below(101)), rng.below(4) != 0};
    const TokenCounts counts{rng.below(5000), rng.below(5000), rng.below(50), 1 + rng.below(5000), rng.below(500)};
    final = test::request({rng.next(), rng.next()}, 0, counts);
    const auto attempts = 1 + rng.below(4);
    for (std::uint64_t i = 0; i < attempts; ++i) {
      const bool last = i + 1 == attempts;
      const bool outrun = !last && rng.below(3) == 0;
      test::add_attempt(final, i % 2 == 0 ? "s" : "t", rng.below(5) ? "v" : "", outrun ? 0 : 1 + rng.below(3000), outrun ? "outrun" : "none");
    }
  }
  const PriceVersion& price() const { return book.prices.at("m")[0]; }
  const ContractVersion& contract() const { return book.contracts.at("c")[0]; }
};

std::uint32_t weight(const ContractVersion& contract, const std::string& party) {
  const auto& s = contract.shares;
  if (party == "platform") return s.platform;
  if (party.starts_with("site:")) return s.site;
  return party.starts_with("vendor:") ? s.vendor : s.referrer;
}

int128 tax_in(const PriceVersion& price, Amount gross) {
  if (!price.tax || !price.tax->inclusive) return 0;
  return gross.pico() * price.tax->percent / (100 + price.tax->percent);
}

}  // namespace

TEST_CASE("invariant 2: the parts sum to the gross, of the request and of each attempt, whoever pays what") {
  SeededRng rng(2);
  for (int round = 0; round < 5'000; ++round) {
    const Sample sample(rng);
    const Rated rated = rate(sample.final, sample.book);
    REQUIRE(rated.quarantine.empty());
    std::map<std::uint16_t, Amount> left;
    for (const auto& share : rated.shares) left[share.attempt] += share.gross;
    Amount sum;
    for (const auto& part : rated.parts) {
      sum += part.amount;
      left[part.attempt] -= part.amount;
      REQUIRE((!part.amount.negative() || part.party == "platform"));
    }
    REQUIRE(sum == rated.gross);
    for (const auto& [attempt, rest] : left) REQUIRE(rest.zero());
  }
}

TEST_CASE("invariant 3: each part is within one unit of its exact share, and VAT is exact") {
  SeededRng rng(3);
  for (int round = 0; round < 5'000; ++round) {
    const Sample sample(rng);
    const bool net = sample.contract().base == config::ShareBase::net_of_vat;
    const Rated rated = rate(sample.final, sample.book);
    for (const auto& share : rated.shares) {
      const int128 vat = tax_in(sample.price(), share.gross);
      const int128 base = net ? share.gross.pico() - vat : share.gross.pico();
      for (const auto& part : rated.parts) {
        if (part.attempt != share.attempt) continue;
        if (part.party == "vat") {
          REQUIRE(part.amount.pico() == vat);
          continue;
        }
        int128 exact = base * weight(sample.contract(), part.party);  // millionths of a pico
        if (part.party == "platform" && !net) exact -= vat * 1'000'000;
        const int128 off = part.amount.pico() * 1'000'000 - exact;
        REQUIRE((off < 1'000'000 && off > -1'000'000));
      }
    }
  }
}

TEST_CASE("invariant 4: the same record and book give the same parts, and other requests do not matter") {
  SeededRng rng(4);
  for (int round = 0; round < 300; ++round) {
    const Sample sample(rng), other(rng);
    const auto first = rate(sample.final, sample.book);
    rate(other.final, other.book);
    const Final decoded = std::get<Final>(*metering::decode(metering::encode(sample.final)));
    REQUIRE(rate(decoded, sample.book).parts == first.parts);
  }
}

TEST_CASE("invariant 5: gross is quantity times price, class by class, up to its bound") {
  SeededRng rng(5);
  for (int round = 0; round < 2'000; ++round) {
    const Sample sample(rng);
    const auto& c = sample.final.counts;
    const auto& p = sample.price();
    int128 expected = 0;  // by addition alone: price * n as n doubles
    for (const auto& [n, price] : {std::pair(c.input, p.input), {c.cached_input, p.cached_input}, {c.cache_write, p.cache_write},
                                   {c.output, p.output}, {c.reasoning, p.reasoning}}) {
      int128 power = price.pico();
      for (std::uint64_t bits = n; bits != 0; bits >>= 1, power += power) expected += (bits & 1) != 0 ? power : 0;
    }
    REQUIRE(rate(sample.final, sample.book).gross.pico() == expected);
  }
  Book book = test::golden_book();
  book.prices["m"][0] = test::price_version("m", 1, 0, 0, 0, 1'000'000'000'000'000);
  for (const auto& [tokens, fits] : {std::pair<std::uint64_t, bool>{999, true}, {1000, false}}) {
    Final final = test::request({1, 1}, 0, {0, 0, 0, tokens, 0});
    test::add_attempt(final, "s", "v", tokens);
    CHECK(rate(final, book).quarantine.empty() == fits);
  }
}

TEST_CASE("invariant 9: VAT and net are the gross, in the parts and in the accounts") {
  SeededRng rng(9);
  World world;
  world.open();
  auto config = test::golden_config();
  config.models[0].prices[0].tax = config::PriceTax{6, true};
  config.contracts[0].base = config::ShareBase::net_of_vat;  // d stays with the gross
  REQUIRE_FALSE(world.ledger->publish(config, noon));
  std::vector<RequestId> ids;
  for (int i = 0; i < 200; ++i) {
    auto final = test::random_final(rng, noon + i);
    final.admit.price_version = 1;
    ids.push_back(final.admit.id);
    world.journal.append(final);
  }
  world.post_all();
  Amount charged, vat;
  std::map<std::string, Amount> shares;
  for (const auto& id : ids) {
    const auto found = world.ledger->request(id);
    REQUIRE(found);
    charged += *found->row.gross;
    Amount of_request;
    for (const auto& attempt : found->attempts) of_request += Amount::pico(attempt.gross.pico() * 6 / 106);
    auto parties = by_party(found->parts);
    REQUIRE(parties["vat"] == of_request);
    vat += of_request;
    for (const auto& [party, amount] : parties) shares[party_account(party)] += amount;
  }
  std::map<std::string, Amount> accounts;
  for (const auto& row : world.ledger->trial_balance().accounts) accounts[row.account] = row.credit_total - row.debit_total;
  CHECK(accounts["L240"] == vat);
  CHECK(accounts["C150"].zero());
  CHECK((accounts["L200/acme"] + accounts["L200/bolt"]).pico() == -charged.pico());
  for (const auto& [account, amount] : shares) CHECK(accounts[account] == amount);
  std::string why;
  const auto reader = world.ledger->reader(why);
  bool leg_in_charge = false;
  REQUIRE(reader->transfers({}, [&](const TransferRow& row) {
    for (const auto& leg : row.legs) leg_in_charge |= leg.account == "L240" && row.code == 20;
    return true;
  }));
  CHECK(leg_in_charge);
  const auto verdict = verify(*reader, 0, &world.journal);
  INFO(verdict.place << ": " << verdict.why);
  CHECK(verdict.ok);
}

TEST_CASE("VAT inside the price: first recipient of a net base, the platform's to bear of any other") {
  Book book = test::golden_book();
  book.prices["m"][0].tax = config::PriceTax{6, true};
  book.contracts["c"][0].shares = {30'000, 970'000, 0, 0};
  Final final = test::request({1, 2}, 0, {0, 0, 0, 1'000, 0});
  test::add_attempt(final, "s", "v", 1'000);
  const int128 gross = 8'000'001'000, vat = gross * 6 / 106;
  SECTION("net") {
    book.contracts["c"][0].base = config::ShareBase::net_of_vat;
    auto parties = by_party(rate(final, book).parts);
    CHECK(parties["vat"].pico() == vat);
    CHECK(parties["site:s"].pico() == (gross - vat) * 97 / 100);
    CHECK(parties["platform"].pico() == gross - vat - parties["site:s"].pico());
  }
  SECTION("gross: more VAT than the platform takes is its loss") {
    auto parties = by_party(rate(final, book).parts);
    CHECK(parties["vat"].pico() == vat);
    CHECK(parties["site:s"].pico() == gross * 97 / 100);
    CHECK(parties["platform"].pico() == gross - gross * 97 / 100 - vat);
    CHECK(parties["platform"].negative());
  }
  SECTION("a platform without a share bears it too") {
    book.contracts["c"][0].shares = {0, 1'000'000, 0, 0};
    auto parties = by_party(rate(final, book).parts);
    CHECK(parties["site:s"].pico() == gross);
    CHECK(parties["platform"].pico() == -vat);
  }
  SECTION("on top of the price there is none inside") {
    book.prices["m"][0].tax = config::PriceTax{6, false};
    book.contracts["c"][0].base = config::ShareBase::net_of_vat;
    auto parties = by_party(rate(final, book).parts);
    CHECK(parties.count("vat") == 0);
    CHECK(parties["site:s"].pico() == gross * 97 / 100);
  }
  SECTION("net of a tax that nobody said is quarantined") {
    book.prices["m"][0].tax.reset();
    book.contracts["c"][0].base = config::ShareBase::net_of_vat;
    CHECK(rate(final, book).quarantine == "no tax rate: model \"m\" version 1, and contract \"c\" version 1 shares net of VAT");
  }
}

TEST_CASE("a hedge's loser is paid where its contract says so, by the platform; the customer pays once") {
  Book book = test::golden_book();
  book.contracts["p"] = {test::contract_version("p", 1, {200'000, 700'000, 100'000, 0})};
  Final final = test::request({1, 2}, 0, {1'000, 0, 0, 10, 0});
  test::add_attempt(final, "silent", "amd", 0, "outrun", "p");
  test::add_attempt(final, "fast", "nvidia", 10);
  const Rated unpaid = rate(final, book);
  CHECK(by_party(unpaid.parts).count("site:silent") == 0);

  book.contracts["p"][0].policies.pay_loser = true;
  const Rated paid = rate(final, book);
  CHECK(paid.gross == unpaid.gross);
  CHECK(paid.shares == unpaid.shares);
  auto parties = by_party(paid.parts), before = by_party(unpaid.parts);
  CHECK(parties["site:silent"].pico() == 1'400'000'000);  // of 1,000 tokens of input at 2,000,000 pico
  CHECK(parties["vendor:amd"].pico() == 200'000'000);
  CHECK(parties["platform"].pico() == before["platform"].pico() - 1'600'000'000);
  CHECK(parties["site:fast"] == before["site:fast"]);

  final.results[0].fault = "stall";  // it broke: that is no lost race
  CHECK(rate(final, book).parts == rate(final, test::golden_book()).parts);
  final.results[0].fault = "outrun";
  final.counts = {};
  CHECK(rate(final, book).parts.empty());  // nobody paid, nobody is paid
}

TEST_CASE("a paid loser's part reaches its accounts, and the books balance") {
  World world;
  world.open();
  auto config = test::golden_config();
  config.contracts[1].policies.pay_loser = true;
  config.contracts[1].shares = {0, 1'000'000, 0, 0};
  config.contracts[0].shares = {0, 1'000'000, 0, 0};
  REQUIRE_FALSE(world.ledger->publish(config, noon));
  auto final = test::request({static_cast<std::uint64_t>(noon) << 16, 1}, noon, {100, 0, 0, 10, 0});
  test::add_attempt(final, "slow", "amd", 0, "outrun", "d");
  test::add_attempt(final, "fast", "nvidia", 10);
  world.journal.append(final);
  world.post_all();
  const auto trial = world.ledger->trial_balance();
  CHECK(trial.sum.zero());
  std::map<std::string, Amount> accounts;
  for (const auto& row : trial.accounts) accounts[row.account] = row.credit_total - row.debit_total;
  CHECK(accounts["L210/slow"].pico() == 200'000'000);
  CHECK(accounts["R300"].pico() == -200'000'000);
  CHECK(accounts["L210/fast"].pico() == 280'000'010);
  CHECK(accounts["L200/acme"].pico() == -280'000'010);
  std::string why;
  const auto reader = world.ledger->reader(why);
  const auto verdict = verify(*reader, 0, &world.journal);
  INFO(verdict.place << ": " << verdict.why);
  CHECK(verdict.ok);
}

TEST_CASE("nobody is paid for bringing himself") {
  Book book = test::golden_book();
  book.contracts["c"][0].referrer_party = "dc-one";
  Final final = test::request({1, 2}, 0, {0, 0, 0, 1'000'000, 0});
  test::add_attempt(final, "dc-one", "nvidia", 1'000'000);
  auto parties = by_party(rate(final, book).parts);
  CHECK(parties.count("referrer:dc-one") == 0);
  CHECK(parties["platform"].pico() == int128{8'000'001} * 300'000);
}

TEST_CASE("the input of an answer without a word is the last attempt's, where it is billed at all") {
  Final final = test::request({1, 2}, 0, {100, 0, 0, 0, 0});
  final.outcome = metering::Outcome::cancelled;
  test::add_attempt(final, "one", "nvidia", 0, "connect_refused");
  test::add_attempt(final, "two", "nvidia", 0, "client_gone");
  CHECK(rate(final, test::golden_book()).quarantine == "tokens are billed but no attempt delivered");
  final.results[1].side = "client";
  const Rated rated = rate(final, test::golden_book());
  REQUIRE(rated.shares.size() == 1);
  CHECK(rated.shares[0].attempt == 2);
  final.outcome = metering::Outcome::partial;
  CHECK(rate(final, test::golden_book()).quarantine == "tokens are billed but no attempt delivered");
}

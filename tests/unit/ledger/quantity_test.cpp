// The quantity ledger: what sites produced is what customers consumed and what was wasted.
#include "gateway/ledger/quantities.h"

#include "tests/unit/ledger/world.h"

using namespace trib;
using namespace trib::ledger;
using metering::Final;
using metering::TokenCounts;
using test::noon;
using test::World;

namespace {

RequestId id_of(std::uint64_t n) { return {static_cast<std::uint64_t>(noon) << 16, n}; }

Final completed(std::uint64_t n, TokenCounts counts) { return test::request(id_of(n), noon, counts); }

// What an attempt came to, beside the tokens that it delivered.
void say(Final& final, std::string_view side, std::uint64_t pieces, std::optional<TokenCounts> claimed) {
  auto& result = final.results.back();
  result.side = side;
  result.pieces = pieces;
  result.claimed = claimed;
}

using Books = std::map<std::string, Quantity>;  // "site account"; the site's name alone for what is wasted

Books books_of(World& world) {
  Books out;
  for (const auto& row : world.ledger->quantities()) {
    ledger::add(out[row.site + " " + row.account], row.amount);
    if (row.account.starts_with("Q900/waste/")) ledger::add(out[row.site + " waste"], row.amount);
  }
  return out;
}

void post(World& world, const std::vector<Final>& finals) {
  for (const Final& final : finals) {
    world.journal.append(final.admit);
    world.journal.append(final);
  }
  world.post_all();
}

void require_sound(World& world) {
  const Verdict verdict = verify(world.path(), "", 0, &world.journal);
  INFO(verdict.place << ": " << verdict.why);
  REQUIRE(verdict.ok);
}

}  // namespace

TEST_CASE("an ordinary request is produced and consumed, and nothing of it is wasted") {
  World world;
  world.start();
  Final final = completed(1, {900, 100, 0, 50, 7});
  test::add_attempt(final, "dc-one", "nvidia", 57);
  say(final, "none", 57, TokenCounts{900, 100, 0, 50, 7});
  post(world, {final, completed(2, {})});  // and one that no site was found for
  const Books books = books_of(world);
  CHECK(books == Books{{"dc-one Q900/produced", {-1, -900, -100, 0, -50, -7}}, {"dc-one Q900/consumed", {1, 900, 100, 0, 50, 7}}});
  require_sound(world);
}

// ledger.md, section 10: a hedged pair of which both finish.
TEST_CASE("hedge loser never billed, in waste") {
  World world;
  world.start();
  Final final = completed(1, {20, 0, 0, 30, 0});
  test::add_attempt(final, "cafe-one", "nvidia", 0, "outrun");
  say(final, "none", 30, TokenCounts{20, 0, 0, 30, 0});
  test::add_attempt(final, "dc-one", "nvidia", 30);
  say(final, "none", 30, TokenCounts{20, 0, 0, 30, 0});
  Final early = completed(2, {20, 0, 0, 30, 0});  // the loser had said nothing: that it ran is all that is known
  test::add_attempt(early, "dc-one", "nvidia", 30);
  say(early, "none", 30, TokenCounts{20, 0, 0, 30, 0});
  test::add_attempt(early, "cafe-one", "nvidia", 0, "outrun");
  post(world, {final, early});
  const Books books = books_of(world);
  CHECK(books == Books{{"cafe-one Q900/produced", {-2, -20, 0, 0, -30, 0}},
                       {"cafe-one Q900/waste/hedge_loser", {2, 20, 0, 0, 30, 0}},
                       {"cafe-one waste", {2, 20, 0, 0, 30, 0}},
                       {"dc-one Q900/produced", {-2, -40, 0, 0, -60, 0}},
                       {"dc-one Q900/consumed", {2, 40, 0, 0, 60, 0}}});
  for (std::uint64_t n : {1, 2}) {
    const auto row = world.ledger->request(id_of(n));
    REQUIRE(row);
    CHECK(row->row.gross == ledger::gross(*world.ledger->book()->price("m", 1), final.counts));
    for (const auto& part : row->parts) CHECK(part.party != "site:cafe-one");
  }
  CHECK(world.ledger->site_totals().size() == 1);
  require_sound(world);
}

TEST_CASE("a stream that was gone on with: the second prefill and what was cut off are waste") {
  World world;
  world.start();
  Final final = completed(1, {100, 0, 0, 50, 0});
  test::add_attempt(final, "cafe-one", "nvidia", 20, "cut");  // it sent three more that did not reach the customer
  say(final, "site", 23, std::nullopt);
  test::add_attempt(final, "dc-one", "nvidia", 30);
  say(final, "none", 30, TokenCounts{110, 10, 0, 30, 0});
  post(world, {final});
  const Books books = books_of(world);
  CHECK(books == Books{{"cafe-one Q900/produced", {-1, -100, 0, 0, -23, 0}},
                       {"cafe-one Q900/consumed", {1, 100, 0, 0, 20, 0}},
                       {"cafe-one Q900/waste/failed", {0, 0, 0, 0, 3, 0}},
                       {"cafe-one waste", {0, 0, 0, 0, 3, 0}},
                       {"dc-one Q900/produced", {-1, -110, -10, 0, -30, 0}},
                       {"dc-one Q900/consumed", {1, 0, 0, 0, 30, 0}},
                       {"dc-one Q900/waste/second_prefill", {0, 110, 10, 0, 0, 0}},
                       {"dc-one waste", {0, 110, 10, 0, 0, 0}}});
  require_sound(world);
}

TEST_CASE("each kind of waste stands under its name") {
  World world;
  world.start();
  const auto waste = [&](const Final& final) {
    post(world, {final});
    require_sound(world);
    Books books = books_of(world);
    for (auto at = books.begin(); at != books.end();) at = at->first.find("/waste/") == std::string::npos ? books.erase(at) : std::next(at);
    return books;
  };
  Final final = completed(1, {});
  SECTION("a customer who leaves before anything is billed") {
    final.outcome = metering::Outcome::cancelled;
    test::add_attempt(final, "dc-one", "nvidia", 0, "client_gone");
    say(final, "client", 2, std::nullopt);
    CHECK(waste(final) == Books{{"dc-one Q900/waste/abandoned", {1, 0, 0, 0, 2, 0}}});
  }
  SECTION("an attempt that failed before any output") {
    final.outcome = metering::Outcome::failed;
    test::add_attempt(final, "dc-one", "nvidia", 0, "connect_refused");
    say(final, "site", 0, std::nullopt);
    CHECK(waste(final) == Books{{"dc-one Q900/waste/failed", {1, 0, 0, 0, 0, 0}}});
  }
  SECTION("an answer without output bills nothing, though the prompt was read") {
    test::add_attempt(final, "dc-one", "nvidia", 0);
    say(final, "none", 0, TokenCounts{12, 0, 0, 0, 0});
    CHECK(waste(final) == Books{{"dc-one Q900/waste/unbilled", {1, 12, 0, 0, 0, 0}}});
  }
  SECTION("a claim above what is billed") {
    final.counts = {10, 0, 0, 5, 0};
    test::add_attempt(final, "dc-one", "nvidia", 5);
    say(final, "none", 5, TokenCounts{10, 0, 0, 500, 0});
    CHECK(waste(final) == Books{{"dc-one Q900/waste/difference", {0, 0, 0, 0, 495, 0}}});
  }
  SECTION("a claim below what is billed") {
    final.counts = {10, 0, 0, 5, 0};
    test::add_attempt(final, "dc-one", "nvidia", 5);
    say(final, "none", 5, TokenCounts{8, 2, 0, 0, 0});
    CHECK(waste(final) == Books{{"dc-one Q900/waste/difference", {0, -2, 2, 0, -5, 0}}});
  }
  SECTION("a claim that nobody can have is no claim") {
    final.counts = {10, 0, 0, 5, 0};
    test::add_attempt(final, "dc-one", "nvidia", 5);
    say(final, "none", 5, TokenCounts{UINT64_MAX, 0, 0, UINT64_MAX / 2, 0});
    CHECK(waste(final).empty());
  }
  SECTION("what is in quarantine moves neither money nor quantities") {
    final.counts = {10, 0, 0, 5, 0};
    final.admit.price_version = 7;
    test::add_attempt(final, "dc-one", "nvidia", 5);
    CHECK(waste(final).empty());
    CHECK(world.ledger->quantities().empty());
  }
}

namespace {

// Attempts as an exchange leaves them: silent retries, then perhaps a hedge, then seams, then an end.
Final random_history(Rng& rng, std::uint64_t n) {
  static const char* const sites[] = {"dc-one", "cafe-one", "cafe-two", "lab"};
  Final out = completed(n, {});
  out.admit.model = "m";
  const auto attempt = [&](std::uint64_t delivered, std::string fault, std::string_view side, std::uint64_t pieces) {
    test::add_attempt(out, sites[rng.below(4)], rng.below(3) ? "nvidia" : "", delivered, std::move(fault), rng.below(2) ? "c" : "d");
    std::optional<TokenCounts> claimed;
    if (rng.below(2)) claimed = TokenCounts{rng.below(200), rng.below(50), rng.below(5), pieces + rng.below(3), rng.below(4)};
    if (rng.below(30) == 0) claimed = TokenCounts{rng.next(), rng.next(), rng.next(), rng.next(), rng.next()};
    say(out, side, pieces, claimed);
  };
  for (std::uint64_t i = rng.below(3); i > 0; --i) attempt(0, "status_server", "engine", rng.below(2) * rng.below(5));
  if (rng.below(4) == 0) attempt(0, "outrun", "none", rng.below(2) * rng.below(9));
  std::uint64_t output = 0;
  for (std::uint64_t seams = rng.below(3); seams > 0; --seams) {
    const std::uint64_t delivered = 1 + rng.below(40);
    attempt(delivered, "cut", "site", delivered + rng.below(4));
    output += delivered;
  }
  const std::uint64_t end = rng.below(4), last = rng.below(60);
  output += last;
  switch (end) {
    case 0: out.outcome = metering::Outcome::cancelled; attempt(last, "client_gone", "client", last + rng.below(3)); break;
    case 1: out.outcome = metering::Outcome::partial; attempt(last, "gap_timeout", "engine", last); break;
    default: attempt(last, "none", "none", last); break;
  }
  if (output == 0) return out;
  out.counts.output = output;
  if (end != 1) out.counts.input = 1 + rng.below(500);
  if (end > 1) out.counts.cached_input = rng.below(100);
  return out;
}

}  // namespace

// Invariant 15: no retry, hedge, failover or re-read adds revenue; what sites produced is what was
// consumed and wasted.
TEST_CASE("invariant 15: produced = consumed + waste in every class, however often the journal is told") {
  for (const std::uint64_t seed : {1, 2, 3, 4}) {
    SeededRng rng(seed);
    std::vector<Final> finals;
    Quantity consumed{};
    money::Amount charged;
    for (std::uint64_t n = 1; n <= 150; ++n) {
      finals.push_back(random_history(rng, n));
      const auto& c = finals.back().counts;
      const std::uint64_t counts[] = {c.input, c.cached_input, c.cache_write, c.output, c.reasoning};
      for (std::size_t i = 0; i < 5; ++i) consumed[i + 1] += static_cast<std::int64_t>(counts[i]);
    }
    World world;
    world.batch_max = 1 + static_cast<std::size_t>(rng.below(60));
    world.start();
    for (const Final& final : finals) charged += ledger::gross(*world.ledger->book()->price("m", 1), final.counts);
    post(world, finals);
    require_sound(world);
    const Books once = books_of(world);
    Quantity produced{}, wasted{}, seen{}, failed{};
    for (const auto& [key, amount] : once) {
      if (key.ends_with("/produced")) ledger::add(produced, amount);
      if (key.ends_with("/consumed")) ledger::add(seen, amount);
      if (key.ends_with(" waste")) ledger::add(wasted, amount);
      if (key.ends_with("/failed")) ledger::add(failed, amount);
      if (!key.ends_with("/produced") && !key.ends_with("/difference") && !key.ends_with(" waste")) {
        for (const std::int64_t n : amount) CHECK(n >= 0);
      }
    }
    for (std::size_t i = 0; i < quantity_classes; ++i) {
      CHECK(-produced[i] == seen[i] + wasted[i]);
      if (i > 0) CHECK(seen[i] == consumed[i]);  // whatever was tried: what the customers' rows say
    }
    CHECK(failed[0] > 0);
    CHECK(world.ledger->tenant_balance("acme") == -charged);

    for (std::size_t i = 0; i < finals.size(); i += 1 + static_cast<std::size_t>(rng.below(3))) world.journal.append(finals[i]);
    world.open();
    world.post_all();
    require_sound(world);
    const bool same = books_of(world) == once;
    CHECK(same);
    CHECK(world.ledger->tenant_balance("acme") == -charged);
  }
}

TEST_CASE("rows of quantities are sealed: they refuse to be changed and to go") {
  World world;
  world.start();
  Final final = completed(1, {1, 0, 0, 1, 0});
  test::add_attempt(final, "dc-one", "nvidia", 1);
  post(world, {final});
  Connection db;
  std::string why;
  REQUIRE(db.open(world.owner_path(), "", Connection::Mode::write, why));
  CHECK_FALSE(db.run("UPDATE quantity SET tokens_output = 2"));
  CHECK_FALSE(db.run("DELETE FROM quantity"));
  CHECK(db.error().find("immutable") != std::string::npos);
}

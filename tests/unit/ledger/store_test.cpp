#include "gateway/ledger/store.h"

#include <map>
#include <thread>

#include "gateway/ledger/accounts.h"
#include "tests/unit/ledger/world.h"

using namespace trib;
using namespace trib::ledger;
using money::Amount;
using test::noon;
using test::World;

namespace {

metering::Final golden(std::uint64_t lo, std::int64_t wall_ms = noon) {
  metering::TokenCounts counts;
  counts.input = 1234;
  counts.cached_input = 10'007;
  counts.output = 567;
  metering::Final out = test::request({static_cast<std::uint64_t>(wall_ms) << 16, lo}, wall_ms, counts);
  test::add_attempt(out, "dc-one", "nvidia", 567);
  return out;
}

std::map<std::string, Amount> nets(const TrialBalance& trial) {
  std::map<std::string, Amount> out;
  for (const auto& row : trial.accounts) out[row.account] = row.debit - row.credit;
  return out;
}

Amount cny(const char* text) { return *Amount::parse(text); }

}  // namespace

TEST_CASE("what moves no money is passed over: nothing waits at rest") {
  World world;
  world.start();
  world.post_all();
  CHECK(world.ledger->scanned() == world.journal.durable());  // a batch's own SEAL too

  const metering::Lsn sold = world.journal.append(golden(1));
  for (int i = 0; i < 7; ++i) world.journal.append(metering::Admit{});  // these have just begun
  world.journal.durable_max = sold + 2;
  CHECK(world.ledger->scanned() == sold - 1);
  REQUIRE(world.ledger->post_once());
  CHECK(world.ledger->posted() == sold);
  CHECK_FALSE(world.ledger->post_once());
  CHECK(world.ledger->scanned() == sold + 2);
  world.journal.durable_max = UINT64_MAX;
  CHECK_FALSE(world.ledger->post_once());
  CHECK(world.ledger->posted() == sold);
  CHECK(world.ledger->scanned() == world.journal.durable());
}

TEST_CASE("one request and one top-up reach every account, and the trial balance is zero") {
  World world;
  world.start();
  REQUIRE(world.ledger->topup("acme", "t1", cny("100"), noon) == Posting::posted);
  world.journal.append(golden(1));
  world.post_all();

  const TrialBalance trial = world.ledger->trial_balance();
  CHECK(trial.sum.zero());
  auto net = nets(trial);
  CHECK(net["A100"] == cny("100"));
  CHECK(net["C150"].zero());
  CHECK(net["L200/acme"] == cny("0.010339663898") - cny("100"));
  CHECK(net["R300"] == -Amount::pico(2'946'804'211));
  CHECK(net["L210/dc-one"] == -Amount::pico(6'720'781'534));
  CHECK(net["L220/nvidia"] == -Amount::pico(516'983'195));
  CHECK(net["L230/lianmeng"] == -Amount::pico(155'094'958));
  CHECK(world.ledger->tenant_balance("acme") == cny("99.989660336102"));
  CHECK(world.ledger->posted() > 0);

  const auto row = world.ledger->request({static_cast<std::uint64_t>(noon) << 16, 1});
  REQUIRE(row);
  CHECK(row->row.state == State::billed);
  CHECK(row->row.tenant == "acme");
  CHECK(row->row.gross == Amount::pico(10'339'663'898));
  CHECK(row->row.period == 202611);
  CHECK(row->parts.size() == 4);
  REQUIRE(row->attempts.size() == 1);
  CHECK(row->attempts[0].sent.site == "dc-one");
  CHECK(row->attempts[0].result.delivered == 567);
  CHECK(row->attempts[0].billed.input == 1234);
  CHECK_FALSE(world.ledger->request({1, 1}));

  const auto totals = world.ledger->site_totals();
  REQUIRE(totals.size() == 1);
  CHECK(totals[0].requests == 1);
  CHECK(totals[0].counts.output == 567);
  CHECK(totals[0].gross == Amount::pico(10'339'663'898));
}

TEST_CASE("a top-up's id makes it happen once") {
  World world;
  world.start();
  CHECK(world.ledger->topup("acme", "t1", cny("100"), noon) == Posting::posted);
  CHECK(world.ledger->topup("acme", "t1", cny("100.00"), noon + 5) == Posting::repeated);
  CHECK(world.ledger->topup("acme", "t1", cny("101"), noon) == Posting::conflict);
  CHECK(world.ledger->topup("bolt", "t1", cny("1"), noon) == Posting::posted);
  CHECK(world.ledger->topup("acme", "t2", cny("0"), noon) == Posting::failed);
  CHECK(world.ledger->topup("acme", "t2", cny("-1"), noon) == Posting::failed);
  CHECK(world.ledger->opening("acme", cny("7"), noon) == Posting::posted);
  world.open();
  CHECK(world.ledger->opening("acme", cny("7"), noon) == Posting::repeated);
  CHECK(world.ledger->opening("acme", cny("8"), noon) == Posting::conflict);
  CHECK(world.ledger->tenant_balance("acme") == cny("107"));
  CHECK(world.ledger->tenant_balances().size() == 2);
}

TEST_CASE("the same top-up from many threads is posted once") {
  World world;
  world.start();
  std::atomic<int> posted{0}, repeated{0}, other{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      for (int k = 0; k < 10; ++k) {
        switch (world.ledger->topup("acme", "t" + std::to_string(k), cny(i % 2 ? "5" : "5.0"), noon)) {
          case Posting::posted: ++posted; break;
          case Posting::repeated: ++repeated; break;
          default: ++other;
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(posted == 10);
  CHECK(repeated == 70);
  CHECK(other == 0);
  CHECK(world.ledger->tenant_balance("acme") == cny("50"));
}

TEST_CASE("a top-up that the journal does not take is failed and can be asked again") {
  World world;
  world.start();
  world.journal.refuse = true;
  CHECK(world.ledger->topup("acme", "t1", cny("1"), noon) == Posting::failed);
  world.journal.refuse = false;
  world.journal.durable_max = world.journal.last();
  CHECK(world.ledger->topup("acme", "t1", cny("1"), noon) == Posting::failed);  // not known to be durable
  world.journal.durable_max = UINT64_MAX;
  // Whoever was told nothing is told once that it happened: a balance in memory counts it once.
  CHECK(world.ledger->topup("acme", "t1", cny("1"), noon) == Posting::posted);
  CHECK(world.ledger->topup("acme", "t1", cny("1"), noon) == Posting::repeated);
  CHECK(world.ledger->tenant_balance("acme") == cny("1"));
}

TEST_CASE("the poster goes no further than what is durable") {
  World world;
  world.start();
  world.journal.durable_max = world.journal.last();
  world.journal.append(golden(1));
  CHECK_FALSE(world.ledger->post_once());
  world.journal.durable_max = UINT64_MAX;
  CHECK(world.ledger->post_once());
  CHECK_FALSE(world.ledger->post_once());
  CHECK_FALSE(world.ledger->post_once());  // its own SEAL is nothing to post
}

TEST_CASE("a second FINAL never changes money") {
  World world;
  world.start();
  const auto first = golden(1);
  world.journal.append(first);
  world.post_all();
  const auto before = nets(world.ledger->trial_balance());
  SECTION("the same once more: a fully duplicate batch") {
    world.journal.append(first);
    world.journal.append(first);
    world.post_all();
    std::string why;
    std::uint64_t duplicates = 0, quarantined = 0;
    world.ledger->reader(why)->batches([&](const BatchRow& b) {
      duplicates += b.duplicates;
      return true;
    });
    world.ledger->reader(why)->quarantine([&](const QuarantineRow&) { return ++quarantined > 0; });
    CHECK(duplicates == 2);
    CHECK(quarantined == 0);
  }
  SECTION("another content: quarantine") {
    auto other = first;
    other.counts.output += 1;
    world.journal.append(other);
    world.post_all();
    std::string why;
    std::vector<QuarantineRow> rows;
    world.ledger->reader(why)->quarantine([&](const QuarantineRow& row) {
      rows.push_back(row);
      return true;
    });
    REQUIRE(rows.size() == 1);
    CHECK(rows[0].subject == first.admit.id.text());
    const bool kept_whole = metering::decode(rows[0].record) == metering::Record(other);
    CHECK(kept_whole);
  }
  CHECK(nets(world.ledger->trial_balance()) == before);
}

TEST_CASE("what cannot be rated is a row without a charge, and a reason") {
  World world;
  world.start();
  auto final = golden(1);
  final.admit.price_version = 3;
  world.journal.append(final);
  auto absurd = golden(2);
  absurd.counts.output = UINT64_MAX;
  absurd.bytes_delivered = UINT64_MAX;
  world.journal.append(absurd);
  world.post_all();
  const auto row = world.ledger->request(final.admit.id);
  REQUIRE(row);
  CHECK(row->row.state == State::quarantined);
  CHECK_FALSE(row->row.gross);
  CHECK(row->quarantine == "no price: model \"m\" version 3");
  CHECK(world.ledger->request(absurd.admit.id)->row.state == State::quarantined);
  CHECK(world.ledger->trial_balance().accounts.empty());
}

TEST_CASE("an unknown vendor's part waits in suspense") {
  World world;
  world.start();
  auto final = golden(1);
  final.attempts[0].vendor.clear();
  world.journal.append(final);
  world.post_all();
  CHECK(nets(world.ledger->trial_balance())["L250/vendor"] == -Amount::pico(516'983'195));
}

TEST_CASE("sealed rows refuse UPDATE and DELETE, also where a value is NULL") {
  World world;
  world.start();
  world.ledger->topup("acme", "t1", cny("1"), noon);
  auto unknown = golden(2);
  unknown.admit.price_version = 3;
  world.journal.append(golden(1));
  world.journal.append(unknown);
  world.post_all();
  Connection db;
  std::string why;
  REQUIRE(db.open(world.owner_path(), "", Connection::Mode::write, why));
  for (const char* sql : {"UPDATE usage SET tenant = 'x'", "UPDATE usage SET gross_mu = 1, gross_pf = 0, state = 0 WHERE gross_mu IS NULL",
                          "UPDATE usage SET gross_mu = NULL, gross_pf = NULL, state = 2", "DELETE FROM usage",
                          "DELETE FROM usage WHERE gross_mu IS NULL", "UPDATE transfer SET reverses_id = NULL",
                          "UPDATE transfer SET code = 70", "DELETE FROM transfer", "UPDATE leg SET mu = 0", "DELETE FROM leg",
                          "UPDATE batch SET sig = NULL", "UPDATE batch SET n = 0", "DELETE FROM batch", "DELETE FROM command",
                          "UPDATE command SET body = ''", "DELETE FROM quarantine", "UPDATE price_book SET pico = 0",
                          "DELETE FROM contract_version"}) {
    INFO(sql);
    CHECK_FALSE(db.run(sql));
    CHECK(db.error().find("immutable") != std::string::npos);
  }
  CHECK_FALSE(db.run("UPDATE balance SET debit_pf = 1000000"));
  CHECK_FALSE(db.run("INSERT INTO leg VALUES(0, 99, 1, 'A100', 1, -1)"));
}

TEST_CASE("posting fails as a whole and succeeds later, once") {
  World world;
  world.start();
  world.journal.append(golden(1));
  Connection db;
  std::string why;
  REQUIRE(db.open(world.owner_path(), "", Connection::Mode::write, why));
  // A trigger is a fault at the statement of our choice.
  for (const char* table : {"usage", "transfer", "leg", "balance", "site_total", "rated", "batch"}) {
    REQUIRE(db.run(refusal_text(db.engine(), "fault", table, "1 = 1", "fault").c_str()));
    CHECK_FALSE(world.ledger->post_once());
    INFO(table << ": " << world.ledger->failure());
    CHECK(world.ledger->failure().find("fault") != std::string::npos);
    CHECK_FALSE(world.ledger->request(golden(1).admit.id));
    CHECK(world.ledger->trial_balance().accounts.empty());
    REQUIRE(db.run((std::string("DROP TRIGGER fault") + (db.engine() == Engine::postgres ? std::string(" ON ") + table : "")).c_str()));
  }
  CHECK(world.ledger->post_once());
  CHECK(nets(world.ledger->trial_balance())["R300"] == -Amount::pico(2'946'804'211));
}

TEST_CASE("a store of another version is refused with what to do, by the gateway and by whoever reads it, and left alone") {
  World world;
  world.start();
  world.ledger.reset();
  for (const char* version : {"2", "4", "x"}) {
    Connection db;
    std::string why;
    REQUIRE(db.open(world.owner_path(), "", Connection::Mode::write, why));
    REQUIRE(db.run((std::string("UPDATE meta SET value = '") + version + "' WHERE key = 'schema_version'").c_str()));
    const std::string told = world.try_open();
    INFO(told);
    CHECK_FALSE(world.ledger);
    CHECK(told.find("this program knows 3: go on with the program that wrote it") != std::string::npos);
    CHECK_FALSE(Reader::open(world.path(), "", why));
    Statement select = db.prepare("SELECT value FROM meta WHERE key = 'schema_version'");
    REQUIRE(select.row());
    CHECK(select.text() == version);
  }
}

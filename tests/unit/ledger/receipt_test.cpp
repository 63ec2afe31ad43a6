// Receipts: their one text, their signatures, and what the intake believes.
#include "gateway/ledger/receipt.h"

#include "gateway/ledger/receipt_check.h"
#include "gateway/ledger/receipt_intake.h"
#include "tests/unit/ledger/receipts.h"

using namespace trib;
using namespace trib::ledger;
using namespace trib::test;
using Result = ReceiptIntake::Result;

TEST_CASE("A receipt and a signed root have one text each, for good") {
  Receipt one = receipt(1);
  REQUIRE(receipt_text(one) ==
          R"(["01990000000100000000000000000001",1,"smollm2-135m",[12,3,0,41,0],41,900,1758000000000,1758000000450,"done",200])");
  one.tokens.reset();
  one.served = Served::broken;
  REQUIRE(receipt_text(one) == R"(["01990000000100000000000000000001",1,"smollm2-135m",null,41,900,1758000000000,1758000000450,"broken",200])");
  REQUIRE(read_receipt(receipt_text(one)) == one);
  REQUIRE(to_hex(receipt_leaf(receipt_text(receipt(1)))) == "ef7fc712aabab899e7a999d71151611f97b53363ec5bb180d4a8733b35cd2a2c");

  ReceiptRoot root;
  root.site = "cafe-one";
  root.number = 7;
  root.made_ms = 1'758'000'001'000;
  root.receipts = {receipt(1), receipt(2)};
  sign(root, key_of(1));
  REQUIRE(to_hex(root.root) == "d946144be78c2ffb5ee42a70c198f5865b4df6ac23d31a9346d03324237516eb");
  REQUIRE(to_hex(digest(root)) == "5c26a2cbc6212c1db9be9f082ba045d514a27ff08cb7750cdb6fb10a8f8b7afd");
  REQUIRE(signature_fits(root));
  const std::string text = to_json(root);
  const auto back = read_receipt_root(text);
  REQUIRE(back);
  REQUIRE(*back == root);
}

TEST_CASE("Any other byte in a root is refused, or breaks its signature") {
  Agent agent;
  const std::string text = agent.next({receipt(1), receipt(2)});
  for (std::size_t i = 0; i < text.size(); ++i) {
    for (const char flip : {char(1), char(32)}) {
      std::string bad = text;
      bad[i] = static_cast<char>(bad[i] ^ flip);
      const auto read = read_receipt_root(bad);
      INFO("byte " << i);
      REQUIRE((!read || !signature_fits(*read) || read->made_ms != agent.roots[0].made_ms || read->prev != Sha256{} || read->site != "cafe-one"));
      if (read) REQUIRE_FALSE(signature_fits(*read));
    }
  }
  REQUIRE_FALSE(read_receipt_root(text + " "));
  REQUIRE_FALSE(read_receipt_root(""));
}

TEST_CASE("A figure out of its bounds has no text") {
  Receipt one = receipt(1);
  one.tokens->output = 1'000'000'001;
  REQUIRE(receipt_text(one).empty());
  one = receipt(1);
  one.model = "a\"b";
  REQUIRE(receipt_text(one).empty());
  one = receipt(1);
  one.attempt = 0;
  REQUIRE(receipt_text(one).empty());
}

namespace {

// A gateway's intake over a store and a journal that may be killed.
struct Desk {
  test::World world;
  std::unique_ptr<ReceiptIntake> intake;
  Desk() {
    world.start();
    open();
  }
  void open() {
    world.post_all();
    std::string why;
    intake = ReceiptIntake::open(*world.ledger, world.journal, system_clock(), why);
    INFO(why);
    REQUIRE(intake);
  }
  void restart() {
    intake.reset();
    world.open();
    open();
  }
  Result take(const std::string& text, const std::string& site = "cafe-one") { return intake->take(site, text).result; }
  std::size_t commands() {
    std::size_t out = 0;
    for (const auto& record : world.journal.records) {
      const auto* const command = std::get_if<metering::Command>(&record);
      out += command != nullptr && command->kind == receipts_kind;
    }
    return out;
  }
  void verified() {
    world.post_all();
    const auto verdict = verify(world.path(), "", 0, &world.journal);
    INFO(verdict.place << ": " << verdict.why);
    REQUIRE(verdict.ok);
  }
};

}  // namespace

TEST_CASE("Roots are taken once and in order, acknowledged when they are on the disk, and known after a restart") {
  Desk desk;
  Agent agent;
  const auto first = agent.next({receipt(1)}), second = agent.next({receipt(2), receipt(3)});
  REQUIRE(desk.intake->held("cafe-one").upto == 0);
  REQUIRE(desk.take(first) == Result::taken);
  REQUIRE(desk.intake->held("cafe-one").upto == 1);
  desk.world.journal.durable_max = desk.world.journal.last();
  REQUIRE(desk.take(second) == Result::taken);
  REQUIRE(desk.intake->held("cafe-one").upto == 1);
  REQUIRE_FALSE(desk.intake->held("cafe-one").settled);
  desk.world.journal.durable_max = UINT64_MAX;
  REQUIRE(desk.intake->held("cafe-one").upto == 2);
  desk.world.post_all();
  REQUIRE(desk.take(first) == Result::repeated);
  desk.restart();
  REQUIRE(desk.intake->held("cafe-one").upto == 2);
  REQUIRE(desk.take(second) == Result::repeated);
  REQUIRE(desk.take(agent.next({receipt(4)})) == Result::taken);
  REQUIRE(desk.commands() == 3);
  desk.verified();
}

TEST_CASE("A lying agent is refused: another key, a gap, a second truth, another site's name, altered figures") {
  Desk desk;
  Agent agent;
  const auto first = agent.next({receipt(1)}), second = agent.next({receipt(2)}), third = agent.next({receipt(3)});
  REQUIRE(desk.take(first) == Result::taken);
  desk.world.post_all();

  REQUIRE(desk.intake->take("cafe-one", third).why == "root 3 does not come after 1: roots are missing");
  Agent other;
  other.key = key_of(2);
  other.next({receipt(1)});
  REQUIRE(desk.intake->take("cafe-one", other.next({receipt(2)})).why ==
          "root 2 is signed by key " + to_hex(other.key.public_key()) + ", pinned is " + to_hex(agent.key.public_key()));
  Agent twin;  // the same key, another past
  twin.key = agent.key;
  const auto lie = twin.next({receipt(9)});
  REQUIRE(desk.intake->take("cafe-one", lie).why == "root 1 is another than the one held");
  REQUIRE(desk.intake->take("cafe-one", twin.next({receipt(2)})).why == "root 2 is not chained to root 1");
  REQUIRE(desk.intake->take("dc-two", second).why == "a root of another site, cafe-one");
  auto more = agent.roots[1];
  more.receipts[0].tokens->output += 1000;  // the root no longer fits them
  REQUIRE(desk.take(to_json(more)) == Result::refused);
  auto resigned = agent.roots[1];
  resigned.made_ms += 1;  // the signature no longer fits it
  REQUIRE(desk.intake->take("cafe-one", to_json(resigned)).why == "the signature of root 2 does not fit");
  REQUIRE(desk.take("{}") == Result::refused);
  REQUIRE(desk.intake->refused() == 8);
  REQUIRE(desk.commands() == 1);

  REQUIRE(desk.take(second) == Result::taken);  // the honest one goes on
  desk.verified();
}

TEST_CASE("A site that lost its state begins anew under a key that the operator pins") {
  Desk desk;
  Agent before;
  REQUIRE(desk.take(before.next({receipt(1)})) == Result::taken);
  desk.world.post_all();
  Agent after;
  after.key = key_of(3);
  const auto root = after.next({receipt(2)});
  REQUIRE(desk.take(root) == Result::refused);
  REQUIRE(desk.intake->pin("cafe-one", after.key.public_key(), "new disk", test::noon) == Posting::posted);
  REQUIRE(desk.take(root) == Result::taken);
  desk.restart();
  REQUIRE(desk.intake->held("cafe-one").upto == 1);
  REQUIRE(desk.take(before.next({receipt(3)})) == Result::refused);
  REQUIRE(desk.take(after.next({receipt(4)})) == Result::taken);
  desk.verified();
}

namespace {

MeterReport compare(Desk& desk, const Book* book = nullptr, std::int64_t later_ms = 3'600'000) {
  desk.world.post_all();
  std::string why;
  const auto reader = desk.world.ledger->reader(why);
  REQUIRE(reader);
  MeterQuestion question;
  question.from_ms = test::nov_2026;
  question.to_ms = test::nov_2026 + 30 * day_ms;
  question.now_ms = test::noon + later_ms;
  question.dials_in = [](const std::string& site) { return site != "dc-one"; };
  question.book = book;
  auto out = compare_meters(*reader, question);
  REQUIRE(out.error.empty());
  return out;
}

struct NoonClock final : Clock {
  std::int64_t mono_ns() const override { return 1; }
  std::int64_t wall_ms() const override { return test::noon + 60'000; }
};

}  // namespace

TEST_CASE("The meters are compared attempt by attempt: honest, lying, silent and dialled sites") {
  Desk desk;
  NoonClock clock;
  std::string why;
  desk.intake = ReceiptIntake::open(*desk.world.ledger, desk.world.journal, clock, why);
  std::vector<metering::Final> finals;
  for (std::uint64_t n = 1; n <= 6; ++n) finals.push_back(served(n));
  finals.push_back(served(7, "dc-one"));
  finals.push_back(served(8, "cafe-one", "reset"));
  for (const auto& final : finals) REQUIRE(desk.world.journal.append(final) > 0);
  Agent agent;
  Receipt stranger = receipt_of(finals[0]);
  stranger.request.lo = 4711;
  REQUIRE(desk.take(agent.next({receipt_of(finals[0]), receipt_of(finals[1], 202), receipt_of(finals[2], 300), receipt_of(finals[3], 150),
                                receipt_of(finals[7], 260), stranger})) == Result::taken);
  REQUIRE(desk.take(agent.next({receipt_of(finals[0])})) == Result::taken);  // told twice

  const auto found = compare(desk);
  const auto& sum = found.sums.at({"cafe-one", "m"});
  const auto count = [&](MeterState state) { return sum.attempts[static_cast<std::size_t>(state)]; };
  CHECK(count(MeterState::equal) == 1);
  CHECK(count(MeterState::within) == 2);  // two tokens more; and the one that broke off: waste
  CHECK(count(MeterState::more) == 1);
  CHECK(count(MeterState::less) == 1);
  CHECK(count(MeterState::no_receipt) == 2);
  CHECK(count(MeterState::no_request) == 1);
  CHECK(count(MeterState::twice) == 1);
  CHECK(found.sums.at({"dc-one", "m"}).attempts[static_cast<std::size_t>(MeterState::unsigned_)] == 1);
  CHECK(found.differing == 6);
  CHECK(found.unexplained == 6);
  CHECK(found.holding == 6);
  for (const auto& line : found.lines) {
    CHECK((line.gateway.has_value() || line.state == MeterState::no_request || line.state == MeterState::twice));
    CHECK(line.signed_.has_value() == (line.state != MeterState::no_receipt));
    CHECK(line.site == "cafe-one");
  }
  CHECK(compare(desk, nullptr, 5'000).sums.at({"cafe-one", "m"}).attempts[static_cast<std::size_t>(MeterState::waiting)] == 3);

  // What is explained holds up nothing, one by one or a site's day at once.
  Document why_fine;
  why_fine.kind = "explained";
  why_fine.evidence = why_fine.attach = "a test";
  CHECK(found.lines[0].subject().substr(0, 17) == "receipt:cafe-one:");
  REQUIRE(desk.world.ledger->post("explained:" + found.lines[0].subject(), why_fine, test::noon) == Posting::posted);
  CHECK(compare(desk).unexplained == 5);
  REQUIRE(desk.world.ledger->post("explained:receipts:cafe-one:2026-11-24", why_fine, test::noon) == Posting::posted);
  CHECK(compare(desk).unexplained == 0);
  CHECK(compare(desk).differing == 6);
  desk.verified();
}

TEST_CASE("The tolerance is the larger of two tokens and one per cent") {
  const MeterRule rule;
  CHECK(rule.agrees(0, 2));
  CHECK_FALSE(rule.agrees(0, 3));
  CHECK(rule.agrees(1000, 1010));
  CHECK_FALSE(rule.agrees(1000, 1012));
  CHECK(rule.agrees(990, 1000));
  CHECK(rule.agrees(UINT64_MAX, UINT64_MAX));
}

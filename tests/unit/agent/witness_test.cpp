// What a site remembers of the ledger, and what it refuses to believe afterwards.
#include "backends/agent/witness.h"

#include "tests/catch.h"
#include "tests/support/mem_disk.h"
#include "tests/unit/tunnel/pipes.h"

using namespace trib;
using namespace trib::agent;
using Taken = tunnel::AgentHandler::Taken;

namespace {

// A ledger's chain of checkpoints, signed by a key of its own.
struct Chain {
  SigningKey key = new_key();
  std::vector<ledger::Checkpoint> all;

  static SigningKey new_key() {
    test::MemDisk disk(1);
    std::string why;
    return *SigningKey::open(disk, "key", why);
  }
  void grow(const std::string& history, std::size_t count = 1) {
    for (; count > 0; --count) {
      ledger::Checkpoint next;
      next.number = all.size() + 1;
      next.batch_from = all.empty() ? 1 : all.back().batch_to + 1;
      next.batch_to = next.batch_from + 9;
      next.to_lsn = next.batch_to * 100;
      next.made_ms = 1'800'000'000'000 + static_cast<std::int64_t>(next.number) * 3'600'000;
      next.head = sha256(history + std::to_string(next.number));
      next.root = sha256("root" + history);
      if (!all.empty()) next.prev = ledger::digest(all.back());
      sign(next);
      all.push_back(next);
    }
  }
  void sign(ledger::Checkpoint& one) const {
    one.public_key = key.public_key();
    one.signature = key.sign(ledger::signed_bytes(one));
  }
  tunnel::CheckpointPage page(std::uint64_t from) const {
    tunnel::CheckpointPage out;
    out.last = all.size();
    for (std::size_t i = from - 1; i < all.size() && out.checkpoints.size() < tunnel::checkpoints_per_page; ++i)
      out.checkpoints.push_back(ledger::to_json(all[i]));
    return out;
  }
};

}  // namespace

TEST_CASE("checkpoints are kept, across restarts, from the first sight of the key") {
  Chain chain;
  chain.grow("a", 3);
  test::MemDisk disk{2};
  disk.make_dirs("state");
  {
    Witness witness(disk, "state");
    CHECK(witness.held() == 0);
    CHECK(witness.take(chain.page(1)) == Taken::kept);
    CHECK(witness.held() == 3);
    CHECK(witness.take(chain.page(2)) == Taken::kept);  // told twice
  }
  CHECK(disk.content("state/checkpoint.pub") == to_hex(chain.key.public_key()) + "\n");
  Witness witness(disk, "state");
  CHECK(witness.held() == 3);
  chain.grow("a", 100);
  while (witness.held() < chain.all.size()) REQUIRE(witness.take(chain.page(witness.held() + 1)) == Taken::kept);
  std::uint64_t whole = 0;
  std::string why;
  const auto kept = ledger::read_checkpoints(disk.content("state/checkpoints.jsonl"), whole, why);
  REQUIRE(kept);
  CHECK(*kept == chain.all);
}

TEST_CASE("what contradicts a checkpoint that is held is refused, with the evidence kept") {
  Chain chain;
  chain.grow("a", 5);
  test::MemDisk disk{3};
  disk.make_dirs("state");
  Witness witness(disk, "state");
  REQUIRE(witness.take(chain.page(1)) == Taken::kept);
  const std::string before = disk.content("state/checkpoints.jsonl");
  Chain other = chain;
  SECTION("the same number, another history") {
    other.all.resize(3);
    other.grow("b", 2);
    CHECK(witness.take(other.page(4)) == Taken::contradicted);
    CHECK(witness.why().find("checkpoint 4 is another than the one held") == 0);
    CHECK(disk.content("state/contradictions.jsonl") == ledger::to_json(other.all[3]) + "\n");
    CHECK(witness.take(other.page(4)) == Taken::contradicted);
    CHECK(disk.content("state/contradictions.jsonl") == ledger::to_json(other.all[3]) + "\n");
  }
  SECTION("a next one that is not chained to the last") {
    other.all.resize(3);
    other.grow("b", 3);
    CHECK(witness.take(other.page(6)) == Taken::contradicted);
    CHECK(witness.why() == "checkpoint 6 is not chained to checkpoint 5");
  }
  SECTION("a next one over batches that were covered") {
    chain.grow("a");
    auto page = chain.page(6);
    auto again = chain.all.back();
    again.batch_from -= 1;
    chain.sign(again);
    page.checkpoints[0] = ledger::to_json(again);
    CHECK(witness.take(page) == Taken::contradicted);
  }
  SECTION("the ledger goes back") {
    other.all.resize(4);
    CHECK(witness.take(other.page(4)) == Taken::contradicted);
    CHECK(witness.why().find("the ledger went back") != std::string::npos);
    other.all.clear();
    CHECK(witness.take(other.page(1)) == Taken::contradicted);
  }
  SECTION("another key") {
    Chain stranger;
    stranger.all = chain.all;
    stranger.grow("a");
    CHECK(witness.take(stranger.page(6)) == Taken::contradicted);
    CHECK(witness.why().find("another key") != std::string::npos);
  }
  SECTION("a signature that does not fit, a hole, and nonsense") {
    chain.grow("a", 2);
    auto page = chain.page(6);
    auto bad = chain.all[5];
    bad.signature[3] ^= 1;
    page.checkpoints[0] = ledger::to_json(bad);
    CHECK(witness.take(page) == Taken::contradicted);
    CHECK(witness.take(chain.page(7)) == Taken::contradicted);
    page.checkpoints[0] = "{\"format\":\"tributary-checkpoint/1\"}";
    CHECK(witness.take(page) == Taken::contradicted);
    CHECK(witness.take(chain.page(6)) == Taken::kept);  // the truth is taken afterwards
    return;
  }
  CHECK(witness.held() == 5);
  CHECK(disk.content("state/checkpoints.jsonl") == before);
}

TEST_CASE("a site keeps the newest, and forgets the older half when they are too many") {
  Chain chain;
  test::MemDisk disk{4};
  disk.make_dirs("state");
  Witness witness(disk, "state", 20);
  for (int i = 0; i < 75; ++i) {
    chain.grow("a");
    REQUIRE(witness.take(chain.page(chain.all.size())) == Taken::kept);
  }
  const auto lines = [&] {
    const auto text = disk.content("state/checkpoints.jsonl");
    return std::count(text.begin(), text.end(), '\n');
  };
  CHECK(lines() <= 20);
  CHECK(lines() >= 10);
  Witness again(disk, "state", 20);
  CHECK(again.held() == 75);
  chain.all[70].head = sha256("b");
  chain.sign(chain.all[70]);
  CHECK(again.take(chain.page(71)) == Taken::contradicted);
}

TEST_CASE("a disk that fails is no contradiction, and half a line is none either") {
  Chain chain;
  chain.grow("a", 2);
  test::MemDisk disk{5};
  disk.make_dirs("state");
  {
    Witness witness(disk, "state");
    REQUIRE(witness.take(chain.page(1)) == Taken::kept);
    chain.grow("a");
    for (std::uint64_t at = 1; at < 5; ++at) {
      disk.fail_at(disk.operations() + at, std::errc::io_error);
      const auto taken = witness.take(chain.page(3));
      CHECK((taken == Taken::not_now || taken == Taken::kept));
      if (taken == Taken::kept) break;
      CHECK(witness.held() == 2);
    }
    disk.mend();
    CHECK(witness.take(chain.page(3)) == Taken::kept);
  }
  const std::string whole = disk.content("state/checkpoints.jsonl");
  disk.replace("state/checkpoints.jsonl", whole.substr(0, whole.size() - 5));
  CHECK(Witness(disk, "state").held() == 2);
  disk.replace("state/checkpoints.jsonl", "x" + whole);
  Witness anew(disk, "state");
  CHECK(anew.held() == 0);
  CHECK(disk.content("state/checkpoints.damaged.jsonl") == "x" + whole);
  CHECK(anew.take(chain.page(1)) == Taken::kept);
}

// Invariant 31: a proof holds with nothing but the public checkpoint, and nothing in it can be altered.
#include "gateway/ledger/proof.h"

#include "gateway/ledger/verify.h"
#include "tests/unit/ledger/world.h"

using namespace trib;
using namespace trib::ledger;
using test::noon;
using test::World;

namespace {

struct Proven : World {
  std::optional<SigningKey> key;
  std::unique_ptr<CheckpointBook> book;
  std::vector<RequestId> ids;

  std::string checkpoints_path() const { return dir.file("checkpoints.jsonl"); }
  Proven() {
    std::string why;
    key = SigningKey::open(system_disk(), dir.file("key"), why);
    REQUIRE(key);
    start();
    open_book();
  }
  void open_book() {
    std::string why;
    book = CheckpointBook::open(system_disk(), checkpoints_path(), *key, why);
    INFO(why);
    REQUIRE(book);
  }
  void traffic(std::uint64_t seed, int batches) {
    SeededRng rng(seed);
    for (int batch = 0; batch < batches; ++batch) {
      ledger->topup("acme", "t" + std::to_string(seed) + "-" + std::to_string(batch), *money::Amount::parse("12.5"), noon);
      for (int i = 0; i < 7; ++i) {
        const auto final = test::random_final(rng, noon + static_cast<std::int64_t>(seed) * 1'000'000 + batch * 1000 + i);
        ids.push_back(final.admit.id);
        journal.append(final.admit);
        journal.append(final);
      }
      post_all();
    }
  }
  Checkpoint sign() {
    std::string why;
    const auto made = book->make(*ledger, noon + 3'600'000, why);
    INFO(why);
    REQUIRE(made);
    return *made;
  }
  std::string some_transfer() {
    std::string why, out;
    const auto reader = ledger->reader(why);
    reader->transfers({}, [&](const TransferRow& row) {
      out = "transfer:" + std::to_string(row.id);
      return row.legs.size() < 3;
    });
    return out;
  }
  std::string proof(const std::string& subject) {
    Unproven why;
    const auto made = prove(*ledger, *book, subject, noon, why);
    INFO(subject << ": " << why.why);
    REQUIRE(made);
    return proof_text(*made);
  }
};

}  // namespace

TEST_CASE("Merkle paths lead from every leaf to the root, and from no other place") {
  for (std::size_t count = 1; count <= 40; ++count) {
    std::vector<Sha256> leaves;
    for (std::size_t i = 0; i < count; ++i) leaves.push_back(sha256(std::to_string(i)));
    const Sha256 root = merkle_root(leaves);
    for (std::size_t i = 0; i < count; ++i) {
      auto path = merkle_path(leaves, i);
      REQUIRE(merkle_climb(leaves[i], i, count, path) == root);
      for (std::size_t other = 0; other < count + 2; ++other)
        if (other != i) REQUIRE(merkle_climb(leaves[i], other, count, path) != root);
      if (!path.empty()) {
        REQUIRE(merkle_climb(leaves[i], i, count, std::span(path).first(path.size() - 1)) != root);
        path.back()[7] ^= 1;
        REQUIRE(merkle_climb(leaves[i], i, count, path) != root);
      }
      path.push_back(root);
      REQUIRE(merkle_climb(leaves[i], i, count, path) != root);
    }
  }
}

TEST_CASE("invariant 31: every request and every transfer can be proved offline, whichever checkpoint covers it") {
  Proven world;
  world.traffic(1, 5);
  const Checkpoint first = world.sign();
  CHECK(first.number == 1);
  CHECK(first.batch_from == 1);
  world.traffic(2, 9);
  const Checkpoint second = world.sign();
  CHECK(follows(first, second) == "");
  CHECK(world.sign() == second);  // nothing is new
  world.traffic(3, 1);
  std::size_t proofs = 0;
  for (const RequestId& id : world.ids) {
    const std::string text = world.proof(id.text());
    const ProofCheck check = check_proof(text, world.key->public_key());
    INFO(check.why);
    REQUIRE(check.ok());
    CHECK(subject_of(*check.proof) == "request " + id.text());
    CHECK(std::get<UsageRow>(check.proof->row).id == id);
    CHECK(proof_text(*check.proof) == text);
    ++proofs;
  }
  CHECK(world.book->last()->number == 3);  // the last batch had none: one was signed for it
  std::string why;
  const auto reader = world.ledger->reader(why);
  reader->transfers({}, [&](const TransferRow& row) {
    const ProofCheck check = check_proof(world.proof("transfer:" + std::to_string(row.id)), world.key->public_key());
    CHECK(check.ok());
    CHECK(std::get<TransferRow>(check.proof->row).legs == row.legs);
    ++proofs;
    return true;
  });
  CHECK(proofs > 120);

  Unproven none;
  CHECK_FALSE(prove(*world.ledger, *world.book, RequestId{1, 2}.text(), noon, none));
  CHECK(none.unknown);
  CHECK_FALSE(prove(*world.ledger, *world.book, "transfer:999999", noon, none));
  CHECK_FALSE(prove(*world.ledger, *world.book, "nonsense", noon, none));
}

TEST_CASE("invariant 31: any bit of a proof that is flipped is noticed") {
  Proven world;
  world.traffic(4, 6);
  world.sign();
  const std::string text = world.proof(world.ids.front().text());
  const std::string transfer = world.proof(world.some_transfer());
  SeededRng rng(5);
  for (const std::string* whole : {&text, &transfer}) {
    for (std::size_t at = 0; at + 1 < whole->size(); ++at) {
      for (unsigned bit = 0; bit < 8; bit += 1 + static_cast<unsigned>(rng.below(7))) {
        std::string altered = *whole;
        altered[at] = static_cast<char>(static_cast<unsigned char>(altered[at]) ^ (1u << bit));
        const ProofCheck check = check_proof(altered, world.key->public_key());
        INFO("byte " << at << ", bit " << bit);
        REQUIRE_FALSE(check.ok());
      }
    }
  }
}

TEST_CASE("a request for which the platform paid more than it took can be proved") {
  Proven world;
  auto config = test::golden_config();
  auto& contract = config.contracts.emplace_back(config.contracts[1]);
  contract.id = "pays";
  contract.policies.pay_loser = true;
  contract.shares = {0, 1'000'000, 0, 0};
  REQUIRE_FALSE(world.ledger->publish(config, noon + 1));
  auto final = test::request({static_cast<std::uint64_t>(noon) << 16, 1}, noon + 2, {100, 0, 0, 10, 0});
  test::add_attempt(final, "slow", "amd", 0, "outrun", "pays");
  test::add_attempt(final, "fast", "nvidia", 10, "none", "pays");
  world.journal.append(final.admit);
  world.journal.append(final);
  world.post_all();
  const auto row = world.ledger->request(final.admit.id);
  REQUIRE(std::any_of(row->parts.begin(), row->parts.end(), [](const Part& part) { return part.amount.negative(); }));
  world.sign();
  const ProofCheck check = check_proof(world.proof(final.admit.id.text()), world.key->public_key());
  INFO(check.why);
  CHECK(check.ok());
}

TEST_CASE("what is wrong with a proof is named") {
  Proven world;
  world.traffic(6, 6);
  world.sign();
  Unproven why;
  const auto sound = prove(*world.ledger, *world.book, world.ids[3].text(), noon, why);
  REQUIRE(sound);
  const auto said = [&](auto alter) {
    Proof proof = *sound;
    alter(proof);
    return check_proof(proof_text(proof), world.key->public_key()).why;
  };
  CHECK(said([](Proof&) {}) == "");
  CHECK(said([](Proof& p) { std::get<UsageRow>(p.row).tenant = "mallory"; }) == "the row differs from its leaf");
  const auto resealed = [](Proof& p) {
    auto& row = std::get<UsageRow>(p.row);
    row.tenant = "mallory";
    row.leaf = leaf_of(row, 0);
  };
  CHECK(said(resealed) == "the leaf does not lead to the batch's Merkle root");
  CHECK(said([&](Proof& p) {
          resealed(p);
          p.batch.merkle_root = *merkle_climb(std::get<UsageRow>(p.row).leaf, p.index, p.batch.n, p.siblings);
        }) == "the batch's header differs from its hash");
  const auto rehashed = [&](Proof& p) {
    resealed(p);
    p.batch.merkle_root = *merkle_climb(std::get<UsageRow>(p.row).leaf, p.index, p.batch.n, p.siblings);
    p.batch.hash = chain_hash(p.batch);
  };
  CHECK(said(rehashed) == "the batch does not lead to the checkpoint's root");
  const auto recovered = [&](Proof& p) {
    rehashed(p);
    Checkpoint& over = p.checkpoint;
    over.root = *merkle_climb(p.batch.hash, p.batch.id - over.batch_from, over.batch_to - over.batch_from + 1, p.batch_siblings);
  };
  CHECK(said(recovered) == "the checkpoint's signature does not fit");
  const auto forged = [&](Proof& p) {  // the whole house forged: the key gives it away, when it is known
    recovered(p);
    std::string ignored;
    const auto other = SigningKey::open(system_disk(), world.dir.file("other"), ignored);
    p.checkpoint.public_key = other->public_key();
    p.checkpoint.signature = other->sign(signed_bytes(p.checkpoint));
  };
  CHECK(said(forged) == "the checkpoint is signed by another key than the one given");
  Proof unpinned = *sound;
  forged(unpinned);
  CHECK(check_proof(proof_text(unpinned), {}).ok());  // why the key must be known

  std::string extra = proof_text(*sound);
  extra.insert(extra.find("\"state\""), "\"note\": \"paid twice\",\n");
  CHECK(check_proof(extra, {}).why == "`row.note` does not belong there, or was altered");
  CHECK(check_proof("", {}).why.find("not JSON") == 0);
  CHECK(check_proof("{}", {}).why == "`format` is missing");
}

TEST_CASE("no bytes make the check fall over") {
  Proven world;
  world.traffic(8, 2);
  const std::string text = world.proof(world.ids[1].text());
  SeededRng rng(9);
  for (int round = 0; round < 2000; ++round) {
    std::string altered = text;
    for (std::uint64_t n = 1 + rng.below(4); n > 0; --n) {
      const std::size_t at = rng.below(altered.size());
      switch (rng.below(3)) {
        case 0: altered.erase(at, 1 + rng.below(40)); break;
        case 1: altered.insert(at, altered.substr(rng.below(altered.size()), rng.below(60))); break;
        default: altered[at] = static_cast<char>(rng.below(256));
      }
    }
    const ProofCheck check = check_proof(altered, {});
    if (check.ok()) CHECK(proof_text(*check.proof) == text);  // only blanks were touched
  }
}

TEST_CASE("no checkpoint leaves before the SEAL of its last batch is durable") {
  Proven world;
  world.traffic(10, 2);
  const Checkpoint before = world.sign();
  world.journal.refuse_seals = true;
  const auto final = test::request({9, 9}, noon, {1, 0, 0, 1, 0});
  world.journal.append(final.admit);
  world.journal.append(final);
  world.ledger->post_once();
  std::string why;
  CHECK_FALSE(world.book->make(*world.ledger, noon, why));
  CHECK(why == "the journal does not take the last batch's SEAL");
  CHECK(world.book->last() == before);
  world.journal.refuse_seals = false;
  world.ledger->post_once();
  world.journal.durable_max = world.journal.last() - 1;  // appended, not on the disk
  CHECK_FALSE(world.book->make(*world.ledger, noon, why = {}));
  world.journal.durable_max = UINT64_MAX;
  CHECK(world.sign().batch_from == before.batch_to + 1);
}

TEST_CASE("checkpoints outlive the store: one that is made again from the journal meets them") {
  Proven world;
  world.traffic(11, 7);
  world.sign();
  world.traffic(12, 7);
  const Checkpoint last = world.sign();
  const std::string proof = world.proof(world.ids.back().text());
  world.ledger.reset();
  world.lose_store();
  world.batch_max = 3;  // the boundaries are those of the SEALs all the same
  world.open();
  world.open_book();
  CHECK(world.book->contradicts(*world.ledger) != "");  // nothing is posted yet
  world.post_all();
  CHECK(world.book->contradicts(*world.ledger) == "");
  CHECK(world.book->last() == last);
  CHECK(world.proof(world.ids.back().text()) == proof);
  CHECK(world.sign() == last);
}

TEST_CASE("a store of another history is contradicted by its checkpoints") {
  Proven world;
  world.traffic(13, 4);
  world.sign();
  const auto all = world.book->from(1, 100);
  Proven other;
  other.traffic(14, 9);
  {
    std::string why;
    auto book = CheckpointBook::open(system_disk(), world.checkpoints_path(), *world.key, why);
    REQUIRE(book);
    CHECK(book->contradicts(*other.ledger).find("was signed over another batch") != std::string::npos);
    CHECK_FALSE(book->make(*other.ledger, noon, why));
    CHECK(why.find("does not go on from what was signed") != std::string::npos);
  }
  const Verdict verdict = verify(other.path(), "", 0, nullptr, all);
  CHECK(verdict.place == "checkpoint 1");
  CHECK(verify(world.path(), "", 0, &world.journal, all).checkpoints == 1);
  auto unsigned_one = all;
  unsigned_one[0].made_ms += 1;
  CHECK(verify(world.path(), "", 0, nullptr, unsigned_one).why == "its signature does not fit");
  auto beyond = all;
  beyond[0].batch_to += 1;
  beyond[0].signature = world.key->sign(signed_bytes(beyond[0]));
  CHECK(verify(world.path(), "", 0, nullptr, beyond).place == "checkpoint 1");
}

TEST_CASE("the file of checkpoints: a torn end is cut, anything else is refused") {
  Proven world;
  world.traffic(15, 2);
  world.sign();
  world.traffic(16, 2);
  const Checkpoint second = world.sign();
  std::string text, why;
  REQUIRE_FALSE(read_file(system_disk(), world.checkpoints_path(), text));
  const auto reopened = [&](const std::string& content) {
    REQUIRE_FALSE(write_file(system_disk(), world.checkpoints_path(), content));
    why.clear();
    return CheckpointBook::open(system_disk(), world.checkpoints_path(), *world.key, why);
  };
  const std::size_t first_line = text.find('\n') + 1;
  auto torn = reopened(text.substr(0, text.size() - 9));
  REQUIRE(torn);
  CHECK(torn->last()->number == 1);
  world.book = std::move(torn);
  CHECK(world.sign().head == second.head);  // signed again, at another time
  CHECK(reopened(text.substr(0, first_line)));
  CHECK_FALSE(reopened(text.substr(first_line)));
  CHECK(why.find("does not begin with checkpoint 1") != std::string::npos);
  CHECK_FALSE(reopened(text + text));
  for (std::size_t at = 0; at + 1 < text.size(); at += 3) {
    std::string damaged = text;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    if (damaged[at] == '\n') continue;
    const auto book = reopened(damaged);
    INFO("byte " << at);
    CHECK((!book || at + 1 == first_line));
  }
}

TEST_CASE("a checkpoint reads back as it was written, and its bytes are frozen") {
  Checkpoint one;
  one.shard = 1;
  one.number = 2;
  one.batch_from = 3;
  one.batch_to = 4;
  one.to_lsn = 5;
  one.made_ms = noon;
  one.root = sha256("root");
  one.head = sha256("head");
  one.prev = sha256("prev");
  one.public_key = std::string(32, 'k');
  one.signature = std::string(64, 's');
  CHECK(read_checkpoint(to_json(one)) == one);
  CHECK(to_hex(digest(one)) == "a936b47a3d0a148a6d3853be96a5be406aae328339b78d40d62726fa065b26b6");
  std::string spaced = to_json(one);
  spaced.insert(1, " ");
  CHECK(read_checkpoint(spaced) == one);
  CHECK_FALSE(read_checkpoint(to_json(one) + "x"));
}

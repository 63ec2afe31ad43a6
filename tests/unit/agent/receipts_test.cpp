// The site's own meter and journal: what is served is told once, whatever is killed and when.
#include "backends/agent/receipts.h"

#include "backends/agent/courier.h"
#include "backends/agent/meter.h"
#include "tests/catch.h"
#include "tests/support/mem_disk.h"
#include "tests/unit/tunnel/pipes.h"

using namespace trib;
using namespace trib::agent;

namespace {

ledger::Receipt receipt(std::uint64_t n) {
  ledger::Receipt out;
  out.request = {n << 16, n};
  out.model = "m";
  out.tokens = metering::TokenCounts{n, 0, 0, n, 0};
  out.status = 200;
  return out;
}

// What the gateway holds: checks that each root follows the one before.
struct Gateway {
  std::vector<std::uint64_t> requests;
  std::uint64_t upto = 0;
  Sha256 digest{};
  void take(const std::string& text) {
    const auto root = ledger::read_receipt_root(text);
    REQUIRE(root);
    if (root->number <= upto) return;
    REQUIRE(root->number == upto + 1);
    REQUIRE(root->prev == digest);
    REQUIRE(ledger::signature_fits(*root));
    upto = root->number;
    digest = ledger::digest(*root);
    for (const auto& one : root->receipts) requests.push_back(one.request.lo);
  }
};

}  // namespace

TEST_CASE("no kill loses a receipt that was written, or tells one twice") {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    INFO("seed " << seed);
    test::MemDisk disk(seed);
    REQUIRE_FALSE(disk.make_dirs("s"));
    SeededRng rng(seed);
    Gateway gateway;
    std::vector<std::uint64_t> written;
    std::uint64_t next = 1;
    for (int life = 0; life < 6; ++life) {
      ReceiptBook book(disk, "s", "cafe-one", {.segment_bytes = 700, .kept_bytes = 1u << 20});
      INFO(book.why());
      REQUIRE(book.why().empty());
      if (rng.below(2)) disk.fail_from(disk.operations() + rng.below(40) + 1, rng.below(2) ? std::errc::no_space_on_device : std::errc::io_error);
      for (int turn = 0; turn < 12; ++turn) {
        for (auto n = rng.below(4); n > 0; --n, ++next)
          if (book.add(receipt(next))) written.push_back(next);
        if (rng.below(3) && book.sign(1000))
          for (auto n = gateway.upto + 1; n <= book.newest() && rng.below(4); ++n)
            if (const auto text = book.root(n); !text.empty()) gateway.take(text);
        if (rng.below(3) == 0) book.acknowledged(gateway.upto);
      }
      disk.kill();
    }
    ReceiptBook book(disk, "s", "cafe-one", {.segment_bytes = 700, .kept_bytes = 1u << 20});
    INFO(book.why());
    REQUIRE(book.sign(1000));
    for (auto n = gateway.upto + 1; n <= book.newest(); ++n) gateway.take(book.root(n));
    // A write that was reported as failed may be there nevertheless; nothing else may differ.
    std::vector<std::uint64_t> missing;
    std::set_difference(written.begin(), written.end(), gateway.requests.begin(), gateway.requests.end(), std::back_inserter(missing));
    REQUIRE(missing.empty());
    REQUIRE(std::is_sorted(gateway.requests.begin(), gateway.requests.end()));
    REQUIRE(std::adjacent_find(gateway.requests.begin(), gateway.requests.end()) == gateway.requests.end());
    book.acknowledged(gateway.upto);
    REQUIRE(book.oldest() == book.newest() + 1);
  }
}

TEST_CASE("a power cut tears the tail of what was not signed, and no root that may have left") {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    INFO("seed " << seed);
    test::MemDisk disk(seed);
    REQUIRE_FALSE(disk.make_dirs("s"));
    SeededRng rng(seed);
    Gateway gateway;
    std::uint64_t next = 1;
    for (int life = 0; life < 5; ++life) {
      ReceiptBook book(disk, "s", "cafe-one", {.segment_bytes = 700, .kept_bytes = 1u << 20});
      INFO(book.why());
      REQUIRE(book.why().empty());
      for (int turn = 0; turn < 8; ++turn) {
        for (auto n = rng.below(4); n > 0; --n) book.add(receipt(next++));
        if (rng.below(2) && book.sign(1000))
          for (auto n = gateway.upto + 1; n <= book.newest(); ++n) gateway.take(book.root(n));
        if (rng.below(3) == 0) book.acknowledged(gateway.upto);
      }
      disk.crash();
      ReceiptBook after(disk, "s", "cafe-one", {.segment_bytes = 700, .kept_bytes = 1u << 20});
      INFO(after.why());
      REQUIRE(after.why().empty());
      REQUIRE(after.newest() >= gateway.upto);
    }
    REQUIRE(std::adjacent_find(gateway.requests.begin(), gateway.requests.end()) == gateway.requests.end());
  }
}

TEST_CASE("a full journal of receipts writes no more, and goes on once they are acknowledged") {
  test::MemDisk disk(1);
  REQUIRE_FALSE(disk.make_dirs("s"));
  ReceiptBook book(disk, "s", "cafe-one", {.segment_bytes = 500, .kept_bytes = 3000});
  std::uint64_t n = 1;
  while (book.add(receipt(n))) {
    ++n;
    REQUIRE(book.sign(1));
    REQUIRE(n < 100);
  }
  REQUIRE(book.full());
  book.acknowledged(book.newest());
  REQUIRE(book.add(receipt(n)));
  REQUIRE(disk.names("s").size() == 2);  // the key and one segment
}

TEST_CASE("damage before the tail is told, and nothing is written over it") {
  test::MemDisk disk(1);
  REQUIRE_FALSE(disk.make_dirs("s"));
  {
    ReceiptBook book(disk, "s", "cafe-one", {.segment_bytes = 300, .kept_bytes = 1u << 20});
    for (std::uint64_t n = 1; n < 9; ++n) {
      REQUIRE(book.add(receipt(n)));
      REQUIRE(book.sign(1));
    }
  }
  const std::string first = "s/receipts-0000000000000001.log";
  std::string bytes = disk.content(first);
  bytes[bytes.size() / 2] ^= 1;
  disk.replace(first, bytes);
  ReceiptBook book(disk, "s", "cafe-one");
  REQUIRE(book.why().find("receipts-0000000000000001.log, byte") != std::string::npos);
  REQUIRE_FALSE(book.add(receipt(9)));
  REQUIRE(disk.content(first) == bytes);
}

TEST_CASE("the meter reads tokens and pieces from a stream, a body, a long body and an error") {
  test::VirtualClock clock;
  const std::string id = "01990000000100000000000000000001";
  const auto meter = [&](std::string_view type, std::string_view body, ledger::Served how, int status = 200) {
    auto one = Meter::of(id + "-2", "/v1/chat/completions", "m", clock);
    REQUIRE(one);
    one->head(status, type);
    for (std::size_t at = 0; at < body.size(); at += 7) one->body(body.substr(at, 7));
    return one->finish(how);
  };
  const std::string usage = R"({"prompt_tokens":9,"completion_tokens":2,"total_tokens":11,"prompt_tokens_details":{"cached_tokens":4}})";
  const std::string piece = R"(data: {"choices":[{"index":0,"delta":{"content":"x"}}]})" "\n\n";
  const auto stream = meter("text/event-stream", piece + piece + R"(data: {"choices":[],"usage":)" + usage + "}\n\ndata: [DONE]\n\n", ledger::Served::done);
  CHECK(stream.request.text() == id);
  CHECK(stream.attempt == 2);
  CHECK(stream.pieces == 2);
  REQUIRE(stream.tokens);
  CHECK(*stream.tokens == metering::TokenCounts{5, 4, 0, 2, 0});
  const auto cut = meter("text/event-stream", piece + piece, ledger::Served::cancelled);
  CHECK(cut.pieces == 2);
  CHECK_FALSE(cut.tokens);
  CHECK(cut.served == ledger::Served::cancelled);
  const auto body = meter("application/json", R"({"choices":[{"message":{"content":"two words"},"finish_reason":"stop"}],"usage":)" + usage + "}", ledger::Served::done);
  CHECK(body.pieces == 2);
  REQUIRE(body.tokens);
  const auto lengthy = meter("application/json", R"({"choices":[{"message":{"content":")" + std::string(2u << 20, 'a') + R"("}}],"usage":)" + usage + "}", ledger::Served::done);
  REQUIRE(lengthy.tokens);
  CHECK(lengthy.tokens->output == 2);
  CHECK(lengthy.bytes > 2u << 20);
  const auto refused = meter("application/json", R"({"error":{"message":"no"}})", ledger::Served::done, 400);
  CHECK_FALSE(refused.tokens);
  CHECK(refused.status == 400);
  CHECK_FALSE(Meter::of("", "/v1/chat/completions", "m", clock));
  CHECK_FALSE(Meter::of(id + "-1", "/tokenize", "m", clock));
  CHECK_FALSE(Meter::of(id + "-0", "/v1/completions", "m", clock));
}

TEST_CASE("the courier signs once a second, keeps two roots under way and sends again what was not acknowledged") {
  test::VirtualClock clock;
  TimerWheel wheel{clock.now_};
  const auto pass = [&](int seconds) {
    for (int i = 0; i < seconds * 20; ++i) wheel.advance(clock.now_ += 50'000'000);
  };
  test::MemDisk disk(1);
  REQUIRE_FALSE(disk.make_dirs("s"));
  ReceiptBook book(disk, "s", "cafe-one");
  Courier courier(book, wheel, clock);
  std::vector<std::string> sent;
  courier.send = [&](const std::string& root) { sent.push_back(root); };
  for (std::uint64_t n = 1; n <= 5; ++n) {  // days offline
    courier.add(receipt(n));
    pass(2);
  }
  REQUIRE(book.newest() == 5);
  REQUIRE(sent.empty());  // the gateway has not asked
  courier.held({0, {}});
  REQUIRE(sent.size() == 2);
  courier.held({1, {}});
  REQUIRE(sent.size() == 3);
  pass(40);
  REQUIRE(sent.size() == 5);  // 2 and 3 once more
  courier.disconnected();
  courier.held({3, {}});
  REQUIRE(sent.size() == 7);
  courier.held({5, {}});
  REQUIRE(book.oldest() == 6);
  courier.add(receipt(6));
  REQUIRE(sent.size() == 7);
  pass(2);
  REQUIRE(sent.size() == 8);
  courier.held({5, "root 6 is signed by another key than the one pinned"});
  courier.add(receipt(7));
  pass(100);
  REQUIRE(sent.size() == 8);  // until it dials again
}

// An agent that signs receipts, and requests to sign for.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "gateway/ledger/receipt.h"
#include "tests/catch.h"
#include "tests/support/mem_disk.h"
#include "tests/unit/ledger/world.h"

namespace trib::test {

using ledger::Receipt;
using ledger::ReceiptRoot;

inline SigningKey key_of(std::uint64_t seed) {
  test::MemDisk disk(seed);
  std::string why;
  return *SigningKey::open(disk, "key", why);
}

inline Receipt receipt(std::uint64_t n) {
  Receipt out;
  out.request = {0x0199'0000'0000'0000 + (n << 16), n};
  out.model = "smollm2-135m";
  out.tokens = metering::TokenCounts{12, 3, 0, 40 + n, 0};
  out.pieces = 40 + n;
  out.bytes = 900;
  out.began_ms = 1'758'000'000'000;
  out.ended_ms = 1'758'000'000'450;
  out.status = 200;
  return out;
}

// An agent's chain of roots.
struct Agent {
  SigningKey key = key_of(1);
  std::string site = "cafe-one";
  std::vector<ReceiptRoot> roots;
  std::string next(std::vector<Receipt> receipts) {
    ReceiptRoot root;
    root.site = site;
    root.number = roots.size() + 1;
    root.made_ms = 1'758'000'001'000;
    if (!roots.empty()) root.prev = digest(roots.back());
    root.receipts = std::move(receipts);
    sign(root, key);
    roots.push_back(root);
    return to_json(root);
  }
};

// One request of "cafe-one" at noon, and the receipt that an honest site signs of it.
inline metering::Final served(std::uint64_t n, std::string site = "cafe-one", std::string fault = "none") {
  const std::int64_t at = test::noon + static_cast<std::int64_t>(n) * 1000;
  metering::Final out = test::request({static_cast<std::uint64_t>(at) << 16, n}, at, {100, 0, 0, 200, 0});
  test::add_attempt(out, std::move(site), "nvidia", 200, std::move(fault));
  out.results.back().claimed = metering::TokenCounts{100, 0, 0, 200, 0};
  return out;
}

inline Receipt receipt_of(const metering::Final& final, std::uint64_t output = 200) {
  Receipt out = receipt(1);
  out.request = final.admit.id;
  out.model = "m";
  out.tokens = metering::TokenCounts{100, 0, 0, output, 0};
  out.pieces = 200;
  return out;
}

}  // namespace trib::test

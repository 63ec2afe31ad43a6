// A row's detail: what goes in comes out, nothing else can be read as it, and its bytes are frozen.
#include "gateway/ledger/detail.h"

#include "gateway/ledger/bytes.h"
#include "tests/catch.h"
#include "tests/unit/ledger/samples.h"
#include "tests/unit/ledger/world.h"

using namespace trib;
using namespace trib::ledger;
using metering::TokenCounts;
using money::Amount;
using test::noon;

namespace {

struct Made {
  UsageRow row;
  std::vector<AttemptRow> attempts;
  std::vector<Part> parts;
};

std::uint64_t any(Rng& rng) { return rng.next() >> rng.below(64); }

std::string any_name(Rng& rng) {
  static const char* const known[] = {"", "none", "dc-one", "nvidia", "c", "standard", "outrun"};
  if (rng.below(4) != 0) return known[rng.below(std::size(known))];
  std::string out(rng.below(300), ' ');
  for (char& c : out) c = static_cast<char>(rng.below(256));
  return out;
}

TokenCounts any_counts(Rng& rng) { return {any(rng), any(rng), any(rng), any(rng), any(rng)}; }

Amount any_amount(Rng& rng) {
  const auto pico = static_cast<std::int64_t>(rng.next() % 1'000'000'000'000'000'000) >> rng.below(60);
  return Amount::pico(pico);
}

std::string any_party(Rng& rng, const std::vector<AttemptRow>& attempts) {
  const auto& sent = attempts.empty() ? metering::Attempt{} : attempts[rng.below(attempts.size())].sent;
  switch (rng.below(8)) {
    case 0: return "platform";
    case 1: return "vat";
    case 2: return "site:" + sent.site;
    case 3: return "vendor:" + sent.vendor;
    case 4: return "referrer:" + any_name(rng);
    case 5: return "site:" + any_name(rng);
    case 6: return "vendor:" + any_name(rng);
    default: return any_name(rng);
  }
}

// Rows that agree with themselves as a poster's do, and rows that do not.
Made any_row(Rng& rng) {
  Made out;
  UsageRow& row = out.row;
  row.id = {rng.next(), rng.next()};
  row.operation = any_name(rng);
  row.outcome = static_cast<metering::Outcome>(rng.below(7));
  row.status = static_cast<std::uint16_t>(rng.next());
  row.source = static_cast<metering::CountSource>(rng.below(5));
  row.final_ms = rng.below(4) != 0 ? noon : static_cast<std::int64_t>(rng.next());
  row.admit_ms = rng.below(4) != 0 ? row.final_ms - static_cast<std::int64_t>(rng.below(90'000)) : static_cast<std::int64_t>(rng.next());
  row.price_version = static_cast<std::uint32_t>(any(rng));
  row.book_revision = any(rng);
  row.counts = any_counts(rng);
  row.bytes_delivered = any(rng);
  if (rng.below(4) != 0) row.gross = any_amount(rng);
  for (std::uint64_t n = rng.below(4); n > 0; --n) {
    AttemptRow& attempt = out.attempts.emplace_back();
    metering::Attempt& sent = attempt.sent;
    sent.id = row.id;
    sent.n = attempt.result.n = static_cast<std::uint16_t>(rng.below(8) == 0 ? rng.next() : n);
    sent.wall_ms = rng.below(4) != 0 ? row.admit_ms : static_cast<std::int64_t>(rng.next());
    for (auto* text : {&sent.site, &sent.seat, &sent.device, &sent.engine, &sent.vendor, &sent.contract, &attempt.result.fault, &attempt.result.side})
      *text = any_name(rng);
    sent.contract_version = static_cast<std::uint32_t>(any(rng));
    for (auto* number : {&attempt.result.delivered, &attempt.result.pieces, &attempt.result.bytes}) *number = any(rng);
    if (rng.below(3) != 0) attempt.result.claimed = rng.below(2) ? row.counts : any_counts(rng);
    attempt.rated = rng.below(3) != 0;
    if (!attempt.rated) continue;
    attempt.billed = rng.below(2) ? row.counts : any_counts(rng);
    attempt.gross = rng.below(2) && row.gross ? *row.gross : any_amount(rng);
  }
  for (std::uint64_t n = rng.below(6); n > 0; --n) {
    Part& part = out.parts.emplace_back();
    const bool known = !out.attempts.empty() && rng.below(4) != 0;
    const metering::Attempt sent = known ? out.attempts[rng.below(out.attempts.size())].sent : metering::Attempt{};
    part.attempt = known ? sent.n : static_cast<std::uint16_t>(rng.next());
    part.party = any_party(rng, out.attempts);
    part.contract = known ? sent.contract : any_name(rng);
    part.contract_version = known ? sent.contract_version : static_cast<std::uint32_t>(any(rng));
    part.amount = rng.below(3) ? any_amount(rng) : -any_amount(rng);
  }
  encode_detail(out.row, out.attempts, out.parts);
  return out;
}

// The columns, as a row that is read has them before its detail.
UsageRow columns_of(const UsageRow& row) {
  UsageRow out;
  out.id = row.id;
  out.final_ms = row.final_ms;
  out.gross = row.gross;
  out.detail = row.detail;
  return out;
}

void require_same(const AttemptRow& a, const AttemptRow& b) {
  REQUIRE(a.sent == b.sent);
  REQUIRE(a.result == b.result);
  REQUIRE(a.rated == b.rated);
  REQUIRE(a.billed == b.billed);
  REQUIRE(a.gross == b.gross);
}

void require_same_facts(const UsageRow& a, const UsageRow& b) {
  REQUIRE(a.operation == b.operation);
  REQUIRE(a.outcome == b.outcome);
  REQUIRE(a.status == b.status);
  REQUIRE(a.source == b.source);
  REQUIRE(a.admit_ms == b.admit_ms);
  REQUIRE(a.price_version == b.price_version);
  REQUIRE(a.book_revision == b.book_revision);
  REQUIRE(a.counts == b.counts);
  REQUIRE(a.bytes_delivered == b.bytes_delivered);
}

UsageRow golden_row(const metering::Final& final, const Rated& rated) {
  UsageRow row;
  row.id = final.admit.id;
  row.lsn = 7;
  row.batch = 3;
  row.state = State::billed;
  row.tenant = final.admit.tenant;
  row.model = final.admit.model;
  row.operation = final.admit.operation;
  row.outcome = final.outcome;
  row.status = final.status;
  row.source = final.source;
  row.admit_ms = final.admit.wall_ms;
  row.final_ms = final.wall_ms;
  row.period = 202611;
  row.price_version = 1;
  row.counts = final.counts;
  row.gross = rated.gross;
  row.content_hash.assign(16, 'c');
  encode_detail(row, final, rated);
  return row;
}

}  // namespace

TEST_CASE("any detail is read as it was written, from a FINAL too") {
  SeededRng rng(41);
  for (int round = 0; round < 20'000; ++round) {
    const Made made = any_row(rng);
    UsageRow row = columns_of(made.row);
    std::vector<AttemptRow> attempts;
    std::vector<Part> parts;
    REQUIRE(decode_detail(row, attempts, parts));
    require_same_facts(row, made.row);
    REQUIRE(parts == made.parts);
    REQUIRE(attempts.size() == made.attempts.size());
    for (std::size_t i = 0; i < attempts.size(); ++i) require_same(attempts[i], made.attempts[i]);
    encode_detail(row, attempts, parts);
    REQUIRE(row.detail == made.row.detail);
  }
  auto final = test::request({noon, 1}, noon, {100, 20, 0, 30, 0});
  test::add_attempt(final, "dc-one", "nvidia", 0, "cut");
  test::add_attempt(final, "cafe-one", "", 30);
  final.results[1].claimed = final.counts;
  const Rated rated = rate(final, test::golden_book());
  UsageRow row = golden_row(final, rated);
  const std::string written = row.detail;
  std::vector<AttemptRow> attempts;
  std::vector<Part> parts;
  REQUIRE(decode_detail(row, attempts, parts));
  CHECK(parts == rated.parts);
  CHECK(attempts[1].sent == final.attempts[1]);
  CHECK(attempts[0].result == final.results[0]);
  CHECK_FALSE(attempts[0].rated);
  CHECK(attempts[1].billed == final.counts);
  encode_detail(row, attempts, parts);
  CHECK(row.detail == written);
}

TEST_CASE("a detail that is cut, longer or changed is refused or is another one") {
  SeededRng rng(42);
  std::vector<AttemptRow> attempts;
  std::vector<Part> parts;
  for (int round = 0; round < 500; ++round) {
    const Made made = any_row(rng);
    UsageRow row = columns_of(made.row);
    for (std::size_t size = 0; size < made.row.detail.size(); size += 1 + size / 64) {
      row.detail.assign(made.row.detail, 0, size);
      REQUIRE_FALSE(decode_detail(row, attempts, parts));
    }
    row.detail = made.row.detail + '\0';
    REQUIRE_FALSE(decode_detail(row, attempts, parts));
    for (int change = 0; change < 20; ++change) {
      row.detail = made.row.detail;
      const std::size_t at = rng.below(row.detail.size());
      row.detail[at] = static_cast<char>(row.detail[at] ^ static_cast<char>(1 + rng.below(255)));
      if (!decode_detail(row, attempts, parts)) continue;
      encode_detail(row, attempts, parts);  // what is read of it may have a shorter form, but never that of the row as it was
      INFO("byte " << at << " of " << to_hex(made.row.detail));
      REQUIRE(row.detail != made.row.detail);
    }
  }
}

TEST_CASE("the bytes of a request's row and its leaf are frozen") {
  auto final = test::request({noon, 1}, noon, {100, 20, 0, 30, 0});
  test::add_attempt(final, "dc-one", "nvidia", 30);
  final.results[0].claimed = final.counts;
  const UsageRow row = golden_row(final, rate(final, test::golden_book()));
  CHECK(to_hex(row.detail) ==
        "02046368617400c80101e70701006414001e00000101000664632d6f6e6500000e3132372e302e302e313a39303031066e7669646961016301046e6f6e65"
        "046e6f6e651e1e781f040102cec6b3790103ca8af194020104ac9ea6150105086c69616e6d656e67c0efb106");
  CHECK(to_hex(leaf_of(row, 1)) == "7ad2a91be9e8d54cf3bc5797381abaaacbef8d19036bdca9c3490b38e0dce3a2");
}

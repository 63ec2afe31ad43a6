#include "tests/unit/metering/sample.h"

#include "tests/catch.h"

namespace trib::metering::test {
namespace {

std::string text(Rng& rng, std::size_t bytes_max = 40) {
  std::string out(rng.below(bytes_max + 1), '\0');
  for (char& c : out) c = static_cast<char>(rng.next());
  return out;
}

Sha256 digest(Rng& rng) {
  Sha256 out{};
  for (auto& b : out) b = static_cast<unsigned char>(rng.next());
  return out;
}

TokenCounts counts(Rng& rng) {
  return {rng.next(), rng.next(), rng.next(), rng.next(), rng.next()};
}
std::int64_t wall(Rng& rng) {
  return static_cast<std::int64_t>(rng.next());
}

Admit random_admit(Rng& rng) {
  Admit a;
  a.id = {rng.next(), rng.next()};
  a.wall_ms = wall(rng);
  a.tenant = text(rng);
  a.model = text(rng);
  a.key_hash = digest(rng);
  a.body_hash = digest(rng);
  a.price_version = static_cast<std::uint32_t>(rng.next());
  a.book_revision = rng.next();
  a.hold = money::Amount::pico((static_cast<money::int128>(rng.next()) << 60) *
                               (rng.below(2) == 0 ? 1 : -1));
  a.idempotency = text(rng, 64);
  a.operation = text(rng);
  return a;
}

Attempt random_attempt(Rng& rng) {
  Attempt a;
  a.id = {rng.next(), rng.next()};
  a.n = static_cast<std::uint16_t>(rng.next());
  a.wall_ms = wall(rng);
  for (std::string* s : {&a.site, &a.seat, &a.device, &a.engine, &a.vendor, &a.contract})
    *s = text(rng);
  a.contract_version = static_cast<std::uint32_t>(rng.next());
  return a;
}

AttemptResult random_result(Rng& rng) {
  AttemptResult r;
  r.n = static_cast<std::uint16_t>(rng.next());
  r.fault = text(rng);
  r.side = text(rng);
  r.delivered = rng.next();
  r.pieces = rng.next();
  r.bytes = rng.next();
  if (rng.below(2) == 0) r.claimed = counts(rng);
  return r;
}

Final random_final(Rng& rng) {
  Final f;
  f.admit = random_admit(rng);
  f.wall_ms = wall(rng);
  f.outcome = static_cast<Outcome>(rng.below(7));
  f.status = static_cast<std::uint16_t>(rng.next());
  f.counts = counts(rng);
  f.source = static_cast<CountSource>(rng.below(5));
  f.bytes_delivered = rng.next();
  for (auto n = rng.below(4); n > 0; --n) f.attempts.push_back(random_attempt(rng));
  for (auto n = rng.below(4); n > 0; --n) f.results.push_back(random_result(rng));
  return f;
}

}  // namespace

RequestId id_of(std::uint64_t n) {
  return {(1'764'000'000'000u + n) << 16 | 1, n * 0x9e3779b97f4a7c15ULL};
}

Admit admit(std::uint64_t n) {
  Admit a;
  a.id = id_of(n);
  a.wall_ms = 1'764'000'000'000 + static_cast<std::int64_t>(n);
  a.tenant = "acme";
  a.model = "qwen";
  a.key_hash = sha256("key");
  a.body_hash = sha256(std::to_string(n));
  a.price_version = 3;
  a.book_revision = 7;
  a.hold = money::Amount::pico(1'234'567'890);
  a.operation = "chat";
  return a;
}

Attempt attempt(std::uint64_t n, std::uint16_t k) {
  Attempt a;
  a.id = id_of(n);
  a.n = k;
  a.wall_ms = 1'764'000'000'000 + static_cast<std::int64_t>(n) + k;
  a.site = "cafe-" + std::to_string(k);
  a.seat = "7";
  a.device = "gpu0";
  a.engine = "vllm";
  a.vendor = "nvidia";
  a.contract = "cafe";
  a.contract_version = 2;
  return a;
}

Progress progress(std::uint64_t n, std::uint16_t k, std::uint64_t pieces, std::uint64_t bytes) {
  return {id_of(n), k, 1'764'000'000'100 + static_cast<std::int64_t>(n), pieces, bytes};
}

Final final_of(std::uint64_t n) {
  Final f;
  f.admit = admit(n);
  f.wall_ms = f.admit.wall_ms + 900;
  f.outcome = Outcome::completed;
  f.status = 200;
  f.counts = {1234, 10, 0, 567, 1};
  f.source = CountSource::claimed;
  f.bytes_delivered = 2048;
  f.attempts = {attempt(n, 1)};
  f.results = {{1, "none", "none", 567, 560, 2048, TokenCounts{1234, 10, 0, 567, 1}}};
  return f;
}

Command command(std::string body) {
  return {"topup:acme:1", "topup", 1'764'000'000'000, std::move(body)};
}

Record random_record(Rng& rng) {
  switch (rng.below(6)) {
    case 0:
      return random_admit(rng);
    case 1:
      return random_attempt(rng);
    case 2:
      return Progress{{rng.next(), rng.next()}, 3, wall(rng), rng.next(), rng.next()};
    case 3:
      return random_final(rng);
    case 4:
      return Command{text(rng), text(rng), wall(rng), text(rng, 3000)};
    default:
      return Seal{rng.next(), rng.next(), digest(rng)};
  }
}

std::vector<Record> records_of(Journal& journal) {
  std::vector<Record> out;
  Lsn expected = journal.first();
  bool dense = true;
  const auto error = journal.read(0, [&](Lsn lsn, const Record& record) {
    dense = dense && lsn == expected++;
    out.push_back(record);
    return true;
  });
  REQUIRE(!error);
  REQUIRE(dense);
  return out;
}

std::unique_ptr<Journal> must_open(Disk& disk, Clock& clock, const JournalOptions& options) {
  JournalError error;
  auto journal = open_journal(disk, clock, options, error);
  INFO(error.segment << " at " << error.offset << ", record " << error.record << ": " << error.why);
  REQUIRE(journal);
  return journal;
}

}  // namespace trib::metering::test

// The records' binary form: exact both ways, frozen, and safe on any input.
#include "tests/catch.h"
#include "tests/unit/metering/sample.h"

using namespace trib;
using namespace trib::metering;
using namespace trib::metering::test;

TEST_CASE("every record comes back as it was") {
  SeededRng rng(11);
  for (int i = 0; i < 5000; ++i) {
    const Record record = random_record(rng);
    const std::string bytes = encode(record);
    REQUIRE(!bytes.empty());
    REQUIRE(decode(bytes) == record);
  }
}

TEST_CASE("encode_to appends and agrees with encode") {
  std::string out = "before";
  REQUIRE(encode_to(admit(4), out));
  CHECK(out == "before" + encode(admit(4)));
}

TEST_CASE("the bytes of format version 1 are frozen") {
  Progress mark = progress(1, 2, 64, 300);
  Seal seal{1, 9, sha256("seal")};
  Command topup = command(R"({"cny":"100"})");
  Attempt dispatch = attempt(1, 2);
  Admit pins = admit(1);
  pins.idempotency = "ab";
  Final end = final_of(1);
  end.results.push_back({2, "cut", "engine", 0, 3, 9, std::nullopt});
  const auto hex = [](const Record& record) { return to_hex(encode(record)); };
  CHECK(hex(mark) == "GOLD_PROGRESS");
  CHECK(hex(seal) == "GOLD_SEAL");
  CHECK(hex(topup) == "GOLD_COMMAND");
  CHECK(hex(dispatch) == "GOLD_ATTEMPT");
  CHECK(hex(pins) == "GOLD_ADMIT");
  CHECK(hex(end) == "GOLD_FINAL");
}

TEST_CASE("the sign and all 128 bits of a hold survive") {
  for (const auto pico : {money::int128(-1), money::int128(1) << 100, -(money::int128(1) << 126)}) {
    Admit a = admit(1);
    a.hold = money::Amount::pico(pico);
    CHECK(decode(encode(a)) == Record(a));
  }
}

TEST_CASE("a record that is cut, longer or changed is never taken for another form of one") {
  SeededRng rng(5);
  for (int round = 0; round < 60; ++round) {
    const std::string bytes = encode(random_record(rng));
    for (std::size_t cut = 0; cut < bytes.size(); ++cut) REQUIRE_FALSE(decode(bytes.substr(0, cut)));
    REQUIRE_FALSE(decode(bytes + std::string(1, '\0')));
    for (std::size_t at = 0; at < std::min<std::size_t>(bytes.size(), 600); ++at) {
      std::string changed = bytes;
      changed[at] = static_cast<char>(changed[at] ^ static_cast<char>(1 + rng.below(255)));
      // Many values are as good as others here (the CRC is the journal's); but one text a value.
      if (const auto record = decode(changed)) REQUIRE(encode(*record) == changed);
    }
  }
}

TEST_CASE("unknown versions, kinds and enumerators are refused") {
  const std::string mark = encode(progress(1, 1, 1, 1));
  for (const char version : {'\0', '\2', '\xff'}) CHECK_FALSE(decode(std::string(1, version) + mark.substr(1)));
  for (const char kind : {'\0', '\7', '\xff'}) {
    std::string changed = mark;
    changed[1] = kind;
    CHECK_FALSE(decode(changed));
  }
  Final end = final_of(1);
  end.outcome = static_cast<Outcome>(7);
  CHECK(encode(end).empty());
  end.outcome = Outcome::quarantined;
  end.source = static_cast<CountSource>(5);
  CHECK(encode(end).empty());
}

TEST_CASE("bounds hold in both directions and a refused record leaves nothing behind") {
  Admit a = admit(1);
  a.tenant.assign(65'535, 't');
  CHECK(decode(encode(a)) == Record(a));
  a.tenant += 't';
  std::string out = "kept";
  CHECK_FALSE(encode_to(a, out));
  CHECK(out == "kept");

  Command c = command(std::string(record_body_bytes_max, 'b'));
  CHECK(decode(encode(c)) == Record(c));
  c.body += 'b';
  CHECK(encode(c).empty());

  Final f = final_of(1);
  f.attempts.assign(record_attempts_max, attempt(1, 1));
  CHECK(decode(encode(f)) == Record(f));
  f.attempts.push_back(attempt(1, 1));
  CHECK(encode(f).empty());

  // A body length beyond the input, with nothing behind it.
  std::string claim = encode(command(""));
  claim.replace(claim.size() - 4, 4, "\xff\xff\xff\xff", 4);
  CHECK_FALSE(decode(claim));
}

TEST_CASE("names are the ones that reports and metrics use") {
  CHECK(name(Outcome::completed) == "completed");
  CHECK(name(Outcome::quarantined) == "quarantined");
  CHECK(name(CountSource::none) == "none");
  CHECK(name(CountSource::estimate) == "estimate");
}

// The records' binary form: exact both ways, frozen, and safe on any input.
#include "tests/catch.h"
#include "tests/unit/metering/sample.h"

using namespace trib;
using namespace trib::metering;
using namespace trib::metering::test;

namespace {

bool same(const Record& record) {
  const auto back = decode(encode(record));
  return back && *back == record;
}

}  // namespace

TEST_CASE("every record comes back as it was") {
  SeededRng rng(11);
  for (int i = 0; i < 5000; ++i) {
    const Record record = random_record(rng);
    const std::string bytes = encode(record);
    REQUIRE(!bytes.empty());
    const auto back = decode(bytes);
    REQUIRE(back.has_value());
    REQUIRE((*back == record));
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
  CHECK(hex(mark) ==
        "0103010001e897b69a01157c4a7fb979379e020065e897b69a01000040000000000000002c010000"
        "00000000");
  CHECK(hex(seal) ==
        "010601000000000000000900000000000000f0f668bf610e5cf9f11d2aa50f924ada10797100e8f0"
        "5de085842ddb6370a867");
  CHECK(hex(topup) ==
        "01050c00746f7075703a61636d653a310500746f70757000e897b69a0100000d0000007b22636e79"
        "223a22313030227d");
  CHECK(hex(dispatch) ==
        "0102010001e897b69a01157c4a7fb979379e020003e897b69a0100000600636166652d3201003704"
        "00677075300400766c6c6d06006e766964696104006361666502000000");
  CHECK(hex(pins) ==
        "0101010001e897b69a01157c4a7fb979379e01e897b69a010000040061636d6504007177656e2c70"
        "e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b6836b86b273ff34fce19d6b"
        "804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b030000000700000000000000d20296490000"
        "0000000000000000000002006162040063686174");
  CHECK(hex(end) ==
        "0104010001e897b69a01157c4a7fb979379e01e897b69a010000040061636d6504007177656e2c70"
        "e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b6836b86b273ff34fce19d6b"
        "804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b030000000700000000000000d20296490000"
        "00000000000000000000000004006368617485eb97b69a01000000c800d2040000000000000a0000"
        "00000000000000000000000000370200000000000001000000000000000200080000000000000100"
        "010001e897b69a01157c4a7fb979379e010002e897b69a0100000600636166652d31010037040067"
        "7075300400766c6c6d06006e7669646961040063616665020000000200010004006e6f6e6504006e"
        "6f6e6537020000000000003002000000000000000800000000000001d2040000000000000a000000"
        "00000000000000000000000037020000000000000100000000000000020003006375740600656e67"
        "696e6500000000000000000300000000000000090000000000000000");
}

TEST_CASE("the sign and all 128 bits of a hold survive") {
  for (const auto pico : {money::int128(-1), money::int128(1) << 100, -(money::int128(1) << 126)}) {
    Admit a = admit(1);
    a.hold = money::Amount::pico(pico);
    CHECK(same(a));
  }
}

TEST_CASE("a record that is cut, longer or changed is never taken for another form of one") {
  SeededRng rng(5);
  for (int round = 0; round < 60; ++round) {
    const std::string bytes = encode(random_record(rng));
    for (std::size_t cut = 0; cut < bytes.size(); ++cut)
      REQUIRE_FALSE(decode(bytes.substr(0, cut)).has_value());
    REQUIRE_FALSE(decode(bytes + std::string(1, '\0')).has_value());
    for (std::size_t at = 0; at < std::min<std::size_t>(bytes.size(), 600); ++at) {
      std::string changed = bytes;
      changed[at] =
          static_cast<char>(static_cast<unsigned char>(changed[at]) ^ (1 + rng.below(255)));
      // Many values are as good as others here (the CRC is the journal's); but one text a value.
      if (const auto record = decode(changed)) REQUIRE(encode(*record) == changed);
    }
  }
}

TEST_CASE("unknown versions, kinds and enumerators are refused") {
  const std::string mark = encode(progress(1, 1, 1, 1));
  for (const char version : {'\0', '\2', '\xff'})
    CHECK_FALSE(decode(std::string(1, version) + mark.substr(1)).has_value());
  for (const char kind : {'\0', '\7', '\xff'}) {
    std::string changed = mark;
    changed[1] = kind;
    CHECK_FALSE(decode(changed).has_value());
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
  CHECK(same(a));
  a.tenant += 't';
  std::string out = "kept";
  CHECK_FALSE(encode_to(a, out));
  CHECK(out == "kept");

  Command c = command(std::string(record_body_bytes_max, 'b'));
  CHECK(same(c));
  c.body += 'b';
  CHECK(encode(c).empty());

  Final f = final_of(1);
  f.attempts.assign(record_attempts_max, attempt(1, 1));
  CHECK(same(f));
  f.attempts.push_back(attempt(1, 1));
  CHECK(encode(f).empty());

  // A body length beyond the input, with nothing behind it.
  std::string claim = encode(command(""));
  claim.replace(claim.size() - 4, 4, "\xff\xff\xff\xff", 4);
  CHECK_FALSE(decode(claim).has_value());
}

TEST_CASE("names are the ones that reports and metrics use") {
  CHECK(name(Outcome::completed) == "completed");
  CHECK(name(Outcome::quarantined) == "quarantined");
  CHECK(name(CountSource::none) == "none");
  CHECK(name(CountSource::estimate) == "estimate");
}

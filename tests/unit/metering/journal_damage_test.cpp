// Damage on the disk: what is cut as a torn tail, what refuses the start. A flipped byte counts as
// tail only in the records of the last sync, which no later record vouches for, and in the unused
// room behind them; everywhere else it stops the start and names segment and record.
#include "gateway/metering/segment.h"
#include "tests/catch.h"
#include "tests/support/mem_disk.h"
#include "tests/unit/metering/sample.h"

using namespace trib;
using namespace trib::metering;
using namespace trib::metering::test;
using trib::test::MemDisk;

namespace {

const std::string dir = "var/journal";

struct Written {
  std::vector<Record> records;
  std::vector<std::size_t> lots;                           // how many records each sync covered
  std::vector<std::pair<std::string, std::string>> files;  // path, bytes
  std::vector<std::size_t> begins;  // of each record in its file; and the end
};

// A journal whose syncs cover the given numbers of records, in segments of that size.
Written write(const std::vector<std::size_t>& lots, std::uint64_t segment_bytes,
              std::uint64_t salt = 0) {
  Written out;
  out.lots = lots;
  MemDisk disk(1);
  ManualClock clock;
  JournalOptions options;
  options.dir = dir;
  options.segment_bytes = segment_bytes;
  {
    auto journal = must_open(disk, clock, options);
    std::uint64_t n = 0;
    for (const std::size_t lot : lots) {
      for (std::size_t i = 0; i < lot; ++i) {
        ++n;
        out.records.push_back(n % 3 == 0 ? Record(final_of(salt + n))
                                         : Record(progress(salt + n, 1, n, 4 * n)));
        journal->append(out.records.back());
      }
      journal->pump();
    }
  }
  for (const auto& name : disk.names(dir)) {
    if (!parse_segment_name(name)) continue;
    out.files.emplace_back(dir + "/" + name, disk.content(dir + "/" + name));
    const std::string_view bytes = out.files.back().second;
    std::size_t at = segment_header_bytes;
    while (const auto frame = parse_frame(bytes.substr(at))) {
      out.begins.push_back(at);
      at += frame->bytes();
    }
    if (out.files.size() == 1) REQUIRE(out.begins.size() > 0);
    if (out.begins.size() == out.records.size()) out.begins.push_back(at);
  }
  REQUIRE(out.begins.size() == out.records.size() + 1);
  return out;
}

struct Opened {
  std::optional<std::vector<Record>> records;  // none: refused
  JournalError error;
};

// Opens what is given; when that works, also appends a record, cuts the power and opens again.
Opened open(const std::vector<std::pair<std::string, std::string>>& files,
            std::uint64_t segment_bytes) {
  MemDisk disk(9);
  ManualClock clock;
  for (const auto& [path, bytes] : files) disk.replace(path, bytes);
  JournalOptions options;
  options.dir = dir;
  options.segment_bytes = segment_bytes;
  Opened out;
  auto journal = open_journal(disk, clock, options, out.error);
  if (!journal) return out;
  out.records = records_of(*journal);
  const Record more = command("after the repair");
  REQUIRE(journal->append(more) == journal->released() + 1);
  REQUIRE(journal->pump());
  disk.crash();
  journal = must_open(disk, clock, options);
  auto expected = *out.records;
  expected.push_back(more);
  REQUIRE((records_of(*journal) == expected));
  return out;
}

// Whether exactly the first `records` came back.
bool gives(const Opened& opened, const Written& w, std::size_t records) {
  return opened.records &&
         *opened.records ==
             std::vector<Record>(w.records.begin(), w.records.begin() + static_cast<long>(records));
}

char flipped(char c, unsigned bits) {
  return static_cast<char>(static_cast<unsigned char>(c) ^ bits);
}

// Where record i of a single-segment journal lies: [begins[i], begins[i + 1]).
std::size_t record_at(const Written& w, std::size_t offset) {
  std::size_t i = 0;
  while (i + 1 < w.begins.size() && w.begins[i + 1] <= offset) ++i;
  return i;
}

}  // namespace

TEST_CASE("a file cut at any byte of its last records gives the whole records before the cut") {
  for (const auto& lots : {std::vector<std::size_t>(8, 1), std::vector<std::size_t>{5, 3}}) {
    const Written w = write(lots, 8192);
    const std::size_t n = w.records.size();
    for (std::size_t cut = w.begins[n - 3]; cut <= w.begins[n] + 5; ++cut) {
      const std::size_t whole = cut >= w.begins[n] ? n : record_at(w, cut);
      const auto shortened = open({{w.files[0].first, w.files[0].second.substr(0, cut)}}, 8192);
      REQUIRE(gives(shortened, w, whole));
      // The same cut in a file that keeps its size: zeros from there on.
      std::string zeroed = w.files[0].second;
      std::fill(zeroed.begin() + static_cast<long>(cut), zeroed.end(), '\0');
      // A record may end in zeros of its own.
      const bool changed = zeroed.compare(0, w.begins[n], w.files[0].second, 0, w.begins[n]) != 0;
      const std::size_t left =
          !changed
              ? n
              : record_at(w, static_cast<std::size_t>(std::mismatch(zeroed.begin(), zeroed.end(),
                                                                    w.files[0].second.begin())
                                                          .first -
                                                      zeroed.begin()));
      REQUIRE(gives(open({{w.files[0].first, zeroed}}, 8192), w, left));
    }
  }
}

TEST_CASE("every flipped byte of every record is caught") {
  SeededRng rng(4);
  for (const auto& lots : {std::vector<std::size_t>(8, 1), std::vector<std::size_t>{2, 3, 3}}) {
    const Written w = write(lots, 8192);
    const std::size_t synced_before_last = w.records.size() - lots.back();
    for (std::size_t at = segment_header_bytes; at < w.begins.back(); ++at) {
      std::string bytes = w.files[0].second;
      bytes[at] = flipped(
          bytes[at], at % 2 == 0 ? 1u << rng.below(8) : 1 + static_cast<unsigned>(rng.below(255)));
      const std::size_t hit = record_at(w, at);
      const auto opened = open({{w.files[0].first, bytes}}, 8192);
      INFO("byte " << at << " of record " << hit + 1);
      if (hit >= synced_before_last) {
        REQUIRE(gives(opened, w, hit));
      } else {
        REQUIRE_FALSE(opened.records.has_value());
        REQUIRE(opened.error.record == hit + 1);
        REQUIRE(opened.error.offset == w.begins[hit]);
        REQUIRE(dir + "/" + opened.error.segment == w.files[0].first);
        REQUIRE(!opened.error.why.empty());
      }
    }
  }
}

TEST_CASE("every flipped byte of a segment's header refuses the start") {
  const Written w = write(std::vector<std::size_t>(20, 1), 1536);
  REQUIRE(w.files.size() >= 3);
  for (std::size_t file = 0; file < w.files.size(); ++file) {
    for (std::size_t at = 0; at < segment_header_bytes; ++at) {
      auto files = w.files;
      files[file].second[at] = flipped(files[file].second[at], 0x10);
      const auto opened = open(files, 1536);
      REQUIRE_FALSE(opened.records.has_value());
      REQUIRE(dir + "/" + opened.error.segment == w.files[file].first);
    }
  }
}

TEST_CASE("in a segment that is not the last nothing counts as tail") {
  const Written w = write(std::vector<std::size_t>(20, 1), 1536);
  for (std::size_t file = 0; file + 1 < w.files.size(); ++file) {
    for (std::size_t at = segment_header_bytes; at < w.files[file].second.size(); ++at) {
      auto files = w.files;
      files[file].second[at] = flipped(files[file].second[at], 0x21);
      REQUIRE_FALSE(open(files, 1536).records.has_value());
    }
    auto files = w.files;  // its last record gone without a trace
    const Lsn next = *parse_segment_name(w.files[file + 1].first.substr(dir.size() + 1));
    files[file].second.resize(w.begins[next - 2]);
    const auto opened = open(files, 1536);
    REQUIRE_FALSE(opened.records.has_value());
    REQUIRE(opened.error.record == next - 1);
  }
}

TEST_CASE(
    "a segment missing in the middle refuses the start; one missing at the front was trimmed") {
  const Written w = write(std::vector<std::size_t>(30, 1), 1536);
  REQUIRE(w.files.size() >= 4);
  auto files = w.files;
  files.erase(files.begin() + 1);
  const auto holed = open(files, 1536);
  CHECK_FALSE(holed.records.has_value());
  CHECK(dir + "/" + holed.error.segment == w.files[2].first);
  CHECK(holed.error.record == *parse_segment_name(w.files[1].first.substr(dir.size() + 1)));

  files = w.files;
  files.erase(files.begin());
  const auto trimmed = open(files, 1536);
  REQUIRE(trimmed.records.has_value());
  CHECK((trimmed.records->back() == w.records.back()));
}

TEST_CASE("a record of another journal in place of ours breaks the chain") {
  const Written ours = write(std::vector<std::size_t>(8, 1), 8192);
  const Written theirs = write(std::vector<std::size_t>(8, 1), 8192, 1000);
  REQUIRE(ours.begins == theirs.begins);
  for (std::size_t i = 0; i < 8; ++i) {  // the last too: its CRC is right, so it is no torn tail
    std::string bytes = ours.files[0].second;
    const std::size_t size = ours.begins[i + 1] - ours.begins[i];
    bytes.replace(ours.begins[i], size, theirs.files[0].second, ours.begins[i], size);
    const auto opened = open({{ours.files[0].first, bytes}}, 8192);
    REQUIRE_FALSE(opened.records.has_value());
    CHECK(opened.error.record == (i == 0 ? 2 : i + 1));  // both chains begin with nothing
  }
}

TEST_CASE("a record taken out, doubled or moved is refused") {
  const Written w = write(std::vector<std::size_t>(8, 1), 8192);
  const std::string& bytes = w.files[0].second;
  const auto piece = [&](std::size_t i) {
    return bytes.substr(w.begins[i], w.begins[i + 1] - w.begins[i]);
  };
  const std::string rest_of_4 = bytes.substr(w.begins[4]);
  const auto refused = [&](const std::string& changed) {
    const auto opened = open({{w.files[0].first, changed}}, 8192);
    return !opened.records && opened.error.record == 4;
  };
  CHECK(refused(bytes.substr(0, w.begins[3]) + rest_of_4));
  CHECK(refused(bytes.substr(0, w.begins[3]) + piece(2) + piece(3) + rest_of_4));
  CHECK(refused(bytes.substr(0, w.begins[3]) + piece(4) + piece(3) + bytes.substr(w.begins[5])));
}

TEST_CASE("a lot of which the disk kept the end and lost the beginning was never promised") {
  const Written w = write({3, 4}, 8192);
  for (std::size_t lost = 3; lost < 6; ++lost) {
    std::string bytes = w.files[0].second;
    std::fill(bytes.begin() + static_cast<long>(w.begins[lost]),
              bytes.begin() + static_cast<long>(w.begins[lost + 1]), '\0');
    CHECK(gives(open({{w.files[0].first, bytes}}, 8192), w, lost));
  }
  for (std::size_t lost = 0; lost < 3; ++lost) {  // these were: the later lot says so
    std::string bytes = w.files[0].second;
    std::fill(bytes.begin() + static_cast<long>(w.begins[lost]),
              bytes.begin() + static_cast<long>(w.begins[lost + 1]), '\0');
    const auto opened = open({{w.files[0].first, bytes}}, 8192);
    CHECK_FALSE(opened.records.has_value());
    CHECK(opened.error.record == lost + 1);
  }
}

TEST_CASE("rubbish in the unused room is cleared") {
  const Written w = write(std::vector<std::size_t>(8, 1), 8192);
  SeededRng rng(6);
  for (int round = 0; round < 200; ++round) {
    std::string bytes = w.files[0].second;
    const std::size_t at = w.begins.back() + rng.below(bytes.size() - w.begins.back());
    for (std::size_t i = at; i < std::min(bytes.size(), at + 1 + rng.below(200)); ++i) {
      bytes[i] = static_cast<char>(rng.next());
    }
    REQUIRE(gives(open({{w.files[0].first, bytes}}, 8192), w, 8));
  }
}

TEST_CASE("other files in the directory are left alone and a half-made segment is dropped") {
  const Written w = write({3}, 8192);
  MemDisk disk(1);
  ManualClock clock;
  disk.replace(w.files[0].first, w.files[0].second);
  disk.replace(dir + "/notes.txt", "hello");
  disk.replace(dir + "/" + std::string(spare_name), "half a header");
  JournalOptions options;
  options.dir = dir;
  options.segment_bytes = 8192;
  CHECK((records_of(*must_open(disk, clock, options)) == w.records));
  CHECK(disk.names(dir) == std::vector<std::string>{segment_name(1), "notes.txt"});
}

TEST_CASE("a disk that cannot be read refuses the start with its error") {
  const Written w = write({3}, 8192);
  MemDisk disk(1);
  ManualClock clock;
  disk.replace(w.files[0].first, w.files[0].second);
  JournalOptions options;
  options.dir = dir;
  options.segment_bytes = 8192;
  disk.fail_from(1, std::errc::io_error);
  JournalError error;
  CHECK_FALSE(open_journal(disk, clock, options, error));
  CHECK(error.why == std::make_error_code(std::errc::io_error).message());
}

TEST_CASE("damage that appears while running is an error of the reader, not a wrong record") {
  const Written w = write(std::vector<std::size_t>(8, 1), 8192);
  MemDisk disk(1);
  ManualClock clock;
  disk.replace(w.files[0].first, w.files[0].second);
  JournalOptions options;
  options.dir = dir;
  options.segment_bytes = 8192;
  auto journal = must_open(disk, clock, options);
  std::string bytes = w.files[0].second;
  char& byte = bytes[w.begins[4] + frame_header_bytes];
  byte = flipped(byte, 1);
  disk.replace(w.files[0].first, bytes);
  std::size_t seen = 0;
  CHECK(journal->read(1, [&](Lsn, const Record&) { return ++seen; }) == std::errc::bad_message);
  CHECK(seen == 4);
}

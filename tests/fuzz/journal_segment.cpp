// Any damage to a journal's files: the start is refused, or a prefix of what was written comes back
// and the journal works on. Links trib_metering and tests/support/mem_disk.cpp.
//
// First byte even: the rest is a whole segment file, as it comes. Odd: it is a list of changes to a
// good journal, so that inputs get past the checksums: file, offset (two bytes), value.
#include <cstdint>

#include "gateway/metering/metering.h"
#include "tests/support/mem_disk.h"

using namespace trib;
using namespace trib::metering;
using trib::test::MemDisk;

namespace {

class StillClock final : public Clock {
 public:
  std::int64_t mono_ns() const override { return 1; }
  std::int64_t wall_ms() const override { return 1; }
};

StillClock still;

JournalOptions options() {
  JournalOptions out;
  out.dir = "j";
  out.segment_bytes = 1024;
  return out;
}

Record record_number(std::uint64_t n) {
  if (n % 2 == 0) return Command{"id", "kind", 1, std::string(n, 'x')};
  return Progress{{n, n}, 1, 1, n, n};
}

const std::vector<std::pair<std::string, std::string>>& good() {
  static const auto files = [] {
    MemDisk disk(1);
    JournalError error;
    auto journal = open_journal(disk, still, options(), error);
    for (std::uint64_t n = 1; n <= 24; ++n) {
      journal->append(record_number(n));
      if (n % 3 == 0) journal->pump();
      if (n % 2 == 0) journal->prepare();
    }
    journal.reset();
    std::vector<std::pair<std::string, std::string>> out;
    for (const auto& name : disk.names("j")) {
      out.emplace_back("j/" + name, disk.content("j/" + name));
    }
    return out;
  }();
  return files;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0 || size > 1u << 16) return 0;
  MemDisk disk(1);
  const bool changes = data[0] % 2 == 1;
  if (changes) {
    auto files = good();
    for (std::size_t at = 1; at + 4 <= size; at += 4) {
      std::string& bytes = files[data[at] % files.size()].second;
      bytes[(data[at + 1] * 256u + data[at + 2]) % bytes.size()] = static_cast<char>(data[at + 3]);
    }
    for (auto& [path, bytes] : files) disk.replace(path, std::move(bytes));
  } else {
    disk.replace("j/journal-0000000000000001.seg",
                 std::string(reinterpret_cast<const char*>(data) + 1, size - 1));
  }
  JournalError error;
  auto journal = open_journal(disk, still, options(), error);
  if (!journal) {
    TRIB_ASSERT(!error.why.empty());
    return 0;
  }
  Lsn seen = 0;
  const auto failure = journal->read(0, [&](Lsn lsn, const Record& record) {
    TRIB_ASSERT(lsn == ++seen);
    if (changes) TRIB_ASSERT(record == record_number(lsn));
    return true;
  });
  TRIB_ASSERT(!failure && seen == journal->last());
  TRIB_ASSERT(journal->append(record_number(1)) == seen + 1);
  TRIB_ASSERT(journal->pump() && journal->durable() == seen + 1);
  disk.crash();
  journal.reset();
  journal = open_journal(disk, still, options(), error);
  TRIB_ASSERT(journal && journal->last() == seen + 1);
  return 0;
}

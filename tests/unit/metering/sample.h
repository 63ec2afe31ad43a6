// Records for the tests of this folder.
#pragma once
#include "gateway/metering/metering.h"

namespace trib::metering::test {

class ManualClock final : public Clock {
 public:
  std::int64_t mono_ns() const override { return ns; }
  std::int64_t wall_ms() const override { return 1'764'000'000'000 + ns / 1'000'000; }
  std::atomic<std::int64_t> ns{1};
  void forward_ms(std::int64_t ms) { ns += ms * 1'000'000; }
};

RequestId id_of(std::uint64_t n);
Admit admit(std::uint64_t n);
Attempt attempt(std::uint64_t n, std::uint16_t k);
Progress progress(std::uint64_t n, std::uint16_t k, std::uint64_t pieces, std::uint64_t bytes);
Final final_of(std::uint64_t n);
Command command(std::string body);
Record random_record(Rng& rng);  // any kind, any field values within the bounds

// A journal's records in order; fails the test when LSNs are not dense.
std::vector<Record> records_of(Journal& journal);

std::unique_ptr<Journal> must_open(Disk& disk, Clock& clock, const JournalOptions& options);

}  // namespace trib::metering::test

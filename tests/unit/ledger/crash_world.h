// What the crash matrices share: a process over the real journal and the real SQLite on a disk in memory, and the ways
// in which that disk breaks.
#pragma once
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/disk_vfs.h"
#include "tests/support/mem_disk.h"
#include "tests/unit/ledger/world.h"

namespace trib::test {

class ManualClock final : public Clock {
 public:
  std::int64_t mono_ns() const override { return ns_; }
  std::int64_t wall_ms() const override { return noon + ns_ / 1'000'000; }
  void forward_ms(std::int64_t ms) { ns_ += ms * 1'000'000; }

 private:
  std::int64_t ns_ = 1;
};

// A process: journal and ledger as the gateway opens them, on a disk that may break.
struct Process {
  ManualClock& clock;
  std::unique_ptr<metering::Journal> journal;
  std::unique_ptr<ledger::Ledger> ledger;
  std::string why;

  Process(MemDisk& disk, ManualClock& clock_in, const std::string& vfs) : clock(clock_in) {
    if (disk.make_dirs("var")) return;
    metering::JournalOptions options;
    options.dir = "var/journal";
    options.segment_bytes = 4096;
    metering::JournalError error;
    journal = metering::open_journal(disk, clock, options, error);
    if (!journal) {
      why = "journal: " + error.why;
      return;
    }
    std::vector<metering::OpenRequest> open;
    if (metering::open_requests(*journal, open)) return;
    ledger::LedgerOptions of_ledger;
    of_ledger.path = "var/ledger.db";
    of_ledger.vfs = vfs;
    of_ledger.batch_requests_max = 3;
    of_ledger.command_ms_max = 50;
    of_ledger.wait = [this] {
      journal->pump();
      clock.forward_ms(10);
    };
    ledger = ledger::Ledger::open(of_ledger, clock, *journal, why);
    if (!ledger) return;
    for (const auto& request : open) journal->append(metering::recover(request, noon + 60'000));
    post_all();
  }
  void post_all() {
    do {
      while (journal->pump()) journal->prepare();
    } while (ledger->post_once());
  }
};

enum class Way { power, kill, io_error, full_once, full };

inline constexpr std::pair<Way, const char*> ways[] = {
    {Way::power, "the power is cut"}, {Way::kill, "kill -9"}, {Way::io_error, "EIO once"}, {Way::full_once, "ENOSPC once"}, {Way::full, "ENOSPC for good"}};

struct Site {  // a disk with its VFS
  MemDisk disk;
  ManualClock clock;
  test::DiskVfs vfs;
  static inline int count = 0;
  explicit Site(std::uint64_t seed) : disk(seed), vfs("matrix-" + std::to_string(++count), disk, clock, seed) {}
};

// From the operation `k` of the disk on, or at it.
inline void break_at(MemDisk& disk, Way way, std::uint64_t k) {
  switch (way) {
    case Way::power: disk.cut_power_at(k); break;
    case Way::kill: disk.fail_from(k, std::errc::io_error); break;
    case Way::io_error: disk.fail_at(k, std::errc::io_error); break;
    case Way::full_once: disk.fail_at(k, std::errc::no_space_on_device); break;
    case Way::full: disk.fail_from(k, std::errc::no_space_on_device); break;
  }
}
// A killed process leaves what the kernel has; after the others the power goes too, every second time.
inline void end_of(MemDisk& disk, Way way, std::uint64_t k) { way == Way::power || (way != Way::kill && k % 2 == 0) ? disk.crash() : disk.kill(); }

// In the fast tests each operation meets a power cut and one of the others; TRIBUTARY_WHOLE: all of them.
inline bool whole() { return std::getenv("TRIBUTARY_WHOLE") != nullptr; }
inline bool meets(Way way, std::uint64_t k) {
  return whole() || way == Way::power || static_cast<std::uint64_t>(way) == 1 + k % 4;
}

}  // namespace trib::test

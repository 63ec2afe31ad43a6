// The journal on a Disk. Internal: others use journal.h.
//
// Three groups of state, each with one rule: the queue (many threads, `queue_mutex_`), the list of
// segments (readers, the writer and trim, `segments_mutex_`), and the writer's own (`writer_mutex_`):
// touched by pump() and, for writes that need no new segment, by help(). With a window the mutex is
// let go during a sync, so that others go on writing; only pump() ever changes the file.
#pragma once
#include <condition_variable>
#include <deque>
#include <mutex>

#include "gateway/metering/journal.h"
#include "gateway/metering/segment.h"
#include "gateway/metering/spare.h"

namespace trib::metering {

struct Mark {  // where a frame begins
  Lsn lsn = 0;
  std::uint64_t offset = 0;
};

struct Segment {
  std::string path;
  SegmentHeader header;
  std::vector<Mark> marks;  // sparse, ascending, the first record first
};

constexpr std::uint64_t mark_gap_bytes = 64u << 10;  // between two marks: bounds a reader's search
// Adds a mark when the last one is far enough behind.
void mark_frame(Segment& segment, Lsn lsn, std::uint64_t offset);

// What reading the whole journal at the start found.
struct Scan {
  std::deque<Segment> segments;  // ascending; empty for a new journal
  Lsn last = 0;                  // of the newest good record
  Sha256 chain{};                // its hash
  std::uint64_t tail = 0;        // where the next frame goes in the last segment
  std::uint64_t doubtful = 0;    // from here to the tail no record says that the disk has it
  bool torn = false;             // something that is no record stands at the tail
};
bool scan_journal(Disk& disk, const std::string& dir, Scan& scan, JournalError& error);

class JournalFile final : public Journal {
 public:
  JournalFile(Disk& disk, Clock& clock, const JournalOptions& options);
  // Writes and syncs what is left, without waking anyone.
  ~JournalFile() override;

  // Takes over what was found: cuts the torn tail, makes all of it durable, or creates the first
  // segment. Once, before anything else.
  std::error_code start(Scan scan);

  Lsn append(RecordRef record) override;
  Lsn released() const override { return released_.load(std::memory_order_acquire); }
  Lsn durable() const override { return durable_.load(std::memory_order_acquire); }
  std::error_code failed() const override;
  void on_released(std::function<void()> wake) override { wake_ = std::move(wake); }
  bool help() override;
  bool pump() override;
  bool prepare() override { return !failed() && spare_.prepare(); }
  void wait(std::int64_t ms_max) override;
  std::error_code read(Lsn from, const Visit& visit) override;
  std::error_code take(Lsn from, std::uint32_t kinds, const Take& take) override;
  Sha256 hash_at(Lsn lsn) override;
  Lsn first() const override;
  Lsn last() const override;
  std::error_code trim(Lsn keep_from) override;

 private:
  struct Cursor;  // a reader's place
  std::error_code open_cursor(Lsn lsn, Cursor& cursor);
  std::error_code next_frame(Cursor& cursor, Frame& frame);
  void remember(const Cursor& cursor);

  void add_block();
  void want();
  bool take_queue();
  bool take_queue_locked();  // with queue_mutex_ held
  std::error_code write_block(std::string& block);
  std::error_code write_run(std::string_view frames);
  std::error_code write_again(std::uint64_t begin, std::uint64_t end);
  std::error_code rotate(Lsn first, std::size_t frame_bytes);
  std::error_code adopt_spare(Lsn first, std::uint64_t bytes);
  std::error_code sync_segment();
  std::error_code sync_timed(std::uint64_t records);
  void sync_if_due(std::unique_lock<std::mutex>& lock, bool& changed);
  void release_writer(std::unique_lock<std::mutex>& lock);
  void zero_ahead(std::unique_lock<std::mutex>& lock);
  void fail(std::error_code error);

  Disk& disk_;
  Clock& clock_;
  const JournalOptions options_;
  std::function<void()> wake_;

  mutable std::mutex queue_mutex_;
  std::condition_variable queued_;
  std::vector<std::string> queue_;  // blocks of unsealed frames
  std::size_t queue_bytes_ = 0;
  std::vector<std::string> idle_blocks_;  // empty, with their memory
  Lsn appended_ = 0;
  bool wanted_ = false;  // somebody waits for what has queued

  mutable std::mutex segments_mutex_;
  std::deque<Segment> segments_;  // never empty after start()
  struct Place {                  // where a reader stopped, so that the next begins there
    Lsn lsn = 0;
    Lsn segment = 0;
    std::uint64_t offset = 0;
  } place_;
  std::mutex trim_mutex_;  // one trim at a time
  std::error_code trim_failed_;  // the first error, sticky

  std::atomic<Lsn> released_{0};
  std::atomic<Lsn> durable_{0};
  std::atomic<int> failed_{0};  // errno of the first error

  Spare spare_;  // has its own lock

  // The writer's own.
  std::mutex writer_mutex_;
  std::atomic<bool> missed_{false};  // someone who wanted to help found the writer at work
  std::vector<std::string> batch_;
  std::unique_ptr<File> file_;    // the last segment
  std::uint64_t file_bytes_ = 0;  // its size
  std::uint64_t offset_ = 0;      // where the next frame goes
  std::uint64_t zeroed_ = 0;      // up to here, if beyond offset_, the file holds zeros that were written
  std::uint64_t next_mark_ = 0;  // a frame from here on gets a mark
  std::uint64_t limit_ = UINT64_MAX;  // who helps goes no further: zeros are being written from here
  Lsn written_ = 0;
  Sha256 chain_{};                       // of written_
  std::int64_t unsynced_since_ns_ = -1;  // of the oldest record that only the kernel has; -1: none
};

}  // namespace trib::metering

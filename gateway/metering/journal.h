// The write-ahead journal: preallocated segments of records, each with length, CRC32C, LSN and the
// hash chained from the record before it. Many threads append; one writer (a thread in production,
// the simulation's step otherwise) calls pump(). Group commit: what queued during one sync goes out
// with the next, no gathering timer. A torn tail is cut at the first bad record; damage before the
// tail refuses the start and names segment and record.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "gateway/base/base.h"
#include "gateway/metering/records.h"

namespace trib::metering {

using Lsn = std::uint64_t;  // of a record; the first is 1; 0 means none

struct JournalOptions {
  std::string dir;
  std::uint64_t segment_bytes = 64u << 20;
  bool sync_always = true;  // else: written to the kernel at once, synced within sync_window_ms
  std::int64_t sync_window_ms = 5;
  std::uint64_t queue_bytes_max = 64u << 20;  // append refuses above it
  // Where set: how long each sync of records took, and how many it made durable; on the writer's thread.
  std::function<void(std::int64_t ns, std::uint64_t records)> on_sync;
};

struct JournalError {  // why a journal cannot be opened
  std::string segment;
  std::uint64_t offset = 0;
  Lsn record = 0;
  std::string why;
};

class Journal {
 public:
  // Writes and syncs what is queued, without waking anyone.
  virtual ~Journal() = default;

  // Any thread. Returns the record's LSN, or 0 when the journal has failed, its queue is full or
  // the record breaks a bound of encode(): the caller answers 503. Never blocks on the disk.
  virtual Lsn append(RecordRef record) = 0;

  // Any thread. Records up to this LSN may be relied on: durable with sync always, in the kernel
  // with a window.
  virtual Lsn released() const = 0;

  // Any thread. Records up to this LSN are on the disk; the poster goes no further. With sync
  // always it equals released().
  virtual Lsn durable() const = 0;

  // The first error of the disk, sticky: from then on append returns 0 and released() stands still.
  virtual std::error_code failed() const = 0;

  // Called by the writer, outside its locks, after released(), durable() or failed() changed. Set
  // before the first append.
  virtual void on_released(std::function<void()> wake) = 0;

  // Any thread, at the end of a turn of its work in which it began to wait for a record. With a window:
  // hands what has queued to the kernel itself, which releases it, so that no thread is woken for it.
  // With sync always: wakes the writer, which without it comes within 5 ms; so a record that nobody
  // waits for yet goes out with others' sync. True when nothing is left to write; false when another
  // is at it (on_released follows) or the writer must (sync always, a new segment).
  virtual bool help() { return false; }

  // The writer's turn: writes and syncs what has queued; false when there was nothing. One thread.
  virtual bool pump() = 0;
  // Makes a piece of the next segment ready, once a quarter of the last one is written: its room, then zeros; false
  // when there is nothing to do for now. Any thread; beside the writer's, since nobody waits for it. Where nobody calls it, a
  // segment is made when it is needed and zeroed as it is written.
  virtual bool prepare() { return false; }
  // Blocks until there is something to pump, at most this long. One thread (production's writer).
  virtual void wait(std::int64_t ms_max) = 0;

  // Reads released records from `from` on, in order, until `visit` returns false; from 0: from the
  // oldest kept. result_out_of_range when `from` is older than that: for a poster, records are
  // lost. Any thread; `visit` may append. Used by the poster and by recovery.
  using Visit = std::function<bool(Lsn, const Record&)>;
  virtual std::error_code read(Lsn from, const Visit& visit) = 0;

  // As read(), for one who keeps what it gets: the record may be moved from or swapped with another, and `bytes` is its encoding,
  // valid during the call. Kinds whose bit (1 << index in Record) is not set are passed over.
  using Take = std::function<bool(Lsn, Record&, std::string_view bytes)>;
  virtual std::error_code take(Lsn from, std::uint32_t kinds, const Take& take);

  // The chain's hash at a released record; zero when it is not kept. That of first() - 1 is kept.
  virtual Sha256 hash_at(Lsn lsn) = 0;
  virtual Lsn first() const = 0;  // the oldest record kept; when none is, the next to come
  virtual Lsn last() const = 0;   // the newest appended
  // Deletes whole segments whose records all lie before `keep_from`. An error is sticky: after it nothing
  // more is deleted before a restart.
  virtual std::error_code trim(Lsn keep_from) = 0;
};

// Opens or creates; reads every segment kept, cuts a torn tail, makes the rest durable. On failure
// returns null and fills `error`. A tail is torn when it holds nothing that was promised: records
// of the last sync, which no later record vouches for. One process at a time: the caller sees to
// that.
std::unique_ptr<Journal> open_journal(Disk& disk, Clock& clock, const JournalOptions& options,
                                      JournalError& error);

// Requests that were admitted and have no FINAL, with their last marks, from the journal alone.
struct OpenRequest {
  Admit admit;
  std::vector<Attempt> attempts;
  std::vector<Progress> marks;  // the last one of each attempt, same order as attempts
};
std::vector<OpenRequest> open_requests(
    Journal& journal);  // a disk that fails here ends the process
std::error_code open_requests(Journal& journal,
                              std::vector<OpenRequest>& out);  // in order of admission

// The FINAL that recovery writes for one: outcome recovered, billed by its marks (output alone, as no mark
// tells the input), void when nothing was delivered or when its contract bills nothing of what broke off.
Final recover(const OpenRequest& request, std::int64_t wall_ms, bool bill_broken = true);

}  // namespace trib::metering

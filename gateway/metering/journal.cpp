// The journal's writing side: the queue, the batch, segments and their syncs.
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

#include "gateway/metering/journal_file.h"

namespace trib::metering {
namespace {

constexpr std::int64_t ns_per_ms = 1'000'000;
constexpr std::size_t block_bytes = 1u << 20;  // of queued frames: written and synced as one lot
// Of the room kept ready ahead of what is written. The next sync writes the zeros too: where somebody waits for it
// they are few.
constexpr std::size_t zero_bytes_waited = 16u << 10, zero_bytes_window = 256u << 10;
constexpr std::int64_t look_up_ms = 5;         // what nobody waits for is synced by then (sync always)
constexpr std::size_t idle_blocks_max = 4;     // a burst's memory is given back above it

}  // namespace

void mark_frame(Segment& segment, Lsn lsn, std::uint64_t offset) {
  if (segment.marks.empty() || offset - segment.marks.back().offset >= mark_gap_bytes) {
    segment.marks.push_back({lsn, offset});
  }
}

JournalFile::JournalFile(Disk& disk, Clock& clock, const JournalOptions& options)
    : disk_(disk), clock_(clock), options_(options), spare_(disk, options.dir, options.segment_bytes) {}

JournalFile::~JournalFile() {
  wake_ = nullptr;
  if (file_ == nullptr) return;
  while (pump()) {
  }
  if (!failed() && durable() < written_) sync_segment();
}

std::error_code JournalFile::start(Scan scan) {
  segments_ = std::move(scan.segments);
  appended_ = written_ = scan.last;
  chain_ = scan.chain;
  if (segments_.empty()) {
    if (auto error = adopt_spare(1, 0)) return error;
  } else {
    if (auto error = disk_.open(segments_.back().path, Disk::Mode::write, file_)) return error;
    if (auto error = file_->size(file_bytes_)) return error;
    offset_ = scan.tail;
    if (scan.torn) {
      // All behind the tail goes, not only its first bytes: a later frame must never line up with
      // what an earlier run left there.
      if (auto error = file_->truncate(offset_)) return error;
      file_bytes_ = offset_;
    }
    if (file_bytes_ < options_.segment_bytes) {
      if (auto error = file_->allocate(options_.segment_bytes)) return error;
      file_bytes_ = options_.segment_bytes;
    }
    // What was found may be in the kernel alone, the segment's name too. After a sync that failed
    // the kernel shows such bytes as clean and a later sync passes them over: they are written
    // again.
    if (auto error = write_again(scan.doubtful, scan.tail)) return error;
    if (auto error = file_->sync_data()) return error;
    if (auto error = disk_.sync_dir(options_.dir)) return error;
  }
  released_.store(scan.last, std::memory_order_release);
  durable_.store(scan.last, std::memory_order_release);
  return {};
}

std::error_code JournalFile::write_again(std::uint64_t begin, std::uint64_t end) {
  std::string piece;
  while (begin < end) {
    piece.resize(std::min<std::uint64_t>(block_bytes, end - begin));
    std::size_t got = 0;
    if (auto error = file_->read(begin, {piece.data(), piece.size()}, got)) return error;
    if (got != piece.size()) return std::make_error_code(std::errc::io_error);
    if (auto error = file_->write(begin, piece)) return error;
    begin += got;
  }
  return {};
}

Lsn JournalFile::append(RecordRef record) {
  thread_local std::string payload;  // keeps its memory: no allocation a record
  payload.clear();
  if (!encode_to(record, payload)) return 0;
  const std::lock_guard lock(queue_mutex_);
  if (failed_.load(std::memory_order_relaxed) != 0) return 0;
  const std::size_t bytes = frame_header_bytes + payload.size();
  if (queue_bytes_ + bytes > options_.queue_bytes_max) return 0;
  if (queue_.empty() || queue_.back().size() + bytes > block_bytes) add_block();
  const Lsn lsn = ++appended_;
  append_unsealed_frame(queue_.back(), lsn, payload);
  queue_bytes_ += bytes;
  return lsn;
}

void JournalFile::add_block() {
  if (idle_blocks_.empty()) {
    queue_.emplace_back();
  } else {
    queue_.push_back(std::move(idle_blocks_.back()));
    idle_blocks_.pop_back();
  }
}

Lsn JournalFile::last() const {
  const std::lock_guard lock(queue_mutex_);
  return appended_;
}

std::error_code JournalFile::failed() const {
  return {failed_.load(std::memory_order_acquire), std::generic_category()};
}

void JournalFile::fail(std::error_code error) {
  const std::lock_guard lock(queue_mutex_);
  failed_.store(error.value() == 0 ? EIO : error.value(), std::memory_order_release);
  queue_.clear();
  queue_bytes_ = 0;
}

void JournalFile::wait(std::int64_t ms_max) {
  {
    const std::lock_guard lock(writer_mutex_);
    std::int64_t due_ms = options_.sync_always ? look_up_ms : options_.sync_window_ms;
    if (unsynced_since_ns_ >= 0) {
      const std::int64_t due_ns = unsynced_since_ns_ + options_.sync_window_ms * ns_per_ms - clock_.mono_ns();
      due_ms = (due_ns + ns_per_ms - 1) / ns_per_ms;
    }
    ms_max = std::clamp<std::int64_t>(due_ms, 0, ms_max);
  }
  std::unique_lock lock(queue_mutex_);
  queued_.wait_for(lock, std::chrono::milliseconds(ms_max),
                   [this] { return wanted_ || failed_.load(std::memory_order_relaxed) != 0; });
  wanted_ = false;
}

// The writer comes now, not when it looks up by itself.
void JournalFile::want() {
  {
    const std::lock_guard lock(queue_mutex_);
    if (queue_.empty() || std::exchange(wanted_, true)) return;
  }
  queued_.notify_one();
}

bool JournalFile::take_queue() {
  const std::lock_guard lock(queue_mutex_);
  return take_queue_locked();
}

bool JournalFile::take_queue_locked() {
  for (std::string& block : batch_) {
    if (idle_blocks_.size() >= idle_blocks_max || block.capacity() > 2 * block_bytes) continue;
    block.clear();
    idle_blocks_.push_back(std::move(block));
  }
  batch_.clear();
  batch_.swap(queue_);
  queue_bytes_ = 0;
  return !batch_.empty();
}

// With sync always every lot is released before the next is begun: after a stall the first waiters do
// not wait for all that queued behind them.
bool JournalFile::pump() {
  if (failed()) return false;
  std::unique_lock lock(writer_mutex_);
  bool changed = take_queue();
  for (std::string& block : batch_) {
    const std::int64_t begun_ns = clock_.mono_ns();
    auto error = write_block(block);
    if (!error && options_.sync_always) error = sync_segment();
    if (error) fail(error);
    if (!error && !options_.sync_always) {
      if (unsynced_since_ns_ < 0) unsynced_since_ns_ = begun_ns;
      released_.store(written_, std::memory_order_release);
    }
    if (wake_) wake_();
    if (error) return true;
  }
  sync_if_due(lock, changed);
  if (offset_ >= file_bytes_ / 4) spare_.want();
  if (!failed()) zero_ahead(lock);
  release_writer(lock);
  return changed;
}

bool JournalFile::help() {
  if (failed()) return false;
  if (options_.sync_always) {
    want();
    return false;
  }
  std::unique_lock lock(writer_mutex_, std::try_to_lock);
  if (!lock.owns_lock()) {
    missed_.store(true);
    return false;
  }
  bool writers_turn = false, taken = false;
  {  // what is looked at is what is taken: nothing more may come between
    const std::lock_guard queue(queue_mutex_);
    writers_turn = offset_ + queue_bytes_ > std::min(file_bytes_, limit_);
    if (!writers_turn) taken = take_queue_locked();
  }
  if (writers_turn) {
    want();
    return false;
  }
  if (taken) {
    if (unsynced_since_ns_ < 0) unsynced_since_ns_ = clock_.mono_ns();
    for (std::string& block : batch_) {
      if (auto error = write_block(block)) {
        fail(error);
        break;
      }
    }
    if (!failed()) released_.store(written_, std::memory_order_release);
  }
  release_writer(lock);
  return true;
}

// Whoever was turned away is told, and comes again.
void JournalFile::release_writer(std::unique_lock<std::mutex>& lock) {
  lock.unlock();
  if ((missed_.exchange(false) || failed()) && wake_) wake_();
}

void JournalFile::sync_if_due(std::unique_lock<std::mutex>& lock, bool& changed) {
  if (unsynced_since_ns_ < 0) return;
  if (clock_.mono_ns() - unsynced_since_ns_ < options_.sync_window_ms * ns_per_ms) return;
  changed = true;
  const Lsn upto = written_;
  unsynced_since_ns_ = -1;  // what is written during the sync waits for the next
  lock.unlock();
  const auto error = sync_timed(upto - durable());
  lock.lock();
  if (error) fail(error);
  if (!error) durable_.store(upto, std::memory_order_release);
  if (wake_) wake_();
}

std::error_code JournalFile::sync_timed(std::uint64_t records) {
  const std::int64_t begun_ns = clock_.mono_ns();
  const auto error = file_->sync_data();
  if (!error && options_.on_sync) options_.on_sync(clock_.mono_ns() - begun_ns, records);
  return error;
}

// All that was written becomes durable, and with it released.
std::error_code JournalFile::sync_segment() {
  if (auto error = sync_timed(written_ - durable())) return error;
  unsynced_since_ns_ = -1;
  released_.store(written_, std::memory_order_release);
  durable_.store(written_, std::memory_order_release);
  return {};
}

std::error_code JournalFile::write_block(std::string& block) {
  std::size_t begin = 0;  // of the run that goes out in one write
  std::size_t at = 0;
  while (at < block.size()) {
    char* const frame = block.data() + at;
    const std::size_t bytes = unsealed_frame_bytes(frame);
    if (offset_ + (at - begin) + bytes > file_bytes_) {
      if (auto error = write_run(std::string_view(block).substr(begin, at - begin))) return error;
      begin = at;
      if (auto error = rotate(written_ + 1, bytes)) return error;
    }
    const Lsn lsn = seal_frame(frame, durable(), chain_);
    TRIB_ASSERT(lsn == written_ + 1);
    written_ = lsn;
    if (const std::uint64_t place = offset_ + (at - begin); place >= next_mark_) {
      const std::lock_guard lock(segments_mutex_);
      mark_frame(segments_.back(), lsn, place);
      next_mark_ = place + mark_gap_bytes;
    }
    at += bytes;
  }
  return write_run(std::string_view(block).substr(begin, at - begin));
}

std::error_code JournalFile::write_run(std::string_view frames) {
  if (frames.empty()) return {};
  if (auto error = file_->write(offset_, frames)) return error;
  offset_ += frames.size();
  return {};
}

// A segment is whole on the disk before the next one exists: only the last can have a torn tail.
std::error_code JournalFile::rotate(Lsn first, std::size_t frame_bytes) {
  if (durable() < written_) {
    if (auto error = sync_segment()) return error;
  }
  return adopt_spare(first, segment_header_bytes + frame_bytes);
}

// The next segment becomes the last one, with room for at least `bytes`.
std::error_code JournalFile::adopt_spare(Lsn first, std::uint64_t bytes) {
  Segment segment{options_.dir + "/" + segment_name(first), {first, chain_}, {}};
  const std::uint64_t file_bytes = std::max(options_.segment_bytes, bytes);
  Spare::Adopted adopted;
  if (auto error = spare_.adopt(segment.path, encode_segment_header(segment.header), file_bytes, adopted)) return error;
  file_ = std::move(adopted.file);
  file_bytes_ = file_bytes;
  offset_ = segment_header_bytes;
  zeroed_ = adopted.zeroed;
  next_mark_ = 0;
  const std::lock_guard lock(segments_mutex_);
  segments_.push_back(std::move(segment));
  return {};
}

// For what spare.h does not do in time: the rest of a segment from an earlier run, one that came sooner than it was ready.
// The lock is let go meanwhile: others write before `limit_`. An error shows when the room is used.
void JournalFile::zero_ahead(std::unique_lock<std::mutex>& lock) {
  static const std::string zeros(zero_bytes_window, '\0');
  const std::size_t zero_bytes = options_.sync_always ? zero_bytes_waited : zero_bytes_window;
  const std::uint64_t from = std::max(zeroed_, offset_);
  if (from >= file_bytes_ || from - offset_ >= zero_bytes) return;
  limit_ = from;
  const auto part = std::string_view(zeros).substr(0, std::min<std::uint64_t>(zero_bytes, file_bytes_ - from));
  lock.unlock();
  const auto error = file_->write(from, part);
  lock.lock();
  limit_ = UINT64_MAX;
  zeroed_ = error ? file_bytes_ : from + part.size();  // refused: not again in this segment
}

}  // namespace trib::metering

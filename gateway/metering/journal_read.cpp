// The journal's reading side: any thread, each call with a file of its own.
#include <algorithm>

#include "gateway/metering/journal_file.h"

namespace trib::metering {
namespace {

constexpr std::size_t piece_bytes = 128u << 10;

std::error_code damaged() {
  return std::make_error_code(std::errc::bad_message);
}

}  // namespace

struct JournalFile::Cursor {
  std::unique_ptr<FrameReader> reader;
  Lsn segment = 0;  // its first LSN
  Lsn next = 0;     // of the frame that the reader stands at
};

Lsn JournalFile::first() const {
  const std::lock_guard lock(segments_mutex_);
  return segments_.front().header.first;
}

// Stands the cursor at a released record.
std::error_code JournalFile::open_cursor(Lsn lsn, Cursor& cursor) {
  std::string path;
  Mark at;
  {
    const std::lock_guard lock(segments_mutex_);
    if (lsn < segments_.front().header.first)
      return std::make_error_code(std::errc::result_out_of_range);
    const auto after = std::upper_bound(segments_.begin(), segments_.end(), lsn,
                                        [](Lsn l, const Segment& s) { return l < s.header.first; });
    const Segment& segment = *std::prev(after);
    const auto mark = std::upper_bound(segment.marks.begin(), segment.marks.end(), lsn,
                                       [](Lsn l, const Mark& m) { return l < m.lsn; });
    if (mark == segment.marks.begin()) return damaged();
    at = *std::prev(mark);
    cursor.segment = segment.header.first;
    if (place_.segment == cursor.segment && place_.lsn <= lsn && place_.lsn > at.lsn) {
      at = {place_.lsn, place_.offset};
    }
    path = segment.path;
  }
  std::unique_ptr<File> file;
  if (auto error = disk_.open(path, Disk::Mode::read, file)) {
    // trim() may have come between.
    return lsn < first() ? std::make_error_code(std::errc::result_out_of_range) : error;
  }
  cursor.reader = std::make_unique<FrameReader>(
      std::move(file), at.offset, std::min<std::uint64_t>(piece_bytes, options_.segment_bytes));
  cursor.next = at.lsn;
  Frame skipped;
  while (cursor.next < lsn) {
    if (auto error = next_frame(cursor, skipped)) return error;
  }
  return {};
}

std::error_code JournalFile::next_frame(Cursor& cursor, Frame& frame) {
  auto state = FrameReader::State::bad;
  if (auto error = cursor.reader->next(frame, state)) return error;
  if (state == FrameReader::State::end) {
    const Lsn ended = cursor.segment;
    if (auto error = open_cursor(cursor.next, cursor)) return error;
    if (cursor.segment == ended) return damaged();
    if (auto error = cursor.reader->next(frame, state)) return error;
  }
  if (state != FrameReader::State::frame || frame.lsn != cursor.next) return damaged();
  ++cursor.next;
  return {};
}

void JournalFile::remember(const Cursor& cursor) {
  const std::lock_guard lock(segments_mutex_);
  place_ = {cursor.next, cursor.segment, cursor.reader->offset()};
}

std::error_code JournalFile::read(Lsn from, const Visit& visit) {
  return take(from, UINT32_MAX, [&](Lsn lsn, Record& record, std::string_view) { return visit(lsn, record); });
}

std::error_code JournalFile::take(Lsn from, std::uint32_t kinds, const Take& take) {
  const Lsn until = released();
  if (from == 0) from = first();
  if (from > until) return {};
  Cursor cursor;
  if (auto error = open_cursor(from, cursor)) return error;
  Frame frame;
  Record record;
  while (cursor.next <= until) {
    if (auto error = next_frame(cursor, frame)) return error;
    const auto kind = kind_of(frame.payload);
    if (!kind) return damaged();
    if ((kinds >> *kind & 1) == 0) continue;
    if (!decode(frame.payload, record)) return damaged();
    if (!take(frame.lsn, record, frame.payload)) break;
  }
  remember(cursor);
  return {};
}

std::error_code Journal::take(Lsn from, std::uint32_t kinds, const Take& take) {
  std::string bytes;
  return read(from, [&](Lsn lsn, const Record& record) {
    if ((kinds >> record.index() & 1) == 0) return true;
    Record copy = record;
    bytes.clear();
    return encode_to(copy, bytes) && take(lsn, copy, bytes);
  });
}

Sha256 JournalFile::hash_at(Lsn lsn) {
  {
    const std::lock_guard lock(segments_mutex_);
    for (const Segment& segment : segments_) {
      if (segment.header.first == lsn + 1) return segment.header.before;
    }
  }
  if (lsn == 0 || lsn > released()) return {};
  Cursor cursor;
  Frame frame;
  if (open_cursor(lsn, cursor) || next_frame(cursor, frame)) return {};
  return frame.hash;
}

std::error_code JournalFile::trim(Lsn keep_from) {
  const std::lock_guard one_at_a_time(trim_mutex_);
  if (trim_failed_) return trim_failed_;
  for (;;) {
    std::string path;
    {
      const std::lock_guard lock(segments_mutex_);
      if (segments_.size() < 2 || segments_[1].header.first > keep_from) return {};
      path = segments_.front().path;
      // Readers stop using it first; what they have open stays readable.
      segments_.pop_front();
    }
    if (auto error = disk_.remove(path)) return trim_failed_ = error;
    // One at a time: a crash must never leave a hole between the segments kept. After a failed sync nobody
    // knows whether this one will be back, and a later sync does not tell: no other goes before a restart.
    if (auto error = disk_.sync_dir(options_.dir)) return trim_failed_ = error;
  }
}

}  // namespace trib::metering

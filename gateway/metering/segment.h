// The bytes of a journal segment: a header of 64, then frames without gaps, then zeros to the end
// of the preallocated file. Internal to the journal. All numbers little-endian.
//
//   header:  0 "TRIBJRNL"   8 u32 format version   12 u32 zero   16 u64 LSN of the first record
//           24 hash of the record before it (zeros at the very first)   56 u32 zero
//           60 u32 CRC32C of bytes 0..59
//   frame:   0 u32 payload length, never 0   4 u32 CRC32C of the length and of byte 8 on   8 u64
//   LSN
//           16 u32 pending   20 SHA-256 of (hash of the record before || payload)   52 payload
//
// `pending` says how many records, this one included, were not known to be on the disk when the
// frame was written; so LSN - pending was durable by then. Recovery needs it to tell a torn tail,
// where the disk may have kept later writes and lost earlier ones, from damage to what had been
// promised.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "gateway/base/base.h"
#include "gateway/metering/journal.h"

namespace trib::metering {

constexpr std::size_t segment_header_bytes = 64;
constexpr std::size_t frame_header_bytes = 52;

std::string segment_name(Lsn first);  // "journal-00000000000000a1.seg": sorts by LSN
std::optional<Lsn> parse_segment_name(std::string_view file_name);
constexpr std::string_view spare_name = "journal-next.tmp";  // preallocated, holds nothing yet

struct SegmentHeader {
  Lsn first = 0;
  Sha256 before{};
};
std::string encode_segment_header(const SegmentHeader& header);
std::optional<SegmentHeader> decode_segment_header(std::string_view bytes);

struct Frame {
  Lsn lsn = 0;
  std::uint32_t pending = 0;
  Sha256 hash{};
  std::string_view payload;  // into the bytes it was parsed from
  std::size_t bytes() const { return frame_header_bytes + payload.size(); }
};

// Queues a frame whose pending, hash and CRC the writer fills in later.
void append_unsealed_frame(std::string& out, Lsn lsn, std::string_view payload);
std::size_t unsealed_frame_bytes(const char* frame);
// Fills them in; `chain` is the hash before and becomes the hash of this record. Returns the LSN.
Lsn seal_frame(char* frame, Lsn durable, Sha256& chain);
// The frame at the start of `bytes`, if a whole one with a right CRC stands there.
std::optional<Frame> parse_frame(std::string_view bytes);

// Reads a segment's frames one after the other, in large pieces. Owns the file. One thread.
class FrameReader {
 public:
  enum class State { frame, end, bad };  // end: no frame begins here (zeros or the end of the file)

  FrameReader(std::unique_ptr<File> file, std::uint64_t offset, std::size_t piece_bytes);
  // The frame at offset(); it is valid until the next call. State frame moves the offset past it.
  std::error_code next(Frame& out, State& state);
  std::uint64_t offset() const { return offset_; }
  File& file() { return *file_; }

 private:
  std::error_code fill(
      std::size_t bytes);  // makes that many available, fewer at the end of the file

  std::unique_ptr<File> file_;
  std::uint64_t offset_;
  std::size_t piece_bytes_;
  std::string buffer_;  // what was read and is not yet used is [at_, size)
  std::size_t at_ = 0;
};

}  // namespace trib::metering

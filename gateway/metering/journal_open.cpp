// Reading the whole journal at the start: where it ends, whether its end is torn, or why it cannot
// be trusted.
#include <algorithm>

#include "gateway/metering/journal_file.h"

namespace trib::metering {
namespace {

constexpr std::size_t piece_bytes = 1u << 20;

class Scanner {
 public:
  Scanner(Disk& disk, const std::string& dir, Scan& scan, JournalError& error)
      : disk_(disk), dir_(dir), scan_(scan), error_(error) {}

  bool run() {
    std::vector<std::string> names;
    if (auto code = disk_.list(dir_, names)) return refuse(code.message());
    std::erase_if(names, [](const std::string& name) { return !parse_segment_name(name); });
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (!segment(names[i], i + 1 == names.size())) return false;
    }
    return true;
  }

 private:
  bool refuse(std::string why) {
    error_.why = std::move(why);
    return false;
  }

  bool segment(const std::string& name, bool newest) {
    error_ = {name, 0, scan_.last + 1, {}};
    Segment found{dir_ + "/" + name, {}, {}};
    std::unique_ptr<File> file;
    if (auto code = disk_.open(found.path, Disk::Mode::read, file)) return refuse(code.message());
    if (auto code = file->size(size_)) return refuse(code.message());
    if (!header(*file, name, found.header)) return false;
    scan_.segments.push_back(std::move(found));
    scan_.doubtful = segment_header_bytes;
    FrameReader reader(std::move(file), segment_header_bytes,
                       std::min<std::uint64_t>(piece_bytes, size_));
    return frames(reader) && end(reader, newest);
  }

  bool header(File& file, const std::string& name, SegmentHeader& out) {
    std::string bytes(segment_header_bytes, '\0');
    std::size_t got = 0;
    if (auto code = file.read(0, {bytes.data(), bytes.size()}, got)) return refuse(code.message());
    const auto header = decode_segment_header(std::string_view(bytes).substr(0, got));
    if (!header || header->first != parse_segment_name(name))
      return refuse("the segment's header is damaged");
    if (scan_.segments.empty()) {
      if (header->first == 0 || (header->first == 1 && header->before != Sha256{})) {
        return refuse("the segment's header is impossible");
      }
      scan_.last = header->first - 1;
      scan_.chain = header->before;
      error_.record = header->first;
    }
    if (header->first != scan_.last + 1) return refuse("records are missing before this segment");
    if (header->before != scan_.chain)
      return refuse("the segment does not continue the one before it");
    out = *header;
    return true;
  }

  bool frames(FrameReader& reader) {
    Frame frame;
    for (;;) {
      error_.offset = reader.offset();
      error_.record = scan_.last + 1;
      if (auto code = reader.next(frame, state_)) return refuse(code.message());
      if (state_ != FrameReader::State::frame) return true;
      if (frame.lsn != scan_.last + 1) return refuse("a record has the wrong number");
      const Sha256 hash = sha256(
          std::string_view(reinterpret_cast<const char*>(scan_.chain.data()), scan_.chain.size()),
          frame.payload);
      if (frame.hash != hash) return refuse("the chain of hashes is broken");
      if (!decode(frame.payload)) return refuse("a record of an unknown kind or version");
      mark_frame(scan_.segments.back(), frame.lsn, error_.offset);
      if (frame.pending == 1) scan_.doubtful = error_.offset;
      scan_.last = frame.lsn;
      scan_.chain = hash;
    }
  }

  // What stands behind the last good record.
  bool end(FrameReader& reader, bool newest) {
    scan_.tail = reader.offset();
    bool zeros = true;
    if (auto code = only_zeros(reader.file(), zeros)) return refuse(code.message());
    if (zeros) return true;
    if (!newest) return refuse("a record is damaged");
    bool promised = false;
    if (auto code = promised_later(reader.file(), promised)) return refuse(code.message());
    if (promised) return refuse("a record is damaged");
    scan_.torn = true;
    return true;
  }

  std::error_code only_zeros(File& file, bool& zeros) {
    std::string piece;
    for (std::uint64_t at = scan_.tail; at < size_;) {
      piece.resize(std::min<std::uint64_t>(piece_bytes, size_ - at));
      std::size_t got = 0;
      if (auto code = file.read(at, {piece.data(), piece.size()}, got)) return code;
      zeros =
          std::string_view(piece).substr(0, got).find_first_not_of('\0') == std::string_view::npos;
      if (!zeros || got == 0) return {};
      at += got;
    }
    return {};
  }

  // Whether a record behind the tail was written when the first missing one was already durable:
  // then what is missing had been promised. Otherwise the disk kept later writes of an unsynced lot
  // and lost earlier ones, and nothing of it counts.
  std::error_code promised_later(File& file, bool& promised) {
    std::string rest(size_ - scan_.tail, '\0');
    std::size_t got = 0;
    if (auto code = file.read(scan_.tail, {rest.data(), rest.size()}, got)) return code;
    rest.resize(got);
    const Lsn missing = scan_.last + 1;
    for (std::size_t at = 0; at + frame_header_bytes < rest.size(); ++at) {
      // The numbers first: hardly any offset needs its CRC computed.
      if (!plausible(rest.data() + at, missing)) continue;
      const auto frame = parse_frame(std::string_view(rest).substr(at));
      if (frame && frame->lsn - frame->pending >= missing) {
        promised = true;
        return {};
      }
    }
    return {};
  }

  static bool plausible(const char* frame, Lsn missing) {
    Lsn lsn = 0;
    for (int i = 7; i >= 0; --i) lsn = lsn << 8 | static_cast<unsigned char>(frame[8 + i]);
    return lsn > missing && lsn - missing < (std::uint64_t{1} << 32);
  }

  Disk& disk_;
  const std::string& dir_;
  Scan& scan_;
  JournalError& error_;
  std::uint64_t size_ = 0;  // of the segment at hand
  FrameReader::State state_ = FrameReader::State::end;
};

}  // namespace

bool scan_journal(Disk& disk, const std::string& dir, Scan& scan, JournalError& error) {
  return Scanner(disk, dir, scan, error).run();
}

std::unique_ptr<Journal> open_journal(Disk& disk, Clock& clock, const JournalOptions& options,
                                      JournalError& error) {
  error = {};
  const auto refuse = [&error](std::error_code code) {
    error = {{}, 0, 0, code.message()};
    return nullptr;
  };
  std::vector<std::string> names;
  if (auto code = disk.list(options.dir, names)) {
    if (code != std::errc::no_such_file_or_directory) return refuse(code);
    if (auto failure = disk.make_dirs(options.dir)) return refuse(failure);
    const auto slash = options.dir.find_last_of('/');
    const std::string parent = slash == std::string::npos ? "."
                               : slash == 0               ? "/"
                                                          : options.dir.substr(0, slash);
    if (auto failure = disk.sync_dir(parent)) return refuse(failure);
  } else if (std::find(names.begin(), names.end(), spare_name) != names.end()) {
    if (auto failure = disk.remove(options.dir + "/" + std::string(spare_name)))
      return refuse(failure);
  }
  Scan scan;
  if (!scan_journal(disk, options.dir, scan, error)) return nullptr;
  auto journal = std::make_unique<JournalFile>(disk, clock, options);
  if (auto code = journal->start(std::move(scan))) return refuse(code);
  error = {};
  return journal;
}

}  // namespace trib::metering

// The journal's next segment. Room that was only reserved costs the file system a commit of its own at the sync that follows
// a first write (the extents are converted); over zeros that are on the disk already, a sync is a write and a flush. So the
// zeros are written beside the writer, piece by piece, and the disk has taken each before the next: one large sync would hold
// up the journal's. They are durable with the header.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "gateway/base/base.h"

namespace trib::metering {

class Spare {
 public:
  static constexpr std::size_t piece_bytes = 64u << 10;

  Spare(Disk& disk, std::string dir, std::uint64_t bytes);

  // The writer: one will be needed; from here on prepare() has something to do.
  void want() { wanted_.store(true, std::memory_order_release); }

  // Any thread. Makes one piece ready; false when there is nothing to do: none is wanted, all is ready, or the disk refused,
  // which is tried again only when the segment is needed.
  bool prepare();

  struct Adopted {
    std::unique_ptr<File> file;
    std::uint64_t zeroed = 0;  // up to here it holds zeros
  };
  // The writer: what is ready by now, or made now, as a segment of at least `bytes` that begins with `header`. It has its name
  // only when the header is on the disk. Waits for one piece of prepare() at most.
  std::error_code adopt(const std::string& path, std::string_view header, std::uint64_t bytes, Adopted& out);

 private:
  std::error_code make();

  Disk& disk_;
  const std::string dir_, path_;
  const std::uint64_t bytes_;
  std::atomic<bool> wanted_{false};
  std::mutex mutex_;  // of what follows, and of the file's name
  Adopted ready_;     // its file: none yet; otherwise allocated and synced
  bool refused_ = false;
};

}  // namespace trib::metering

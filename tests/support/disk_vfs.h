// A SQLite VFS over any Disk: the store of a simulated world lies on its simulated disk. Locks and
// shared memory exist within this process only; the shared memory of a file goes with its last user,
// as the wal-index of a killed process counts for nothing. A file's name becomes durable with its
// first sync, as journalling file systems have it. One thread.
#pragma once
#include <memory>
#include <string>

#include "gateway/base/base.h"

namespace trib::test {

class DiskVfs {
 public:
  // Registers under `name`, which must be free. Neither the clock nor the disk are owned.
  DiskVfs(std::string name, Disk& disk, const Clock& clock, std::uint64_t seed);
  ~DiskVfs();  // every connection must be closed
  DiskVfs(const DiskVfs&) = delete;
  DiskVfs& operator=(const DiskVfs&) = delete;
  const std::string& name() const;

  struct Vfs;

 private:
  std::unique_ptr<Vfs> vfs_;
};

}  // namespace trib::test

#include "tests/support/disk_vfs.h"

#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <new>
#include <vector>

namespace trib::test {
namespace {

struct Shared {  // what the connections to one file share
  int readers = 0;
  bool reserved = false, pending = false, exclusive = false;
  int users = 0;  // of the shared memory
  std::vector<std::unique_ptr<char[]>> regions;
  std::array<int, SQLITE_SHM_NLOCK> slots{};  // holders; -1: one, exclusively
};

struct OpenFile : sqlite3_file {
  DiskVfs::Vfs* vfs = nullptr;
  std::string path;
  std::unique_ptr<File> file;
  bool name_pending = false;  // made by us, its name not yet durable
  int level = SQLITE_LOCK_NONE;
  std::shared_ptr<Shared> shared;
  bool mapped = false;
  std::array<int, SQLITE_SHM_NLOCK> held{};
};

OpenFile& self(sqlite3_file* file) { return *static_cast<OpenFile*>(file); }

std::string folder_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

int code(const std::error_code& error, int io) {
  if (!error) return SQLITE_OK;
  return error == std::errc::no_space_on_device ? SQLITE_FULL : io;
}

}  // namespace

struct DiskVfs::Vfs : sqlite3_vfs {
  Vfs(std::string as, Disk& on, const Clock& time, std::uint64_t seed) : sqlite3_vfs{}, name(std::move(as)), disk(on), clock(time), rng(seed) {}
  const std::string name;
  Disk& disk;
  const Clock& clock;
  SeededRng rng;
  std::map<std::string, std::weak_ptr<Shared>> shared;
};

namespace {

// ---- the file ----------------------------------------------------------------------------------

int close(sqlite3_file* file) {
  OpenFile& f = self(file);
  f.~OpenFile();
  return SQLITE_OK;
}

int read(sqlite3_file* file, void* out, int bytes, sqlite3_int64 at) {
  std::size_t got = 0;
  const auto want = static_cast<std::size_t>(bytes);
  if (const auto error = self(file).file->read(static_cast<std::uint64_t>(at), {static_cast<char*>(out), want}, got))
    return code(error, SQLITE_IOERR_READ);
  if (got == want) return SQLITE_OK;
  std::memset(static_cast<char*>(out) + got, 0, want - got);
  return SQLITE_IOERR_SHORT_READ;
}

int write(sqlite3_file* file, const void* bytes, int count, sqlite3_int64 at) {
  return code(self(file).file->write(static_cast<std::uint64_t>(at), {static_cast<const char*>(bytes), static_cast<std::size_t>(count)}),
              SQLITE_IOERR_WRITE);
}

int truncate(sqlite3_file* file, sqlite3_int64 bytes) {
  return code(self(file).file->truncate(static_cast<std::uint64_t>(bytes)), SQLITE_IOERR_TRUNCATE);
}

int sync(sqlite3_file* file, int) {
  OpenFile& f = self(file);
  if (const auto error = f.file->sync_data()) return code(error, SQLITE_IOERR_FSYNC);
  if (!f.name_pending) return SQLITE_OK;
  if (const auto error = f.vfs->disk.sync_dir(folder_of(f.path))) return code(error, SQLITE_IOERR_DIR_FSYNC);
  f.name_pending = false;
  return SQLITE_OK;
}

int file_size(sqlite3_file* file, sqlite3_int64* out) {
  std::uint64_t bytes = 0;
  const auto error = self(file).file->size(bytes);
  *out = static_cast<sqlite3_int64>(bytes);
  return code(error, SQLITE_IOERR_FSTAT);
}

int unlock(sqlite3_file* file, int level) {
  OpenFile& f = self(file);
  Shared& s = *f.shared;
  if (f.level >= SQLITE_LOCK_EXCLUSIVE && level < SQLITE_LOCK_EXCLUSIVE) s.exclusive = false;
  if (f.level >= SQLITE_LOCK_PENDING && level < SQLITE_LOCK_PENDING) s.pending = false;
  if (f.level >= SQLITE_LOCK_RESERVED && level < SQLITE_LOCK_RESERVED) s.reserved = false;
  if (f.level >= SQLITE_LOCK_SHARED && level < SQLITE_LOCK_SHARED) --s.readers;
  f.level = std::min(f.level, level);
  return SQLITE_OK;
}

int lock(sqlite3_file* file, int level) {
  OpenFile& f = self(file);
  Shared& s = *f.shared;
  if (f.level >= level) return SQLITE_OK;
  if (f.level < SQLITE_LOCK_SHARED) {
    if (s.exclusive || s.pending) return SQLITE_BUSY;
    ++s.readers;
    f.level = SQLITE_LOCK_SHARED;
  }
  if (level >= SQLITE_LOCK_RESERVED && f.level < SQLITE_LOCK_RESERVED && level == SQLITE_LOCK_RESERVED) {
    if (s.reserved) return SQLITE_BUSY;
    s.reserved = true;
    f.level = SQLITE_LOCK_RESERVED;
  }
  if (level < SQLITE_LOCK_EXCLUSIVE) return SQLITE_OK;
  if (f.level < SQLITE_LOCK_PENDING) {
    if (s.pending || (s.reserved && f.level < SQLITE_LOCK_RESERVED)) return SQLITE_BUSY;
    s.reserved = s.pending = true;
    f.level = SQLITE_LOCK_PENDING;
  }
  if (s.readers > 1) return SQLITE_BUSY;
  s.exclusive = true;
  f.level = SQLITE_LOCK_EXCLUSIVE;
  return SQLITE_OK;
}

int reserved(sqlite3_file* file, int* out) {
  *out = self(file).shared->reserved ? 1 : 0;
  return SQLITE_OK;
}

int control(sqlite3_file*, int, void*) { return SQLITE_NOTFOUND; }
int sector_size(sqlite3_file*) { return 4096; }
// A torn write leaves its neighbours alone.
int characteristics(sqlite3_file*) { return SQLITE_IOCAP_POWERSAFE_OVERWRITE; }

// ---- shared memory -----------------------------------------------------------------------------

int shm_map(sqlite3_file* file, int region, int bytes, int extend, void volatile** out) {
  OpenFile& f = self(file);
  if (!f.mapped) ++f.shared->users;
  f.mapped = true;
  auto& regions = f.shared->regions;
  const auto at = static_cast<std::size_t>(region);
  *out = nullptr;
  if (at >= regions.size() && extend == 0) return SQLITE_OK;
  while (regions.size() <= at) regions.push_back(std::make_unique<char[]>(static_cast<std::size_t>(bytes)));
  *out = regions[at].get();
  return SQLITE_OK;
}

int shm_lock(sqlite3_file* file, int first, int count, int flags) {
  OpenFile& f = self(file);
  auto& slots = f.shared->slots;
  const auto begin = static_cast<std::size_t>(first), end = begin + static_cast<std::size_t>(count);
  if ((flags & SQLITE_SHM_UNLOCK) != 0) {
    for (auto i = begin; i < end; ++i) {
      if (f.held[i] == 0) continue;
      slots[i] = f.held[i] < 0 ? 0 : slots[i] - 1;
      f.held[i] = 0;
    }
    return SQLITE_OK;
  }
  const bool exclusively = (flags & SQLITE_SHM_EXCLUSIVE) != 0;
  for (auto i = begin; i < end; ++i) {
    const int others = f.held[i] == 1 ? slots[i] - 1 : f.held[i] == -1 ? 0 : slots[i];
    if (others < 0 || (exclusively && others > 0)) return SQLITE_BUSY;
  }
  for (auto i = begin; i < end; ++i) {
    if (exclusively) {
      slots[i] = f.held[i] = -1;
    } else if (f.held[i] == 0) {
      ++slots[i];
      f.held[i] = 1;
    }
  }
  return SQLITE_OK;
}

void shm_barrier(sqlite3_file*) {}

int shm_unmap(sqlite3_file* file, int) {
  OpenFile& f = self(file);
  if (!f.mapped) return SQLITE_OK;
  f.mapped = false;
  shm_lock(file, 0, SQLITE_SHM_NLOCK, SQLITE_SHM_UNLOCK);
  if (--f.shared->users == 0) f.shared->regions.clear();
  return SQLITE_OK;
}

const sqlite3_io_methods methods = {2,         close,   read,     write,   truncate,    sync,            file_size, lock,        unlock,
                                    reserved,  control, sector_size, characteristics, shm_map, shm_lock, shm_barrier, shm_unmap,
                                    nullptr,   nullptr};

// ---- the file system ---------------------------------------------------------------------------

DiskVfs::Vfs& of(sqlite3_vfs* vfs) { return *static_cast<DiskVfs::Vfs*>(vfs); }

bool exists(Disk& disk, const std::string& path, std::error_code& error) {
  std::unique_ptr<File> file;
  error = disk.open(path, Disk::Mode::read, file);
  if (error != std::errc::no_such_file_or_directory) return !error;
  error = {};
  return false;
}

int open(sqlite3_vfs* vfs, const char* path, sqlite3_file* out, int flags, int* out_flags) {
  out->pMethods = nullptr;
  if (path == nullptr) return SQLITE_CANTOPEN;  // temporary files stay in memory
  Disk& disk = of(vfs).disk;
  std::error_code error;
  const bool there = exists(disk, path, error);
  if (error) return code(error, SQLITE_CANTOPEN);
  if (!there && (flags & SQLITE_OPEN_CREATE) == 0) return SQLITE_CANTOPEN;
  auto* const f = new (out) OpenFile;
  f->pMethods = nullptr;
  const bool writes = (flags & SQLITE_OPEN_READWRITE) != 0;
  error = disk.open(path, !there ? Disk::Mode::create : writes ? Disk::Mode::write : Disk::Mode::read, f->file);
  if (error) {
    f->~OpenFile();
    return code(error, SQLITE_CANTOPEN);
  }
  f->pMethods = &methods;
  f->vfs = &of(vfs);
  f->path = path;
  f->name_pending = !there;
  auto& slot = of(vfs).shared[path];
  f->shared = slot.lock();
  if (f->shared == nullptr) slot = f->shared = std::make_shared<Shared>();
  if (out_flags != nullptr) *out_flags = flags;
  return SQLITE_OK;
}

int remove(sqlite3_vfs* vfs, const char* path, int dir_sync) {
  Disk& disk = of(vfs).disk;
  if (const auto error = disk.remove(path)) {
    return error == std::errc::no_such_file_or_directory ? SQLITE_IOERR_DELETE_NOENT : code(error, SQLITE_IOERR_DELETE);
  }
  if (dir_sync == 0) return SQLITE_OK;
  return code(disk.sync_dir(folder_of(path)), SQLITE_IOERR_DIR_FSYNC);
}

int access(sqlite3_vfs* vfs, const char* path, int, int* out) {
  std::error_code error;
  *out = exists(of(vfs).disk, path, error) ? 1 : 0;
  return code(error, SQLITE_IOERR_ACCESS);
}

int full_name(sqlite3_vfs*, const char* path, int room, char* out) {
  const std::size_t bytes = std::strlen(path) + 1;
  if (bytes > static_cast<std::size_t>(room)) return SQLITE_CANTOPEN;
  std::memcpy(out, path, bytes);
  return SQLITE_OK;
}

int randomness(sqlite3_vfs* vfs, int bytes, char* out) {
  for (int i = 0; i < bytes; ++i) out[i] = static_cast<char>(of(vfs).rng.next());
  return bytes;
}

int pause(sqlite3_vfs*, int microseconds) { return microseconds; }

int now64(sqlite3_vfs* vfs, sqlite3_int64* out) {
  constexpr sqlite3_int64 unix_epoch = 210866760000000LL;  // Julian day 2440587.5, in ms
  *out = unix_epoch + of(vfs).clock.wall_ms();
  return SQLITE_OK;
}

int now(sqlite3_vfs* vfs, double* out) {
  sqlite3_int64 ms = 0;
  now64(vfs, &ms);
  *out = static_cast<double>(ms) / 86400000.0;
  return SQLITE_OK;
}

int last_error(sqlite3_vfs*, int, char*) { return 0; }

}  // namespace

DiskVfs::DiskVfs(std::string name, Disk& disk, const Clock& clock, std::uint64_t seed)
    : vfs_(std::make_unique<Vfs>(std::move(name), disk, clock, seed)) {
  Vfs& v = *vfs_;
  TRIB_ASSERT(sqlite3_vfs_find(v.name.c_str()) == nullptr);
  v.iVersion = 2;
  v.szOsFile = sizeof(OpenFile);
  v.mxPathname = 512;
  v.zName = v.name.c_str();
  v.xOpen = open;
  v.xDelete = remove;
  v.xAccess = access;
  v.xFullPathname = full_name;
  v.xRandomness = randomness;
  v.xSleep = pause;
  v.xCurrentTime = now;
  v.xCurrentTimeInt64 = now64;
  v.xGetLastError = last_error;
  TRIB_ASSERT(sqlite3_vfs_register(&v, 0) == SQLITE_OK);
}

DiskVfs::~DiskVfs() { sqlite3_vfs_unregister(vfs_.get()); }

const std::string& DiskVfs::name() const { return vfs_->name; }

}  // namespace trib::test

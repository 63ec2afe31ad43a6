// Files behind one interface: the real file system in production, a seeded one in simulation that
// loses, tears and fails writes. Errors are std::error_code in generic_category (ENOSPC, EIO, ...).
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <system_error>
#include <vector>

namespace trib {

// One open file. Used from one thread at a time, but for sync_data(), which may run beside a write: it
// covers what was written before it began. Closed by the destructor, which does not sync.
class File {
 public:
  virtual ~File() = default;
  // Reads up to out.size() bytes at offset; fewer only at the end of the file.
  virtual std::error_code read(std::uint64_t offset, std::span<char> out, std::size_t& got) = 0;
  // Writes all or fails; after a failure the range's content is unknown.
  virtual std::error_code write(std::uint64_t offset, std::string_view bytes) = 0;
  virtual std::error_code sync_data() = 0;  // fdatasync: durable when it returns without error
  // Hands what was written there to the device and waits until it has it, so that a later sync finds little left and others'
  // syncs need not wait behind a long one. Promises nothing about durability; an error is one of those writes'.
  virtual std::error_code write_out(std::uint64_t /*offset*/, std::uint64_t /*bytes*/) { return {}; }
  virtual std::error_code allocate(std::uint64_t bytes) = 0;  // preallocate; the size becomes `bytes`
  virtual std::error_code truncate(std::uint64_t bytes) = 0;
  virtual std::error_code size(std::uint64_t& bytes) = 0;
};

// Thread-safe. Paths are plain; relative ones are relative to the working directory.
class Disk {
 public:
  enum class Mode { read, write, create };  // write: must exist; create: made when missing, kept when not
  virtual ~Disk() = default;
  virtual std::error_code open(const std::string& path, Mode mode, std::unique_ptr<File>& out) = 0;
  virtual std::error_code remove(const std::string& path) = 0;
  virtual std::error_code rename(const std::string& from, const std::string& to) = 0;
  virtual std::error_code make_dirs(const std::string& path) = 0;
  virtual std::error_code list(const std::string& dir, std::vector<std::string>& names) = 0;  // sorted
  virtual std::error_code sync_dir(const std::string& dir) = 0;  // makes creations and renames durable
};

Disk& system_disk();

// File::write_out of an open descriptor. Only an error of the disk is one: where the call is not to be had, a sync does it all.
std::error_code write_out(int descriptor, std::uint64_t offset, std::uint64_t bytes);

// Whole-file helpers over any Disk. write_file replaces atomically (temporary, sync, rename).
std::error_code read_file(Disk& disk, const std::string& path, std::string& out,
                          std::uint64_t bytes_max = 64u << 20);
std::error_code write_file(Disk& disk, const std::string& path, std::string_view bytes);

}  // namespace trib

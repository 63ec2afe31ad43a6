#include "gateway/base/disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace trib {
namespace {

std::error_code last_error() { return {errno, std::generic_category()}; }

class SystemFile final : public File {
 public:
  explicit SystemFile(int fd) : fd_(fd) {}
  ~SystemFile() override { ::close(fd_); }

  std::error_code read(std::uint64_t offset, std::span<char> out, std::size_t& got) override {
    got = 0;
    while (got < out.size()) {
      const auto n = ::pread(fd_, out.data() + got, out.size() - got, static_cast<off_t>(offset + got));
      if (n == 0) break;
      if (n < 0) {
        if (errno == EINTR) continue;
        return last_error();
      }
      got += static_cast<std::size_t>(n);
    }
    return {};
  }

  std::error_code write(std::uint64_t offset, std::string_view bytes) override {
    while (!bytes.empty()) {
      const auto n = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (n < 0) {
        if (errno == EINTR) continue;
        return last_error();
      }
      offset += static_cast<std::uint64_t>(n);
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return {};
  }

  std::error_code sync_data() override { return ::fdatasync(fd_) == 0 ? std::error_code{} : last_error(); }

  std::error_code write_out(std::uint64_t offset, std::uint64_t bytes) override {
    return trib::write_out(fd_, offset, bytes);
  }

  std::error_code allocate(std::uint64_t bytes) override {
    const int err = ::posix_fallocate(fd_, 0, static_cast<off_t>(bytes));
    return {err, std::generic_category()};
  }

  std::error_code truncate(std::uint64_t bytes) override {
    return ::ftruncate(fd_, static_cast<off_t>(bytes)) == 0 ? std::error_code{} : last_error();
  }

  std::error_code size(std::uint64_t& bytes) override {
    struct stat st{};
    if (::fstat(fd_, &st) != 0) return last_error();
    bytes = static_cast<std::uint64_t>(st.st_size);
    return {};
  }

 private:
  int fd_;
};

class SystemDisk final : public Disk {
 public:
  std::error_code open(const std::string& path, Mode mode, std::unique_ptr<File>& out) override {
    int flags = O_CLOEXEC;
    if (mode == Mode::read) flags |= O_RDONLY;
    if (mode == Mode::write) flags |= O_RDWR;
    if (mode == Mode::create) flags |= O_RDWR | O_CREAT;
    const int fd = ::open(path.c_str(), flags, 0600);
    if (fd < 0) return last_error();
    out = std::make_unique<SystemFile>(fd);
    return {};
  }

  std::error_code remove(const std::string& path) override {
    return ::unlink(path.c_str()) == 0 ? std::error_code{} : last_error();
  }

  std::error_code rename(const std::string& from, const std::string& to) override {
    return ::rename(from.c_str(), to.c_str()) == 0 ? std::error_code{} : last_error();
  }

  std::error_code make_dirs(const std::string& path) override {
    for (std::size_t at = path.find('/', 1);; at = path.find('/', at + 1)) {
      const std::string part = path.substr(0, at);
      if (!part.empty() && ::mkdir(part.c_str(), 0700) != 0 && errno != EEXIST) return last_error();
      if (at == std::string::npos) return {};
    }
  }

  std::error_code list(const std::string& dir, std::vector<std::string>& names) override {
    names.clear();
    DIR* d = ::opendir(dir.c_str());
    if (d == nullptr) return last_error();
    while (const dirent* entry = ::readdir(d)) {
      const std::string name = entry->d_name;
      if (name != "." && name != "..") names.push_back(name);
    }
    ::closedir(d);
    std::sort(names.begin(), names.end());
    return {};
  }

  std::error_code sync_dir(const std::string& dir) override {
    const int fd = ::open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return last_error();
    const int rc = ::fsync(fd);
    const auto err = rc == 0 ? std::error_code{} : last_error();
    ::close(fd);
    return err;
  }
};

std::string parent_of(const std::string& path) {
  const auto slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

Disk& system_disk() {
  static SystemDisk disk;
  return disk;
}

std::error_code read_file(Disk& disk, const std::string& path, std::string& out, std::uint64_t bytes_max) {
  std::unique_ptr<File> file;
  if (auto ec = disk.open(path, Disk::Mode::read, file)) return ec;
  std::uint64_t bytes = 0;
  if (auto ec = file->size(bytes)) return ec;
  if (bytes > bytes_max) return std::make_error_code(std::errc::file_too_large);
  out.resize(bytes);
  std::size_t got = 0;
  const auto ec = file->read(0, {out.data(), out.size()}, got);
  out.resize(got);
  return ec;
}

std::error_code write_file(Disk& disk, const std::string& path, std::string_view bytes) {
  const std::string temporary = path + ".new";
  {
    std::unique_ptr<File> file;
    if (auto ec = disk.open(temporary, Disk::Mode::create, file)) return ec;
    if (auto ec = file->truncate(0)) return ec;
    if (auto ec = file->write(0, bytes)) return ec;
    if (auto ec = file->sync_data()) return ec;
  }
  if (auto ec = disk.rename(temporary, path)) return ec;
  return disk.sync_dir(parent_of(path));
}

std::error_code write_out(int descriptor, std::uint64_t offset, std::uint64_t bytes) {
  constexpr unsigned all = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
  if (::sync_file_range(descriptor, static_cast<off_t>(offset), static_cast<off_t>(bytes), all) == 0) return {};
  const bool of_the_disk = errno == EIO || errno == ENOSPC || errno == EDQUOT;
  return of_the_disk ? last_error() : std::error_code{};
}

}  // namespace trib

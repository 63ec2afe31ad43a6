#include "gateway/metering/spare.h"

#include <algorithm>
#include <utility>

#include "gateway/metering/segment.h"

namespace trib::metering {

Spare::Spare(Disk& disk, std::string dir, std::uint64_t bytes)
    : disk_(disk), dir_(std::move(dir)), path_(dir_ + "/" + std::string(spare_name)), bytes_(bytes) {}

bool Spare::prepare() {
  if (!wanted_.load(std::memory_order_acquire)) return false;
  static const std::string zeros(piece_bytes, '\0');
  const std::lock_guard lock(mutex_);
  if (refused_ || (ready_.file != nullptr && ready_.zeroed == bytes_)) return false;
  std::error_code error;
  if (ready_.file == nullptr) {
    error = make();
  } else {
    const auto piece = std::string_view(zeros).substr(0, std::min<std::uint64_t>(piece_bytes, bytes_ - ready_.zeroed));
    error = ready_.file->write(ready_.zeroed, piece);
    if (!error) error = ready_.file->write_out(ready_.zeroed, piece.size());
    ready_.zeroed += piece.size();
  }
  refused_ = static_cast<bool>(error);
  if (refused_) ready_ = {};  // what it holds is unknown
  return !refused_;
}

std::error_code Spare::make() {
  std::unique_ptr<File> file;
  if (auto error = disk_.open(path_, Disk::Mode::create, file)) return error;
  if (auto error = file->truncate(0)) return error;
  if (auto error = file->allocate(bytes_)) return error;
  if (auto error = file->sync_data()) return error;
  ready_ = {std::move(file), 0};
  return {};
}

// The lock is held until the file has its new name: prepare() would begin the next one under the old.
std::error_code Spare::adopt(const std::string& path, std::string_view header, std::uint64_t bytes, Adopted& out) {
  const std::lock_guard lock(mutex_);
  if (ready_.file == nullptr) {
    if (auto error = make()) return error;
  }
  if (bytes > bytes_) {
    if (auto error = ready_.file->allocate(bytes)) return error;
  }
  if (auto error = ready_.file->write(0, header)) return error;
  if (auto error = ready_.file->sync_data()) return error;
  if (auto error = disk_.rename(path_, path)) return error;
  if (auto error = disk_.sync_dir(dir_)) return error;
  out = std::exchange(ready_, {});
  refused_ = false;
  wanted_.store(false, std::memory_order_release);
  return {};
}

}  // namespace trib::metering

// A disk in memory that fails on command.
#pragma once
#include <algorithm>
#include <cstring>
#include <map>
#include <memory>

#include "gateway/base/base.h"

namespace trib::test {

class MemoryDisk final : public Disk {
 public:
  std::map<std::string, std::shared_ptr<std::string>> files;
  bool full = false;  // writes fail with ENOSPC

  std::error_code open(const std::string& path, Mode mode, std::unique_ptr<File>& out) override {
    auto at = files.find(path);
    if (at == files.end()) {
      if (mode != Mode::create) return std::make_error_code(std::errc::no_such_file_or_directory);
      at = files.emplace(path, std::make_shared<std::string>()).first;
    }
    out = std::make_unique<Handle>(*this, at->second);
    return {};
  }
  std::error_code remove(const std::string& path) override {
    files.erase(path);
    return {};
  }
  std::error_code rename(const std::string& from, const std::string& to) override {
    files[to] = files.at(from);
    files.erase(from);
    return {};
  }
  std::error_code make_dirs(const std::string&) override { return {}; }
  std::error_code list(const std::string&, std::vector<std::string>&) override { return {}; }
  std::error_code sync_dir(const std::string&) override { return {}; }

 private:
  struct Handle final : File {
    Handle(MemoryDisk& d, std::shared_ptr<std::string> c) : disk(d), content(std::move(c)) {}
    std::error_code read(std::uint64_t offset, std::span<char> out, std::size_t& got) override {
      got = offset >= content->size() ? 0 : std::min<std::size_t>(out.size(), content->size() - offset);
      std::memcpy(out.data(), content->data() + offset, got);
      return {};
    }
    std::error_code write(std::uint64_t offset, std::string_view bytes) override {
      if (disk.full) return std::make_error_code(std::errc::no_space_on_device);
      if (content->size() < offset + bytes.size()) content->resize(offset + bytes.size());
      std::memcpy(content->data() + offset, bytes.data(), bytes.size());
      return {};
    }
    std::error_code sync_data() override { return {}; }
    std::error_code allocate(std::uint64_t bytes) override { return content->resize(bytes), std::error_code{}; }
    std::error_code truncate(std::uint64_t bytes) override { return content->resize(bytes), std::error_code{}; }
    std::error_code size(std::uint64_t& bytes) override { return bytes = content->size(), std::error_code{}; }
    MemoryDisk& disk;
    std::shared_ptr<std::string> content;
  };
};

}  // namespace trib::test

// Folders for a test's time: sysfs trees and plugin folders. Removed at the end.
#pragma once
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace trees {

class TempDir {
 public:
  TempDir() {
    std::string pattern = (std::filesystem::temp_directory_path() / "tributary-test-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~TempDir() {
    std::error_code ec;
    std::filesystem::remove_all(path_, ec);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  std::string path(const std::string& below = {}) const {
    return below.empty() ? path_.string() : (path_ / below).string();
  }
  void write(const std::string& below, const std::string& text) const {
    std::filesystem::create_directories((path_ / below).parent_path());
    std::ofstream(path_ / below) << text;
  }

 private:
  std::filesystem::path path_;
};

// One card in a sysfs tree, as the kernel shows it.
inline void add_card(const TempDir& sysfs, const std::string& address, const char* vendor, const char* device,
                     const char* class_code) {
  const std::string at = "bus/pci/devices/" + address;
  sysfs.write(at + "/vendor", std::string(vendor) + "\n");
  sysfs.write(at + "/device", std::string(device) + "\n");
  sysfs.write(at + "/class", std::string(class_code) + "\n");
}

// The two cards that plugins/check/fake.cpp lists.
inline void add_fake_cards(const TempDir& sysfs) {
  add_card(sysfs, "0000:3b:00.0", "0x10de", "0x2684", "0x030000");
  add_card(sysfs, "0000:5e:00.0", "0x10de", "0x2684", "0x030000");
}

}  // namespace trees

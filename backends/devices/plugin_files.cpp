#include "backends/devices/plugin_files.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

namespace trib::devices {
namespace {

namespace fs = std::filesystem;
constexpr std::size_t plugins_max = 64;

std::string why_writable(const std::string& path, const char* what) {
  struct stat st{};
  if (::stat(path.c_str(), &st) != 0) return std::string(what) + " cannot be read: " + path;
  if (st.st_uid != 0 && st.st_uid != ::geteuid())
    return std::string(what) + " belongs to neither root nor this user: " + path;
  if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
    return std::string(what) + " can be written by others (chmod go-w " + path + ")";
  return {};
}

}  // namespace

std::string why_unsafe(const std::string& path) {
  if (path.empty() || path[0] != '/') return "the path is not absolute: " + path;
  std::error_code ec;
  const fs::path real = fs::canonical(path, ec);
  if (ec) return "the file cannot be read: " + path;
  if (!fs::is_regular_file(real, ec)) return "not a regular file: " + path;
  std::string why = why_writable(real.string(), "the file");
  return why.empty() ? why_writable(real.parent_path().string(), "its folder") : why;
}

std::vector<PluginFile> find_plugins(const std::vector<std::string>& dirs) {
  std::vector<PluginFile> out;
  for (const std::string& dir : dirs) {
    if (dir.empty() || dir[0] != '/') {
      out.push_back({dir, dir, "the plugin folder is not absolute: " + dir});
      continue;
    }
    std::error_code ec;
    fs::directory_iterator at(dir, ec), end;
    for (; !ec && at != end && out.size() < plugins_max; at.increment(ec)) {
      if (at->path().extension() != ".so") continue;
      PluginFile file{at->path().string(), at->path().stem().string(), {}};
      const bool seen =
          std::any_of(out.begin(), out.end(), [&](const PluginFile& f) { return f.stem == file.stem; });
      if (seen) continue;
      file.unsafe = why_unsafe(file.path);
      std::error_code none;
      if (const fs::path real = fs::canonical(file.path, none); !none) file.path = real.string();
      out.push_back(std::move(file));
    }
  }
  std::sort(out.begin(), out.end(), [](const PluginFile& a, const PluginFile& b) { return a.stem < b.stem; });
  return out;
}

}  // namespace trib::devices

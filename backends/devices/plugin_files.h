// Which files are plugins, and whether one may be loaded.
#pragma once
#include <string>
#include <vector>

namespace trib::devices {

struct PluginFile {
  std::string path;  // absolute, links resolved
  std::string stem;  // "cuda"
  std::string unsafe;  // why it must not be loaded; empty: it may
};

// Every *.so in the folders, by stem; of two with one stem the earlier folder's. At most 64. A relative
// folder is answered as one unsafe entry; a folder that is not there is skipped.
std::vector<PluginFile> find_plugins(const std::vector<std::string>& dirs);

// Owned by root or by this user, a regular file, and nobody else can write it or its folder.
// Answers what is wrong, or nothing.
std::string why_unsafe(const std::string& path);

}  // namespace trib::devices

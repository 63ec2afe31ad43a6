// Reads the corpus files; see README.md for their format.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace trib::corpus {

struct Case {
  std::string group;  // the file's name
  std::string name;
  std::string send;
  std::vector<std::string> want;
  std::string end = "open";  // "refuse 400", "close", "wait"
};

// All cases below `folder`, by file name and place. Throws std::runtime_error on a malformed file.
std::vector<Case> load(const std::string& folder);

std::string unescape(std::string_view text);

}  // namespace trib::corpus

#include "tests/corpus/corpus.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <stdexcept>

namespace trib::corpus {
namespace {

std::string repeat(std::string_view body) {
  const std::size_t star = body.find('*');
  const int count = std::stoi(std::string(body.substr(0, star)));
  const std::string text = unescape(body.substr(star + 1));
  std::string out;
  for (int i = 0; i < count; ++i) out += text;
  return out;
}

void load_file(const std::filesystem::path& path, std::vector<Case>& cases) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    if (line.empty() || line[0] == '#') continue;
    const std::size_t blank = std::min(line.find(' '), line.size());
    const std::string word = line.substr(0, blank);
    const std::string rest = blank < line.size() ? line.substr(blank + 1) : "";
    if (word == "case") {
      cases.push_back({path.stem().string(), rest, "", {}, "open"});
    } else if (cases.empty()) {
      throw std::runtime_error(path.string() + ": a line before the first case");
    } else if (word == "send") {
      cases.back().send += unescape(rest);
    } else if (word == "want") {
      cases.back().want.push_back(unescape(rest));
    } else if (word == "refuse" || line == "close" || line == "wait") {
      cases.back().end = line;
    } else {
      throw std::runtime_error(path.string() + ": unknown line: " + line);
    }
  }
}

}  // namespace

std::string unescape(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      out += text[i];
      continue;
    }
    const char c = i + 1 < text.size() ? text[i + 1] : '?';
    if (c == '{') {
      const std::size_t end = text.find('}', i);
      if (end == text.npos) throw std::runtime_error("a repetition without an end");
      out += repeat(text.substr(i + 2, end - i - 2));
      i = end;
    } else if (c == 'x') {
      out += static_cast<char>(std::stoi(std::string(text.substr(i + 2, 2)), nullptr, 16));
      i += 3;
    } else if (c == 'r' || c == 'n' || c == 't' || c == '\\') {
      out += c == 'r' ? '\r' : c == 'n' ? '\n' : c == 't' ? '\t' : '\\';
      ++i;
    } else {
      throw std::runtime_error("an unknown escape: " + std::string(text));
    }
  }
  return out;
}

std::vector<Case> load(const std::string& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".txt") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  std::vector<Case> cases;
  for (const auto& file : files) load_file(file, cases);
  return cases;
}

}  // namespace trib::corpus

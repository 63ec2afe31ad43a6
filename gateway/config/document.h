// A YAML file as a small tree with places, before it means anything. Stricter than YAML: one
// document of at most 1 MiB, at most 12 levels, no anchors, aliases or tags, no key twice, no
// control bytes.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "gateway/config/config.h"

namespace trib::config {

constexpr std::size_t file_bytes_max = 1u << 20;
constexpr std::size_t depth_max = 12;
constexpr std::size_t value_bytes_max = 4096;  // of one value, after ${NAME}

struct Entry;

struct Node {
  enum class Kind { null, scalar, list, map } kind = Kind::null;
  int line = 0, column = 0;  // 1-based
  std::string raw;           // scalar: as written, ${NAME} not replaced; the only form errors show
  bool quoted = false;
  std::vector<Node> items;     // of a list
  std::vector<Entry> entries;  // of a map, in file order
};

struct Entry {
  std::string key;
  int line = 0, column = 0;
  Node value;
};

// One file being read. Throws ConfigError from every call.
class Document {
 public:
  Document(std::string file, const std::string& yaml, Environment environment);

  const std::string& file() const { return file_; }
  const Node& root() const { return root_; }
  Environment env() const { return env_; }

  [[noreturn]] void fail(const Node& at, const std::string& path, const std::string& why) const;
  [[noreturn]] void fail(const Entry& at, const std::string& path, const std::string& why) const;

  // A scalar's text with every ${NAME} replaced.
  std::string text(const Node& node, const std::string& path) const;
  // A path in the file, relative to the file's own folder.
  std::string beside(const std::string& path) const;

 private:
  void check_bytes(const std::string& yaml) const;
  void parse(const std::string& yaml);

  std::string file_;
  Environment env_;
  Node root_;
};

// The whole file, at most file_bytes_max.
std::string read_file(const std::string& file);

// A value for a message: in quotes, control bytes escaped, at most 60 bytes.
std::string shown(std::string_view value);
// The nearest of `known` to a mistyped word, or empty when none is near.
std::string nearest(std::string_view word, const std::vector<std::string>& known);

}  // namespace trib::config

#include "gateway/config/document.h"

#include <fcntl.h>
#include <unistd.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>
#include <sstream>

namespace trib::config {
namespace {

std::string printable(const std::string& key) {
  const std::string quoted = shown(key);
  return quoted.substr(1, quoted.size() - 2);
}

ConfigError ends_inside(const std::string& file, int lines) {
  return {file, lines, 1, "document",
          "broken YAML: the file ends inside a quote, a list or a map; close it"};
}

// Builds the tree from the parser's events; what we do not allow ends the parse at its place.
class TreeBuilder final : public YAML::EventHandler {
 public:
  TreeBuilder(const std::string& file, int lines) : file_(file), lines_(lines) {}
  Node take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnAnchor(const YAML::Mark& mark, const std::string&) override { refuse_anchor(mark); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override { refuse_anchor(mark); }
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (anchor != 0) refuse_anchor(mark);
    if (at_key()) refuse(mark, "a key is missing or is null; write it as a word, or in quotes");
    add(at(mark, Node::Kind::null));
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    if (anchor != 0) refuse_anchor(mark);
    refuse_tag(mark, tag);
    if (at_key()) return add_key(mark, value);
    Node node = at(mark, Node::Kind::scalar);
    node.raw = value;
    node.quoted = tag == "!";
    add(std::move(node));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, Node::Kind::list);
  }
  void OnSequenceEnd() override { open_.pop_back(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, Node::Kind::map);
  }
  void OnMapEnd() override { open_.pop_back(); }

 private:
  // Pointers stay good: only the innermost open node grows.
  struct Open {
    Node* node;
    bool key_next = true;
    std::set<std::string> keys;
  };

  [[noreturn]] void refuse(const YAML::Mark& mark, const std::string& why) const {
    if (mark.line >= lines_) throw ends_inside(file_, lines_);
    throw ConfigError(file_, mark.line + 1, mark.column + 1, where(), why);
  }
  [[noreturn]] void refuse_anchor(const YAML::Mark& mark) const {
    refuse(mark, "anchors and aliases (&, *) are not read; write the value out");
  }
  void refuse_tag(const YAML::Mark& mark, const std::string& tag) const {
    if (!tag.empty() && tag != "?" && tag != "!")
      refuse(mark, "tags (!) are not read; leave the tag out");
  }
  // The path so far, from the open maps and lists; an outer one stands at its newest child.
  std::string where() const {
    std::string path;
    for (const Open& open : open_) {
      const bool inner = &open == &open_.back();
      if (open.node->kind == Node::Kind::list) {
        path += "[" + std::to_string(open.node->items.size() - (inner ? 0 : 1)) + "]";
      } else if (!open.node->entries.empty() && !(inner && open.key_next)) {
        path += (path.empty() ? "" : ".") + printable(open.node->entries.back().key);
      }
    }
    return path.empty() ? "document" : path;
  }
  static Node at(const YAML::Mark& mark, Node::Kind kind) {
    Node node;
    node.kind = kind;
    node.line = mark.line + 1;
    node.column = mark.column + 1;
    return node;
  }
  bool at_key() const {
    return !open_.empty() && open_.back().node->kind == Node::Kind::map && open_.back().key_next;
  }
  void add_key(const YAML::Mark& mark, const std::string& key) {
    Open& open = open_.back();
    if (key.empty() || key.size() > 256) refuse(mark, "a key must have 1 to 256 bytes");
    if (!open.keys.insert(key).second) {
      open.key_next = false;  // so that the place names the key
      open.node->entries.push_back({key, 0, 0, {}});
      refuse(mark, "this key stands here twice; keep one of them");
    }
    open.key_next = false;
    Entry entry;
    entry.key = key;
    entry.line = mark.line + 1;
    entry.column = mark.column + 1;
    open.node->entries.push_back(std::move(entry));
  }
  Node* add(Node node) {
    node.line = std::min(node.line, lines_);
    if (open_.empty()) {
      root_ = std::move(node);
      return &root_;
    }
    Open& open = open_.back();
    if (open.node->kind == Node::Kind::list) {
      open.node->items.push_back(std::move(node));
      return &open.node->items.back();
    }
    open.key_next = true;
    if (node.kind == Node::Kind::null) {  // it stands nowhere: show its key
      node.line = open.node->entries.back().line;
      node.column = open.node->entries.back().column;
    }
    open.node->entries.back().value = std::move(node);
    return &open.node->entries.back().value;
  }
  void open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
            Node::Kind kind) {
    if (anchor != 0) refuse_anchor(mark);
    refuse_tag(mark, tag);
    if (at_key())
      refuse(mark,
             "a key must be a word, not a list or a map; put it in quotes if it holds brackets");
    if (open_.size() >= depth_max) {
      refuse(mark, "nested deeper than " + std::to_string(depth_max) +
                       " levels; nothing here needs that");
    }
    open_.push_back({add(at(mark, kind)), true, {}});
  }

  const std::string& file_;
  const int lines_;
  Node root_;
  std::vector<Open> open_;
};

bool env_name_char(char c, bool first) {
  return c == '_' || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
         (!first && c >= '0' && c <= '9');
}

// Length of the UTF-8 sequence that starts at `at`, 0 when it is not valid (RFC 3629).
std::size_t utf8_length(std::string_view text, std::size_t at) {
  auto byte = [&](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u;
  };
  const unsigned a = byte(at), b = byte(at + 1);
  auto continues = [&](std::size_t i) { return (byte(i) & 0xC0u) == 0x80u; };
  if (a < 0x80) return 1;
  if (a >= 0xC2 && a <= 0xDF) return continues(at + 1) ? 2 : 0;
  if (a >= 0xE0 && a <= 0xEF) {
    const unsigned least = a == 0xE0 ? 0xA0 : 0x80, most = a == 0xED ? 0x9F : 0xBF;
    return b >= least && b <= most && continues(at + 2) ? 3 : 0;
  }
  if (a >= 0xF0 && a <= 0xF4) {
    const unsigned least = a == 0xF0 ? 0x90 : 0x80, most = a == 0xF4 ? 0x8F : 0xBF;
    return b >= least && b <= most && continues(at + 2) && continues(at + 3) ? 4 : 0;
  }
  return 0;
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t change = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, change});
    }
  }
  return row[b.size()];
}

}  // namespace

Document::Document(std::string file, const std::string& yaml, Environment environment)
    : file_(std::move(file)), env_(environment) {
  if (yaml.size() > file_bytes_max) {
    throw ConfigError(file_, 0, 0, "document",
                      "larger than 1 MiB; a configuration is at most that");
  }
  check_bytes(yaml);
  parse(yaml);
}

// The YAML library takes some control bytes for the end of the text and would silently drop the
// rest.
void Document::check_bytes(const std::string& yaml) const {
  int line = 1, column = 1;
  for (std::size_t i = 0; i < yaml.size();) {
    const auto byte = static_cast<unsigned char>(yaml[i]);
    const std::size_t length = utf8_length(yaml, i);
    if (length == 0)
      throw ConfigError(file_, line, column, "document", "not UTF-8; save the file as UTF-8");
    const bool blank = byte == '\n' || byte == '\r' || byte == '\t';
    if ((byte < 0x20 && !blank) || byte == 0x7f) {
      throw ConfigError(file_, line, column, "document", "a control byte; remove it");
    }
    if (byte == '\n') {
      ++line;
      column = 1;
    } else {
      ++column;
    }
    i += length;
  }
}

void Document::parse(const std::string& yaml) {
  // With an end of document after it, a quote left open is an error; at the bare end of the text
  // the library would take what there is.
  std::istringstream in(yaml + "\n...\n");
  const auto newlines = static_cast<int>(std::count(yaml.begin(), yaml.end(), '\n'));
  const int lines = std::max(1, newlines + (yaml.empty() || yaml.back() == '\n' ? 0 : 1));
  try {
    YAML::Parser parser(in);
    TreeBuilder first(file_, lines);
    if (!parser.HandleNextDocument(first)) {
      throw ConfigError(file_, 0, 0, "document", "empty; start from configs/minimal.yaml");
    }
    root_ = first.take();
    TreeBuilder second(file_, lines);
    if (parser.HandleNextDocument(second)) {
      const Node extra = second.take();
      throw ConfigError(file_, std::max(extra.line, 1), std::max(extra.column, 1), "document",
                        "a second YAML document; keep one document in a file");
    }
  } catch (const YAML::Exception& error) {
    if (error.mark.line >= lines) throw ends_inside(file_, lines);
    throw ConfigError(
        file_, error.mark.line + 1, error.mark.column + 1, "document",
        "broken YAML: " + error.msg + "; look for wrong indentation, quotes or brackets here");
  }
  if (root_.kind == Node::Kind::null) {
    throw ConfigError(file_, 0, 0, "document", "empty; start from configs/minimal.yaml");
  }
  if (root_.kind != Node::Kind::map) fail(root_, "document", "must be a map of sections");
}

void Document::fail(const Node& at, const std::string& path, const std::string& why) const {
  throw ConfigError(file_, at.line, at.column, path, why);
}

void Document::fail(const Entry& at, const std::string& path, const std::string& why) const {
  throw ConfigError(file_, at.line, at.column, path, why);
}

std::string Document::text(const Node& node, const std::string& path) const {
  const std::string& raw = node.raw;
  std::string out;
  for (std::size_t i = 0; i < raw.size();) {
    if (raw.compare(i, 2, "${") != 0) {
      out += raw[i++];
      continue;
    }
    std::size_t end = i + 2;
    while (end < raw.size() && env_name_char(raw[end], end == i + 2)) ++end;
    if (end == i + 2 || end >= raw.size() || raw[end] != '}') {
      fail(node, path, shown(raw) + " has a broken ${NAME}; a name is letters, digits and _");
    }
    const std::string variable = raw.substr(i + 2, end - i - 2);
    const char* value = env_ ? env_(variable.c_str()) : nullptr;
    if (value == nullptr) {
      fail(node, path,
           "${" + variable + "} is not set in the environment; set it or write the value");
    }
    out += value;
    if (out.size() > value_bytes_max) break;
    i = end + 1;
  }
  if (out.size() > value_bytes_max) {
    fail(node, path, "longer than " + std::to_string(value_bytes_max) + " bytes; shorten it");
  }
  return out;
}

std::string Document::beside(const std::string& path) const {
  const std::size_t slash = file_.rfind('/');
  if (path.empty() || path[0] == '/' || slash == std::string::npos) return path;
  return file_.substr(0, slash + 1) + path;
}

std::string read_file(const std::string& file) {
  auto unreadable = [&]() -> ConfigError {
    return {file, 0, 0, "document", std::string("cannot be read: ") + std::strerror(errno)};
  };
  const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) throw unreadable();
  std::string out(file_bytes_max + 1, '\0');  // one more, so that a longer file is noticed
  std::size_t size = 0;
  while (size < out.size()) {
    const ssize_t got = ::read(fd, out.data() + size, out.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      const int error = errno;
      ::close(fd);
      errno = error;
      throw unreadable();
    }
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  ::close(fd);
  out.resize(size);
  return out;
}

std::string shown(std::string_view value) {
  std::string out = "\"";
  for (std::size_t i = 0; i < value.size();) {
    if (out.size() > 60) {
      out += "...";
      break;
    }
    const auto byte = static_cast<unsigned char>(value[i]);
    const std::size_t length = std::max<std::size_t>(utf8_length(value, i), 1);
    if (byte < 0x20 || byte == 0x7f || (byte >= 0x80 && length == 1)) {
      out += '?';
    } else {
      out += value.substr(i, length);
    }
    i += length;
  }
  return out + "\"";
}

std::string nearest(std::string_view word, const std::vector<std::string>& known) {
  std::string best;
  std::size_t best_distance = std::min(std::max<std::size_t>(word.size() / 3, 1) + 1, word.size());
  if (word.size() > 64) return best;
  for (const std::string& candidate : known) {
    const std::size_t distance = edit_distance(word, candidate);
    if (distance < best_distance) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

}  // namespace trib::config

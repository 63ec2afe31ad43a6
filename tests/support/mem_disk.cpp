#include "tests/support/mem_disk.h"

#include <algorithm>
#include <limits>

namespace trib::test {
namespace {

std::error_code code_of(std::errc code) {
  return {static_cast<int>(code), std::generic_category()};
}

std::string parent_of(const std::string& path) {
  const auto slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

struct MemDisk::Node {
  struct Change {
    enum class Kind { write, resize } kind = Kind::write;
    std::uint64_t at = 0;  // of a write; the new size of a resize
    std::string bytes;
    bool grow_only = false;
  };
  std::string shown, durable;
  std::vector<Change> pending;

  static void apply(std::string& data, const Change& change) {
    if (change.kind == Change::Kind::write) {
      if (change.bytes.empty()) return;
      if (data.size() < change.at + change.bytes.size())
        data.resize(change.at + change.bytes.size(), '\0');
      data.replace(change.at, change.bytes.size(), change.bytes);
    } else if (!change.grow_only || data.size() < change.at) {
      data.resize(change.at, '\0');
    }
  }
  void change(Change c) {
    apply(shown, c);
    pending.push_back(std::move(c));
  }
  void sync() {
    for (const Change& c : pending) apply(durable, c);
    pending.clear();
  }
};

class MemDisk::Handle final : public File {
 public:
  Handle(MemDisk& disk, NodePtr node, bool writable)
      : disk_(disk), node_(std::move(node)), generation_(disk.generation_), writable_(writable) {}

  std::error_code read(std::uint64_t offset, std::span<char> out, std::size_t& got) override {
    got = 0;
    return run(Kind::look, [&] {
      const std::string& data = node_->shown;
      if (offset >= data.size()) return;
      got = std::min<std::size_t>(out.size(), data.size() - offset);
      std::copy_n(data.data() + offset, got, out.data());
    });
  }

  std::error_code write(std::uint64_t offset, std::string_view bytes) override {
    if (disk_.on_write_) disk_.on_write_(offset, bytes);
    const std::lock_guard lock(disk_.mutex_);
    if (auto error = usable(true)) return error;
    std::error_code error;
    const Verdict verdict = disk_.judge(Kind::grow, error);
    // A write that fails has reached the file up to some byte.
    if (verdict != Verdict::run) bytes = bytes.substr(0, disk_.rng_.below(bytes.size() + 1));
    ++disk_.counts_.writes;
    disk_.counts_.written_bytes += bytes.size();
    if (!bytes.empty())
      node_->change({Node::Change::Kind::write, offset, std::string(bytes), false});
    return error;
  }

  std::error_code sync_data() override {
    const std::lock_guard lock(disk_.mutex_);
    if (auto error = usable(false)) return error;
    std::error_code error;
    const Verdict verdict = disk_.judge(Kind::change, error);
    ++disk_.counts_.data_syncs;
    if (verdict == Verdict::run) {
      node_->sync();
    } else {
      // After a failed sync the kernel calls the pages clean: what did not reach the disk now never
      // will, though it stays readable.
      disk_.settle(*node_);
    }
    return error;
  }

  std::error_code write_out(std::uint64_t, std::uint64_t) override {
    const std::lock_guard lock(disk_.mutex_);
    if (auto error = usable(true)) return error;
    std::error_code error;
    // As after a failed sync: no later one tells of it again.
    if (disk_.judge(Kind::change, error) != Verdict::run) disk_.settle(*node_);
    return error;
  }

  std::error_code allocate(std::uint64_t bytes) override {
    return run(Kind::grow, [&] {
      ++disk_.counts_.allocations;
      node_->change({Node::Change::Kind::resize, bytes, {}, true});
    });
  }

  std::error_code truncate(std::uint64_t bytes) override {
    return run(Kind::change,
               [&] { node_->change({Node::Change::Kind::resize, bytes, {}, false}); });
  }

  std::error_code size(std::uint64_t& bytes) override {
    bytes = 0;
    return run(Kind::look, [&] { bytes = node_->shown.size(); });
  }

 private:
  std::error_code usable(bool changes) const {
    if (generation_ != disk_.generation_) return code_of(std::errc::io_error);
    return changes && !writable_ ? code_of(std::errc::bad_file_descriptor) : std::error_code{};
  }

  template <class F>
  std::error_code run(Kind kind, F&& body) {
    const std::lock_guard lock(disk_.mutex_);
    if (auto error = usable(kind != Kind::look)) return error;
    std::error_code error;
    if (disk_.judge(kind, error) != Verdict::fail) body();
    return error;
  }

  MemDisk& disk_;
  NodePtr node_;
  std::uint64_t generation_;
  bool writable_;
};

MemDisk::MemDisk(std::uint64_t seed) : rng_(seed) {
  dirs_ = {".", "/"};
}
MemDisk::~MemDisk() = default;

MemDisk::Verdict MemDisk::judge(Kind kind, std::error_code& error) {
  ++operations_;
  if (power_at_ != 0 && operations_ >= power_at_) {
    error = code_of(std::errc::io_error);
    return operations_ == power_at_ && rng_.below(2) == 0 ? Verdict::fail_done : Verdict::fail;
  }
  if (fail_first_ != 0 && operations_ >= fail_first_ && operations_ <= fail_last_) {
    error = code_of(fail_code_);
    return Verdict::fail;
  }
  if (full_ && kind == Kind::grow) {
    error = code_of(std::errc::no_space_on_device);
    return Verdict::fail;
  }
  return Verdict::run;
}

void MemDisk::apply(std::map<std::string, NodePtr>& names, const NameChange& change) {
  if (!change.gone.empty()) names.erase(change.gone);
  if (!change.come.empty()) names[change.come] = change.node;
}

void MemDisk::change_name(NameChange change) {
  apply(names_, change);
  pending_names_.push_back(std::move(change));
}

std::error_code MemDisk::open(const std::string& path, Mode mode, std::unique_ptr<File>& out) {
  const std::lock_guard lock(mutex_);
  const auto found = names_.find(path);
  const bool creates = mode == Mode::create && found == names_.end();
  std::error_code error;
  if (judge(creates ? Kind::grow : Kind::look, error) == Verdict::fail) return error;
  NodePtr node;
  if (creates) {
    if (!dirs_.contains(parent_of(path)))
      return error ? error : code_of(std::errc::no_such_file_or_directory);
    node = std::make_shared<Node>();
    nodes_.push_back(node);
    change_name({parent_of(path), {}, path, node});
  } else if (found == names_.end()) {
    return error ? error : code_of(std::errc::no_such_file_or_directory);
  } else {
    node = found->second;
  }
  if (!error) out = std::make_unique<Handle>(*this, std::move(node), mode != Mode::read);
  return error;
}

std::error_code MemDisk::remove(const std::string& path) {
  const std::lock_guard lock(mutex_);
  std::error_code error;
  if (judge(Kind::change, error) == Verdict::fail) return error;
  if (!names_.contains(path)) return error ? error : code_of(std::errc::no_such_file_or_directory);
  change_name({parent_of(path), path, {}, nullptr});
  return error;
}

std::error_code MemDisk::rename(const std::string& from, const std::string& to) {
  const std::lock_guard lock(mutex_);
  std::error_code error;
  if (judge(Kind::change, error) == Verdict::fail) return error;
  const auto found = names_.find(from);
  if (found == names_.end()) return error ? error : code_of(std::errc::no_such_file_or_directory);
  change_name({parent_of(from), from, to, found->second});
  return error;
}

std::error_code MemDisk::make_dirs(const std::string& path) {
  const std::lock_guard lock(mutex_);
  std::error_code error;
  if (judge(Kind::grow, error) == Verdict::fail) return error;
  for (std::string dir = path; dirs_.insert(dir).second;) dir = parent_of(dir);
  return error;
}

std::error_code MemDisk::list(const std::string& dir, std::vector<std::string>& names) {
  names.clear();
  {
    const std::lock_guard lock(mutex_);
    std::error_code error;
    if (judge(Kind::look, error) != Verdict::run) return error;
    if (!dirs_.contains(dir)) return code_of(std::errc::no_such_file_or_directory);
  }
  names = this->names(dir);
  return {};
}

std::error_code MemDisk::sync_dir(const std::string& dir) {
  const std::lock_guard lock(mutex_);
  std::error_code error;
  if (judge(Kind::change, error) == Verdict::fail) return error;
  ++counts_.dir_syncs;
  std::erase_if(pending_names_, [&](const NameChange& change) {
    if (change.dir != dir) return false;
    apply(durable_names_, change);
    return true;
  });
  return error;
}

// Decides what of a file's pending changes reached the disk.
void MemDisk::settle(Node& node) {
  for (Node::Change& change : node.pending) {
    const std::uint64_t fate = rng_.below(3);
    if (fate == 0) continue;  // lost
    if (fate == 2 && change.kind == Node::Change::Kind::write && change.bytes.size() > 1) {
      // Torn: one side of a byte is there, the other is not.
      const std::size_t cut = 1 + rng_.below(change.bytes.size() - 1);
      if (rng_.below(4) == 0) {
        change.bytes.erase(0, cut);
        change.at += cut;
      } else {
        change.bytes.resize(cut);
      }
    }
    Node::apply(node.durable, change);
  }
  node.pending.clear();
}

void MemDisk::crash() {
  const std::lock_guard lock(mutex_);
  for (const auto& weak : nodes_) {
    if (const NodePtr node = weak.lock()) {
      settle(*node);
      node->shown = node->durable;
    }
  }
  for (const NameChange& change : pending_names_) {
    if (rng_.below(2) == 0) apply(durable_names_, change);
  }
  pending_names_.clear();
  names_ = durable_names_;
  std::erase_if(nodes_, [](const auto& weak) { return weak.expired(); });
  ++generation_;
  fail_first_ = fail_last_ = power_at_ = 0;
  full_ = false;
}

void MemDisk::kill() {
  const std::lock_guard lock(mutex_);
  ++generation_;
  fail_first_ = fail_last_ = power_at_ = 0;
  full_ = false;
}

std::uint64_t MemDisk::operations() const {
  const std::lock_guard lock(mutex_);
  return operations_;
}

void MemDisk::fail_at(std::uint64_t operation, std::errc code) {
  const std::lock_guard lock(mutex_);
  fail_first_ = fail_last_ = operation;
  fail_code_ = code;
}

void MemDisk::fail_from(std::uint64_t operation, std::errc code) {
  const std::lock_guard lock(mutex_);
  fail_first_ = operation;
  fail_last_ = std::numeric_limits<std::uint64_t>::max();
  fail_code_ = code;
}

void MemDisk::cut_power_at(std::uint64_t operation) {
  const std::lock_guard lock(mutex_);
  power_at_ = operation;
}

bool MemDisk::power_lost() const {
  const std::lock_guard lock(mutex_);
  return power_at_ != 0 && operations_ >= power_at_;
}

void MemDisk::full(bool on) {
  const std::lock_guard lock(mutex_);
  full_ = on;
}

void MemDisk::mend() {
  const std::lock_guard lock(mutex_);
  fail_first_ = fail_last_ = power_at_ = 0;
  full_ = false;
}

std::string MemDisk::content(const std::string& path) const {
  const std::lock_guard lock(mutex_);
  const auto found = names_.find(path);
  return found == names_.end() ? std::string{} : found->second->shown;
}

void MemDisk::replace(const std::string& path, std::string bytes) {
  const std::lock_guard lock(mutex_);
  const auto node = std::make_shared<Node>();
  node->durable = bytes;
  node->shown = std::move(bytes);
  nodes_.push_back(node);
  dirs_.insert(parent_of(path));
  names_[path] = durable_names_[path] = node;
}

std::vector<std::string> MemDisk::names(const std::string& dir) const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> out;
  for (const auto& [path, node] : names_) {
    if (parent_of(path) == dir) out.push_back(path.substr(path.rfind('/') + 1));
  }
  return out;  // the map is sorted
}

MemDisk::Counts MemDisk::counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

}  // namespace trib::test

// A Disk in memory that loses, tears and fails writes as a real one may, decided by a seed alone.
// Files keep two states: what the kernel shows and what a power cut would leave. A change stays
// pending until sync_data() of its file (sync_dir() for names); a power cut then keeps, loses or
// tears each pending write by itself, in any combination, and keeps or loses each pending change of
// a size or name. Directories themselves are durable at once. Thread-safe, as Disk promises.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "gateway/base/base.h"

namespace trib::test {

class MemDisk final : public Disk {
 public:
  explicit MemDisk(std::uint64_t seed);
  ~MemDisk() override;

  std::error_code open(const std::string& path, Mode mode, std::unique_ptr<File>& out) override;
  std::error_code remove(const std::string& path) override;
  std::error_code rename(const std::string& from, const std::string& to) override;
  std::error_code make_dirs(const std::string& path) override;
  std::error_code list(const std::string& dir, std::vector<std::string>& names) override;
  std::error_code sync_dir(const std::string& dir) override;

  // The power is cut: pending changes are decided, every open File is dead (EIO), the disk is
  // usable again, faults that were set are forgotten.
  void crash();
  // The process is killed: every open File is dead, nothing is lost, faults are forgotten.
  void kill();

  // Every call of Disk and File counts, the first is 1. Faults name an operation by its number.
  std::uint64_t operations() const;
  void fail_at(std::uint64_t operation, std::errc code);  // this one alone
  void fail_from(std::uint64_t operation,
                 std::errc code);  // and all after it: a full disk, a dead one
  // From this operation on all fail with EIO until crash(); the operation itself may have happened.
  void cut_power_at(std::uint64_t operation);
  bool power_lost() const;  // that operation has come; crash() gives the power back
  // Only writes, allocations and creations fail, from now on, until cleared with false.
  void full(bool on);

  void mend();  // all faults that were set are forgotten; open files live on

  // Called before each write lands, with no lock held: what another thread does meanwhile.
  void on_write(std::function<void(std::uint64_t offset, std::string_view bytes)> hook) { on_write_ = std::move(hook); }

  // What the kernel shows. Neither counts nor fails; a missing file is empty.
  std::string content(const std::string& path) const;
  void replace(const std::string& path, std::string bytes);  // durable at once: damage for tests
  std::vector<std::string> names(const std::string& dir) const;

  struct Counts {
    std::uint64_t writes = 0, written_bytes = 0, data_syncs = 0, dir_syncs = 0, allocations = 0;
  };
  Counts counts() const;

 private:
  class Handle;
  struct Node;
  using NodePtr = std::shared_ptr<Node>;
  struct NameChange {  // of one operation: names that go, then at most one that comes
    std::string dir, gone, come;
    NodePtr node;
  };
  enum class Kind { look, grow, change };  // grow: needs room
  enum class Verdict { run, fail, fail_done };

  Verdict judge(Kind kind, std::error_code& error);
  void change_name(NameChange change);
  static void apply(std::map<std::string, NodePtr>& names, const NameChange& change);
  void settle(Node& node);

  std::function<void(std::uint64_t, std::string_view)> on_write_;
  mutable std::mutex mutex_;
  SeededRng rng_;
  std::map<std::string, NodePtr> names_;  // what the kernel shows
  std::map<std::string, NodePtr> durable_names_;
  std::vector<NameChange> pending_names_;
  std::set<std::string> dirs_;
  std::vector<std::weak_ptr<Node>> nodes_;
  std::uint64_t generation_ = 0;  // of handles
  std::uint64_t operations_ = 0;
  std::uint64_t fail_first_ = 0, fail_last_ = 0, power_at_ = 0;
  std::errc fail_code_{};
  bool full_ = false;
  Counts counts_;
};

}  // namespace trib::test

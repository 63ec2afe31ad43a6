// What the usage journal costs a worker and what a group commit takes, beside plain fdatasync of
// the same disk in the same run.
//
//   journal_bench DIR [records per thread, default 1000000] [threads, default 2]
//
// DIR is created and what it holds of a journal is deleted. Prints one line a measurement.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "gateway/metering/metering.h"

using namespace trib;
using namespace trib::metering;

namespace {

using Steady = std::chrono::steady_clock;

double us_since(Steady::time_point begin) {
  return std::chrono::duration<double, std::micro>(Steady::now() - begin).count();
}

double at(std::vector<double>& sorted_us, double quantile) {
  if (sorted_us.empty()) return 0;
  std::sort(sorted_us.begin(), sorted_us.end());
  return sorted_us[static_cast<std::size_t>(quantile * static_cast<double>(sorted_us.size() - 1))];
}

void clear(const std::string& dir) {
  std::vector<std::string> names;
  if (system_disk().list(dir, names)) return;
  for (const auto& name : names) {
    if (name.starts_with("journal-")) (void)system_disk().remove(dir + "/" + name);
  }
}

std::unique_ptr<Journal> open(const std::string& dir, bool sync_always, Disk& disk = system_disk()) {
  clear(dir);
  JournalOptions options;
  options.dir = dir;
  options.sync_always = sync_always;
  JournalError error;
  auto journal = open_journal(disk, system_clock(), options, error);
  if (!journal) std::fprintf(stderr, "cannot open: %s\n", error.why.c_str());
  return journal;
}

Progress small_record(std::uint64_t i) {
  return {{i, i}, 1, 1'764'000'000'000, i, i * 4};
}

struct Times {
  double p50 = 0, p99 = 0;  // us
};

void plain_fdatasync(const std::string& dir, std::size_t bytes) {
  const std::string path = dir + "/journal-plain.tmp";
  std::unique_ptr<File> file;
  if (system_disk().open(path, Disk::Mode::create, file) || file->allocate(64u << 20)) return;
  if (file->sync_data()) return;
  std::vector<double> took_us;
  const std::string piece(bytes, 'x');
  for (std::uint64_t i = 0; i < 500; ++i) {
    const auto begin = Steady::now();
    if (file->write(i * bytes, piece) || file->sync_data()) return;
    took_us.push_back(us_since(begin));
  }
  std::printf("plain write + fdatasync of %zu bytes: p50 %.0f us, p99 %.0f us\n", bytes, at(took_us, 0.5), at(took_us, 0.99));
  (void)system_disk().remove(path);
}

bool one_by_one(const std::string& dir) {
  auto journal = open(dir, true);
  if (!journal) return false;
  std::vector<double> took_us;
  for (std::uint64_t i = 0; i < 500; ++i) {
    const auto begin = Steady::now();
    if (journal->append(small_record(i)) == 0) return false;
    journal->pump();
    took_us.push_back(us_since(begin));
  }
  std::printf("append + pump of one record: p50 %.0f us, p99 %.0f us\n", at(took_us, 0.5),
              at(took_us, 0.99));
  return !journal->failed();
}

bool threads_append(const std::string& dir, std::uint64_t each, unsigned threads,
                    bool sync_always) {
  auto journal = open(dir, sync_always);
  if (!journal) return false;
  std::atomic<bool> stop{false};
  std::vector<double> pump_us;
  std::thread writer([&] {
    while (!stop || journal->durable() < journal->last()) {
      const auto begin = Steady::now();
      if (journal->pump()) {
        pump_us.push_back(us_since(begin));
      } else {
        if (journal->failed()) return;
        journal->wait(5);
      }
    }
  });
  std::atomic<std::uint64_t> refused{0};
  std::vector<double> append_ns(threads);
  std::vector<std::thread> workers;
  const auto begin = Steady::now();
  for (unsigned t = 0; t < threads; ++t) {
    workers.emplace_back([&, t] {
      double waited_us = 0;
      const auto mine = Steady::now();
      for (std::uint64_t i = 0; i < each; ++i) {
        while (journal->append(small_record(i)) == 0) {
          ++refused;
          const auto pause = Steady::now();
          std::this_thread::sleep_for(std::chrono::milliseconds(1));
          waited_us += us_since(pause);
        }
      }
      append_ns[t] = (us_since(mine) - waited_us) * 1000 / static_cast<double>(each);
    });
  }
  for (auto& worker : workers) worker.join();
  stop = true;
  writer.join();
  const double seconds = us_since(begin) / 1e6;
  double ns = 0;
  for (const double one : append_ns) ns += one / threads;
  std::printf(
      "%s, %u threads: %.0f records/s until durable, %.0f ns an append as a worker sees it, "
      "%zu pumps, p50 %.0f us, p99 %.0f us, refused for a full queue %llu\n",
      sync_always ? "sync always" : "sync 5ms", threads,
      static_cast<double>(each * threads) / seconds, ns, pump_us.size(), at(pump_us, 0.5),
      at(pump_us, 0.99), static_cast<unsigned long long>(refused.load()));
  return !journal->failed();
}

// When each fdatasync of the journal's files began and ended.
struct Sync {
  Steady::time_point begin, end;
};

class TimedFile final : public File {
 public:
  TimedFile(std::unique_ptr<File> file, std::vector<Sync>& syncs) : file_(std::move(file)), syncs_(syncs) {}
  std::error_code read(std::uint64_t offset, std::span<char> out, std::size_t& got) override { return file_->read(offset, out, got); }
  std::error_code write(std::uint64_t offset, std::string_view bytes) override { return file_->write(offset, bytes); }
  std::error_code sync_data() override {
    const auto begin = Steady::now();
    const auto error = file_->sync_data();
    syncs_.push_back({begin, Steady::now()});
    return error;
  }
  std::error_code allocate(std::uint64_t bytes) override { return file_->allocate(bytes); }
  std::error_code truncate(std::uint64_t bytes) override { return file_->truncate(bytes); }
  std::error_code size(std::uint64_t& bytes) override { return file_->size(bytes); }

 private:
  std::unique_ptr<File> file_;
  std::vector<Sync>& syncs_;
};

class TimedDisk final : public Disk {
 public:
  std::vector<Sync> syncs;  // in order; read when the journal is closed
  std::error_code open(const std::string& path, Mode mode, std::unique_ptr<File>& out) override {
    std::unique_ptr<File> file;
    if (auto error = disk_.open(path, mode, file)) return error;
    out = std::make_unique<TimedFile>(std::move(file), syncs);
    return {};
  }
  std::error_code remove(const std::string& path) override { return disk_.remove(path); }
  std::error_code rename(const std::string& from, const std::string& to) override { return disk_.rename(from, to); }
  std::error_code make_dirs(const std::string& path) override { return disk_.make_dirs(path); }
  std::error_code list(const std::string& dir, std::vector<std::string>& names) override { return disk_.list(dir, names); }
  std::error_code sync_dir(const std::string& dir) override { return disk_.sync_dir(dir); }

 private:
  Disk& disk_ = system_disk();
};

// A worker appends a record at a steady pace, and asks for it as a gateway's worker does at the end of a turn in which
// an answer began to wait; how long each waits until it may be relied on. Beside it, the fdatasync that each of them
// waited for, of the same run: one that is slow has more records in it, so both are told by record.
bool paced(const std::string& dir, std::uint64_t rate) {
  TimedDisk disk;
  auto journal = open(dir, true, disk);
  if (!journal) return false;
  const std::uint64_t records = rate * 2;
  std::vector<Steady::time_point> appended(records + 1), released(records + 1);
  Lsn seen = 0;
  journal->on_released([&] {
    const auto now = Steady::now();
    while (seen < journal->released()) released[++seen] = now;
  });
  std::thread writer([&] {
    while (journal->released() < records && !journal->failed()) {
      if (!journal->pump()) journal->wait(5);
    }
  });
  auto next = Steady::now();
  for (std::uint64_t i = 1; i <= records; ++i) {
    next += std::chrono::nanoseconds(1'000'000'000 / rate);
    while (Steady::now() < next) std::this_thread::yield();
    appended[i] = Steady::now();
    if (journal->append(small_record(i)) != i) break;
    journal->help();
  }
  writer.join();
  const bool fine = !journal->failed();
  journal.reset();
  if (!fine) return false;
  std::vector<double> waited_us, own_us, beside_us;
  for (std::uint64_t i = 1; i <= records; ++i) {
    const auto us = [](Steady::duration d) { return std::chrono::duration<double, std::micro>(d).count(); };
    // The last that ended by then made it durable; any that began before it is one it found at work.
    auto own = std::upper_bound(disk.syncs.begin(), disk.syncs.end(), released[i], [](auto at, const Sync& sync) { return at < sync.end; });
    if (own == disk.syncs.begin()) continue;
    --own;
    double syncing_us = 0;
    for (auto one = own;; --one) {
      if (one->end <= appended[i]) break;
      syncing_us += us(one->end - std::max(one->begin, appended[i]));
      if (one == disk.syncs.begin()) break;
    }
    waited_us.push_back(us(released[i] - appended[i]));
    own_us.push_back(us(own->end - own->begin));
    beside_us.push_back(waited_us.back() - syncing_us);
  }
  const Times waited{at(waited_us, 0.5), at(waited_us, 0.99)}, own{at(own_us, 0.5), at(own_us, 0.99)}, beside{at(beside_us, 0.5), at(beside_us, 0.99)};
  std::printf("%6llu records/s, one by one: waits p50 %.0f us, p99 %.0f us; its fdatasync p50 %.0f us, p99 %.0f us: %.2f and %.2f of it; "
              "not syncing p50 %.0f us, p99 %.0f us\n",
              static_cast<unsigned long long>(rate), waited.p50, waited.p99, own.p50, own.p99, waited.p50 / own.p50, waited.p99 / own.p99, beside.p50, beside.p99);
  return true;
}

bool reopen_and_read(const std::string& dir) {
  JournalOptions options;
  options.dir = dir;
  JournalError error;
  auto begin = Steady::now();
  auto journal = open_journal(system_disk(), system_clock(), options, error);
  if (!journal) return false;
  const double open_s = us_since(begin) / 1e6;
  begin = Steady::now();
  std::uint64_t records = 0;
  for (Lsn from = 1; from <= journal->released();) {
    std::uint64_t batch = 0;
    if (journal->read(from, [&](Lsn lsn, const Record&) {
          from = lsn + 1;
          return ++batch < 10'000;
        })) {
      return false;
    }
    records += batch;
  }
  std::printf("start reads and checks %.0f records/s, batches of 10,000 read %.0f records/s\n",
              static_cast<double>(journal->last()) / open_s,
              static_cast<double>(records) / (us_since(begin) / 1e6));
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: journal_bench DIR [records per thread] [threads]\n");
    return 2;
  }
  const std::string dir = argv[1];
  const std::uint64_t each = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1'000'000;
  const auto threads = argc > 3 ? static_cast<unsigned>(std::strtoul(argv[3], nullptr, 10)) : 2;
  if (system_disk().make_dirs(dir)) return 1;
  plain_fdatasync(dir, 512);
  plain_fdatasync(dir, 64u << 10);
  const bool ok = one_by_one(dir) && paced(dir, 5'000) && paced(dir, 20'000) && paced(dir, 50'000) && threads_append(dir, each, threads, true) &&
                  reopen_and_read(dir) && threads_append(dir, each, threads, false);
  clear(dir);
  return ok ? 0 : 1;
}

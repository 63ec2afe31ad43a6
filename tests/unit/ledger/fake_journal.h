// A journal in memory: what is appended is durable at once, unless the test holds it back.
#pragma once
#include <mutex>
#include <vector>

#include "gateway/base/base.h"
#include "gateway/metering/metering.h"

namespace trib::test {

class FakeJournal final : public metering::Journal {
 public:
  metering::Lsn append(metering::RecordRef given) override {
    const metering::Record record = given.copy();
    const std::lock_guard lock(mutex_);
    if (refuse || records.size() >= records_max || (refuse_seals && std::holds_alternative<metering::Seal>(record))) return 0;
    records.push_back(record);
    return records.size();
  }
  metering::Lsn released() const override { return durable(); }
  metering::Lsn durable() const override {
    const std::lock_guard lock(mutex_);
    return std::min<metering::Lsn>(records.size(), durable_max);
  }
  std::error_code failed() const override { return refuse ? std::make_error_code(std::errc::io_error) : std::error_code{}; }
  void on_released(std::function<void()>) override {}
  bool pump() override { return false; }
  void wait(std::int64_t) override {}
  std::error_code read(metering::Lsn from, const Visit& visit) override {
    if (from == 0) from = kept_from;
    if (from < kept_from) return std::make_error_code(std::errc::result_out_of_range);
    for (; from <= durable(); ++from) {
      metering::Record record;
      {
        const std::lock_guard lock(mutex_);
        record = records[from - 1];
      }
      if (!visit(from, record)) break;
    }
    return {};
  }
  Sha256 hash_at(metering::Lsn lsn) override {
    const std::lock_guard lock(mutex_);
    if (lsn + 1 < kept_from || lsn > records.size()) return {};
    for (std::size_t i = hashes_.size(); i < lsn; ++i) {
      const std::string before = i == 0 ? std::string() : std::string(hashes_[i - 1].begin(), hashes_[i - 1].end());
      hashes_.push_back(sha256(before, metering::encode(records[i])));
    }
    return lsn == 0 ? Sha256{} : hashes_[lsn - 1];
  }
  metering::Lsn first() const override { return kept_from; }
  metering::Lsn last() const override {
    const std::lock_guard lock(mutex_);
    return records.size();
  }
  std::error_code trim(metering::Lsn) override { return {}; }

  std::vector<metering::Record> records;  // by LSN - 1
  metering::Lsn durable_max = UINT64_MAX;
  metering::Lsn kept_from = 1;
  std::size_t records_max = SIZE_MAX;  // refuses what would be more
  bool refuse = false, refuse_seals = false;

 private:
  mutable std::mutex mutex_;
  std::vector<Sha256> hashes_;
};

}  // namespace trib::test

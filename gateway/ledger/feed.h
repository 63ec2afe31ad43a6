// What the poster writes, made ready: records read from the journal, FINALs rated, hashed, laid out as rows and added
// up. On a thread of its own this runs some blocks ahead of the writing, so that a second core works beside the
// engine of the store; else it is done in the caller's turn. The rows are the same. One caller, one order at a time.
#pragma once
#include <algorithm>
#include <array>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "gateway/ledger/book.h"
#include "gateway/ledger/chain.h"
#include "gateway/ledger/documents.h"
#include "gateway/ledger/postings.h"
#include "gateway/ledger/quantities.h"
#include "gateway/ledger/rating.h"
#include "gateway/ledger/rows.h"
#include "gateway/metering/metering.h"

namespace trib::ledger {

struct Ready {
  metering::Lsn lsn = 0;
  metering::Record record;  // a FINAL or a COMMAND
  Sha256 content{};         // of its encoding
  Rated rated;              // of a FINAL, with the next
  UsageRow row;
};

// A document and a period's step see all that was posted before them: they are a batch of their own.
bool stands_alone(const metering::Record& record);
// A command that changes by what the next FINAL is rated or where it is booked, or that adds to the tally itself.
bool ends_order(const metering::Record& record);

// What a batch moves and counts; of FINALs each is added once.
struct Tally {
  Postings postings;
  Quantities quantities;
  MerkleTree leaves;  // of FINALs; the batch goes on with the others
  std::uint64_t billed = 0, voided = 0, quarantined = 0;
  money::Amount gross;
  Period from = INT32_MAX, to = 0;
  // The latest admission under a model's prices and under a contract.
  std::map<std::string, std::int64_t, std::less<>> rated_prices, rated_contracts;

  void add(const Ready& item);
  void touches(Period period) {
    from = std::min(from, period);
    to = std::max(to, period);
  }
};

struct FeedOrder {
  metering::Lsn from = 0, to = 0;  // inclusive
  std::size_t count_max = 0;
  std::uint64_t batch = 0;
  std::shared_ptr<const Book> book;
  std::shared_ptr<const Periods> periods;
  Tally* tally = nullptr;  // FINALs are added to it as if all were new; null: whoever writes adds what was
};

class Feed {
 public:
  using Write = std::function<bool(Ready&)>;  // false: no more
  // `ahead_from`: an order of so many records is made on the thread; 0: there is none.
  Feed(metering::Journal& journal, std::uint16_t shard, std::uint64_t ahead_from);
  ~Feed();
  Feed(const Feed&) = delete;
  Feed& operator=(const Feed&) = delete;

  // `write` gets the records in order, on the caller's thread; the last is one that ends_order(), or all were told.
  // What the order points to is left alone once the last record is told. The error is the journal's.
  std::error_code run(const FeedOrder& order, const Write& write);

  // Goes to work on what run() will be asked for next, where there is a thread for it: until that run(), or
  // give_up(), what the order points to is in use. The next run() must be of this order.
  void begin(const FeedOrder& order);
  void give_up();

 private:
  static constexpr std::size_t blocks = 16, block_records = 256;
  struct Block {
    std::vector<Ready> records;  // made when it is first needed, then reused
    std::size_t count = 0;
  };
  template <class Slot, class Made>
  std::error_code produce(const FeedOrder& order, const Slot& slot, const Made& made);
  void prepare(const FeedOrder& order, metering::Lsn lsn, metering::Record& record, std::string_view bytes, Ready& out) const;
  std::error_code run_ahead(const Write& write);
  void work();
  std::error_code fill_blocks();

  metering::Journal& journal_;
  const std::uint16_t shard_;
  const std::uint64_t ahead_from_;
  Ready one_;  // where nothing runs ahead

  std::mutex mutex_;  // what follows, but for the blocks' content
  std::condition_variable wake_worker_, wake_caller_;
  FeedOrder order_;
  bool ordered_ = false, given_up_ = false, stopping_ = false;
  bool begun_ = false;  // the order is one that run() has not come for; the caller's alone
  std::error_code error_;
  std::array<Block, blocks> ring_;
  std::size_t made_ = 0, written_ = 0;  // blocks, since the order
  std::thread thread_;
};

}  // namespace trib::ledger

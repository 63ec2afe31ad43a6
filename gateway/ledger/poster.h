// One batch at a time from the journal into the store: rows, transfers, balances, cursor and the
// seal over them in one transaction, then a SEAL record. One thread at a time. A store that is lost is asked
// for again at each turn; where it stands then says whether the last commit was one.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gateway/ledger/book.h"
#include "gateway/ledger/chain.h"
#include "gateway/ledger/documents.h"
#include "gateway/ledger/feed.h"
#include "gateway/ledger/postings.h"
#include "gateway/ledger/quantities.h"
#include "gateway/ledger/tables.h"

namespace trib::ledger {

class Poster {
 public:
  // `ahead_from`: of LedgerOptions.
  Poster(metering::Journal& journal, std::uint16_t shard, std::size_t batch_requests_max, std::uint64_t ahead_from);
  ~Poster();

  // Opens the store for writing, checks it against the journal, and writes the last batch's SEAL if a
  // crash has lost it. False with the reason.
  bool open(const std::string& path, const std::string& vfs, std::string& why);

  enum class Turn { idle, posted, failed };
  Turn turn(std::string& why);

  metering::Lsn cursor() const { return cursor_; }
  metering::Lsn scanned() const { return scanned_; }
  // The last batch and the LSN of its SEAL (0: it was durable when the store was opened); none while the
  // journal has not taken it.
  struct Sealed {
    std::uint64_t batch = 0;
    metering::Lsn seal_lsn = 0;
  };
  std::optional<Sealed> sealed() const { return unsealed_ ? std::nullopt : std::optional(Sealed{last_batch_, seal_lsn_}); }
  std::shared_ptr<const Book> book() const { return book_; }
  // What the documents and top-ups of the last batch gave each tenant, and took.
  const std::map<std::string, money::Amount>& moved() const { return moved_; }

 private:
  struct Work;  // a batch in the making

  bool settle(std::string& why);
  bool load(std::string& why);
  bool load_book(std::string& why);
  bool load_periods(std::string& why);
  bool match_journal(std::string& why);
  bool find_seals(std::string& why);
  void seal();

  Turn batch(std::string& why);
  std::unique_ptr<Work> new_work(metering::Lsn from, std::uint64_t id, const std::shared_ptr<const Book>& book,
                                 const std::shared_ptr<const Periods>& periods) const;
  std::unique_ptr<Work> take_work();
  void begin_next(const Work& work);
  FeedOrder order_of(Work& work, metering::Lsn from, metering::Lsn to, std::size_t count_max) const;
  bool collect(Work& work, std::string& why);
  bool finish(Work& work, std::string& why);
  bool add(Work& work, const Ready& item);
  bool add_usage(Work& work, const Ready& item);
  bool add_command(Work& work, const Ready& item, const metering::Command& command);
  bool quarantine(Work& work, metering::Lsn lsn, const metering::Record& record, std::string subject, std::string reason);
  std::string apply(Work& work, const metering::Command& command);  // the command's result
  std::string publish(Work& work, const PriceVersion& price);
  std::string publish(Work& work, const ContractVersion& contract);
  std::string post(Work& work, const metering::Command& command, const Document& document);
  std::string move(Work& work, const metering::Command& command, const PeriodStep& step);
  std::string refuse_reversal(const DocumentTransfer& transfer);  // empty: fine
  std::optional<money::Amount> stands(const std::string& account, Period period);
  bool write_quantities(Work& work);
  bool write_totals(const Work& work);
  bool write_batch(Work& work);
  bool move_cursor(metering::Lsn to);

  metering::Journal& journal_;
  const std::uint16_t shard_;
  const std::size_t batch_requests_max_;
  std::unique_ptr<Work> next_;  // what the feed has begun
  Feed feed_;
  Connection db_;
  Inserts inserts_;
  QuantityTables quantity_tables_;
  Statement find_usage_, find_command_, add_balance_, add_site_, raise_rated_, add_price_, add_contract_, move_cursor_;
  Statement stands_, find_reversal_, find_legs_, put_period_;

  metering::Lsn cursor_ = 0;
  metering::Lsn scanned_ = 0;  // nothing of money between the cursor and here
  std::uint64_t last_batch_ = 0;
  std::map<std::string, money::Amount> moved_;
  Sha256 last_hash_{};
  std::shared_ptr<const Book> book_;
  std::shared_ptr<const Periods> periods_;
  std::map<metering::Lsn, metering::Seal> seals_;  // of batches still to be posted again, by from_lsn
  std::optional<metering::Seal> unsealed_;          // committed, its SEAL not yet in the journal
  metering::Lsn seal_lsn_ = 0;                      // of the last SEAL written
  std::string broken_;                              // store and journal contradict each other: for good
};

}  // namespace trib::ledger

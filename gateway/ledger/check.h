// One run of verify(), in parts: batches and their rows, then totals, then the journal.
#pragma once
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "gateway/ledger/postings.h"
#include "gateway/ledger/quantities.h"
#include "gateway/ledger/verify.h"

namespace trib::ledger {

using metering::Lsn;
using Totals = std::map<std::pair<std::string, std::int32_t>, Turnover>;

class Check {
 public:
  Check(Reader& reader, std::uint16_t shard, metering::Journal* journal, std::span<const Checkpoint> checkpoints)
      : reader_(reader), db_(reader.connection()), shard_(shard), journal_(journal), checkpoints_(checkpoints), first_(journal ? journal->first() : 0) {}

  Verdict run();

 private:
  bool fail(std::string place, std::string why) {
    out_.ok = false;
    if (out_.place.empty()) {
      out_.place = std::move(place);
      out_.why = std::move(why);
    }
    return false;
  }
  std::string in_batch(const char* table, std::uint64_t batch) const {
    return "table " + std::string(table) + ", batch " + std::to_string(batch);
  }
  bool ended(Statement::Step step, const char* table) {
    return step == Statement::Step::done || fail(std::string("table ") + table, db_.error());
  }
  // Asked once a batch, of which there may be millions: prepared once, and bound to the shard.
  Statement& of_shard(Statement& kept, const std::string& sql) {
    if (!kept) kept = db_.prepare(sql);
    return kept.reset().bind(shard_);
  }

  bool schema();
  bool book();
  bool published(const CommandRow& row, std::uint64_t& prices, std::uint64_t& contracts);
  bool price_row(const PriceVersion& price);
  bool contract_row(const ContractVersion& contract);
  bool signatures();                // of the checkpoints, and their chain
  bool covered(const BatchRow& row);  // the next batch, by the checkpoint whose turn it is
  bool all_covered();
  bool batches();
  bool batch(const BatchRow& row);
  bool usage(const BatchRow& row, std::vector<Sha256>& leaves, Quantities& booked);
  bool request(UsageRow& row, BatchRow& seen, Quantities& booked);
  bool commands(const BatchRow& row, std::vector<Sha256>& leaves, Quantities& booked);
  bool quarantine(const BatchRow& row, std::vector<Sha256>& leaves);
  bool transfers(const BatchRow& row, std::vector<Sha256>& leaves);
  bool whole_transfer(const BatchRow& row, const TransferRow& transfer, std::vector<Sha256>& leaves);
  // Names a row that says it is of this batch and lies elsewhere, or the other way round. Always false.
  bool misplaced(const std::string& table, const BatchRow& row);
  bool elsewhere(const std::string& table, std::uint64_t batch, const std::string& name);  // always false
  bool in_place();  // of rows that are sought by their place: none says a batch that is elsewhere
  bool quantities(const BatchRow& row, const Quantities& booked, std::vector<Sha256>& leaves);
  bool quantity_totals();
  bool strays();
  bool balances();
  bool sites();
  bool step_period(const CommandRow& row);
  bool periods();
  bool cursor();
  bool rated();
  bool journal();
  bool journal_records(Lsn first);
  bool row_of(Lsn lsn, const RequestId& id, UsageRow& row, bool& found);
  bool journaled(Lsn lsn, const metering::Record& record, const metering::Final& final);
  bool journaled(Lsn lsn, const metering::Record& record, const metering::Command& command);
  bool quarantined(Lsn lsn, const metering::Record& record, const std::string& subject);

  Reader& reader_;
  Connection& db_;
  const std::uint16_t shard_;
  metering::Journal* const journal_;
  const std::span<const Checkpoint> checkpoints_;
  std::vector<Sha256> covering_;  // hashes of the batches of checkpoint out_.checkpoints + 1, so far
  const Lsn first_;  // the oldest record that the journal keeps
  Verdict out_;
  Book book_;
  Periods periods_;
  BatchRow last_;
  std::map<std::uint64_t, BatchRow> recent_;  // of the journal's time, by to_lsn
  std::map<std::string, std::uint64_t> rows_;  // seen in batches, by table
  Totals balances_;
  std::map<std::tuple<std::string, std::string, std::string, std::int32_t>, Quantity> quantities_;  // by account, site, model, period
  bool quantities_begun_ = false;
  std::map<std::pair<std::string, std::int32_t>, SiteUse> sites_;
  std::map<std::pair<std::string, std::string>, std::int64_t> rated_;  // latest admit by kind and id
  Statement along_;  // usage rows in the journal's order, as its records come
  UsageRow at_;      // the last one of them
  Statement find_usage_, usage_, commands_, quarantine_, transfers_, quantity_rows_;
  std::uint64_t matched_ = 0;  // usage rows that the journal vouches for
};

}  // namespace trib::ledger

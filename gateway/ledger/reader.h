// Questions to the store, on a read-only connection of its own: a running poster is not held up and
// its half-done batch is never seen. One Reader serves one thread at a time. A database error gives an
// empty answer and is told by error(), of whichever question it was.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gateway/ledger/book.h"
#include "gateway/ledger/detail.h"
#include "gateway/ledger/period.h"
#include "gateway/ledger/quantities.h"
#include "gateway/ledger/tables.h"

namespace trib::ledger {

struct TrialRow {
  std::string account;
  money::Amount debit, credit;                // the account's balance, on the side where it stands
  money::Amount debit_total, credit_total;    // all that ever moved on each side
};
struct TrialBalance {
  std::vector<TrialRow> accounts;  // by name
  money::Amount sum;               // debit - credit over all accounts; zero
};

// What requests that ended on one day in Asia/Shanghai cost, by key.
struct SpentRow {
  std::string tenant;
  Sha256 key{};
  std::int64_t wall_ms = 0;  // within that day
  money::Amount amount;
};

struct TenantBalance {
  std::string tenant;
  money::Amount balance;  // what is posted: top-ups less charges
};

// A request as it stands in the store, its detail decoded.
struct RequestRow {
  UsageRow row;
  std::vector<Part> parts;
  std::vector<AttemptRow> attempts;
  std::string quarantine;  // why, when its state is quarantined
};

struct SiteTotal {
  std::string site;
  std::uint64_t requests = 0;  // that it delivered billed tokens for
  metering::TokenCounts counts;
  money::Amount gross;  // what customers were charged for its part
};

struct QuantityTotal {
  std::string account, site, model;
  Quantity amount;
};

class Reader {
 public:
  template <class Row>
  using Visit = std::function<bool(const Row&)>;  // false: enough

  // Opens an existing store; null with the reason otherwise.
  static std::unique_ptr<Reader> open(const std::string& address, const std::string& vfs, std::string& why);

  // Everything asked between begin() and end() is of one moment.
  bool begin();
  void end() { db_.rollback(); }
  const std::string& error() const { return error_.empty() ? db_.failures().first : error_; }
  // Told of everything that could not be read from now on.
  void on_failure(std::function<void(const std::string& why)> told) { db_.failures().told = std::move(told); }

  metering::Lsn cursor(std::uint16_t shard);
  std::vector<TenantBalance> tenant_balances();
  // Of the requests that ended at `from_ms` or later, by day; a whole read of their rows.
  std::vector<SpentRow> spent_since(std::int64_t from_ms);
  TrialBalance trial_balance(std::optional<Period> period = {});  // of a period: what moved in it
  TrialBalance trial_balance_after(Period period);                // as it stood at the period's end
  std::optional<RequestRow> request(const RequestId& id);
  std::vector<SiteTotal> site_totals(std::optional<Period> period = {});
  std::vector<QuantityTotal> quantities(std::optional<Period> period = {});  // by account, site, model; they sum to zero
  std::optional<CommandRow> command(const std::string& id);
  std::shared_ptr<const Book> book();  // as it is published; null: see error()
  std::vector<PeriodRow> periods();  // those that have left `open`, in order
  money::Amount stands(const std::string& account, Period period = 0);  // credit - debit; 0: over all
  std::optional<Sha256> seal(Period period);  // of what it holds now (seal.h)

  // Requests go by batch, then LSN; a row that cannot be decoded stops
  // the walk with an error.
  bool usage(Period period, const Visit<RequestRow>& visit);
  bool transfers(std::optional<Period> period, const Visit<TransferRow>& visit);
  // In the order of the journal; applied ones only.
  bool commands(std::string_view kind, const Visit<CommandRow>& visit);
  // Those of a period that are not requests' own (codes 20 to 25), with their legs.
  bool adjustments(Period period, const Visit<TransferRow>& visit);
  std::optional<TransferRow> transfer(std::uint64_t id);
  bool transfers_of(const std::string& doc_id, const Visit<TransferRow>& visit);
  bool batches(const Visit<BatchRow>& visit);
  bool batches(std::uint16_t shard, std::uint64_t from, std::uint64_t to, const Visit<BatchRow>& visit);
  bool quarantine(const Visit<QuarantineRow>& visit);

  Connection& connection() { return db_; }

 private:
  bool failed(const std::string& what);
  bool damaged(const std::string& what);
  template <class Row, class Read>
  bool each(Statement& select, const std::string& what, const Visit<Row>& visit, const Read& read_row);
  template <class Row>
  bool walk(Statement select, const std::string& what, const Visit<Row>& visit);
  template <class Row>
  std::vector<Row> all(Statement select, const std::string& what);
  TrialBalance trial(const std::string& filter);
  bool decode(Statement& from, RequestRow& out);
  Statement transfers_where(const std::string& filter, Rows rows);
  bool walk_transfers(Statement select, const Visit<TransferRow>& visit);
  Connection db_;
  std::string error_;
};

}  // namespace trib::ledger

// The ledger of one shard over its store. Money reaches it from the journal alone: FINALs and COMMANDs,
// by the poster, one database transaction a batch, exactly once. Reading goes over connections of its
// own and never waits for the poster.
#pragma once
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "gateway/base/base.h"
#include "gateway/config/config.h"
#include "gateway/ledger/book.h"
#include "gateway/ledger/market.h"
#include "gateway/ledger/reader.h"
#include "gateway/metering/metering.h"

namespace trib::ledger {

class Poster;
struct Plan;

struct LedgerOptions {
  std::string path;     // of the SQLite file, made when missing; or a postgresql:// URL, set up before
  std::string vfs;      // name of a registered SQLite VFS with shared memory; empty: the default
  std::uint16_t shard = 0;
  std::size_t batch_requests_max = 10'000;
  // From so many records of the journal on, a thread of the poster's rates and hashes while it writes; the rows are the same.
  // 0: never. A small batch takes one core then, not two, from those who serve.
  std::uint64_t ahead_from = 0;
  std::int64_t command_ms_max = 10'000;  // how long a top-up or a publication waits for the journal
  // Called again and again while such a call waits for the journal. Default: sleeps 200 microseconds.
  // Where no other thread pumps the journal (simulation, tests), it must pump it.
  std::function<void()> wait;
};

// Why a configuration's prices and contracts were not published. Nothing was, then.
struct PublishProblem {
  std::string path;  // "models.smollm2-135m.price", "contracts.standard"; empty: the ledger or its journal
  std::string why;
};

enum class Publishing {
  published,
  repeated,  // the same version was published before
  refused,   // see why; nothing changed
  failed,    // not known to be durable: asking again is safe
};
struct Published {
  Publishing result{};
  std::string why;
  std::uint32_t version = 0;  // of what is now in the book; 0: nothing is
};

enum class Posting {
  posted,    // by this call, or by an earlier one of this process that was told `failed`
  repeated,  // the same was there already
  conflict,  // the id is taken by something else; nothing changed
  failed,    // refused, or not known to be durable: asking again with the same id is safe
};

class Ledger {
 public:
  // Opens or creates the store and checks that it and the journal belong together. On failure null,
  // and `why` says what is wrong. The clock and the journal must outlive the ledger.
  static std::unique_ptr<Ledger> open(const LedgerOptions& options, Clock& clock, metering::Journal& journal,
                                      std::string& why);
  ~Ledger();

  // Any thread. The published versions; a new whole book replaces it after a publication.
  std::shared_ptr<const Book> book() const;

  // Any thread; blocks until durable and posted. Publishes what is new in the file, by (id, from): the
  // same terms again are a no-op, others under a published pair are refused.
  std::optional<PublishProblem> publish(const config::ConfigSnapshot& config, std::int64_t wall_ms);
  // One version from outside the file, by the same rules; in force for the next request that is admitted.
  Published publish(const config::ModelPrice& price, std::int64_t wall_ms);
  Published publish(const config::ContractConfig& contract, std::int64_t wall_ms);

  // A market index has this value from `at_ms` on. Any thread; blocks; idempotent by (name, at).
  Posting set_index(const IndexValue& value, std::int64_t wall_ms);
  std::vector<IndexValue> index_values();  // by name, then time

  // Any thread; blocks until durable and posted. Idempotent by (tenant, id), also when called at once.
  Posting topup(const std::string& tenant, const std::string& id, money::Amount amount, std::int64_t wall_ms);
  // The file's balance, posted once in the ledger's life; `conflict` when the file says another amount.
  Posting opening(const std::string& tenant, money::Amount amount, std::int64_t wall_ms);
  std::optional<money::Amount> opening_balance(const std::string& tenant);  // none: not posted yet
  // Any thread; blocks until durable and posted. Idempotent by its id, which is also the doc_id of its
  // transfers. A document or a step that was refused has used up its id; refusal() says why.
  Posting post(const std::string& id, const Document& document, std::int64_t wall_ms);
  Posting step(const std::string& id, const PeriodStep& step, std::int64_t wall_ms);
  std::string refusal(const std::string& command_id);  // empty: applied, or not there
  std::vector<PeriodRow> periods();

  // Any other room's command: kept in order, without effect on money. Idempotent by its id.
  Posting submit(const metering::Command& command);

  // The poster's turn: at most one batch of durable records. False when there was nothing to do or it
  // failed (see failure(); the next turn tries again). Any thread; turns exclude each other.
  bool post_once();
  // Told within the turn that posted it, before posted() shows it: what moved on a tenant's accounts beside
  // charges for requests; negative: taken. Set before others use the ledger.
  void on_moved(std::function<void(const std::string& tenant, money::Amount change)> moved) { moved_ = std::move(moved); }
  metering::Lsn posted() const { return posted_.load(std::memory_order_acquire); }
  // No record up to here waits to be posted: posted(), and what behind it moves no money. Any thread.
  metering::Lsn scanned() const { return scanned_.load(std::memory_order_acquire); }
  // Blocks until the record `lsn`, a FINAL or a command, is durable and posted; false when the journal or
  // the store fails or `command_ms_max` passes. Any thread.
  bool await(metering::Lsn lsn);
  // Blocks until the SEAL of the last posted batch is durable; the batch. `why` says what failed.
  std::uint64_t await_sealed(std::string& why);
  std::string failure() const;  // why the last turn did not commit; empty: it did

  const LedgerOptions& options() const { return options_; }

  // Any thread. A reader for long walks has a connection and a moment of its own.
  std::unique_ptr<Reader> reader(std::string& why) const;
  // What could not be read since the start, by any reader of this ledger: how often, and why the last time.
  struct Unread {
    std::uint64_t times = 0;
    std::string why;
  };
  Unread unread() const;
  // What it has paid less what it owes (L200 and A110); zero for an unknown one.
  money::Amount tenant_balance(const std::string& tenant);
  std::vector<TenantBalance> tenant_balances();
  TrialBalance trial_balance();
  std::optional<RequestRow> request(const RequestId& id);
  std::vector<QuantityTotal> quantities();
  std::vector<SiteTotal> site_totals(std::optional<Period> period = {});

 private:
  Ledger(const LedgerOptions& options, Clock& clock, metering::Journal& journal);
  void note_unread(const std::string& why) const;
  Posting outcome(const metering::Command& command, metering::Lsn lsn);
  void remember(const std::string& id, metering::Lsn lsn);  // with unsure_mutex_ held
  std::optional<CommandRow> find_command(const std::string& id);
  std::optional<std::int64_t> last_rated(std::string_view kind, const std::string& id);
  Plan plan_all(const config::ConfigSnapshot& config, std::int64_t wall_ms);
  std::optional<PublishProblem> put_in_force(const std::vector<metering::Command>& commands);
  template <class Fill>
  Published publish_one(Fill&& fill);

  LedgerOptions options_;
  Clock& clock_;
  metering::Journal& journal_;
  std::mutex post_mutex_;  // held by the poster's turn
  std::function<void(const std::string&, money::Amount)> moved_;
  std::unique_ptr<Poster> poster_;
  std::atomic<metering::Lsn> posted_{0}, scanned_{0};
  mutable std::mutex shared_mutex_;  // book_, failure_, unread_
  std::shared_ptr<const Book> book_;
  std::string failure_;
  mutable Unread unread_;
  std::mutex reader_mutex_;  // reader_
  std::unique_ptr<Reader> reader_;
  std::mutex publish_mutex_;
  std::optional<std::int64_t> first_start_ms_;  // with publish_mutex_ held; once it is known
  std::mutex unsure_mutex_;
  std::map<std::string, metering::Lsn> unsure_;  // by id: appended, and given up waiting for
};

}  // namespace trib::ledger

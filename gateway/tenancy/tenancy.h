// Tenants: keys, limits, balances and holds. A tenant's balance and limits are one of the three
// mutable things that workers share; the rule is one small lock a tenant.
#pragma once
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "gateway/base/base.h"
#include "gateway/config/config.h"
#include "gateway/money/money.h"
#include "gateway/tenancy/budget.h"

namespace trib::tenancy {

enum class Refused : std::uint8_t { none, balance, requests_per_minute, tokens_per_minute, in_flight, budget };

// A request that runs past its last deadline by so much has been forgotten; its hold expires.
constexpr std::int64_t hold_margin_ms = 60'000;

class Tenant;

// Money set aside for one admitted request. It ends once: settled, voided, or expired by its tenant when
// its time is up, whichever comes first. Dropped unsettled it is void. Its tenant must outlive it; one
// thread at a time.
class Hold {
 public:
  Hold() = default;
  Hold(Hold&& other) noexcept { *this = std::move(other); }
  Hold& operator=(Hold&& other) noexcept;
  ~Hold() { drop(); }

  // From here on it cannot expire. False: it has expired, or there is none; nothing may be charged then.
  bool claim();
  struct End {
    std::int64_t now_ns = 0, wall_ms = 0;  // FINAL's: the day and month that it counts in
    std::uint64_t tokens_used = 0;
    std::optional<std::uint64_t> output{};  // of an answer that is whole: how long they are
    money::Amount charge{};
  };
  // The hold goes, the charge comes, unused tokens return to the minute's bucket. False: it had ended
  // already, and nothing changed.
  bool settle(const End& end);
  void drop();  // void: nothing is charged, the tokens are given back

 private:
  friend class Tenant;
  using Place = std::pair<std::int64_t, std::uint64_t>;  // deadline, number
  Hold(Tenant& tenant, const Place& place) : tenant_(&tenant), place_(place) {}
  Tenant* tenant_ = nullptr;
  Place place_;
};

// What a request asks of its tenant before anything else is done for it.
struct Ask {
  std::int64_t now_ns = 0;   // monotonic
  std::int64_t wall_ms = 0;  // which budgets it falls under
  RequestId id{};
  Sha256 key{};
  std::uint64_t tokens = 0;  // the worst case, against tokens_per_minute until it is settled
  money::Amount hold{};
  std::int64_t deadline_ns = INT64_MAX;  // monotonic: when the hold expires
};

struct Admission {
  Refused refused = Refused::none;
  std::int64_t retry_after_s = 0;  // whole seconds, at least 1, for the limits and budgets
  BudgetState budget;              // the one that is used up
  Hold hold;                       // of an admitted one
};

// Thread-safe. Shared by all snapshots of the tenant book, so a reload keeps balances, holds and limits.
// At any moment balance - held >= -credit, but for overruns: charges above their own hold.
class Tenant {
 public:
  explicit Tenant(std::string id) : id_(std::move(id)) {}
  const std::string& id() const { return id_; }

  // Checks the limits, the balance and the budgets, then takes of all of them at once; a refusal takes nothing.
  Admission admit(const Ask& ask);
  // For money that leaves without a request, a refund: none when less is free, the credit apart.
  std::optional<Hold> set_aside(money::Amount amount);
  // Ends holds whose deadline has passed and that nobody has claimed; whose requests they were.
  std::vector<RequestId> expire(std::int64_t now_ns);
  // How long an answer for this key will be, nearly always; none: not known, or the worst case is asked for.
  std::optional<std::uint64_t> expected_output(const Sha256& key) const;

  // What moved on its accounts beside charges (a top-up; negative: a refund); durable and posted first.
  void credit(money::Amount amount);
  void set_policy(const config::TenantConfig& config);
  void set_policy(config::Privacy privacy, const config::TenantLimits& limits);
  void set_balance(money::Amount posted);  // at start only, from the ledger
  // At start only, from the ledger: what this key's requests that ended at `wall_ms` cost.
  void spent_before(const Sha256& key, std::int64_t wall_ms, money::Amount amount);
  std::int64_t hedge_after_ms() const { return hedge_after_ms_.load(std::memory_order_relaxed); }  // 0: never
  void set_hedge_after(std::int64_t ms) { hedge_after_ms_.store(ms, std::memory_order_relaxed); }
  config::Priority priority() const { return priority_.load(std::memory_order_relaxed); }

  struct View {
    std::string id;
    money::Amount balance;  // posted and unposted charges included, holds not subtracted
    money::Amount held;
    std::uint32_t in_flight = 0;  // as many as there are holds, one set aside among them
    config::Privacy privacy{};
    config::TenantLimits limits;
    money::Amount credit;
    config::HoldRule holds{};
  };
  View view() const;
  std::vector<BudgetState> budgets(std::int64_t wall_ms) const;
  config::Privacy privacy() const;

 private:
  friend class Hold;
  // A bucket of a minute's allowance, full at first, refilled continuously.
  struct Bucket {
    double level = 0;
    std::int64_t at_ns = 0;
    bool started = false;
  };
  // What is spent and held against budgets: of the tenant, or of one key.
  struct Account {
    config::Budgets budgets;
    Spending spent;
    money::Amount held;
    Lengths lengths;  // of a key's answers
  };
  struct OpenHold {
    RequestId id;
    money::Amount amount;
    std::uint64_t tokens = 0;
    Account* key = nullptr;  // null: set aside, under no budget
    bool claimed = false;
  };
  using Holds = std::map<Hold::Place, OpenHold>;
  std::optional<BudgetState> beyond(const Account& account, const Ask& ask) const;
  static void list(const Account& account, const Sha256& key, bool of_key, std::int64_t wall_ms, std::vector<BudgetState>& out);
  void give_back(std::int64_t now_ns, std::uint64_t tokens, std::uint64_t tokens_used);
  OpenHold take(Holds::iterator at);
  bool claim(const Hold::Place& place);
  bool settle(const Hold::Place& place, const Hold::End& end);
  void drop(const Hold::Place& place);

  const std::string id_;
  std::atomic<std::int64_t> hedge_after_ms_{0};
  std::atomic<config::Priority> priority_{config::Priority::normal};
  mutable std::mutex mutex_;
  money::Amount balance_, held_, credit_;
  config::HoldRule hold_rule_{};
  Holds holds_;  // by deadline
  std::uint64_t holds_made_ = 0;
  Account whole_;
  std::map<Sha256, Account> keys_;  // those that were configured or asked; they stay
  config::Privacy privacy_ = config::Privacy::dc;
  config::TenantLimits limits_;
  Bucket requests_, tokens_;
};

// Immutable: which key belongs to whom.
class TenantBook {
 public:
  // Null when no tenant has this key. The stored digest is compared in constant time.
  std::shared_ptr<Tenant> find(const Sha256& key_digest) const;
  std::shared_ptr<Tenant> tenant(const std::string& id) const;
  std::shared_ptr<Tenant> ever(const std::string& id) const;  // one that left, too
  const std::map<std::string, std::shared_ptr<Tenant>>& all() const { return tenants_; }
  std::map<std::string, std::shared_ptr<Tenant>> known() const;  // those that left, too

  // The next book: tenants that stay keep their live state, those that left it wait for their return.
  static std::shared_ptr<const TenantBook> make(const std::vector<config::TenantConfig>& tenants,
                                                const TenantBook* previous);

 private:
  struct Entry {
    Sha256 digest;
    std::shared_ptr<Tenant> tenant;
  };
  std::unordered_map<std::uint64_t, std::vector<Entry>> by_prefix_;  // first 8 bytes of the digest
  std::map<std::string, std::shared_ptr<Tenant>> tenants_;
  // Of earlier books: their open requests settle there, and a tenant that comes back finds its own.
  std::map<std::string, std::shared_ptr<Tenant>> gone_;
};

}  // namespace trib::tenancy

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

namespace trib::tenancy {

enum class Refused : std::uint8_t { none, balance, requests_per_minute, tokens_per_minute, in_flight };

struct Admission {
  Refused refused = Refused::none;
  std::int64_t retry_after_s = 0;  // whole seconds, at least 1, for the limits
};

// Thread-safe. Shared by all snapshots of the tenant book, so a reload keeps balances and limits.
class Tenant {
 public:
  explicit Tenant(std::string id) : id_(std::move(id)) {}
  const std::string& id() const { return id_; }

  // Checks the limits, then the balance, then takes all of them at once; a refusal takes nothing.
  // `tokens` is the worst case that counts against tokens_per_minute until settled.
  Admission admit(std::int64_t now_ns, std::uint64_t tokens, money::Amount hold);
  // Ends one admission: the hold goes, the charge comes, unused tokens return to the minute's bucket.
  void settle(std::int64_t now_ns, std::uint64_t tokens, std::uint64_t tokens_used, money::Amount hold,
              money::Amount charge);
  void credit(money::Amount amount);  // a top-up (or, negative, a refund); durable elsewhere first
  void set_policy(config::Privacy privacy, const config::TenantLimits& limits);
  void set_hedge_after(std::int64_t ms) { hedge_after_ms_.store(ms, std::memory_order_relaxed); }
  std::int64_t hedge_after_ms() const { return hedge_after_ms_.load(std::memory_order_relaxed); }  // 0: never
  void set_priority(config::Priority priority) { priority_.store(priority, std::memory_order_relaxed); }
  config::Priority priority() const { return priority_.load(std::memory_order_relaxed); }
  void set_balance(money::Amount posted);  // at start only, from the ledger

  struct View {
    std::string id;
    money::Amount balance;  // posted and unposted charges included, holds not subtracted
    money::Amount held;
    std::uint32_t in_flight = 0;
    config::Privacy privacy{};
    config::TenantLimits limits;
  };
  View view() const;
  config::Privacy privacy() const;

 private:
  // A bucket of a minute's allowance, full at first, refilled continuously.
  struct Bucket {
    double level = 0;
    std::int64_t at_ns = 0;
    bool started = false;
  };
  const std::string id_;
  std::atomic<std::int64_t> hedge_after_ms_{0};
  std::atomic<config::Priority> priority_{config::Priority::normal};
  mutable std::mutex mutex_;
  money::Amount balance_, held_;
  std::uint32_t in_flight_ = 0;
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
  const std::map<std::string, std::shared_ptr<Tenant>>& all() const { return tenants_; }

  // The next book: tenants that stay keep their live state.
  static std::shared_ptr<const TenantBook> make(const std::vector<config::TenantConfig>& tenants,
                                                const TenantBook* previous);

 private:
  struct Entry {
    Sha256 digest;
    std::shared_ptr<Tenant> tenant;
  };
  std::unordered_map<std::uint64_t, std::vector<Entry>> by_prefix_;  // first 8 bytes of the digest
  std::map<std::string, std::shared_ptr<Tenant>> tenants_;
};

}  // namespace trib::tenancy

#include <algorithm>
#include <cmath>

#include "gateway/base/assert.h"
#include "gateway/tenancy/tenancy.h"

namespace trib::tenancy {
namespace {

constexpr double minute_ns = 60e9;

// Fills up to now. Workers' clocks may differ by a little: time only goes forward here.
template <typename Bucket>
void refill(Bucket& bucket, std::int64_t now_ns, std::uint64_t per_minute) {
  const auto full = static_cast<double>(per_minute);
  if (!bucket.started) {
    bucket = {full, now_ns, true};
    return;
  }
  if (now_ns > bucket.at_ns) {
    bucket.level += static_cast<double>(now_ns - bucket.at_ns) * full / minute_ns;
    bucket.at_ns = now_ns;
  }
  bucket.level = std::min(bucket.level, full);
}

// One that asks for more than a whole minute's allowance needs a full bucket and takes it into
// debt; it could never run otherwise.
template <typename Bucket>
bool enough(const Bucket& bucket, std::uint64_t wanted, std::uint64_t per_minute) {
  // A hair's breadth, so that rounding never refuses what has just been refilled.
  return bucket.level + 1e-6 >= static_cast<double>(std::min(wanted, per_minute));
}

template <typename Bucket>
std::int64_t wait_s(const Bucket& bucket, std::uint64_t wanted, std::uint64_t per_minute) {
  const double lacking = static_cast<double>(std::min(wanted, per_minute)) - bucket.level;
  const double seconds = std::ceil(lacking * 60.0 / static_cast<double>(per_minute));
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(std::min(seconds, 86'400.0)));
}

}  // namespace

Hold& Hold::operator=(Hold&& other) noexcept {
  if (this == &other) return *this;
  drop();
  tenant_ = std::exchange(other.tenant_, nullptr);
  place_ = other.place_;
  return *this;
}

bool Hold::claim() { return tenant_ != nullptr && tenant_->claim(place_); }

bool Hold::settle(const End& end) {
  Tenant* const tenant = std::exchange(tenant_, nullptr);
  return tenant != nullptr && tenant->settle(place_, end);
}

void Hold::drop() {
  if (Tenant* const tenant = std::exchange(tenant_, nullptr)) tenant->drop(place_);
}

// The first budget that the ask does not fit into.
std::optional<BudgetState> Tenant::beyond(const Account& account, const Ask& ask) const {
  for (const auto& [span, limit] : {std::pair(Span::day, account.budgets.day), std::pair(Span::month, account.budgets.month)}) {
    if (limit.zero()) continue;
    const auto spent = account.spent.in(span, ask.wall_ms);
    if (spent + account.held + ask.hold > limit || spent >= limit)
      return BudgetState{&account != &whole_, &account == &whole_ ? Sha256{} : ask.key, span, limit, spent, account.held,
                         span_end_ms(span, ask.wall_ms)};
  }
  return std::nullopt;
}

Admission Tenant::admit(const Ask& ask) {
  TRIB_ASSERT(!ask.hold.negative());
  const auto refused = [](Refused why, std::int64_t retry_after_s) {
    Admission out;
    out.refused = why;
    out.retry_after_s = retry_after_s;
    return out;
  };
  const std::lock_guard lock(mutex_);
  const std::uint64_t rpm = limits_.requests_per_minute, tpm = limits_.tokens_per_minute;
  if (rpm != 0) {
    refill(requests_, ask.now_ns, rpm);
    if (!enough(requests_, 1, rpm)) return refused(Refused::requests_per_minute, wait_s(requests_, 1, rpm));
  }
  if (tpm != 0) {
    refill(tokens_, ask.now_ns, tpm);
    if (!enough(tokens_, ask.tokens, tpm)) return refused(Refused::tokens_per_minute, wait_s(tokens_, ask.tokens, tpm));
  }
  if (limits_.in_flight != 0 && holds_.size() >= limits_.in_flight) return refused(Refused::in_flight, 1);
  if (ask.hold > balance_ + credit_ - held_) return refused(Refused::balance, 0);
  Account& key = keys_[ask.key];
  for (const Account* const account : {&std::as_const(key), &std::as_const(whole_)}) {
    if (const auto budget = beyond(*account, ask)) {
      auto out = refused(Refused::budget, std::max<std::int64_t>(1, (budget->resets_at_ms - ask.wall_ms + 999) / 1000));
      out.budget = *budget;
      return out;
    }
  }
  if (rpm != 0) requests_.level -= 1;
  if (tpm != 0) tokens_.level -= static_cast<double>(ask.tokens);
  for (auto* const held : {&held_, &whole_.held, &key.held}) *held += ask.hold;
  const Hold::Place place(ask.deadline_ns, ++holds_made_);
  holds_.emplace(place, OpenHold{ask.id, ask.hold, ask.tokens, &key});
  Admission out;
  out.hold = Hold(*this, place);
  return out;
}

std::optional<Hold> Tenant::set_aside(money::Amount amount) {
  TRIB_ASSERT(!amount.negative());
  const std::lock_guard lock(mutex_);
  if (amount > balance_ - held_) return std::nullopt;
  held_ += amount;
  const Hold::Place place(INT64_MAX, ++holds_made_);
  holds_.emplace(place, OpenHold{{}, amount, 0, nullptr});
  return Hold(*this, place);
}

Tenant::OpenHold Tenant::take(Holds::iterator at) {
  const OpenHold hold = at->second;
  holds_.erase(at);
  const auto lower = [&](money::Amount& held) {
    TRIB_ASSERT(held >= hold.amount);
    held -= hold.amount;
  };
  lower(held_);
  if (hold.key == nullptr) return hold;
  lower(whole_.held);
  lower(hold.key->held);
  return hold;
}

bool Tenant::claim(const Hold::Place& place) {
  const std::lock_guard lock(mutex_);
  const auto at = holds_.find(place);
  if (at == holds_.end()) return false;
  at->second.claimed = true;
  return true;
}

bool Tenant::settle(const Hold::Place& place, const Hold::End& end) {
  TRIB_ASSERT(!end.charge.negative());
  const std::lock_guard lock(mutex_);
  const auto at = holds_.find(place);
  if (at == holds_.end()) return false;
  const OpenHold hold = take(at);
  balance_ -= end.charge;  // above the hold: an overrun, booked all the same
  if (hold.key != nullptr && !end.charge.zero()) {
    whole_.spent.add(end.wall_ms, end.charge);
    hold.key->spent.add(end.wall_ms, end.charge);
  }
  if (hold.key != nullptr && end.output) hold.key->lengths.add(*end.output);
  give_back(end.now_ns, hold.tokens, end.tokens_used);
  return true;
}

void Tenant::drop(const Hold::Place& place) {
  const std::lock_guard lock(mutex_);
  const auto at = holds_.find(place);
  if (at != holds_.end()) give_back(tokens_.at_ns, take(at).tokens, 0);
}

std::vector<RequestId> Tenant::expire(std::int64_t now_ns) {
  std::vector<RequestId> out;
  const std::lock_guard lock(mutex_);
  for (auto at = holds_.begin(); at != holds_.end() && at->first.first <= now_ns;) {
    const auto next = std::next(at);
    if (!at->second.claimed) {
      const OpenHold hold = take(at);
      give_back(now_ns, hold.tokens, 0);
      out.push_back(hold.id);
    }
    at = next;
  }
  return out;
}

void Tenant::give_back(std::int64_t now_ns, std::uint64_t tokens, std::uint64_t tokens_used) {
  if (limits_.tokens_per_minute == 0) return;
  refill(tokens_, now_ns, limits_.tokens_per_minute);
  tokens_.level += static_cast<double>(tokens) - static_cast<double>(tokens_used);
  tokens_.level = std::min(tokens_.level, static_cast<double>(limits_.tokens_per_minute));
}

std::optional<std::uint64_t> Tenant::expected_output(const Sha256& key) const {
  const std::lock_guard lock(mutex_);
  const auto found = keys_.find(key);
  if (hold_rule_ != config::HoldRule::estimate || found == keys_.end()) return std::nullopt;
  return found->second.lengths.p99();
}

void Tenant::credit(money::Amount amount) {
  const std::lock_guard lock(mutex_);
  balance_ += amount;
}

void Tenant::set_policy(const config::TenantConfig& config) {
  set_policy(config.privacy, config.limits);
  hedge_after_ms_.store(config.hedge_after_ms, std::memory_order_relaxed);
  priority_.store(config.priority, std::memory_order_relaxed);
  const std::lock_guard lock(mutex_);
  credit_ = config.credit;
  hold_rule_ = config.holds;
  whole_.budgets = config.budgets;
  for (auto& [digest, account] : keys_) account.budgets = {};
  for (const auto& key : config.keys) keys_[key.sha256].budgets = key.budgets;
}

void Tenant::set_policy(config::Privacy privacy, const config::TenantLimits& limits) {
  const std::lock_guard lock(mutex_);
  // A limit that is new, or was away, begins with its full burst.
  if (limits_.requests_per_minute == 0 || limits.requests_per_minute == 0)
    requests_.started = false;
  if (limits_.tokens_per_minute == 0 || limits.tokens_per_minute == 0) tokens_.started = false;
  privacy_ = privacy;
  limits_ = limits;
}

void Tenant::set_balance(money::Amount posted) {
  const std::lock_guard lock(mutex_);
  balance_ = posted;
}

void Tenant::spent_before(const Sha256& key, std::int64_t wall_ms, money::Amount amount) {
  const std::lock_guard lock(mutex_);
  whole_.spent.add(wall_ms, amount);
  keys_[key].spent.add(wall_ms, amount);
}

Tenant::View Tenant::view() const {
  const std::lock_guard lock(mutex_);
  return {id_, balance_, held_, static_cast<std::uint32_t>(holds_.size()), privacy_, limits_, credit_, hold_rule_};
}

void Tenant::list(const Account& account, const Sha256& key, bool of_key, std::int64_t wall_ms, std::vector<BudgetState>& out) {
  for (const auto& [span, limit] : {std::pair(Span::day, account.budgets.day), std::pair(Span::month, account.budgets.month)}) {
    if (limit.zero()) continue;
    out.push_back({of_key, key, span, limit, account.spent.in(span, wall_ms), account.held, span_end_ms(span, wall_ms)});
  }
}

std::vector<BudgetState> Tenant::budgets(std::int64_t wall_ms) const {
  std::vector<BudgetState> out;
  const std::lock_guard lock(mutex_);
  list(whole_, {}, false, wall_ms, out);
  for (const auto& [key, account] : keys_) list(account, key, true, wall_ms, out);
  return out;
}

config::Privacy Tenant::privacy() const {
  const std::lock_guard lock(mutex_);
  return privacy_;
}

}  // namespace trib::tenancy

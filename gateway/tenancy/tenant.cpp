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

Admission Tenant::admit(std::int64_t now_ns, std::uint64_t tokens, money::Amount hold) {
  TRIB_ASSERT(!hold.negative());
  const std::lock_guard lock(mutex_);
  const std::uint64_t rpm = limits_.requests_per_minute, tpm = limits_.tokens_per_minute;
  if (rpm != 0) {
    refill(requests_, now_ns, rpm);
    if (!enough(requests_, 1, rpm))
      return {Refused::requests_per_minute, wait_s(requests_, 1, rpm)};
  }
  if (tpm != 0) {
    refill(tokens_, now_ns, tpm);
    if (!enough(tokens_, tokens, tpm))
      return {Refused::tokens_per_minute, wait_s(tokens_, tokens, tpm)};
  }
  if (limits_.in_flight != 0 && in_flight_ >= limits_.in_flight) return {Refused::in_flight, 1};
  if (hold > balance_ - held_) return {Refused::balance, 0};
  if (rpm != 0) requests_.level -= 1;
  if (tpm != 0) tokens_.level -= static_cast<double>(tokens);
  ++in_flight_;
  held_ += hold;
  return {};
}

void Tenant::settle(std::int64_t now_ns, std::uint64_t tokens, std::uint64_t tokens_used,
                    money::Amount hold, money::Amount charge) {
  TRIB_ASSERT(!hold.negative() && !charge.negative());
  const std::lock_guard lock(mutex_);
  TRIB_ASSERT(in_flight_ > 0 && held_ >= hold);
  --in_flight_;
  held_ -= hold;
  balance_ -= charge;  // above the hold: an overrun, booked all the same
  if (limits_.tokens_per_minute == 0) return;
  refill(tokens_, now_ns, limits_.tokens_per_minute);
  tokens_.level += static_cast<double>(tokens) - static_cast<double>(tokens_used);
  tokens_.level = std::min(tokens_.level, static_cast<double>(limits_.tokens_per_minute));
}

void Tenant::credit(money::Amount amount) {
  const std::lock_guard lock(mutex_);
  balance_ += amount;
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

Tenant::View Tenant::view() const {
  const std::lock_guard lock(mutex_);
  return {id_, balance_, held_, in_flight_, privacy_, limits_};
}

config::Privacy Tenant::privacy() const {
  const std::lock_guard lock(mutex_);
  return privacy_;
}

}  // namespace trib::tenancy

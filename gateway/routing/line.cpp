#include "gateway/routing/line.h"

#include <algorithm>

#include "gateway/base/base.h"

namespace trib::routing {
namespace {

constexpr std::int64_t second_ms = 1'000;
constexpr std::int64_t ms = 1'000'000;

// What a token costs on the counter: a high one a quarter of a normal one.
std::uint64_t cost(Priority priority) {
  switch (priority) {
    case Priority::low: return 16;
    case Priority::normal: return 4;
    case Priority::high: return 1;
  }
  return 4;
}

}  // namespace

Line::Flows::iterator Line::flow_of(const Entry& entry) {
  const auto [at, fresh] = flows_.try_emplace(Key{std::string(entry.tenant), entry.priority});
  if (fresh) forget_idle();
  return at;
}

// Idle flows that are behind the line lose nothing by being forgotten; ahead of it they would lose
// their debt, so those go last, the smallest first.
void Line::forget_idle() {
  if (flows_.size() <= flows_max + limits_.length_max) return;
  auto victim = flows_.end();
  for (auto at = flows_.begin(); at != flows_.end(); ++at) {
    if (!at->second.tickets.empty()) continue;
    if (victim == flows_.end() || at->second.counter < victim->second.counter) victim = at;
  }
  if (victim != flows_.end()) flows_.erase(victim);
}

Line::Place Line::enter(const Entry& entry, std::int64_t now_ns) {
  Place place;
  const auto allowed = std::min(limits_.wait_ns_max, entry.deadline_ns - now_ns);
  const auto wait = wait_ns(entry.tenant, entry.priority, now_ns);
  const auto flow = flow_of(entry);
  const bool full = waiting_.size() >= limits_.length_max;
  if (limits_.length_max == 0 || allowed <= 0 || wait > allowed ||
      (full && (place.pushed_out = push_out_for(flow->second.tickets.size())) == 0)) {
    place.retry_after_ms = retry_after_ms(entry.tenant, entry.priority, now_ns);
    return place;
  }
  if (waiting_.empty()) mark_ns_ = now_ns;
  auto& tickets = flow->second.tickets;
  if (tickets.empty()) {  // who was away has saved nothing up
    const auto least = active_.empty() ? virtual_ : (*active_.begin())->second.counter;
    flow->second.counter = std::max(flow->second.counter, least);
    flow->second.floor = least;
    active_.insert(flow);
  }
  place.ticket = ++last_ticket_;
  tickets.push_back(place.ticket);
  const auto deadline = now_ns + allowed;
  waiting_.emplace(place.ticket, Waiting{flow, deadline, std::max<std::uint64_t>(1, entry.tokens)});
  deadlines_.emplace(deadline, place.ticket);
  TRIB_ASSERT(waiting_.size() <= limits_.length_max);
  return place;
}

// One tenant may not fill the line for all others: 0 when nobody holds more than one above `own`.
Line::Ticket Line::push_out_for(std::size_t own) {
  const Flow* longest = nullptr;
  for (const auto& flow : active_)
    if (longest == nullptr || flow->second.tickets.size() > longest->tickets.size()) longest = &flow->second;
  if (longest == nullptr || longest->tickets.size() <= own + 1) return 0;
  const auto ticket = longest->tickets.back();
  take_out(ticket);
  return ticket;
}

void Line::take_out(Ticket ticket) {
  const auto found = waiting_.find(ticket);
  TRIB_ASSERT(found != waiting_.end());
  const auto flow = found->second.flow;
  deadlines_.erase({found->second.deadline_ns, ticket});
  waiting_.erase(found);
  auto& tickets = flow->second.tickets;
  tickets.erase(std::find(tickets.begin(), tickets.end(), ticket));
  if (tickets.empty()) active_.erase(flow);
}

void Line::leave(Ticket ticket) {
  if (waiting_.contains(ticket)) take_out(ticket);
}

std::optional<Line::Ticket> Line::expired(std::int64_t now_ns) {
  if (deadlines_.empty() || deadlines_.begin()->first > now_ns) return std::nullopt;
  const auto ticket = deadlines_.begin()->second;
  take_out(ticket);
  return ticket;
}

// Charges before the flow is looked at again, so that its place in the order is true.
void Line::served(Flows::iterator flow, std::uint64_t tokens, std::int64_t now_ns) {
  virtual_ = std::max(virtual_, flow->second.counter);
  const bool waits = active_.erase(flow) > 0;
  flow->second.counter += tokens * cost(flow->first.second);
  if (waits) active_.insert(flow);
  const auto gap = std::max<std::int64_t>(1, now_ns - mark_ns_);
  drained_ns_ = drained_ns_ == 0 ? gap : std::max<std::int64_t>(1, drained_ns_ + (gap - drained_ns_) / 8);
  mark_ns_ = now_ns;
}

void Line::correct(std::string_view tenant, Priority priority, std::uint64_t charged, std::uint64_t actual) {
  const auto flow = flows_.find(Key{std::string(tenant), priority});
  if (flow == flows_.end() || charged == actual) return;
  const bool waits = active_.erase(flow) > 0;
  auto& counter = flow->second.counter;
  if (actual > charged) {
    counter += (actual - charged) * cost(priority);
  } else if (counter > flow->second.floor) {
    counter -= std::min((charged - actual) * cost(priority), counter - flow->second.floor);
  }
  if (waits) active_.insert(flow);
}

void Line::pump(std::int64_t now_ns, const std::function<bool(Ticket)>& serve) {
  int misses = 0;
  auto at = active_.begin();
  while (at != active_.end() && misses < misses_max) {
    const auto flow = *at;
    Ticket taken = 0;
    for (std::size_t i = 0; i < std::min<std::size_t>(flow->second.tickets.size(), tries_a_flow) && misses < misses_max; ++i) {
      if (serve(flow->second.tickets[i])) {
        taken = flow->second.tickets[i];
        break;
      }
      ++misses;
    }
    if (taken == 0) {
      ++at;
      continue;
    }
    misses = 0;
    const auto tokens = waiting_.at(taken).tokens;
    take_out(taken);
    served(flow, tokens, now_ns);
    at = active_.begin();
  }
}

// A line that stands still is slower than it was: the silence counts once it is far beyond the usual.
std::int64_t Line::interval_ns(std::int64_t now_ns) const {
  if (drained_ns_ == 0) return 0;
  return waiting_.empty() ? drained_ns_ : std::max(drained_ns_, (now_ns - mark_ns_) / 4);
}

// Ahead of one more entry stand those of its own flow, and of each other flow as many as are served
// before the same count of its own.
std::int64_t Line::wait_ns(std::string_view tenant, Priority priority, std::int64_t now_ns) const {
  const Flows::const_iterator found = flows_.find(Key{std::string(tenant), priority});
  const std::size_t own = found == flows_.end() ? 0 : found->second.tickets.size();
  std::uint64_t ahead = own;
  for (const auto& flow : active_) {
    if (Flows::const_iterator(flow) == found) continue;
    const auto turns = (own + 1) * cost(priority) / cost(flow->first.second) + 1;
    ahead += std::min<std::uint64_t>(flow->second.tickets.size(), turns);
  }
  return static_cast<std::int64_t>(ahead + (waiting_.empty() ? 0 : 1)) * interval_ns(now_ns);
}

std::int64_t Line::retry_after_ms(std::string_view tenant, Priority priority, std::int64_t now_ns) const {
  if (drained_ns_ == 0) return std::max(second_ms, limits_.wait_ns_max / ms);  // nothing is known
  const auto wait = wait_ns(tenant, priority, now_ns);
  // Until so many have gone that a wait would be allowed again; and a full line must lose one.
  return std::max({second_ms, (wait - limits_.wait_ns_max) / ms, interval_ns(now_ns) / ms});
}

}  // namespace trib::routing

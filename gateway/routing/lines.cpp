#include "gateway/routing/lines.h"

#include <algorithm>
#include <utility>

namespace trib::routing {

Waiter::~Waiter() {
  if (lines_ != nullptr) lines_->leave(*this);
}

bool Lines::any(const std::string& model) const {
  if (waiting_ == 0) return false;
  const auto found = lines_.find(model);
  return found != lines_.end() && !found->second.line.empty();
}

std::optional<std::int64_t> Lines::wait(Waiter& waiter, const std::string& model, const Line::Entry& entry, std::int64_t now_ns) {
  if (loop_ == nullptr) return 0;
  TRIB_ASSERT(waiter.lines_ == nullptr);
  auto& one = lines_.try_emplace(model, One{Line(limits_), {}}).first->second;
  const auto place = one.line.enter(entry, now_ns);
  if (place.pushed_out != 0) send_away(one, place.pushed_out, now_ns);
  if (place.ticket == 0) return place.retry_after_ms;
  waiter.lines_ = this;
  waiter.line_ = &one.line;
  waiter.ticket_ = place.ticket;
  waiter.asked_ = std::max<std::uint64_t>(1, entry.tokens);
  one.waiters.emplace(place.ticket, &waiter);
  ++waiting_;
  ask_soon();  // another worker may have freed something, or this one can do with what the first cannot
  return std::nullopt;
}

void Lines::leave(Waiter& waiter) {
  if (waiter.lines_ == nullptr) return;
  waiter.lines_ = nullptr;
  if (waiter.ticket_ == 0) {
    for (auto& told : told_)
      if (told.waiter == &waiter) told.waiter = nullptr;
    return;
  }
  waiter.line_->leave(waiter.ticket_);
  for (auto& [model, one] : lines_)
    if (&one.line == waiter.line_) one.waiters.erase(waiter.ticket_);
  --waiting_;
}

void Lines::ended(Waiter& waiter, const std::string& model, std::string_view tenant, Priority priority, std::uint64_t tokens) {
  const std::uint64_t charged = std::exchange(waiter.charged_, 0);
  if (charged == 0) return;  // it has not waited
  if (const auto found = lines_.find(model); found != lines_.end()) found->second.line.correct(tenant, priority, charged, tokens);
}

void Lines::freed() {
  if (waiting_ > 0) ask_soon();
}

void Lines::ask_soon() {
  if (std::exchange(posted_, true)) return;
  loop_->post([this] { pump(); });
}

// Out of its line already; told from the loop.
void Lines::send_away(One& one, Line::Ticket ticket, std::int64_t now_ns) {
  const auto found = one.waiters.find(ticket);
  auto& waiter = *found->second;
  one.waiters.erase(found);
  --waiting_;
  waiter.ticket_ = 0;
  told_.push_back({&waiter, std::max<std::int64_t>(1000, one.line.retry_after_ms({}, Priority::normal, now_ns))});
}

void Lines::pump() {
  posted_ = false;
  const auto now_ns = loop_->wheel().now_ns();
  for (auto& [model, one] : lines_) {
    while (const auto ticket = one.line.expired(now_ns)) send_away(one, *ticket, now_ns);
    one.line.pump(now_ns, [&](Line::Ticket ticket) {
      const auto found = one.waiters.find(ticket);
      auto& waiter = *found->second;
      if (!waiter.on_asked()) return false;
      waiter.charged_ += waiter.asked_;
      one.waiters.erase(found);
      --waiting_;
      waiter.ticket_ = 0;
      told_.push_back({&waiter, std::nullopt});
      return true;
    });
  }
  while (!told_.empty()) {  // whoever is told may come back into a line, leave, or end others
    const auto told = told_.front();
    told_.pop_front();
    if (told.waiter == nullptr) continue;
    told.waiter->lines_ = nullptr;
    if (told.retry_after_ms) {
      told.waiter->on_sent_away(*told.retry_after_ms);
    } else {
      told.waiter->on_turn();
    }
  }
  if (waiting_ > 0) loop_->wheel().arm(timer_, now_ns + every_ns);
}

}  // namespace trib::routing

// Going on elsewhere: a stream that broke after bytes went out is taken up by another site from exactly
// where its text stopped. What is sent stays sent: id, created, model and role are those of the first
// attempt, the billed count is the sum of what each site delivered, and the seam is an SSE comment.
//
// The text is followed as the customer gets it, by whole pieces of the engine: a piece that was cut is
// dropped and made anew. Where the text is not all that was said (reasoning, a tool call), or the answer
// hangs on state that text does not carry (engines::continue_body), nothing is guessed: the stream ends in
// a typed error.
#include <algorithm>

#include "gateway/exchange/steps.h"

namespace trib::exchange {
namespace {

constexpr std::int64_t text_step_bytes = 4096;  // in which followed text is counted against limits.buffers
constexpr std::size_t looks_max = 16;           // sites that are looked at for one seam

}  // namespace

// The event's own text has been appended to text_ already.
void Exchange::follow(const engines::AnswerFacts& facts) {
  if (!followed_) return;
  bool fits = text_.size() <= order_.terms->limits.unary_hold_bytes;
  while (fits && static_cast<std::int64_t>(text_.size()) > text_held_) {
    fits = world_.hold_bytes(text_step_bytes);
    if (fits) text_held_ += text_step_bytes;
  }
  // A tool call may still come to nothing but a name, and reasoning is no part of what is sent back.
  if (fits && !facts.beside && !facts.tool_call) return;
  followed_ = false;
  text_ = {};
  world_.hold_bytes(-std::exchange(text_held_, 0));
}

bool Exchange::may_go_on(const Fault& fault) const {
  return stream_ && followed_ && !text_.empty() && finishes_ == 0 && fault.retry == Retry::elsewhere &&
         seams_ < order_.terms->continuations && !engines::half_stopped(order_.body, text_);
}

// False: nobody can, and nothing was changed but the books of the broken attempt.
bool Exchange::go_on(const Fault& fault) {
  if (!may_go_on(fault)) return false;
  const std::uint64_t limit = order_.facts.tokens_max.value_or(order_.context);
  const std::uint64_t delivered = before_pieces_ + pieces_;
  if (delivered >= limit) return false;  // it may have been whole; the count is not exact enough to say so
  const auto left = static_cast<std::uint32_t>(limit - delivered);

  std::vector<std::string> passed = excluded_;
  passed.push_back(offer_->site);
  for (std::size_t look = 0; look < looks_max; ++look) {
    const auto choice = choose(passed, true);
    if (choice.offer == nullptr) return false;
    engines::GoingOn way(order_.body, order_.facts, text_, left, choice.offer->engine_model, choice.offer->can,
                         choice.offer->ways_left(now()));
    if (way.way() == fleet::ContinueMode::none) {
      tell_router_of(choice.offer, {FaultKind::outrun, Side::none, Retry::never, {}}, 0);  // it was not asked
      passed.push_back(choice.offer->site);
      continue;
    }
    if (seam_shown_) broken_ns_ = last_byte_ns_;
    excluded_.push_back(offer_->site);
    leave_seam();
    ++seams_;
    world_.figures().continuations.add();
    if (!begin_attempt(choice.offer)) return true;
    steps_ = std::make_unique<Steps>(*this, std::move(way));
    steps_->next();
    return true;
  }
  return false;
}

// The broken attempt keeps what it delivered; the next begins with nothing of it but the text.
void Exchange::leave_seam() {
  if (pieces_ > pieces_noted_) note_progress_now();  // a crash during the seam must not lose it
  result().delivered = pieces_;
  before_pieces_ += pieces_;
  before_bytes_ += bytes_;
  if (!first_claim_ && seams_ == 0 && usage_ == engines::UsageState::valid) first_claim_ = claimed_;
  std::string id = std::move(id_), created = std::move(created_);
  forget_attempt();
  id_ = std::move(id);
  created_ = std::move(created);
  seam_shown_ = false;
}

// A later attempt failed before its bytes could leave: they are as if they had never come.
void Exchange::drop_uncleared() {
  if (text_.size() > text_sent_) text_.resize(text_sent_);
  held_.clear();
  pieces_ = bytes_ = finishes_ = 0;
  seam_shown_ = false;
}

}  // namespace trib::exchange

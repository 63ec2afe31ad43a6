// How fast an offer is: smoothed figures of its own attempts, and what to believe where it has none.
// All times are those of the idle machine: a sample is divided by the load it was taken under, and an
// estimate is multiplied by the load of the moment (1 at idle, 2 when every slot is taken).
// Integers and relaxed atomics; any thread.
#pragma once
#include <cstdint>

#include "gateway/fleet/fleet.h"

namespace trib::routing {

struct Speed {
  std::uint32_t token_us = 20'000;      // between two tokens
  std::uint32_t first_us = 500'000;     // to the first token
  std::uint32_t answer_tokens = 300;    // a whole answer
};

struct Sample {  // of one attempt; 0: not known
  std::int64_t first_ns = 0;    // dispatch to the first token
  std::int64_t rest_ns = 0;     // the first token to the last
  std::uint64_t tokens = 0;     // delivered
  bool whole = false;           // it ended as it should: its length is an answer's
};

// Takes a sample in: an eighth of the way to it, the first one wholly. Fewer than four tokens say
// nothing of the time between tokens.
void learn(const fleet::Offer& offer, const Sample& sample, std::int64_t now_ns);

// What to reckon with: the neutral figures for a new machine, its own for one that is known, between
// them for few samples, and back towards neutral when it was silent for 5 to 30 minutes.
Speed believe(const fleet::OfferPace& pace, const Speed& neutral, std::int64_t now_ns);

// The machine said "full" while our own count had room: it is asked less, and recovers with each answer.
void refused(fleet::OfferPace& pace);

// Slots x tokens a second, halved with each refusal in a row (three times at most); never 0.
std::uint64_t weight(const fleet::Offer& offer, const Speed& speed);

// Microseconds until an answer of so many tokens would be whole, from the load of the moment.
std::uint64_t finish_us(const fleet::Offer& offer, const Speed& speed, std::uint64_t tokens);
// The part of it that goes to the first token.
std::uint64_t first_us(const fleet::Offer& offer, const Speed& speed);

}  // namespace trib::routing

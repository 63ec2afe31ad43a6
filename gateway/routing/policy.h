// A policy orders candidates that have passed every filter. Three ship, one file each under policies/;
// a fourth is one more file, a word in config::RoutingPolicy and a line in `policy_of`.
#pragma once
#include <cstdint>

#include "gateway/config/config.h"

namespace trib::routing {

struct Candidate {
  std::uint64_t finish_us = 0;     // expected, with the queue, the affinity's saving and the seat's life in it
  std::uint32_t supplier_ppm = 0;  // of what the customer pays: the supply side's part
};

class Policy {
 public:
  virtual ~Policy() = default;
  // How many candidates are drawn, by slots x speed; at most `draws_max`.
  virtual unsigned draws() const = 0;
  virtual bool better(const Candidate& a, const Candidate& b) const = 0;
};

constexpr unsigned draws_max = 8;

const Policy& policy_of(config::RoutingPolicy name);
const Policy& balanced();
const Policy& cheapest();
const Policy& fastest();

}  // namespace trib::routing

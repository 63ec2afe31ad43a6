// The supplier with the smallest part of the price; among equals the sooner finish. More draws than the
// others, because a cheap one that is not drawn cannot be taken.
#include <tuple>

#include "gateway/routing/policy.h"

namespace trib::routing {
namespace {

class Cheapest final : public Policy {
  unsigned draws() const override { return draws_max; }
  bool better(const Candidate& a, const Candidate& b) const override {
    return std::tie(a.supplier_ppm, a.finish_us) < std::tie(b.supplier_ppm, b.finish_us);
  }
};

}  // namespace

const Policy& cheapest() {
  static const Cheapest policy;
  return policy;
}

}  // namespace trib::routing

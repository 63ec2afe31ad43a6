#include "gateway/routing/policy.h"

namespace trib::routing {

const Policy& policy_of(config::RoutingPolicy name) {
  switch (name) {
    case config::RoutingPolicy::balanced:
      return balanced();
    case config::RoutingPolicy::cheapest:
      return cheapest();
    case config::RoutingPolicy::fastest:
      return fastest();
  }
  return balanced();
}

}  // namespace trib::routing

// How far a site has come: only an active one earns.
#pragma once
#include <string_view>

namespace trib::fleet {

enum class SiteState { invited, probation, active, suspended, revoked };
std::string_view name(SiteState state);

}  // namespace trib::fleet

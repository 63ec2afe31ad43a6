// The site's agent: the other program. It dials the gateway from behind NAT, offers what the site's
// engines serve and forwards the gateway's requests to them. Needs no port open.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "gateway/config/config.h"
#include "gateway/fleet/fleet.h"

namespace trib::agent {

// What the site claims to have, beside `devices.manual` of the configuration. Asked once, at start.
using DeviceSource = std::function<std::vector<fleet::DeviceClaim>()>;

// Runs until SIGTERM or SIGINT, then lets open requests end for up to 30 s. Prints
// "ready gateway=https://HOST:PORT site=ID" on standard output when the gateway has welcomed it for
// the first time. Returns the exit code; errors go to standard error, one line.
int run_agent(const config::AgentConfig& config, const DeviceSource& devices = {});

// Makes the key pair in the state folder, asks for a certificate with the one-time token and keeps
// it. Prints the site and the check words. Returns the exit code.
int enrol_agent(const std::string& token, const config::AgentConfig& config);

}  // namespace trib::agent

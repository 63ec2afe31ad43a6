// The connection that a site dialled, roles reversed: the gateway asks, the site answers. HTTP/2
// over any Stream (TLS 1.3 in production, pipes in simulation); docs: the protocol trib-h2r/1.
#pragma once
#include "gateway/tunnel/agent_end.h"
#include "gateway/tunnel/frames.h"
#include "gateway/tunnel/gateway_end.h"
#include "gateway/tunnel/hub.h"

#include "gateway/base/fault.h"

namespace trib {

std::string_view name(FaultKind kind) {
  switch (kind) {
    case FaultKind::none: return "none";
    case FaultKind::client_gone: return "client_gone";
    case FaultKind::client_stall: return "client_stall";
    case FaultKind::connect_refused: return "connect_refused";
    case FaultKind::connect_timeout: return "connect_timeout";
    case FaultKind::connect_failed: return "connect_failed";
    case FaultKind::reset_before_head: return "reset_before_head";
    case FaultKind::head_timeout: return "head_timeout";
    case FaultKind::first_token_timeout: return "first_token_timeout";
    case FaultKind::gap_timeout: return "gap_timeout";
    case FaultKind::total_timeout: return "total_timeout";
    case FaultKind::bad_head: return "bad_head";
    case FaultKind::bad_chunk: return "bad_chunk";
    case FaultKind::bad_event: return "bad_event";
    case FaultKind::bad_content_type: return "bad_content_type";
    case FaultKind::engine_error: return "engine_error";
    case FaultKind::status_client: return "status_client";
    case FaultKind::continuation_refused: return "continuation_refused";
    case FaultKind::status_config: return "status_config";
    case FaultKind::status_busy: return "status_busy";
    case FaultKind::status_server: return "status_server";
    case FaultKind::context_length: return "context_length";
    case FaultKind::cut: return "cut";
    case FaultKind::too_large: return "too_large";
    case FaultKind::bad_usage: return "bad_usage";
    case FaultKind::tunnel_lost: return "tunnel_lost";
    case FaultKind::reclaimed: return "reclaimed";
    case FaultKind::refused_stream: return "refused_stream";
    case FaultKind::outrun: return "outrun";
    case FaultKind::no_capacity: return "no_capacity";
    case FaultKind::draining: return "draining";
    case FaultKind::journal: return "journal";
    case FaultKind::internal: return "internal";
  }
  return "unknown";
}

std::string_view name(Side side) {
  switch (side) {
    case Side::none: return "none";
    case Side::client: return "client";
    case Side::site_network: return "site_network";
    case Side::site: return "site";
    case Side::seat: return "seat";
    case Side::device: return "device";
    case Side::engine: return "engine";
    case Side::gateway: return "gateway";
  }
  return "unknown";
}

std::string_view name(Retry retry) {
  switch (retry) {
    case Retry::never: return "never";
    case Retry::if_reused: return "if_reused";
    case Retry::elsewhere: return "elsewhere";
  }
  return "unknown";
}

}  // namespace trib

// The one error type of the data plane: what happened, on whose side, and whether it may be tried
// again elsewhere. No exceptions travel there.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace trib {

enum class Side : std::uint8_t { none, client, site_network, site, seat, device, engine, gateway };

enum class Retry : std::uint8_t {
  never,      // the answer would be the same, or bytes have been seen
  if_reused,  // only when the connection was a pooled one that had died
  elsewhere,  // another site may do better
};

enum class FaultKind : std::uint8_t {
  none,
  client_gone,          // the customer closed or reset
  client_stall,         // the customer took no byte within deadlines.stall
  connect_refused,
  connect_timeout,
  connect_failed,       // no route, name not resolved, TLS refused
  reset_before_head,
  head_timeout,         // accepted, then silence until first_token
  first_token_timeout,  // a head, then no token
  gap_timeout,          // silence in mid-stream
  total_timeout,
  bad_head,
  bad_chunk,            // broken transfer coding
  bad_event,            // an event or body that is not what the content type says
  bad_content_type,
  engine_error,         // an error object inside a 200
  status_client,        // 4xx that the request earned
  continuation_refused, // by an engine that was to go on and cannot, whatever its record said: nobody's fault
  status_config,        // 401, 403, 404: the site's configuration
  status_busy,          // 429 or 503 of a full engine
  status_server,        // other 5xx
  context_length,
  cut,                  // ended without a finish
  too_large,            // an answer or event above its cap
  bad_usage,            // usage that cannot be
  tunnel_lost,
  reclaimed,            // the owner took the seat back: nobody's fault
  refused_stream,       // nothing ran: safe to repeat
  outrun,               // of a hedged request: another attempt spoke first
  no_capacity,
  draining,
  journal,              // the usage journal could not take a record
  internal,
};

struct Fault {
  FaultKind kind = FaultKind::none;
  Side side = Side::none;
  Retry retry = Retry::never;
  std::string detail;  // for the trace and the log; never a prompt, an answer or a key

  explicit operator bool() const { return kind != FaultKind::none; }
  friend bool operator==(const Fault&, const Fault&) = default;
};

std::string_view name(FaultKind kind);  // "connect_refused": stable, used in metrics and records
std::string_view name(Side side);
std::string_view name(Retry retry);

}  // namespace trib

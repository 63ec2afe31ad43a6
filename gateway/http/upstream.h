// A call to an engine, over a pooled HTTP/1.1 connection or a stream in a site's tunnel: whoever
// makes the call cannot tell which.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/base/base.h"
#include "gateway/http/head.h"

namespace trib::http {

struct CallRequest {
  std::string method = "POST";
  std::string path;               // with the engine's base path
  std::string_view content_type;  // empty: none; outlives the call
  std::string body;               // moved in; one buffer
  std::string accept;             // empty: */*
  // Attempt headers of a tunnelled site; durations in ms, never wall times. Ignored when dialled.
  std::string attempt;            // ULID-like, never reused
  std::int64_t deadline_ms = 0;   // to the answer's head
  std::int64_t gap_ms = 0;
};

// Receives one call's answer, on the caller's thread. After on_end or on_fault nothing more comes.
// A handler may destroy the call from within any of these.
class CallEvents {
 public:
  virtual void on_head(const ResponseHead& head) = 0;    // views valid during the call only
  virtual void on_body(std::string_view bytes) = 0;      // in order, transfer coding removed
  virtual void on_end() = 0;                             // complete, by its framing
  virtual void on_fault(const Fault& fault) = 0;         // not complete, or never begun

 protected:
  ~CallEvents() = default;
};

// Destroying the call before its end cancels it: the engine sees the connection or stream close.
class Call {
 public:
  virtual ~Call() = default;
  // Stops and restarts the flow of on_body. At most one read (or the stream's window) still comes
  // after pause. Credit for what has been delivered is given back only while not paused.
  virtual void pause() = 0;
  virtual void resume() = 0;
  // True once bytes of the request have left on a connection: it may not be repeated at this site.
  virtual bool sent() const = 0;
};

}  // namespace trib::http

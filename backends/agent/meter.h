// Reads along what an engine answers to one attempt, and says at the end what it served: the site's own
// meter, which believes neither the gateway nor the agent's other parts. Holds at most an event or 1 MiB of
// a body. One thread. Room-private.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "gateway/base/base.h"
#include "gateway/http/http.h"
#include "gateway/ledger/ledger.h"

namespace trib::agent {

class Meter {
 public:
  // None: not a customer's attempt on a path that serves tokens ("REQUEST-N" is its name).
  static std::optional<Meter> of(std::string_view attempt, std::string_view path, std::string model, const Clock& clock);

  void head(int status, std::string_view content_type);
  void body(std::string_view bytes);
  ledger::Receipt finish(ledger::Served served);

 private:
  Meter(const RequestId& request, std::uint16_t attempt, std::string model, const Clock& clock);
  void read_event(std::string_view data);
  void read_whole();

  static constexpr std::size_t body_bytes_max = 1u << 20;
  static constexpr std::size_t tail_bytes = 64u << 10;  // of a larger body; its usage stands at its end
  const Clock* clock_;
  ledger::Receipt receipt_;
  std::optional<http::SseScanner> events_;  // a stream
  std::string held_;                        // a body
  bool whole_ = true;                       // held_ is all of it
};

}  // namespace trib::agent

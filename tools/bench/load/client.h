// The load: one thread, one epoll loop, HTTP/1.1 connections kept alive. Three kinds of run:
//   closed   N connections, each with one request after another (saturation)
//   open     requests at a fixed rate; latency runs from the scheduled time, so a stall is not
//   hidden streams  S streams open at a time, each begun anew when it ends
// Only what happens inside the window (after the warm-up) is counted.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tools/bench/load/histogram.h"

namespace trib::bench {

struct Plan {
  enum class Kind : std::uint8_t { closed, open, streams } kind = Kind::closed;
  std::string host = "127.0.0.1";
  std::uint16_t port = 0;
  std::string request;        // head and body, ready to send
  unsigned connections = 32;  // of `open`: the most; further requests wait for one
  double rate_per_s = 1000;   // of `open`
  std::int64_t tokens = 0;    // a whole stream has so many
  double warm_s = 1;
  double window_s = 5;
  double ramp_s = 0;         // of `streams`: the connections are opened over so long
  std::vector<int> watched;  // processes whose CPU time in the window is read
};

struct Cpu {
  double user_s = 0;
  double system_s = 0;
};

struct Outcome {
  double window_s = 0;
  std::int64_t requests = 0;  // ended within the window, with status 200 and whole
  std::int64_t errors = 0;    // other statuses, broken answers, connections lost
  std::int64_t late = 0;      // of `open`: scheduled but never sent
  std::int64_t events = 0;    // of streams
  std::int64_t tokens = 0;
  std::int64_t reads = 0;         // that brought at least one event
  std::int64_t broken_order = 0;  // streams with a token lost, doubled or out of order
  std::string first_error;
  Histogram latency;  // whole answers
  Typical typical;    // of the same
  Histogram first;    // to the first event of a stream
  Histogram gaps;     // between the tokens of a stream
  Cpu self;
  Cpu watched;
};

// Halfway through the warm-up, as the window opens, and after it has closed. What a reader of the first does is over
// before the window opens, of which it would be a part on a machine with few cores.
enum class Mark { warm, open, closed };

// `at_mark`, when not null, is called on the thread that makes the load.
Outcome run(const Plan& plan, void (*at_mark)(Mark mark));

Cpu cpu_of(const std::vector<int>& pids);  // user and system time up to now

}  // namespace trib::bench

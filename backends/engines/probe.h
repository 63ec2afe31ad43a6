// Finding out what an engine is. Each step is one small request that generates nothing; answers are
// bounded and untrusted. The order is cheap and certain first. One proof decides, and what others are
// known by is asked no more; of mere hints two must agree. Nothing matched: the generic dialect.
#pragma once
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/fleet/fleet.h"

namespace trib::engines {

inline constexpr std::size_t probe_bytes_max = 64u << 10;  // of an answer; what comes after is not needed
inline constexpr std::int64_t probe_step_ms = 2'000;

struct Dialect;

// What the answers said so far, as one dialect reads them.
struct Findings {
  fleet::Capabilities can;
  // Tokens of the same conversation, its last turn left open and closed; 0: it did not say.
  std::uint32_t open_turn = 0, closed_turn = 0;
};

// Drives one probe: while `next()` gives a path, ask for it (GET, or POST of `body()` as JSON where
// there is one) and hand the answer to `answer` (status 0: none came). Then read the results.
class Probe {
 public:
  std::string_view next() const;  // empty: done
  std::string_view body() const;  // of that step
  void answer(int status, std::string_view body);

  bool reachable() const { return reachable_; }
  const fleet::Capabilities& found() const { return found_; }
  const std::vector<std::string>& models() const { return models_; }

 private:
  static constexpr std::size_t candidates_max = 8;
  struct Candidate {
    unsigned hints = 0;
    bool metrics = false;  // its names stand on the metrics page
    Findings found;
  };
  void read_json(std::string_view question, std::string_view body);
  void read_metrics(std::string_view page);
  void believe();
  bool wanted(std::size_t step) const;
  void prepare();
  void conclude();

  std::size_t step_ = 0;
  std::string body_;
  bool reachable_ = false;
  const Dialect* known_ = nullptr;
  std::array<Candidate, candidates_max> candidates_;
  std::uint32_t context_ = 0;  // as the list of models says
  fleet::Capabilities found_;
  std::vector<std::string> models_;
};

}  // namespace trib::engines

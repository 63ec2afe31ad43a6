// What only an answer shows: one bad request, whose refusal shows how errors look, and one generation of a
// single token as customers' requests come, streamed and with usage asked for, that has to go on from a given
// beginning in the middle of a word. It settles whether usage comes, whether max_tokens is read, and whether and
// how the chat route goes on. Once an engine, version and model: a partner's power is not ours to burn. What is
// not shown stays as the dialect's table has it. Sans-I/O; answers are untrusted.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "gateway/fleet/fleet.h"

namespace trib::engines {

inline constexpr std::size_t trial_models_max = 16;  // of an engine

// What a trial has shown of one model; what is missing was not shown.
struct Shown {
  fleet::ErrorShape error_shape = fleet::ErrorShape::unknown;
  std::optional<bool> usage_in_stream;
  std::optional<bool> goes_on;  // by the chat route; `mode` says how
  fleet::ContinueMode mode = fleet::ContinueMode::none;
  std::optional<fleet::LengthField> length_field;

  fleet::Capabilities onto(fleet::Capabilities can) const;
};

class Trial {
 public:
  // `model`: the engine's name for it. `error_shape`: known already, and not asked for again.
  Trial(std::string_view model, const fleet::Capabilities& can, fleet::ErrorShape error_shape);

  // The next request, to POST; empty: done.
  std::string_view path() const;
  const std::string& body() const { return body_; }
  bool generates() const { return ask_ != Ask::error; }  // else it has probe_step_ms
  // No more of the answer is needed: the call may be given up.
  bool enough(std::string_view answer_so_far) const;
  void answer(int status, std::string_view body);  // status 0: none came

  const Shown& shown() const { return shown_; }
  std::string_view outcome() const { return outcome_; }  // for the log

 private:
  enum class Ask : std::uint8_t { error, flagged, bare, fresh, done };
  void next();
  void prepare();
  void read_stream(std::string_view body);

  const std::string model_;
  const fleet::Capabilities can_;
  Ask ask_ = Ask::error;
  std::string body_;
  bool refused_ = false;  // a way of going on was
  Shown shown_;
  std::string_view outcome_ = "no answer";
};

fleet::ErrorShape error_shape_of(std::string_view body);

}  // namespace trib::engines

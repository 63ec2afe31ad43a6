// The shapes in which the scripted engine answers: those of vLLM, of llama.cpp's server, and
// OpenAI's own for `generic`. Pure text building; the caller owns every buffer.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tools/fakes/engine/request.h"
#include "tools/fakes/engine/script.h"

namespace trib::fake {

enum class Dialect : std::uint8_t { generic, vllm, llamacpp };
bool dialect_of(std::string_view name, Dialect& to);

struct Usage {
  std::int64_t prompt = 0;
  std::int64_t completion = 0;
  std::int64_t cached = 0;
};

// One answer's shape: the parts of an event that do not change are built once.
class Shape {
 public:
  Shape(Dialect dialect, Call::Kind kind, std::string_view id, std::int64_t created_s,
        std::string_view model);

  // Events without their "data: " and blank line.
  void role(std::string& out) const;  // chat only: the first delta
  void delta(std::string_view text, std::string& out) const;
  void finish(std::string_view reason, std::string& out) const;
  // `usage_text` is a JSON value, or empty to leave the member out.
  void usage(std::string_view usage_text, std::string& out) const;
  // The body of an answer that is not streamed.
  void whole(std::string_view text, std::string_view reason, std::string_view usage_text,
             std::string& out) const;

 private:
  void open(std::string_view object, std::string& out) const;  // up to the choices
  void close(std::string& out) const;                          // after the choices
  Dialect dialect_;
  bool chat_;
  std::string id_;
  std::int64_t created_s_;
  std::string model_;   // escaped
  std::string before_;  // of a delta's text
  std::string after_;
};

// The claim about tokens as a JSON value, true or as the fault has it; empty when it is missing.
std::string usage_text(Dialect dialect, const Usage& usage, const Script& script);

struct Refusal {
  int status = 400;
  std::string_view type = "invalid_request_error";
  std::string_view code;  // OpenAI's text code; empty is null
  std::string message;
  std::int64_t n_prompt = -1;  // of a prompt that is too long
  std::int64_t n_ctx = -1;
};
std::string error_body(Dialect dialect, bool flat, const Refusal& refusal);

std::string models_body(Dialect dialect, const std::vector<std::string>& models,
                        std::int64_t context, std::int64_t created_s);
std::string embeddings_body(const Call& call, const Script& script);

struct Load {
  std::int64_t slots = 0;
  std::int64_t running = 0;
  std::int64_t waiting = 0;
  std::int64_t context = 0;
  std::int64_t prompt_tokens = 0;  // since the start
  std::int64_t tokens = 0;
};
std::string props_body(const Load& load, std::string_view model);
std::string slots_body(const Load& load);
std::string metrics_body(Dialect dialect, const Load& load, std::string_view model);

std::string_view reason_phrase(int status);

}  // namespace trib::fake

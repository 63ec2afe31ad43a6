// Going on from where a broken answer stopped. Pure.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "backends/engines/request.h"

namespace trib::engines {

struct Continuation {
  std::string path;
  std::string body;
};

// The request that makes an engine go on from `delivered_text`: the assistant's text so far, decoded, cut
// where a whole piece ended; text alone, no reasoning and no tool call among it. `facts` are those of
// `customer_body`; `tokens_left` takes the place of its length limit, or
// is one for engines that would go on without end. The engine's answer holds new text
// alone; its prompt tokens count the delivered text as well.
// None where it cannot be done honestly: not a stream, no text, no tokens left, no mode that fits, several choices,
// log probabilities or ids asked for, a grammar, a forced tool or tools that the engine lacks, a last turn
// that is the assistant's already, a prompt that is not one string.
std::optional<Continuation> continue_body(std::string_view customer_body, const RequestFacts& facts,
                                          std::string_view delivered_text, std::uint32_t tokens_left,
                                          std::string_view engine_model, const fleet::Capabilities& can);

// Does the text end in the beginning of one of the request's stop sequences? Then whoever goes on from it
// could not know that the sequence had begun.
bool half_stopped(std::string_view customer_body, std::string_view delivered_text);

}  // namespace trib::engines

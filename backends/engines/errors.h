// What an engine's refusal means, whatever its shape (nested, flat, TGI's, plain text), and what of its
// words may be told to the customer. Pure; bodies are untrusted and bounded.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "gateway/base/base.h"

namespace trib::engines {

struct ErrorFacts {
  std::string message;   // for the customer: without hosts, paths and words about chips
  std::string type, code;
  std::string original = {};  // as the engine wrote it, for the trace
  std::optional<std::uint32_t> tokens_asked = {}, tokens_max = {};  // of a request that is too long, where told
};
ErrorFacts read_error(std::string_view body);

// The fault of an engine's HTTP error: whose it is, and whether another engine may do better.
Fault classify_status(int status, const ErrorFacts& error);

// `text` with host names, addresses, paths and words about chips taken out. Valid UTF-8 stays valid.
std::string passable(std::string_view text);

}  // namespace trib::engines

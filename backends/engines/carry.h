// What of a customer's request can be carried over to an engine that goes on with its answer. Room-private.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "backends/engines/body.h"

namespace trib::engines {

struct Scan {
  bool bound = false;        // something that cannot be carried over
  bool beyond_text = false;  // of chat: a message holds more than text
  Span messages;             // of chat
  Span last_message;
  std::string last_role;
  Span prompt;  // of completions, when it is one string; of chat, which has none, a member of that name
  Span continue_final, add_generation_prompt;  // the values, when they say what they say by default
  std::vector<Span> chat_only;  // values of members that are a chat request's alone
};

// False: not valid JSON.
bool scan(std::string_view body, Operation operation, Scan& out);

}  // namespace trib::engines

// The deterministic text of the scripted engine: piece i of a script is always the same bytes, so
// an answer can be continued from any whole prefix, by any engine, and checked by anybody.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "tools/fakes/engine/script.h"

namespace trib::fake {

// Appends piece `i` (from 1): "t1", then " t2", " t3"; with `utf8` also pieces of wider characters.
void piece(const Script& script, std::int64_t i, std::string& out);

struct Prefix {
  std::int64_t pieces = 0;  // whole or begun pieces that the text covers
  std::string rest;         // what is left of a piece that the text ends inside
  bool foreign = false;     // the text is not this script's; then pieces is 0
};
Prefix prefix_of(const Script& script, std::string_view text);

// Appends `text` as the inside of a JSON string.
void escape(std::string_view text, std::string& out);
// Words between blanks: what this engine calls a token of a prompt.
std::int64_t words_in(std::string_view text);
void append_number(std::int64_t value, std::string& out);

}  // namespace trib::fake

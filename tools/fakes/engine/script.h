// What the scripted engine is told to do with one request. A script is put together, later ones
// winning, from: the program's flags, a script posted to /fake/script, the words of the model name
// ("m.cut.at-40.tokens-60") and the JSON of a last user message that starts with "#script ".
// Values only; any thread.
#pragma once
#include <boost/json.hpp>
#include <cstdint>
#include <string>
#include <string_view>

namespace trib::fake {

// What goes wrong. "at" below is Script::at, the number of tokens delivered before the fault.
enum class Ill : std::uint8_t {
  none,
  // Before the response head.
  rate_limit,         // 429 with Retry-After
  rate_limit_bare,    // 429 without
  status,             // Script::status (a 5xx as a rule), body in the dialect's shape
  context_length,     // 400: the prompt is longer than the window
  filter_refusal,     // 400: refused by a content filter
  prefill_refused,    // 400, but only for a request that asks to continue a text, in whatever way
  reset_before_head,  // RST once the request is read
  close_before_head,  // FIN once the request is read
  silence,            // never answers
  bad_head,           // a status line that is none
  huge_head,          // 128 KiB of header fields
  both_framings,      // Content-Length and Transfer-Encoding in one head
  // In the answer.
  slow_first,          // the first token comes after first_ms (5 s unless told)
  silence_after_head,  // a 200 head, then nothing
  cut,                 // FIN after `at` tokens, no final chunk
  cut_reset,           // RST after `at` tokens
  cut_inside,          // FIN in the middle of an event
  stall,               // silent after `at` tokens for hold_ms (0: for ever), then goes on
  pings,               // as stall, but with SSE comments meanwhile
  bad_chunk,           // a chunk size that is no number
  bad_json,            // an event that is no JSON, then goes on
  bad_utf8,            // an event with a broken UTF-8 sequence, then goes on
  no_done,             // finish_reason but no [DONE]
  no_finish,           // [DONE] but no finish_reason
  no_end,              // neither, yet a clean final chunk
  content_filter,      // finish_reason content_filter after `at` tokens
  error_event,         // 200, and an error object: in the stream after `at` tokens, or as the body
  html,                // 200 with a page
  content_type,        // the right body under text/plain
  json_for_stream,     // a whole JSON answer although a stream was asked for
  oversize_event,      // one event of `bytes` bytes (2 MiB unless told)
  endless,             // tokens without end, as fast as they are taken
  endless_event,       // one event that never ends
  surplus,             // bytes after the body on a connection said to be kept alive
  stale,               // a whole answer with keep-alive, then FIN
  // In the claim.
  usage_missing,
  usage_wrong,  // completion_tokens + usage_delta (7 unless told)
  usage_negative,
  usage_huge,
  usage_zero,
  usage_null,
  usage_text,  // a string where a number belongs
  unknown,     // a name that is none: the request is answered with 400, so that a typo is seen
};

Ill ill_of(std::string_view name);
std::string_view name_of(Ill ill);

struct Script {
  Ill ill = Ill::none;
  Ill continued = Ill::none;     // in place of `ill`, for requests that continue a text
  std::int64_t tokens = 16;      // the whole answer, a continued prefix included
  std::int64_t interval_us = 0;  // between tokens
  std::int64_t first_us = -1;  // before the first token; -1: interval_us, as a token takes as long
  std::int64_t head_us = 0;    // before the head; a stream's head does not wait for the first token
  std::int64_t at = -1;        // tokens before the fault; -1: two thirds of the answer
  std::int64_t hold_us = 0;    // of a stall; 0 is for ever
  std::int64_t status = 500;
  std::int64_t retry_after = 2;  // seconds; 0: no such field
  std::int64_t bytes = 0;        // of an oversize event; 0 is 2 MiB
  std::int64_t usage_delta = 7;
  std::int64_t cached = 0;     // of the prompt tokens, said to come from the prefix cache
  std::int64_t per_event = 1;  // tokens in one event
  std::int64_t split = 0;      // >0: HTTP chunks of at most so many bytes, in place of one an event
  std::int64_t every = 1;      // the fault hits every k-th request of this script only
  std::int64_t times = 0;      // >0: the fault hits the first so many requests of this script only
  std::int64_t continued_times = 0;  // >0: `continued` hits the first so many only
  std::string refuses;         // ways of going on, of "chat ids text"
  bool utf8 = false;           // pieces with characters of two to four bytes
  bool only_fresh = false;     // the fault spares requests that continue a text
  bool close = false;          // Connection: close after the answer
  std::string mark = "t";      // stands in every piece: "t1 t2 t3"
  std::string key;             // counts `every` and `times`; empty: the script's own text
};

// Reads one member a key; an unknown key or wrong type gives false and says why. A member named as
// `engine` holds an object that applies to the engine of that name only.
bool apply(const boost::json::object& from, std::string_view engine, Script& to, std::string& why);
// Words of a model name, split at dots: a fault's name, or key-number ("at-40", "status-503").
// Words that are neither are part of the name.
void apply_model(std::string_view model, Script& to);

}  // namespace trib::fake

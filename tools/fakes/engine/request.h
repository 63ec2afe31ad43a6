// What the scripted engine reads: an HTTP/1.1 request out of a receive buffer, and an OpenAI body.
// It reads strictly enough to notice a proxy's mistake, and says which one. Pure functions.
#pragma once
#include <boost/json.hpp>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trib::fake {

struct Request {
  std::string_view method;
  std::string_view path;  // without the query
  std::string_view query;
  std::vector<std::pair<std::string_view, std::string_view>> fields;  // as they came
  std::string_view body;  // views into the buffer, or into `joined` when it came in chunks
  std::string joined;
  bool close = false;  // the peer wants the connection closed after the answer
  bool expects_continue = false;
  std::size_t size = 0;  // bytes of the buffer that belong to this request

  std::string_view field(std::string_view lower_name) const;
};

enum class Reading : std::uint8_t { more, complete, bad };
// Reads one request from the front of `bytes`. On `more`, `need_continue` in the request tells that
// the head is whole and the peer waits for "100 Continue". Bounds: head 256 KiB, body 64 MiB.
Reading read_request(std::string_view bytes, Request& to);

// A body of /v1/chat/completions, /v1/completions or /v1/embeddings.
struct Call {
  enum class Kind : std::uint8_t { chat, completion, embedding } kind = Kind::chat;
  std::string model;
  bool stream = false;
  bool include_usage = false;
  std::int64_t max_tokens = -1;    // -1: not said
  std::int64_t prompt_tokens = 0;  // words of the messages or the prompt, a continued text included
  std::int64_t inputs = 1;         // of an embedding request
  bool ends_with_assistant = false;  // the last message is the assistant's
  // Its text. Of a completion whose prompt begins with a script: what follows the script's line.
  std::string continued;
  bool by_ids = false;  // the prompt is one of ids
  bool continue_final = false;
  bool add_generation = true;
  std::string script;  // the JSON after "#script ", or empty
  // Whether it asks to go on after a text. Any prompt with a text behind its script does.
  bool goes_on() const {
    return kind == Kind::completion ? !continued.empty() : ends_with_assistant;
  }
};
// False for what an engine refuses with 400; `why` says it.
bool read_call(Call::Kind kind, std::string_view body, Call& to, std::string& why);

}  // namespace trib::fake

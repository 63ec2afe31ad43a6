// What the scripted engine saw, for tests that ask it for the verdict. One owner, one thread;
// bounded: the oldest record goes when a new one comes at the limit.
#pragma once
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

namespace trib::fake {

struct Record {
  std::uint64_t n = 0;  // from 1, never used twice
  std::string engine;
  std::uint64_t conn = 0;     // which connection, from 1
  std::uint64_t on_conn = 0;  // which request on it, from 1
  std::string method;
  std::string path;
  std::string model;
  bool stream = false;
  std::string fault;
  int status = 0;
  std::int64_t tokens = 0;        // sent
  std::int64_t tokens_whole = 0;  // that the whole answer would hold
  std::int64_t prompt_tokens = 0;
  std::int64_t continued = 0;   // pieces of a continued text
  bool foreign = false;         // the continued text is not this engine's
  std::int64_t started_ms = 0;  // since the engine's start
  std::int64_t ended_ms = -1;
  std::string outcome = "running";  // running, queued, completed, faulted, refused, cancelled
  std::string fields;               // JSON object: names in lower case
  std::string body;                 // JSON string or empty
};

class Log {
 public:
  explicit Log(std::size_t records_max) : most_(records_max) {}
  // Null when the log is off. The pointer lives until the next add() or reset().
  Record* add();
  Record* find(std::uint64_t n);  // null when it has gone
  void reset();
  // JSON lines; empty filters take all.
  std::string lines(std::string_view path, std::string_view model) const;

 private:
  std::size_t most_;
  std::uint64_t last_ = 0;
  std::deque<Record> records_;
};

}  // namespace trib::fake

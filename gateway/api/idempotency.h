// Idempotency-Key: which request a key belongs to, and the answer to repeat. Answers are kept in
// memory, encrypted under a key that lives as long as the process, and bounded; the binding of a key
// to its request comes back from the journal at start. Thread-safe.
#pragma once
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "gateway/base/base.h"

namespace trib::api {

struct KeptAnswer {
  int status = 200;
  std::string content_type;
  std::string body;
};

class IdempotencyTable {
 public:
  struct Bounds {
    std::uint64_t answer_bytes = 1u << 20;
    std::uint64_t total_bytes = 256u << 20;
    std::int64_t keep_ms = 24 * 3'600'000;
    std::size_t keys = 1'000'000;
  };
  explicit IdempotencyTable(Bounds bounds);
  ~IdempotencyTable();

  enum class Found : std::uint8_t {
    fresh,     // the key is now bound to `id`; end it with finish() or release()
    replay,    // `answer` is that of request `earlier`
    running,   // the first is still being answered
    other_body,
    gone,      // it was answered, but the answer is not kept
    full,      // no more keys can be remembered now
  };
  struct Verdict {
    Found found = Found::fresh;
    RequestId earlier;
    std::optional<KeptAnswer> answer;
  };
  Verdict begin(const std::string& key, const Sha256& body, RequestId id, std::int64_t wall_ms);
  void finish(const std::string& key, KeptAnswer answer);  // whole; kept when it fits
  void lose(const std::string& key);     // charged, but no answer to repeat (it broke off, or the client left)
  void release(const std::string& key);  // nothing was charged: the key is free again
  // From the journal, at start: the key was used and charged.
  void restore(const std::string& key, const Sha256& body, RequestId id, std::int64_t wall_ms);

 private:
  struct Entry {
    RequestId id;
    Sha256 body{};
    std::int64_t wall_ms = 0;
    enum class State : std::uint8_t { running, kept, gone } state = State::running;
    std::string sealed;  // nonce, ciphertext, tag
    std::list<std::string>::iterator place;
  };
  void expire(std::int64_t wall_ms);
  void drop_answer(Entry& entry);
  std::string seal(const KeptAnswer& answer) const;
  std::optional<KeptAnswer> open(const std::string& sealed) const;

  const Bounds bounds_;
  unsigned char key_[32];
  std::mutex mutex_;
  std::unordered_map<std::string, Entry> entries_;
  std::list<std::string> order_;  // oldest first
  std::uint64_t bytes_ = 0;
};

}  // namespace trib::api

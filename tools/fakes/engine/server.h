// The scripted engine as a server: one epoll loop on one thread, several engines (listeners) if
// asked, which share the log and the scripts' counters. It is a fake, for tests and measurements.
//
// A test may run it inside its own process: construct, read urls(), call run() on a thread of its
// own, and stop() from any thread; run() returns and the connections are closed.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tools/fakes/engine/dialect.h"
#include "tools/fakes/engine/script.h"

namespace trib::fake {

struct Options {
  std::string bind = "127.0.0.1";
  std::uint16_t port = 0;  // of the first engine; the others take any
  unsigned engines = 1;
  std::string name = "engine";  // with several engines: "engine0", "engine1", ...
  std::vector<std::string> models{"fake-model"};
  Dialect dialect = Dialect::vllm;
  bool flat_errors = false;       // vLLM's error shape up to 0.10.0
  bool any_model = true;          // false: a model not listed is answered with 404
  std::int64_t slots = 1024;      // requests in work at a time, an engine; the rest waits
  bool refuse_when_full = false;  // 503 in place of waiting
  std::int64_t context = 4096;
  std::string api_key;          // empty: none is asked for
  std::size_t log_max = 65536;  // records; 0 turns the log off
  bool log_bodies = false;      // up to 64 KiB each
  Script script;                // the default
};

class Server {
 public:
  // Binds and listens; throws std::system_error.
  explicit Server(Options options);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  std::uint16_t port(unsigned engine = 0) const;
  std::string url(unsigned engine = 0) const;
  void run();   // until stop()
  void stop();  // any thread, also from a signal handler

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace trib::fake

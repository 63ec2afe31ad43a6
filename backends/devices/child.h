// One tributary-probe process. Blocking, one thread. Ends the process when destroyed.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "backends/devices/wire.h"

namespace trib::devices {

class Child {
 public:
  // Starts `program` with `arguments`; not started: `why()` says it.
  Child(const std::string& program, const std::vector<std::string>& arguments);
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  // Sends a request and waits for its answer until `deadline_ns` (CLOCK_MONOTONIC). Nothing: the child
  // is of no more use and has been ended; why() says "hung: no answer to `list` within 3.0 s",
  // "crashed in `list`: signal 11 (Segmentation fault)" or the like.
  std::optional<Message> call(const Message& request, std::int64_t deadline_ns);
  const std::string& why() const { return why_; }

 private:
  void end(bool kill_it);
  std::string how_it_ended() const;

  pid_t pid_ = -1;
  int to_ = -1, from_ = -1;
  int status_ = 0;  // as waitpid gives it
  std::string why_;
};

}  // namespace trib::devices

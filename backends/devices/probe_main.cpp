// tributary-probe: the only process that loads device plugins and vendor libraries, one plugin a process.
// Reads framed requests on standard input, answers on standard output, leaves by _exit at their end: some
// vendors' static destructors crash after their library is gone.
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "backends/devices/loaded.h"
#include "backends/devices/wire.h"

namespace {

using trib::devices::Loaded;
using trib::devices::Message;
using trib::devices::ReadEnd;
using trib::devices::Roots;

int usage() {
  std::fputs(
      "usage: tributary-probe PLUGIN.so [--sysfs DIR] [--proc DIR] [--dev DIR] [--salt HEX] [--faults TEXT]\n"
      "Started by tributary; speaks frames on standard input and output.\n",
      stderr);
  return 2;
}

// Keeps the pipes for frames alone: a library that prints to standard output must not break one.
struct FramePipes {
  int in = -1, out = -1;
  bool take() {
    in = ::fcntl(0, F_DUPFD_CLOEXEC, 10);
    out = ::fcntl(1, F_DUPFD_CLOEXEC, 10);
    const int nothing = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    return in >= 0 && out >= 0 && nothing >= 0 && ::dup2(nothing, 0) == 0 && ::dup2(2, 1) == 1;
  }
};

void harden() {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // a hung vendor call must not outlive the one who asked
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  const rlimit none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
  ::signal(SIGPIPE, SIG_IGN);
}

Message answer(Loaded& plugin, const std::string& frame) {
  try {
    const auto request = trib::devices::decode(frame);
    if (!request) return {{{"rc", "-2"}, {"why", "a request that cannot be read"}}, {}};
    return plugin.answer(*request);
  } catch (...) {  // from the plugin: no exception may cross the ABI
    return {{{"rc", "-10"}, {"threw", "1"}, {"why", "it threw an exception"}}, {}};
  }
}

[[noreturn]] void leave(int code) {
  std::fflush(nullptr);
  ::_exit(code);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argv[1][0] == '-' || argc % 2 != 0) return usage();
  Roots roots;
  for (int i = 2; i + 1 < argc; i += 2) {
    const std::string option = argv[i];
    std::string* to = option == "--sysfs"    ? &roots.sysfs
                      : option == "--proc"   ? &roots.proc
                      : option == "--dev"    ? &roots.dev
                      : option == "--salt"   ? &roots.salt
                      : option == "--faults" ? &roots.faults
                                             : nullptr;
    if (to == nullptr) return usage();
    *to = argv[i + 1];
  }
  FramePipes pipes;
  if (!pipes.take()) return 1;
  harden();

  Loaded plugin(roots);
  std::string refused, frame;
  try {
    refused = plugin.load(argv[1]);
  } catch (...) {
    refused = "it threw an exception while loading";
  }
  while (trib::devices::read_frame(pipes.in, frame, 0) == ReadEnd::frame) {
    const Message reply = refused.empty() ? answer(plugin, frame)
                                          : Message{{{"rc", "-1"}, {"refused", "1"}, {"why", refused}}, {}};
    if (!trib::devices::write_frame(pipes.out, trib::devices::encode(reply))) leave(1);
  }
  leave(0);
}

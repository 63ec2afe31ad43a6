#include "backends/devices/child.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

extern char** environ;

namespace trib::devices {
namespace {

// A dead probe must be a failed write, not a signal to the whole program. The signal is blocked for this
// thread around the write and taken away again if it came.
class NoSigpipe {
 public:
  NoSigpipe() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~NoSigpipe() {
    const timespec none{};
    if (!sigismember(&before_, SIGPIPE))
      while (::sigtimedwait(&pipe_, nullptr, &none) == SIGPIPE) {
      }
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  NoSigpipe(const NoSigpipe&) = delete;
  NoSigpipe& operator=(const NoSigpipe&) = delete;

 private:
  sigset_t pipe_{}, before_{};
};

struct Pipe {
  int read_end = -1, write_end = -1;
  bool open() {
    int fds[2];
    if (::pipe2(fds, O_CLOEXEC) != 0) return false;
    read_end = fds[0];
    write_end = fds[1];
    return true;
  }
};

void close_fd(int& fd) {
  if (fd >= 0) ::close(fd);
  fd = -1;
}

// Its own process group, so that what it starts goes with it; default signals; errors to nowhere.
int spawn(pid_t& pid, const std::string& program, char* const* argv, int in, int out) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawnattr_init(&attributes);
  ::posix_spawn_file_actions_adddup2(&actions, in, 0);
  ::posix_spawn_file_actions_adddup2(&actions, out, 1);
  ::posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &all);
  ::posix_spawnattr_setpgroup(&attributes, 0);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  const int rc = ::posix_spawn(&pid, program.c_str(), &actions, &attributes, argv, environ);
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&actions);
  return rc;
}

std::string seconds(std::int64_t ns) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f s", static_cast<double>(ns) / 1e9);
  return text;
}

}  // namespace

Child::Child(const std::string& program, const std::vector<std::string>& arguments) {
  std::vector<std::string> words{program};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);

  Pipe in, out;
  int rc = in.open() && out.open() ? 0 : errno;
  if (rc == 0) rc = spawn(pid_, program, argv.data(), in.read_end, out.write_end);
  if (rc != 0) {
    pid_ = -1;
    why_ = program + " cannot be started: " + std::strerror(rc);
    close_fd(in.write_end);
    close_fd(out.read_end);
  }
  close_fd(in.read_end);
  close_fd(out.write_end);
  to_ = in.write_end;
  from_ = out.read_end;
}

Child::~Child() { end(true); }

void Child::end(bool kill_it) {
  close_fd(to_);
  close_fd(from_);
  if (pid_ < 0) return;
  if (kill_it) ::kill(-pid_, SIGKILL);
  while (::waitpid(pid_, &status_, 0) < 0 && errno == EINTR) {
  }
  // Started processes that outlived a crash: the group exists as long as one of them does.
  ::kill(-pid_, SIGKILL);
  pid_ = -1;
}

std::string Child::how_it_ended() const {
  if (WIFSIGNALED(status_)) {
    const int s = WTERMSIG(status_);
    return "signal " + std::to_string(s) + " (" + ::strsignal(s) + ")";
  }
  return "exit code " + std::to_string(WEXITSTATUS(status_));
}

std::optional<Message> Child::call(const Message& request, std::int64_t deadline_ns) {
  if (pid_ < 0) return std::nullopt;
  const std::string op(text(request.fields, "op"));
  const std::int64_t start = monotonic_ns();
  bool sent = false;
  {
    NoSigpipe guard;
    sent = write_frame(to_, encode(request));
  }
  std::string answer;
  const ReadEnd how = sent ? read_frame(from_, answer, deadline_ns) : ReadEnd::closed;
  if (how == ReadEnd::frame) {
    if (auto message = decode(answer)) return message;
  }
  if (how == ReadEnd::closed) {
    // It is dying or dead: its own end is the news. A child that closed its pipe and lives on is ended.
    close_fd(to_);
    close_fd(from_);
    siginfo_t info{};
    bool gone = false;
    while (!gone && monotonic_ns() < deadline_ns) {
      info.si_pid = 0;
      gone = ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid_;
      const timespec moment{0, 2'000'000};
      if (!gone) ::nanosleep(&moment, nullptr);
    }
    end(!gone);
    why_ = "crashed in `" + op + "`: " + how_it_ended();
    return std::nullopt;
  }
  end(true);
  if (how == ReadEnd::deadline)
    why_ = "hung: no answer to `" + op + "` within " + seconds(monotonic_ns() - start);
  else
    why_ = "answered rubbish to `" + op + "`";
  return std::nullopt;
}

}  // namespace trib::devices

#include "tools/bench/load/client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <deque>
#include <stdexcept>

#include "tools/bench/load/response.h"

namespace trib::bench {
namespace {

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

struct Conn {
  int fd = -1;
  bool busy = false;
  std::int64_t asked_ns = 0;  // scheduled, or sent
  std::int64_t last_token_ns = 0;
  std::size_t sent = 0;
  std::int64_t tokens_before = 0;  // when the read began
  Response response;
};

class Run {
 public:
  Run(const Plan& plan, void (*at_mark)(Mark)) : plan_(plan), at_mark_(at_mark) {}
  Outcome go();

 private:
  bool in_window() const { return now_ >= open_ns_ && now_ < close_ns_; }
  void wait();
  void pace();
  void open_some();
  void connect(std::size_t i);
  void ask(std::size_t i, std::int64_t asked_ns);
  void push(std::size_t i);
  void on_event(std::size_t i, std::uint32_t events);
  void take(std::size_t i, std::string_view bytes);
  void over(std::size_t i, bool lost);
  void error(const char* what, int status);
  void next(std::size_t i);
  void watch(std::size_t i, bool write);

  const Plan& plan_;
  void (*at_mark_)(Mark);
  Outcome out_;
  Tenths tenths_;
  std::vector<Conn> conns_;
  std::vector<std::size_t> free_;  // of `open`: connections without a request, LIFO
  std::deque<std::int64_t> owed_;  // of `open`: scheduled times without a connection
  int epoll_ = -1;
  std::int64_t now_ = 0;
  std::int64_t start_ns_ = 0;
  std::int64_t open_ns_ = 0;
  std::int64_t close_ns_ = 0;
  std::int64_t scheduled_ = 0;
  std::size_t opened_ = 0;
};

void Run::connect(std::size_t i) {
  Conn& conn = conns_[i];
  if (conn.fd >= 0) close(conn.fd);
  conn.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(plan_.port);
  if (inet_pton(AF_INET, plan_.host.c_str(), &address.sin_addr) != 1 ||
      ::connect(conn.fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    throw std::runtime_error("cannot connect to " + plan_.host + ':' + std::to_string(plan_.port));
  }
  const int on = 1;
  setsockopt(conn.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = i;
  epoll_ctl(epoll_, EPOLL_CTL_ADD, conn.fd, &event);
}

void Run::watch(std::size_t i, bool write) {
  epoll_event event{};
  event.events = EPOLLIN | (write ? static_cast<unsigned>(EPOLLOUT) : 0u);
  event.data.u64 = i;
  epoll_ctl(epoll_, EPOLL_CTL_MOD, conns_[i].fd, &event);
}

void Run::ask(std::size_t i, std::int64_t asked_ns) {
  Conn& conn = conns_[i];
  if (conn.fd < 0) connect(i);
  conn.busy = true;
  conn.asked_ns = asked_ns;
  conn.last_token_ns = 0;
  conn.sent = 0;
  conn.response.reset();
  push(i);
}

void Run::push(std::size_t i) {
  Conn& conn = conns_[i];
  const bool waited = conn.sent > 0;
  const std::string& request = plan_.request;
  while (conn.sent < request.size()) {
    const ssize_t n = send(conn.fd, request.data() + conn.sent, request.size() - conn.sent,
                           MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      if (errno == EAGAIN) watch(i, true);
      return;  // a lost connection shows itself when it is read
    }
    conn.sent += static_cast<std::size_t>(n);
  }
  if (waited) watch(i, false);
}

void Run::error(const char* what, int status) {
  if (!in_window()) return;
  ++out_.errors;
  if (out_.first_error.empty()) out_.first_error = std::string(what) + ' ' + std::to_string(status);
}

void Run::on_event(std::size_t i, std::uint32_t events) {
  Conn& conn = conns_[i];
  if (events & EPOLLOUT) push(i);
  if (!(events & ~static_cast<unsigned>(EPOLLOUT))) return;
  static thread_local std::array<char, 65536> space;
  const ssize_t got = recv(conn.fd, space.data(), space.size(), MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got > 0) return take(i, {space.data(), static_cast<std::size_t>(got)});
  const bool idle = !conn.busy;
  close(conn.fd);
  conn.fd = -1;
  if (idle) return;  // the peer's keep-alive is over
  if (conn.response.end()) return over(i, false);
  error("connection lost after status", conn.response.status());
  over(i, true);
}

void Run::take(std::size_t i, std::string_view bytes) {
  Conn& conn = conns_[i];
  if (!conn.busy) return error("bytes nobody asked for", 0);
  const std::int64_t events_before = conn.response.events();
  const std::int64_t tokens_before = conn.response.tokens();
  const std::size_t used = conn.response.feed(bytes);
  const std::int64_t events = conn.response.events() - events_before;
  const std::int64_t tokens = conn.response.tokens() - tokens_before;
  if (events > 0 && in_window()) {
    ++out_.reads;
    out_.events += events;
    out_.tokens += tokens;
    if (events_before == 0) out_.first.record(now_ - conn.asked_ns);
    for (std::int64_t k = 0; k < tokens; ++k) {  // those that come together have no gap
      if (conn.last_token_ns != 0) out_.gaps.record(k == 0 ? now_ - conn.last_token_ns : 0);
      conn.last_token_ns = now_;
    }
  }
  if (tokens > 0) conn.last_token_ns = now_;
  if (conn.response.broken()) {
    error("broken answer", conn.response.status());
    close(conn.fd);
    conn.fd = -1;
    return over(i, true);
  }
  if (!conn.response.done()) return;
  if (used < bytes.size()) error("bytes after the answer", conn.response.status());
  if (!conn.response.keeps_alive()) {
    close(conn.fd);
    conn.fd = -1;
  }
  over(i, false);
}

void Run::over(std::size_t i, bool lost) {
  Conn& conn = conns_[i];
  conn.busy = false;
  const Response& response = conn.response;
  if (!lost && response.status() != 200) {
    error("status", response.status());
  } else if (!lost && in_window()) {
    ++out_.requests;
    out_.latency.record(now_ - conn.asked_ns);
    tenths_.record(now_, now_ - conn.asked_ns);
    if (plan_.kind == Plan::Kind::streams &&
        (!response.saw_done() || response.tokens() != response.in_order() ||
         (plan_.tokens > 0 && response.tokens() != plan_.tokens))) {
      ++out_.broken_order;
    }
  }
  next(i);
}

void Run::next(std::size_t i) {
  if (now_ >= close_ns_) return;
  if (plan_.kind != Plan::Kind::open) return ask(i, now_);
  if (owed_.empty()) {
    free_.push_back(i);
    return;
  }
  const std::int64_t due = owed_.front();
  owed_.pop_front();
  ask(i, due);
}

// Sends what the schedule of an open run wants by now.
void Run::pace() {
  const double every_ns = 1e9 / plan_.rate_per_s;
  for (;;) {
    const std::int64_t due =
        start_ns_ + static_cast<std::int64_t>(static_cast<double>(scheduled_) * every_ns);
    if (due > now_ || due >= close_ns_) return;
    ++scheduled_;
    if (!free_.empty()) {
      const std::size_t i = free_.back();
      free_.pop_back();
      ask(i, due);
    } else if (opened_ < conns_.size()) {
      ask(opened_++, due);
    } else {
      owed_.push_back(due);
    }
  }
}

void Run::open_some() {
  const double share =
      plan_.ramp_s > 0 ? static_cast<double>(now_ - start_ns_) / (plan_.ramp_s * 1e9) : 1.0;
  const auto want =
      static_cast<std::size_t>(std::min(1.0, share) * static_cast<double>(conns_.size()));
  while (opened_ < want) {
    const std::size_t i = opened_++;
    ask(i, now_);
  }
}

void Run::wait() {
  std::int64_t until = now_ < open_ns_ ? open_ns_ : close_ns_;
  if (plan_.kind == Plan::Kind::open) {
    until = std::min(until, start_ns_ + static_cast<std::int64_t>(static_cast<double>(scheduled_) *
                                                                  1e9 / plan_.rate_per_s));
  } else if (opened_ < conns_.size()) {
    until = std::min(until, now_ + 1'000'000);
  }
  const std::int64_t rest = std::max<std::int64_t>(until - now_ns(), 0);
  const timespec time{rest / 1'000'000'000, rest % 1'000'000'000};
  std::array<epoll_event, 128> events;
  const int n =
      epoll_pwait2(epoll_, events.data(), static_cast<int>(events.size()), &time, nullptr);
  now_ = now_ns();
  for (int k = 0; k < n; ++k) {
    const auto& event = events[static_cast<std::size_t>(k)];
    const auto i = static_cast<std::size_t>(event.data.u64);
    if (conns_[i].fd >= 0) on_event(i, event.events);
  }
}

Outcome Run::go() {
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  conns_.resize(plan_.connections);
  now_ = start_ns_ = now_ns();
  open_ns_ = start_ns_ + static_cast<std::int64_t>((plan_.ramp_s + plan_.warm_s) * 1e9);
  const std::int64_t warm_ns = open_ns_ - static_cast<std::int64_t>(plan_.warm_s / 2 * 1e9);
  close_ns_ = open_ns_ + static_cast<std::int64_t>(plan_.window_s * 1e9);
  const std::vector<int> self{getpid()};
  Cpu self_before;
  Cpu watched_before;
  bool warm = false;
  bool opened_window = false;
  std::int64_t window_from = open_ns_;
  while (now_ < close_ns_) {
    if (!warm && now_ >= warm_ns) {
      warm = true;
      if (at_mark_) at_mark_(Mark::warm);
    }
    if (!opened_window && now_ >= open_ns_) {
      opened_window = true;
      if (at_mark_) at_mark_(Mark::open);
      self_before = cpu_of(self);
      watched_before = cpu_of(plan_.watched);
      window_from = now_;
    }
    if (plan_.kind == Plan::Kind::open)
      pace();
    else if (opened_ < conns_.size())
      open_some();
    wait();
  }
  const Cpu self_after = cpu_of(self);
  const Cpu watched_after = cpu_of(plan_.watched);
  out_.self = {self_after.user_s - self_before.user_s, self_after.system_s - self_before.system_s};
  out_.watched = {watched_after.user_s - watched_before.user_s,
                  watched_after.system_s - watched_before.system_s};
  out_.window_s = static_cast<double>(now_ - window_from) / 1e9;
  out_.late = static_cast<std::int64_t>(owed_.size());
  out_.typical = tenths_.typical();
  if (at_mark_) at_mark_(Mark::closed);
  for (const Conn& conn : conns_) {
    if (conn.fd >= 0) close(conn.fd);
  }
  close(epoll_);
  return out_;
}

}  // namespace

Cpu cpu_of(const std::vector<int>& pids) {
  Cpu sum;
  const double ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
  for (const int pid : pids) {
    char path[64];
    std::snprintf(path, sizeof path, "/proc/%d/stat", pid);
    std::FILE* file = std::fopen(path, "r");
    if (file == nullptr) continue;
    char text[1024];
    const std::size_t size = std::fread(text, 1, sizeof text - 1, file);
    std::fclose(file);
    text[size] = 0;
    const char* after = std::strrchr(text, ')');  // the name may hold blanks
    unsigned long user = 0;
    unsigned long system = 0;
    if (after != nullptr &&
        std::sscanf(after + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
                    &system) == 2) {
      sum.user_s += static_cast<double>(user) / ticks;
      sum.system_s += static_cast<double>(system) / ticks;
    }
  }
  return sum;
}

Outcome run(const Plan& plan, void (*at_mark)(Mark mark)) {
  return Run(plan, at_mark).go();
}

}  // namespace trib::bench

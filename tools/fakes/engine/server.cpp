#include "tools/fakes/engine/server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "tools/fakes/engine/server_impl.h"

namespace trib::fake {
namespace {

constexpr std::size_t kRoom = 256 * 1024;  // bytes of an answer that wait for the peer
constexpr std::size_t kReadMost = 66 * 1024 * 1024;
constexpr std::uint64_t kStopTag = ~0ULL;
constexpr std::uint64_t kListenBit = 1ULL << 63;

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

}  // namespace

void Server::Impl::listen_all() {
  epoll = epoll_create1(EPOLL_CLOEXEC);
  wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (epoll < 0 || wake < 0) fail("epoll");
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kStopTag;
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, wake, &event) != 0) fail("epoll_ctl");
  for (unsigned i = 0; i < options.engines; ++i) {
    Engine engine;
    engine.name = options.name;
    if (options.engines > 1) engine.name += std::to_string(i);
    engine.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (engine.listener < 0) fail("socket");
    const int on = 1;
    setsockopt(engine.listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(i == 0 ? options.port : 0);
    if (inet_pton(AF_INET, options.bind.c_str(), &address.sin_addr) != 1) {
      throw std::system_error(EINVAL, std::generic_category(), options.bind);
    }
    if (bind(engine.listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
        listen(engine.listener, 4096) != 0) {
      fail("listen");
    }
    socklen_t size = sizeof address;
    getsockname(engine.listener, reinterpret_cast<sockaddr*>(&address), &size);
    engine.port = ntohs(address.sin_port);
    event.data.u64 = kListenBit | i;
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, engine.listener, &event) != 0) fail("epoll_ctl");
    engines.push_back(std::move(engine));
  }
}

int Server::Impl::wait(std::array<epoll_event, 256>& events) {
  std::int64_t rest_us = -1;
  if (!timers.empty()) rest_us = std::max<std::int64_t>(timers.top().due_us - now_us(), 0);
  const int most = static_cast<int>(events.size());
  if (!no_pwait2) {
    timespec time{};
    time.tv_sec = rest_us / 1'000'000;
    time.tv_nsec = rest_us % 1'000'000 * 1000;
    const int n = epoll_pwait2(epoll, events.data(), most, rest_us < 0 ? nullptr : &time, nullptr);
    if (n >= 0 || errno != ENOSYS) return n;
    no_pwait2 = true;  // an old kernel: whole milliseconds must do
  }
  return epoll_wait(epoll, events.data(), most,
                    rest_us < 0 ? -1 : static_cast<int>((rest_us + 999) / 1000));
}

void Server::Impl::loop() {
  std::array<epoll_event, 256> events;
  for (;;) {
    const int n = wait(events);
    if (n < 0 && errno != EINTR) fail("epoll_wait");
    for (int i = 0; i < n; ++i) {
      const std::uint64_t tag = events[static_cast<std::size_t>(i)].data.u64;
      if (tag == kStopTag) return;
      if (tag & kListenBit) {
        accept_all(static_cast<unsigned>(tag & 0xffff));
        continue;
      }
      Conn& conn = *conns[static_cast<std::size_t>(tag & 0xffffffff)];
      if (conn.fd >= 0 && conn.generation == static_cast<std::uint32_t>(tag >> 32)) {
        on_event(conn, events[static_cast<std::size_t>(i)].events);
      }
    }
    if (timers.empty()) continue;
    const std::int64_t now = now_us();
    // At most so many as wait now: an endless answer arms itself again at once.
    for (std::size_t left = timers.size(); left > 0 && timers.top().due_us <= now; --left) {
      const Timer timer = timers.top();
      timers.pop();
      Conn& conn = *conns[timer.slot];
      if (conn.fd < 0 || conn.generation != timer.generation || conn.due_us != timer.due_us) {
        continue;
      }
      conn.due_us = -1;
      advance(conn, now);
    }
  }
}

void Server::Impl::accept_all(unsigned engine) {
  for (int i = 0; i < 64; ++i) {
    const int fd =
        accept4(engines[engine].listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    std::uint32_t slot = 0;
    if (free_slots.empty()) {
      slot = static_cast<std::uint32_t>(conns.size());
      conns.push_back(std::make_unique<Conn>());
    } else {
      slot = free_slots.back();
      free_slots.pop_back();
    }
    Conn& conn = *conns[slot];
    const std::uint32_t generation = (conn.generation + 1) & 0x7fffffff;
    conn = Conn{};
    conn.fd = fd;
    conn.slot = slot;
    conn.generation = generation;
    conn.engine = engine;
    conn.number = ++conn_count;
    epoll_event event{};
    event.events = EPOLLIN | EPOLLRDHUP;
    event.data.u64 = (static_cast<std::uint64_t>(generation) << 32) | slot;
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
  }
}

void Server::Impl::on_event(Conn& conn, std::uint32_t events) {
  const std::uint32_t generation = conn.generation;
  if (events & EPOLLOUT) {
    if (flush(conn) && conn.fd >= 0 && conn.reply && conn.then == Then::wait && conn.due_us < 0) {
      advance(conn, now_us());
    }
    if (conn.fd < 0 || conn.generation != generation) return;
  }
  if (!(events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))) return;
  if (!read_some(conn)) {
    settle(conn, true);
    drop(conn, false);
    return;
  }
  if (!conn.busy()) process(conn);
}

// False when the peer has left.
bool Server::Impl::read_some(Conn& conn) {
  char space[65536];
  const ssize_t got = recv(conn.fd, space, sizeof space, 0);
  if (got < 0) return errno == EAGAIN || errno == EINTR;
  if (got == 0 || conn.in.size() > kReadMost) return false;
  conn.in.append(space, static_cast<std::size_t>(got));
  return true;
}

void Server::Impl::process(Conn& conn) {
  if (conn.in_process) return;  // its loop goes on
  const std::uint32_t generation = conn.generation;
  conn.in_process = true;
  process_all(conn);
  if (conn.generation == generation) conn.in_process = false;
}

void Server::Impl::process_all(Conn& conn) {
  const std::uint32_t generation = conn.generation;
  Request request;
  while (conn.fd >= 0 && conn.generation == generation && !conn.busy() && !conn.in.empty() &&
         conn.then != Then::close && conn.then != Then::reset) {
    const Reading reading = read_request(conn.in, request);
    if (reading == Reading::bad) {
      conn.in.clear();
      refuse(conn, {400, "invalid_request_error", "", "malformed HTTP request"}, true);
      return;
    }
    if (reading == Reading::more) {
      if (request.expects_continue && !conn.continue_sent) {
        conn.continue_sent = true;
        conn.out += "HTTP/1.1 100 Continue\r\n\r\n";
        flush(conn);
      }
      return;
    }
    conn.continue_sent = false;
    ++conn.requests;
    const std::size_t size = request.size;
    // The request's views must outlive the routing, and the connection may end in it.
    std::string bytes = std::move(conn.in);
    conn.in = bytes.size() > size ? bytes.substr(size) : std::string{};
    route(conn, request);
    if (conn.fd >= 0 && conn.generation == generation && conn.in.empty()) {
      bytes.clear();
      conn.in = std::move(bytes);  // keeps the memory
    }
  }
}

void Server::Impl::begin(Conn& conn, Plan plan) {
  Engine& engine = engines[conn.engine];
  ++engine.running;
  engine.prompt_tokens += plan.call.prompt_tokens;
  const std::int64_t now = now_us();
  conn.queued.reset();
  conn.reply.emplace(std::move(plan), now);
  conn.then = Then::wait;
  if (Record* record = log.find(conn.record)) {
    record->outcome = "running";
    record->tokens_whole = conn.reply->tokens_due();
    record->continued = conn.reply->prefix_pieces();
    record->foreign = conn.reply->prefix_foreign();
  }
  advance(conn, now);
}

void Server::Impl::arm(Conn& conn, std::int64_t due_us) {
  conn.due_us = due_us;
  timers.push({due_us, conn.slot, conn.generation});
}

void Server::Impl::advance(Conn& conn, std::int64_t now) {
  if (!conn.reply || conn.then != Then::wait) return;
  const std::size_t waiting = conn.out.size() - conn.out_from;
  if (waiting >= kRoom) return;  // goes on when the peer has taken it
  Step step;
  do {
    step = conn.reply->step(now, conn.out_from + kRoom, conn.out);
  } while (step.then == Then::wait && step.due_us >= 0 && step.due_us <= now &&
           conn.out.size() - conn.out_from < kRoom);
  conn.then = step.then;
  if (step.then == Then::wait && step.due_us > now) arm(conn, step.due_us);
  const std::uint32_t generation = conn.generation;
  const bool empty = flush(conn);
  if (conn.fd < 0 || conn.generation != generation) return;
  // Full, yet all was taken at once: the others have their turn first.
  if (empty && step.then == Then::wait && step.due_us >= 0 && step.due_us <= now) {
    arm(conn, now);
  }
}

// Writes what waits. True when nothing is left; the connection may have ended.
bool Server::Impl::flush(Conn& conn) {
  const std::uint32_t generation = conn.generation;
  while (conn.out_from < conn.out.size()) {
    const ssize_t sent = send(conn.fd, conn.out.data() + conn.out_from,
                              conn.out.size() - conn.out_from, MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) break;
      settle(conn, true);
      drop(conn, false);
      return false;
    }
    conn.out_from += static_cast<std::size_t>(sent);
  }
  const bool empty = conn.out_from == conn.out.size();
  if (empty) {
    conn.out.clear();
    conn.out_from = 0;
  }
  if (conn.wants_write == empty) {
    conn.wants_write = !empty;
    epoll_event event{};
    event.events = EPOLLIN | EPOLLRDHUP | (empty ? 0u : static_cast<unsigned>(EPOLLOUT));
    event.data.u64 = (static_cast<std::uint64_t>(generation) << 32) | conn.slot;
    epoll_ctl(epoll, EPOLL_CTL_MOD, conn.fd, &event);
  }
  if (!empty || conn.then == Then::wait) return empty;
  const Then then = conn.then;
  conn.then = Then::wait;
  settle(conn, false);
  if (then != Then::keep)
    drop(conn, then == Then::reset);
  else if (!conn.in.empty())
    process(conn);
  return true;
}

// The answer is over: books it, frees the slot.
void Server::Impl::settle(Conn& conn, bool peer_left) {
  if (conn.queued) {
    conn.queued.reset();
    if (Record* record = log.find(conn.record)) record->outcome = "cancelled";
  }
  if (!conn.reply) return;
  const Reply& reply = *conn.reply;
  Engine& engine = engines[conn.engine];
  if (Record* record = log.find(conn.record)) {
    record->status = reply.status();
    record->tokens = reply.tokens_sent();
    record->ended_ms = (now_us() - started_us) / 1000;
    record->outcome = peer_left               ? "cancelled"
                      : reply.complete()      ? "completed"
                      : reply.status() >= 400 ? "refused"
                                              : "faulted";
  }
  engine.tokens += reply.tokens_sent();
  --engine.running;
  conn.reply.reset();
  conn.due_us = -1;
  start_queued(engine);
}

void Server::Impl::start_queued(Engine& engine) {
  if (engine.starting) return;
  engine.starting = true;
  while (engine.running < options.slots && !engine.queue.empty()) {
    const auto [slot, generation] = engine.queue.front();
    engine.queue.pop_front();
    Conn& next = *conns[slot];
    if (next.fd < 0 || next.generation != generation || !next.queued) continue;
    Plan plan = std::move(*next.queued);
    begin(next, std::move(plan));
  }
  engine.starting = false;
}

void Server::Impl::answer(Conn& conn, int status, std::string_view type, std::string_view body,
                          bool close) {
  if (Record* record = log.find(conn.record)) {
    record->status = status;
    record->outcome = status < 400 ? "completed" : "refused";
    record->ended_ms = (now_us() - started_us) / 1000;
  }
  conn.out += "HTTP/1.1 " + std::to_string(status) + ' ';
  conn.out += reason_phrase(status);
  conn.out += "\r\nContent-Type: ";
  conn.out += type;
  conn.out += "\r\nContent-Length: " + std::to_string(body.size());
  conn.out += close ? "\r\nConnection: close\r\n\r\n" : "\r\n\r\n";
  conn.out += body;
  conn.then = close ? Then::close : Then::wait;
  flush(conn);
}

void Server::Impl::refuse(Conn& conn, const Refusal& refusal, bool close) {
  answer(conn, refusal.status, "application/json",
         error_body(options.dialect, options.flat_errors, refusal), close);
}

void Server::Impl::drop(Conn& conn, bool reset) {
  if (conn.fd < 0) return;
  if (reset) {
    const linger now{1, 0};
    setsockopt(conn.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  }
  close(conn.fd);
  conn.fd = -1;
  conn.in = {};
  conn.out = {};
  conn.out_from = 0;
  conn.then = Then::wait;
  free_slots.push_back(conn.slot);
}

Server::Server(Options options) : impl_(std::make_unique<Impl>(std::move(options))) {
  impl_->listen_all();
}

Server::~Server() {
  for (const auto& conn : impl_->conns) {
    if (conn->fd >= 0) close(conn->fd);
  }
  for (const Engine& engine : impl_->engines) close(engine.listener);
  close(impl_->epoll);
  close(impl_->wake);
}

std::uint16_t Server::port(unsigned engine) const {
  return impl_->engines.at(engine).port;
}

std::string Server::url(unsigned engine) const {
  return "http://" + impl_->options.bind + ':' + std::to_string(port(engine));
}

void Server::run() {
  impl_->loop();
}

void Server::stop() {
  const std::uint64_t one = 1;
  // A full counter already wakes the loop.
  [[maybe_unused]] const ssize_t written = write(impl_->wake, &one, sizeof one);
}

}  // namespace trib::fake

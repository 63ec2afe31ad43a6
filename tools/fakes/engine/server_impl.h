// The inside of the scripted engine's server, shared by its two source files only.
#pragma once
#include <sys/epoll.h>

#include <array>
#include <boost/json.hpp>
#include <chrono>
#include <ctime>
#include <deque>
#include <map>
#include <optional>
#include <queue>
#include <unordered_map>

#include "tools/fakes/engine/log.h"
#include "tools/fakes/engine/reply.h"
#include "tools/fakes/engine/request.h"
#include "tools/fakes/engine/server.h"

namespace trib::fake {

inline std::int64_t now_us() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

struct Conn {
  int fd = -1;
  std::uint64_t number = 0;
  std::uint64_t requests = 0;
  unsigned engine = 0;
  std::uint32_t slot = 0;  // place in the table
  std::uint32_t generation = 0;
  std::string in;
  std::string out;
  std::size_t out_from = 0;
  std::optional<Plan> queued;  // waits for a slot
  std::optional<Reply> reply;
  Then then = Then::wait;  // keep: nothing; close or reset: once `out` is empty
  std::int64_t due_us = -1;
  std::uint64_t record = 0;
  bool wants_write = false;
  bool continue_sent = false;
  bool in_process = false;  // process() is on the stack
  bool busy() const { return reply.has_value() || queued.has_value(); }
};

struct Timer {
  std::int64_t due_us;
  std::uint32_t slot;
  std::uint32_t generation;
  bool operator<(const Timer& other) const { return due_us > other.due_us; }  // earliest on top
};

struct Engine {
  std::string name;
  int listener = -1;
  std::uint16_t port = 0;
  std::int64_t running = 0;
  std::deque<std::pair<std::uint32_t, std::uint32_t>> queue;  // slot, generation
  std::map<std::string, boost::json::object> scripts;                // by model; "" for all
  int health = 200;
  bool starting = false;  // start_queued() is on the stack
  std::int64_t prompt_tokens = 0;
  std::int64_t tokens = 0;
};

struct Server::Impl {
  explicit Impl(Options o) : options(std::move(o)), log(options.log_max) {}

  Options options;
  Log log;
  std::vector<Engine> engines;
  std::vector<std::unique_ptr<Conn>> conns;
  std::vector<std::uint32_t> free_slots;
  std::priority_queue<Timer> timers;
  std::unordered_map<std::string, std::int64_t> counters;
  int epoll = -1;
  int wake = -1;
  bool no_pwait2 = false;
  std::int64_t started_us = now_us();
  std::int64_t created_s = std::time(nullptr);
  std::uint64_t conn_count = 0;
  std::uint64_t answers = 0;

  // server.cpp: sockets and time.
  void listen_all();
  void loop();
  int wait(std::array<epoll_event, 256>& events);
  void accept_all(unsigned engine);
  void on_event(Conn& conn, std::uint32_t events);
  bool read_some(Conn& conn);
  void process(Conn& conn);
  void process_all(Conn& conn);
  // doors.cpp: what a request asks for.
  void route(Conn& conn, const Request& request);
  void control(Conn& conn, const Request& request);
  void set_script(Conn& conn, const Request& request);
  void call(Conn& conn, Call::Kind kind, const Request& request);
  void tokens(Conn& conn, const Request& request);
  bool build_script(const Engine& engine, const Call& call, Script& script, std::string& why);
  void count_fault(const Call& call, Script& script);
  bool continues(const Call& call, Refusal& refusal) const;
  void begin(Conn& conn, Plan plan);
  void advance(Conn& conn, std::int64_t now);
  bool flush(Conn& conn);
  void settle(Conn& conn, bool peer_left);
  void note(Conn& conn, const Request& request);
  void answer(Conn& conn, int status, std::string_view type, std::string_view body, bool close);
  void refuse(Conn& conn, const Refusal& refusal, bool close);
  void drop(Conn& conn, bool reset);
  void start_queued(Engine& engine);
  void arm(Conn& conn, std::int64_t due_us);
  Load load_of(const Engine& engine) const;
};

}  // namespace trib::fake

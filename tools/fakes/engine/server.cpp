#include "tools/fakes/engine/server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <deque>
#include <map>
#include <optional>
#include <queue>
#include <system_error>
#include <unordered_map>

#include "tools/fakes/engine/log.h"
#include "tools/fakes/engine/reply.h"
#include "tools/fakes/engine/request.h"
#include "tools/fakes/engine/text.h"

namespace trib::fake {
namespace {

namespace json = boost::json;
constexpr std::size_t kRoom = 256 * 1024;       // bytes of an answer that wait for the peer
constexpr std::size_t kReadMost = 66 * 1024 * 1024;
constexpr std::size_t kCountersMax = 65536;
constexpr std::size_t kLoggedBody = 65536;
constexpr std::uint64_t kStopTag = ~0ULL;
constexpr std::uint64_t kListenBit = 1ULL << 63;

std::int64_t now_us() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

struct Conn {
  int fd = -1;
  std::uint64_t number = 0;
  std::uint64_t requests = 0;
  unsigned engine = 0;
  std::uint32_t slot = 0;        // place in the table
  std::uint32_t generation = 0;
  std::string in;
  std::string out;
  std::size_t out_from = 0;
  std::optional<Plan> queued;    // waits for a slot
  std::optional<Reply> reply;
  Then then = Then::wait;        // keep: nothing; close or reset: once `out` is empty
  std::int64_t due_us = -1;
  std::uint64_t record = 0;
  bool wants_write = false;
  bool continue_sent = false;
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
  std::map<std::string, json::object> scripts;                // by model; "" for all
  int health = 200;
  std::int64_t prompt_tokens = 0;
  std::int64_t tokens = 0;
};

std::string_view parameter(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
    const std::size_t equals = pair.find('=');
    if (equals != std::string_view::npos && pair.substr(0, equals) == name) {
      return pair.substr(equals + 1);
    }
  }
  return {};
}

}  // namespace

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

  void listen_all();
  void loop();
  int wait(std::array<epoll_event, 256>& events);
  void accept_all(unsigned engine);
  void on_event(Conn& conn, std::uint32_t events);
  bool read_some(Conn& conn);
  void process(Conn& conn);
  void route(Conn& conn, const Request& request);
  void control(Conn& conn, const Request& request);
  void set_script(Conn& conn, const Request& request);
  void call(Conn& conn, Call::Kind kind, const Request& request);
  bool build_script(const Engine& engine, const Call& call, Script& script, std::string& why);
  void count_fault(const Call& call, Script& script);
  bool continues(const Call& call, Refusal& refusal) const;
  void begin(Conn& conn, Plan plan);
  void advance(Conn& conn, std::int64_t now);
  bool flush(Conn& conn);
  void finish(Conn& conn, const char* outcome);
  void settle(Conn& conn, bool peer_left);
  void note(Conn& conn, const Request& request);
  void answer(Conn& conn, int status, std::string_view type, std::string_view body, bool close);
  void refuse(Conn& conn, const Refusal& refusal, bool close);
  void drop(Conn& conn, bool reset);
  void start_queued(Engine& engine);
  void arm(Conn& conn, std::int64_t due_us);
  Load load_of(const Engine& engine) const;
};

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

void Server::Impl::note(Conn& conn, const Request& request) {
  conn.record = 0;
  Record* record = log.add();
  if (record == nullptr) return;
  conn.record = record->n;
  record->engine = engines[conn.engine].name;
  record->conn = conn.number;
  record->on_conn = conn.requests;
  record->method = request.method;
  record->path = request.path;
  record->started_ms = (now_us() - started_us) / 1000;
  record->fields = "{";
  for (const auto& [name, value] : request.fields) {
    if (record->fields.size() > 1) record->fields += ',';
    record->fields += '"';
    std::string lower(name);
    for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    escape(lower, record->fields);
    record->fields += "\":\"";
    escape(value, record->fields);
    record->fields += '"';
  }
  record->fields += '}';
  if (options.log_bodies && !request.body.empty()) {
    record->body = "\"";
    escape(request.body.substr(0, kLoggedBody), record->body);
    record->body += '"';
  }
}

Load Server::Impl::load_of(const Engine& engine) const {
  return {options.slots,   engine.running,       static_cast<std::int64_t>(engine.queue.size()),
          options.context, engine.prompt_tokens, engine.tokens};
}

void Server::Impl::route(Conn& conn, const Request& request) {
  if (request.path.substr(0, 6) == "/fake/") return control(conn, request);
  note(conn, request);
  const Engine& engine = engines[conn.engine];
  const std::string_view path = request.path;
  const bool llama = options.dialect == Dialect::llamacpp;
  const bool vllm = options.dialect == Dialect::vllm;
  if (path == "/health") {
    const std::string_view body = !llama                 ? std::string_view{}
                                  : engine.health == 200 ? R"({"status":"ok"})"
                                                         : R"({"error":{"code":503,"message":"Loading model","type":"unavailable_error"}})";
    return answer(conn, engine.health, "application/json", body, request.close);
  }
  if (!options.api_key.empty() && request.field("authorization") != "Bearer " + options.api_key) {
    return refuse(conn, {401, "authentication_error", "invalid_api_key", "wrong key"},
                  request.close);
  }
  if (request.method == "POST") {
    if (path == "/v1/chat/completions") return call(conn, Call::Kind::chat, request);
    if (path == "/v1/completions") return call(conn, Call::Kind::completion, request);
    if (path == "/v1/embeddings") return call(conn, Call::Kind::embedding, request);
  } else if (request.method == "GET") {
    const std::string& model = options.models.front();
    if (path == "/v1/models") {
      return answer(conn, 200, "application/json",
                    models_body(options.dialect, options.models, options.context, created_s),
                    request.close);
    }
    if (path == "/version" && vllm) {
      return answer(conn, 200, "application/json", R"({"version":"0.10.1"})", request.close);
    }
    if (path == "/metrics" && options.dialect != Dialect::generic) {
      return answer(conn, 200, "text/plain; version=0.0.4",
                    metrics_body(options.dialect, load_of(engine), model), request.close);
    }
    if (path == "/props" && llama) {
      return answer(conn, 200, "application/json", props_body(load_of(engine), model),
                    request.close);
    }
    if (path == "/slots" && llama) {
      return answer(conn, 200, "application/json", slots_body(load_of(engine)), request.close);
    }
  }
  refuse(conn, {404, "not_found_error", "", "no such path"}, request.close);
}

void Server::Impl::control(Conn& conn, const Request& request) {
  conn.record = 0;
  const std::string_view path = request.path;
  Engine& engine = engines[conn.engine];
  if (path == "/fake/log" && request.method == "GET") {
    return answer(conn, 200, "application/x-ndjson",
                  log.lines(parameter(request.query, "path"), parameter(request.query, "model")),
                  request.close);
  }
  if (path == "/fake/state" && request.method == "GET") {
    std::string body = "{\"running\":" + std::to_string(engine.running) +
                       ",\"waiting\":" + std::to_string(engine.queue.size()) +
                       ",\"tokens\":" + std::to_string(engine.tokens) + ",\"connections\":";
    std::int64_t open = 0;
    for (const auto& one : conns) open += one->fd >= 0 && one->engine == conn.engine;
    return answer(conn, 200, "application/json", body + std::to_string(open) + "}", request.close);
  }
  if (request.method != "POST") return refuse(conn, {404, "not_found_error", "", "no such path"}, false);
  if (path == "/fake/script") return set_script(conn, request);
  if (path == "/fake/reset") {
    log.reset();
    counters.clear();
    for (Engine& one : engines) {
      one.scripts.clear();
      one.health = 200;
    }
  } else if (path == "/fake/health") {
    const bool well = request.body.empty() || request.body == "200";
    engine.health = well ? 200 : 503;
  } else if (path == "/fake/close-idle") {
    for (const auto& one : conns) {
      if (one->fd >= 0 && one->engine == conn.engine && one.get() != &conn && !one->busy()) {
        drop(*one, false);
      }
    }
  } else {
    return refuse(conn, {404, "not_found_error", "", "no such path"}, request.close);
  }
  answer(conn, 200, "application/json", "{}", request.close);
}

void Server::Impl::set_script(Conn& conn, const Request& request) {
  boost::system::error_code error;
  const json::value root = json::parse(request.body, error);
  const json::object* object = error ? nullptr : root.if_object();
  const json::value* script = object ? object->if_contains("script") : nullptr;
  const json::value* model = object ? object->if_contains("model") : nullptr;
  std::string why = "want {\"model\": name or none, \"script\": {...}}";
  Script trial;
  if (!script || !script->is_object() || (model && !model->is_string()) ||
      !apply(script->get_object(), engines[conn.engine].name, trial, why)) {
    return refuse(conn, {400, "invalid_request_error", "bad_script", why}, request.close);
  }
  const std::string key = model ? std::string(std::string_view(model->get_string())) : "";
  engines[conn.engine].scripts[key] = script->get_object();
  answer(conn, 200, "application/json", "{}", request.close);
}

bool Server::Impl::build_script(const Engine& engine, const Call& call, Script& script,
                                std::string& why) {
  script = options.script;
  for (const std::string& key : {std::string{}, call.model}) {
    const auto posted = engine.scripts.find(key);
    if (posted != engine.scripts.end() && !apply(posted->second, engine.name, script, why)) {
      return false;
    }
    if (call.model.empty()) break;
  }
  apply_model(call.model, script);
  if (call.script.empty()) return true;
  boost::system::error_code error;
  const json::value root = json::parse(call.script, error);
  why = "the script is no JSON object";
  if (error || !root.is_object()) return false;
  return apply(root.get_object(), engine.name, script, why);
}

// Whether the fault hits this request: every k-th, or the first so many, of one script.
void Server::Impl::count_fault(const Call& call, Script& script) {
  if (script.only_fresh && call.ends_with_assistant) script.ill = Ill::none;
  if (script.every <= 1 && script.times == 0) return;
  if (counters.size() >= kCountersMax) counters.clear();
  const std::string key = script.key.empty() ? call.model + '\n' + call.script : script.key;
  const std::int64_t n = ++counters[key];
  const bool hit = n % script.every == 0 && (script.times == 0 || n <= script.times);
  if (!hit) script.ill = Ill::none;
}

// Whether the dialect goes on with the assistant's last message; a status in `refusal` other than 200
// refuses the request.
bool Server::Impl::continues(const Call& call, Refusal& refusal) const {
  refusal.status = 200;
  if (options.dialect == Dialect::generic || call.kind != Call::Kind::chat) return false;
  if (call.continue_final && call.add_generation && options.dialect == Dialect::vllm) {
    refusal = {400, "invalid_request_error", "",
               "Cannot set both `continue_final_message` and `add_generation_prompt` to True."};
    return false;
  }
  if (!call.ends_with_assistant) return false;
  return options.dialect == Dialect::llamacpp || call.continue_final;
}

void Server::Impl::call(Conn& conn, Call::Kind kind, const Request& request) {
  Engine& engine = engines[conn.engine];
  Plan plan;
  std::string why;
  if (!read_call(kind, request.body, plan.call, why)) {
    return refuse(conn, {400, "invalid_request_error", "", why}, request.close);
  }
  bool known = options.any_model;
  for (const std::string& model : options.models) known = known || model == plan.call.model;
  if (!known) {
    return refuse(conn, {404, "not_found_error", "model_not_found",
                         "The model `" + plan.call.model + "` does not exist."},
                  request.close);
  }
  Refusal refusal;
  plan.continues = continues(plan.call, refusal);
  if (refusal.status != 200) return refuse(conn, refusal, request.close);
  if (!build_script(engine, plan.call, plan.script, why)) {
    return refuse(conn, {400, "invalid_request_error", "bad_script", why}, request.close);
  }
  count_fault(plan.call, plan.script);
  plan.dialect = options.dialect;
  plan.flat_errors = options.flat_errors;
  plan.close = request.close;
  plan.context = options.context;
  plan.created_s = created_s;
  plan.id = kind == Call::Kind::chat ? "chatcmpl-" : "cmpl-";
  plan.id += engine.name + '-' + std::to_string(++answers);
  if (kind == Call::Kind::embedding) plan.call.stream = false;
  if (plan.call.prompt_tokens > options.context) plan.script.ill = Ill::context_length;
  if (Record* record = log.find(conn.record)) {
    record->model = plan.call.model;
    record->stream = plan.call.stream;
    record->prompt_tokens = plan.call.prompt_tokens;
    record->fault = name_of(plan.script.ill);
  }
  if (engine.running < options.slots) return begin(conn, std::move(plan));
  if (options.refuse_when_full) {
    return refuse(conn, {503, "unavailable_error", "", "all slots are busy"}, request.close);
  }
  conn.queued = std::move(plan);
  engine.queue.emplace_back(conn.slot, conn.generation);
  if (Record* record = log.find(conn.record)) record->outcome = "queued";
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
  if (then != Then::keep) drop(conn, then == Then::reset);
  else if (!conn.in.empty()) process(conn);
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
    record->outcome = peer_left                ? "cancelled"
                      : reply.complete()       ? "completed"
                      : reply.status() >= 400  ? "refused"
                                               : "faulted";
  }
  engine.tokens += reply.tokens_sent();
  --engine.running;
  conn.reply.reset();
  conn.due_us = -1;
  start_queued(engine);
}

void Server::Impl::start_queued(Engine& engine) {
  while (engine.running < options.slots && !engine.queue.empty()) {
    const auto [slot, generation] = engine.queue.front();
    engine.queue.pop_front();
    Conn& next = *conns[slot];
    if (next.fd < 0 || next.generation != generation || !next.queued) continue;
    Plan plan = std::move(*next.queued);
    begin(next, std::move(plan));
  }
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

std::uint16_t Server::port(unsigned engine) const { return impl_->engines.at(engine).port; }

std::string Server::url(unsigned engine) const {
  return "http://" + impl_->options.bind + ':' + std::to_string(port(engine));
}

void Server::run() { impl_->loop(); }

void Server::stop() {
  const std::uint64_t one = 1;
  // A full counter already wakes the loop.
  [[maybe_unused]] const ssize_t written = write(impl_->wake, &one, sizeof one);
}

}  // namespace trib::fake

#include "backends/agent/engine_book.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>
#include <thread>

#include "backends/engines/engines.h"
#include "gateway/telemetry/telemetry.h"

namespace trib::agent {
namespace {

constexpr std::int64_t ms = 1'000'000;
constexpr std::uint32_t slots_default = 8;

std::uint16_t free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t bytes = sizeof at;
  std::uint16_t port = 0;
  if (::bind(fd, reinterpret_cast<sockaddr*>(&at), sizeof at) == 0 &&
      ::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &bytes) == 0) {
    port = ntohs(at.sin_port);
  }
  ::close(fd);
  return port;
}

std::string with_port(std::string text, std::uint16_t port) {
  for (std::size_t at = 0; (at = text.find("{port}", at)) != std::string::npos;) {
    text.replace(at, 6, std::to_string(port));
  }
  return text;
}

}  // namespace

std::string offer_id(std::size_t engine, std::size_t place, std::string_view model) {
  std::string out = std::to_string(engine) + '.' + std::to_string(place) + '.';
  for (const char c : model) {
    const bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '.' || c == '_' || c == '-';
    out += ok ? c : '-';
  }
  return out.substr(0, 64);
}

Child::~Child() {
  if (pid_ == 0) return;
  ::kill(pid_, SIGTERM);
  for (int i = 0; i < 100; ++i) {
    if (::waitpid(pid_, nullptr, WNOHANG) != 0) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

void Child::keep_running() {
  if (pid_ != 0 && ::waitpid(pid_, nullptr, WNOHANG) == 0) return;
  std::vector<char*> arguments;
  for (auto& part : command_) arguments.push_back(part.data());
  arguments.push_back(nullptr);
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(127);
    ::dup2(STDERR_FILENO, STDOUT_FILENO);
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::execvp(arguments[0], arguments.data());
    ::_exit(127);
  }
  if (pid_ < 0) pid_ = 0;
}

// One engine and the probe that is under way.
class EngineBook::One final : private http::CallEvents {
 public:
  One(EngineBook& book, std::size_t index, const config::AgentEngineConfig& config)
      : book_(book), index_(index), models_(config.models), capacity_(config.capacity) {
    engine_.endpoint = config.endpoint;
    engine_.base_path = config.base_path;
    if (config.run.empty()) return;
    engine_.endpoint = {};
    engine_.endpoint.host = "127.0.0.1";
    engine_.endpoint.port = free_port();
    std::vector<std::string> command;
    for (const auto& part : config.run) command.push_back(with_port(part, engine_.endpoint.port));
    child_ = std::make_unique<Child>(std::move(command));
  }

  void probe() {
    if (call_) return;
    if (child_) child_->keep_running();
    probe_ = {};
    step();
  }

  void soon() {
    if (!call_) book_.wheel_.arm(timer_, book_.wheel_.now_ns());
  }

  void add_offers(std::vector<fleet::AgentOffer>& out,
                  std::map<std::string, std::size_t>& where) const {
    if (!there_) return;
    auto models = models_;
    if (models.empty()) {
      for (const auto& name : found_models_) models.emplace_back(name, name);
    }
    for (std::size_t i = 0; i < models.size(); ++i) {
      fleet::AgentOffer offer;
      offer.id = offer_id(index_, i, models[i].first);
      offer.model = models[i].first;
      offer.engine_model = models[i].second;
      offer.device = book_.terms_.device;
      offer.vendor = book_.terms_.vendor;
      offer.slots = engine_.slots;
      const auto shown = shown_.find(key(offer.engine_model));
      offer.can = shown != shown_.end() ? shown->second.onto(found_) : found_;
      where[offer.id] = index_;
      out.push_back(std::move(offer));
    }
  }

  const Engine& engine() const { return engine_; }

 private:
  void step() {
    const auto path = trial_ ? trial_->path() : probe_.next();
    if (path.empty()) return trial_ ? tried() : finish();
    path_ = engine_.base_path + std::string(path);
    http::CallRequest request;
    request.body = trial_ ? std::string_view(trial_->body()) : probe_.body();
    request.method = request.body.empty() ? "GET" : "POST";
    request.path = path_;
    if (!request.body.empty()) request.content_type = "application/json";
    body_.clear();
    status_ = 0;
    call_ = book_.call_(engine_.endpoint, std::move(request), *this);
    const bool generates = trial_ && trial_->generates();
    book_.wheel_.arm(timer_, book_.wheel_.now_ns() + (generates ? book_.terms_.generation_ms : engines::probe_step_ms) * ms);
  }

  std::string key(std::string_view model) const { return found_.engine + ' ' + found_.version + '\n' + std::string(model); }

  // One of its models that has not been tried, if there is one.
  bool try_next() {
    if (!there_ || book_.terms_.generation_ms == 0) return false;
    std::vector<std::string> served;
    for (const auto& [model, engine_model] : models_) served.push_back(engine_model);
    if (served.empty()) served = found_models_;
    for (std::size_t i = 0; i < std::min(served.size(), engines::trial_models_max); ++i) {
      if (shown_.size() >= shown_max || shown_.contains(key(served[i]))) continue;
      trying_ = served[i];
      trial_.emplace(trying_, found_, error_shape_);
      return true;
    }
    return false;
  }

  void tried() {
    const auto& shown = shown_[key(trying_)] = trial_->shown();
    error_shape_ = shown.error_shape;
    telemetry::log(telemetry::Level::info, "model_tried",
                   {{"engine", engine_.endpoint.key()}, {"model", trying_}, {"version", found_.version},
                    {"outcome", trial_->outcome()}, {"goes_on", fleet::words_of(fleet::ways_of(shown.onto(found_)))}});
    trial_.reset();
    const bool more = try_next();
    if (!more) book_.wheel_.arm(timer_, book_.wheel_.now_ns() + book_.terms_.found_ms * ms);
    book_.changed();
    if (more) step();
  }

  void answered(int status) {
    call_.reset();
    if (trial_) {
      trial_->answer(status, body_);
    } else {
      probe_.answer(status, body_);
    }
    step();
  }

  void finish() {
    const bool reached = probe_.reachable();
    misses_ = reached ? 0 : misses_ + 1;
    const bool was = there_;
    if (reached) there_ = true;
    if (misses_ >= book_.terms_.misses) there_ = false;
    bool news = was != there_;
    if (reached && (probe_.models() != found_models_ || probe_.found() != found_)) {
      found_models_ = probe_.models();
      found_ = probe_.found();
      engine_.slots = capacity_ != 0 ? capacity_ : found_.slots != 0 ? found_.slots : slots_default;
      news = true;
    }
    if (was != there_) {
      telemetry::log(there_ ? telemetry::Level::info : telemetry::Level::warning,
                     there_ ? "engine found" : "engine lost",
                     {{"engine", engine_.endpoint.key()},
                      {"kind", found_.engine},
                      {"version", found_.version}});
    }
    const bool trial = reached && try_next();
    book_.wheel_.arm(timer_, book_.wheel_.now_ns() +
                                 (reached ? book_.terms_.found_ms : book_.terms_.missing_ms) * ms);
    if (news) book_.changed();
    if (trial) step();
  }

  void on_timer() {
    call_ ? answered(0) : probe();
  }  // a step that took too long, or the next probe

  void on_head(const http::ResponseHead& head) override { status_ = head.status; }
  void on_body(std::string_view bytes) override {
    body_ += bytes.substr(0, engines::probe_bytes_max - body_.size());
    if (trial_ && trial_->enough(body_)) answered(status_);
  }
  void on_end() override { answered(status_); }
  void on_fault(const Fault&) override { answered(0); }

  EngineBook& book_;
  const std::size_t index_;
  const std::vector<std::pair<std::string, std::string>> models_;
  const std::uint32_t capacity_;
  Engine engine_;
  std::unique_ptr<Child> child_;
  engines::Probe probe_;
  std::string path_, body_;
  int status_ = 0, misses_ = 0;
  bool there_ = false;
  fleet::Capabilities found_;
  std::vector<std::string> found_models_;
  static constexpr std::size_t shown_max = 4096;
  std::map<std::string, engines::Shown> shown_;  // by engine, version and model
  std::optional<engines::Trial> trial_;
  std::string trying_;
  fleet::ErrorShape error_shape_ = fleet::ErrorShape::unknown;
  std::unique_ptr<http::Call> call_;
  MemberTimer<One, &One::on_timer> timer_{*this};
};

EngineBook::EngineBook(const std::vector<config::AgentEngineConfig>& engines,
                       Forwarder::CallEngine call, Forwarder& forwarder, TimerWheel& wheel,
                       BookTerms terms)
    : call_(std::move(call)), forwarder_(forwarder), wheel_(wheel), terms_(std::move(terms)) {
  for (const auto& engine : engines)
    engines_.push_back(std::make_unique<One>(*this, engines_.size(), engine));
}

EngineBook::~EngineBook() = default;

void EngineBook::start() {
  changed();
  for (const auto& engine : engines_) engine->probe();
}

void EngineBook::probe_soon(std::size_t engine) {
  if (engine < engines_.size()) engines_[engine]->soon();
}

void EngineBook::changed() {
  std::vector<Engine> engines;
  std::vector<fleet::AgentOffer> offers;
  std::map<std::string, std::size_t> where;
  for (const auto& engine : engines_) {
    engines.push_back(engine->engine());
    engine->add_offers(offers, where);
  }
  if (offers.size() > tunnel::offers_max) offers.resize(tunnel::offers_max);
  forwarder_.engines(std::move(engines));
  forwarder_.offers(std::move(where));
  if (on_offers) on_offers(std::move(offers));
}

}  // namespace trib::agent

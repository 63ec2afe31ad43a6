#include "backends/agent/forward.h"

#include <algorithm>
#include <utility>

namespace trib::agent {
namespace {

constexpr std::int64_t ms = 1'000'000;

// End-to-end fields of an engine's answer that mean something to the gateway.
bool passes(std::string_view name) {
  static constexpr std::string_view names[] = {"content-type", "retry-after", "cache-control",
                                               "content-length"};
  return std::any_of(std::begin(names), std::end(names),
                     [&](std::string_view n) { return http::iequals(n, name); });
}

}  // namespace

// One request on its way to an engine and back.
class Forwarder::One final : private http::CallEvents {
 public:
  One(Forwarder& all, tunnel::Answer& answer, std::size_t engine)
      : all_(all), answer_(answer), engine_(engine) {}

  void begin(const Engine& engine) {
    const tunnel::AgentRequest& asked = answer_.request();
    path_ = engine.base_path + asked.path;
    type_ = asked.content_type;
    http::CallRequest request;
    request.path = path_;
    request.content_type = type_;
    request.accept = asked.accept;
    const std::int64_t life_ms = asked.deadline_ms;
    request.body = answer_.take_body();
    if (all_.on_served && all_.model_of) meter_ = Meter::of(asked.attempt, asked.path, all_.model_of(asked.offer), all_.clock_);
    if (life_ms > 0) all_.wheel_.arm(deadline_, all_.wheel_.now_ns() + life_ms * ms);
    call_ = all_.call_(engine.endpoint, std::move(request), *this);
  }

  void resume() {
    if (call_ && std::exchange(paused_, false)) call_->resume();
  }

  std::size_t engine() const { return engine_; }

  void served(ledger::Served how) {
    if (meter_) all_.on_served(meter_->finish(how));
    meter_.reset();
  }

 private:
  void on_head(const http::ResponseHead& head) override {
    std::vector<http::Field> fields;
    for (const auto& field : head.fields) {
      if (passes(field.name)) fields.push_back(field);
    }
    if (meter_) meter_->head(head.status, head.find("content-type"));
    deadline_.cancel();  // from here on the gateway watches it
    answer_.head(head.status, fields);
  }

  void on_body(std::string_view bytes) override {
    answer_.body(bytes);
    if (meter_) meter_->body(bytes);
    if (answer_.queued_bytes() <= tunnel::Answer::high_bytes || paused_) return;
    paused_ = true;
    call_->pause();
  }

  void on_end() override {
    tunnel::Answer& answer = answer_;
    served(ledger::Served::done);
    all_.forget(*this);  // destroys us
    answer.end();
  }

  void on_fault(const Fault& fault) override {
    Forwarder& all = all_;
    tunnel::Answer& answer = answer_;
    const std::size_t engine = engine_;
    const FaultKind kind = fault.kind;
    const bool unreachable = kind == FaultKind::connect_refused || kind == FaultKind::connect_failed ||
                             kind == FaultKind::connect_timeout;
    if (!unreachable) served(ledger::Served::broken);
    all.forget(*this);  // destroys us
    answer.fail(kind);
    if (unreachable && all.on_unreachable) all.on_unreachable(engine);
  }

  void late() {
    tunnel::Answer& answer = answer_;
    served(ledger::Served::deadline);
    all_.forget(*this);  // destroys us, and the engine sees the close
    answer.refuse(504, "engine_timeout", "the attempt's deadline passed");
  }

  Forwarder& all_;
  tunnel::Answer& answer_;
  const std::size_t engine_;
  std::string path_, type_;  // the call keeps views of them
  bool paused_ = false;
  std::optional<Meter> meter_;
  std::unique_ptr<http::Call> call_;
  MemberTimer<One, &One::late> deadline_{*this};
};

Forwarder::Forwarder(CallEngine call, TimerWheel& wheel, const Clock& clock) : call_(std::move(call)), wheel_(wheel), clock_(clock) {}

Forwarder::~Forwarder() = default;

void Forwarder::forget(One& one) {
  const auto at = std::find_if(open_.begin(), open_.end(),
                               [&](const auto& entry) { return entry.second.get() == &one; });
  TRIB_ASSERT(at != open_.end());
  open_.erase(at);
}

const Engine* Forwarder::engine_of(const std::string& offer) const {
  const auto found = offers_.find(offer);
  return found == offers_.end() || found->second >= engines_.size() ? nullptr : &engines_[found->second];
}

void Forwarder::on_request(tunnel::Answer& answer) {
  const auto offer = offers_.find(answer.request().offer);
  if (offer == offers_.end() || offer->second >= engines_.size())
    return answer.refuse(421, "offer_unknown", "not run");
  const std::size_t index = offer->second;
  const auto busy =
      static_cast<std::size_t>(std::count_if(open_.begin(), open_.end(), [&](const auto& entry) {
        return entry.second->engine() == index;
      }));
  if (busy >= engines_[index].slots) return answer.refuse(429, "slots_full", "every slot is taken");
  const auto at = open_.emplace(&answer, std::make_unique<One>(*this, answer, index)).first;
  at->second->begin(engines_[index]);
}

void Forwarder::on_room(tunnel::Answer& answer) {
  if (const auto at = open_.find(&answer); at != open_.end()) at->second->resume();
}

void Forwarder::on_cancel(tunnel::Answer& answer) {
  const auto at = open_.find(&answer);
  if (at == open_.end()) return;
  at->second->served(ledger::Served::cancelled);
  open_.erase(at);
}

}  // namespace trib::agent

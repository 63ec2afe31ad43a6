#include "backends/agent/moment.h"

#include <ctime>
#include <utility>

#include "backends/engines/engines.h"

namespace trib::agent {
namespace {

constexpr std::int64_t ms = 1'000'000;
constexpr std::int64_t every_ms = 5'000;
constexpr std::int64_t answer_ms_max = 2'000;
constexpr int stale_max = 3;  // rounds without figures before the last ones count no more
constexpr std::int64_t clock_every_ms = 60'000;
constexpr std::int64_t clock_slack_ns = 30'000 * ms;  // within which a clock has not been set

std::string address_of(const Engine& engine) { return engine.endpoint.key() + engine.base_path; }

}  // namespace

std::int64_t next_time_of_day(std::int64_t wall_ms, int minutes) {
  const std::time_t now = static_cast<std::time_t>(wall_ms / 1000);
  std::tm day{};
  if (::localtime_r(&now, &day) == nullptr) return 0;
  for (int ahead = 0; ahead < 3; ++ahead) {  // today's may be over, and a day may lack the hour
    std::tm at = day;
    at.tm_mday += ahead;
    at.tm_hour = minutes / 60;
    at.tm_min = minutes % 60;
    at.tm_sec = 0;
    at.tm_isdst = -1;
    const std::time_t when = std::mktime(&at);
    if (when > now) return std::int64_t{when} * 1000;
  }
  return 0;
}

// Asks one engine for its metrics page, again and again.
class Moment::Page final : private http::CallEvents {
 public:
  Page(Moment& all, const Engine& engine, fleet::MetricsKind kind)
      : all_(all), endpoint_(engine.endpoint), path_(engine.base_path + std::string(engines::metrics_path)), kind_(kind) {
    ask();
  }

  fleet::MetricsKind kind() const { return kind_; }
  const fleet::EngineFigures& figures() const { return figures_; }

 private:
  void ask() {
    reader_.emplace(kind_);
    status_ = 0;
    http::CallRequest request;
    request.method = "GET";
    request.path = path_;
    all_.wheel_.arm(timer_, all_.wheel_.now_ns() + answer_ms_max * ms);
    call_ = all_.call_(endpoint_, std::move(request), *this);
  }

  void answered(int status) {
    call_.reset();
    all_.wheel_.arm(timer_, all_.wheel_.now_ns() + every_ms * ms);
    const auto read = status == 200 ? reader_->finish() : fleet::EngineFigures{};
    reader_.reset();
    // A page that is missing or holds none of the figures changes nothing at first: it may come back.
    stale_ = read == fleet::EngineFigures{} ? stale_ + 1 : 0;
    if (stale_ > 0 && stale_ < stale_max) return;
    if (read == std::exchange(figures_, read)) return;
    all_.tell();
  }

  void on_timer() { reader_ ? answered(0) : ask(); }
  void on_head(const http::ResponseHead& head) override { status_ = head.status; }
  void on_body(std::string_view bytes) override { reader_->feed(bytes); }
  void on_end() override { answered(status_); }
  void on_fault(const Fault&) override { answered(0); }

  Moment& all_;
  const Endpoint endpoint_;
  const std::string path_;
  const fleet::MetricsKind kind_;
  std::optional<engines::MetricsReader> reader_;  // while it is asked
  int status_ = 0, stale_ = 0;
  fleet::EngineFigures figures_;
  std::unique_ptr<http::Call> call_;
  MemberTimer<Page, &Page::on_timer> timer_{*this};
};

Moment::Moment(Forwarder::CallEngine call, const Forwarder& engines, TimerWheel& wheel, const Clock& clock,
               std::optional<int> until_min)
    : call_(std::move(call)), engines_(engines), wheel_(wheel), clock_(clock), until_min_(until_min) {
  if (until_min_) look_at_clock();
}

Moment::~Moment() = default;

void Moment::offer(std::vector<fleet::AgentOffer> offers) {
  offers_ = std::move(offers);
  std::map<std::string, std::unique_ptr<Page>> wanted;
  for (const auto& offer : offers_) {
    const Engine* const engine = engines_.engine_of(offer.id);
    if (engine == nullptr || offer.can.metrics == fleet::MetricsKind::none) continue;
    auto& page = wanted[address_of(*engine)];
    if (page != nullptr) continue;
    if (auto known = pages_.find(address_of(*engine)); known != pages_.end()) page = std::move(known->second);
    if (page == nullptr || page->kind() != offer.can.metrics) page = std::make_unique<Page>(*this, *engine, offer.can.metrics);
  }
  pages_ = std::move(wanted);
  tell();
}

void Moment::tell() {
  for (auto& offer : offers_) {
    const Engine* const engine = engines_.engine_of(offer.id);
    const auto page = engine == nullptr ? pages_.end() : pages_.find(address_of(*engine));
    offer.figures = page == pages_.end() ? fleet::EngineFigures{} : page->second->figures();
    offer.leaves_ns = leaves_ns_;
  }
  if (on_offers) on_offers(offers_);
}

// The day's end moves on once it is over, and with a clock that is set.
void Moment::look_at_clock() {
  wheel_.arm(clock_timer_, wheel_.now_ns() + clock_every_ms * ms);
  const std::int64_t wall_ms = clock_.wall_ms();
  const std::int64_t next_ms = next_time_of_day(wall_ms, *until_min_);
  const std::int64_t leaves = next_ms == 0 ? 0 : clock_.mono_ns() + (next_ms - wall_ms) * ms;
  const std::int64_t moved = leaves - leaves_ns_;
  if (moved < clock_slack_ns && moved > -clock_slack_ns) return;
  leaves_ns_ = leaves;
  if (!offers_.empty()) tell();
}

}  // namespace trib::agent

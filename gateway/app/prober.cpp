#include "gateway/app/prober.h"

#include <optional>
#include <utility>

namespace trib::app {
namespace {

constexpr std::int64_t ms = 1'000'000;
constexpr std::int64_t every_ms = 5'000;
constexpr std::int64_t retry_ms = 1'000;
constexpr int misses_max = 2;  // looks without an answer before its offers go
constexpr int stale_max = 3;   // rounds without figures before the last ones count no more

}  // namespace

// One engine of one site.
class Prober::Watch final : private http::CallEvents, private Timer {
 public:
  Watch(Prober& of, std::string site, std::size_t index, const config::EngineConfig& engine)
      : of_(of), site_(std::move(site)), index_(index), endpoint_(engine.endpoint), base_path_(engine.base_path) {}

  void begin() {
    of_.fleet_.engine_figures(site_, index_, {});
    probe_ = std::make_unique<engines::Probe>();
    step();
  }
  bool looked() const { return looked_; }

 private:
  void step() {
    const auto path = probe_ != nullptr ? probe_->next() : reader_ ? engines::metrics_path : "/v1/models";
    if (path.empty()) {
      conclude();
      return;
    }
    ask(path, probe_ != nullptr ? probe_->body() : std::string_view());
  }

  void ask(std::string_view path, std::string_view json) {
    path_ = base_path_ + std::string(path);
    status_ = 0;
    body_.clear();
    http::CallRequest request;
    request.method = json.empty() ? "GET" : "POST";
    request.path = path_;
    request.body = json;
    if (!json.empty()) request.content_type = "application/json";
    waiting_ = true;
    of_.loop_.wheel().arm(*this, of_.loop_.wheel().now_ns() + engines::probe_step_ms * ms);
    call_ = of_.pool_.call(endpoint_, std::move(request), *this);
  }

  void on_head(const http::ResponseHead& head) override { status_ = head.status; }
  void on_body(std::string_view bytes) override {
    if (reader_) {
      reader_->feed(bytes);
    } else {
      body_.append(bytes.substr(0, engines::probe_bytes_max - body_.size()));
    }
  }
  void on_end() override { answered(); }
  void on_fault(const Fault&) override {
    status_ = 0;
    answered();
  }

  void on_timer() override {
    if (waiting_) {
      status_ = 0;
      call_.reset();
      answered();
    } else if (found_) {
      step();
    } else {
      begin();
    }
  }

  void answered() {
    waiting_ = false;
    cancel();
    call_.reset();
    if (probe_ != nullptr) {
      probe_->answer(status_, body_);
      step();
      return;
    }
    if (reader_) {
      take_figures();
      rest(every_ms);
      return;
    }
    if (status_ == 0 || status_ >= 500) {
      if (++misses_ >= misses_max) lost();
    } else {
      misses_ = 0;
    }
    if (found_ && misses_ == 0 && metrics_ != fleet::MetricsKind::none) {
      reader_.emplace(metrics_);
      step();
    } else {
      rest(every_ms);
    }
  }

  // A page that is missing or holds none of the figures changes nothing at first: it may come back.
  void take_figures() {
    const auto figures = status_ == 200 ? reader_->finish() : fleet::EngineFigures{};
    reader_.reset();
    if (figures != fleet::EngineFigures{}) {
      stale_ = 0;
      of_.fleet_.engine_figures(site_, index_, figures);
    } else if (++stale_ == stale_max) {
      of_.fleet_.engine_figures(site_, index_, {});
    }
  }

  void conclude() {
    const auto probe = std::move(probe_);
    if (probe->reachable()) {
      const bool news = !found_;
      found_ = true;
      misses_ = 0;
      metrics_ = probe->found().metrics;
      of_.fleet_.engine_found(site_, index_, probe->found(), probe->models());
      if (news)
        telemetry::log(telemetry::Level::info, "engine_found",
                       {{"site", site_}, {"engine", probe->found().engine}, {"version", probe->found().version},
                        {"at", endpoint_.host + ":" + std::to_string(endpoint_.port)}});
    }
    looked_ = true;
    bool all = true;
    for (const auto& watch : of_.watches_) all = all && watch->looked();
    if (all) of_.first_round_.store(true);
    rest(found_ ? every_ms : retry_ms);
  }

  void lost() {
    if (!found_) return;
    found_ = false;
    of_.fleet_.engine_lost(site_, index_);
    telemetry::log(telemetry::Level::warning, "engine_lost",
                   {{"site", site_}, {"at", endpoint_.host + ":" + std::to_string(endpoint_.port)}});
  }

  void rest(std::int64_t for_ms) { of_.loop_.wheel().arm(*this, of_.loop_.wheel().now_ns() + for_ms * ms); }

  Prober& of_;
  const std::string site_;
  const std::size_t index_;
  const Endpoint endpoint_;
  const std::string base_path_;
  std::unique_ptr<engines::Probe> probe_;
  std::optional<engines::MetricsReader> reader_;  // while its page is read
  std::unique_ptr<http::Call> call_;
  std::string path_, body_;
  fleet::MetricsKind metrics_ = fleet::MetricsKind::none;
  int status_ = 0, misses_ = 0, stale_ = 0;
  bool found_ = false, looked_ = false, waiting_ = false;
};

Prober::Prober(Loop& loop, net::HttpPool& pool, fleet::Fleet& fleet) : loop_(loop), pool_(pool), fleet_(fleet) {}

Prober::~Prober() = default;

void Prober::configure(const config::ConfigSnapshot& config) {
  watches_.clear();
  for (const auto& site : config.sites)
    for (std::size_t i = 0; i < site.engines.size(); ++i)
      watches_.push_back(std::make_unique<Watch>(*this, site.id, i, site.engines[i]));
  if (watches_.empty()) first_round_.store(true);
  for (auto& watch : watches_) watch->begin();
}

}  // namespace trib::app

#include "gateway/app/prober.h"

#include <algorithm>
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
      : of_(of), site_(std::move(site)), index_(index), endpoint_(engine.endpoint), base_path_(engine.base_path) {
    for (const auto& [model, engine_model] : engine.models) models_.push_back(engine_model);
  }

  void begin() {
    of_.fleet_.engine_figures(site_, index_, {});
    probe_ = std::make_unique<engines::Probe>();
    step();
  }
  bool looked() const { return looked_; }

 private:
  void step() {
    if (trial_ != nullptr) {
      const auto path = trial_->path();
      if (path.empty()) return tried();
      return ask(path, trial_->body(), trial_->generates() ? of_.generation_ms_ : engines::probe_step_ms);
    }
    const auto path = probe_ != nullptr ? probe_->next() : reader_ ? engines::metrics_path : "/v1/models";
    if (path.empty()) {
      conclude();
      return;
    }
    ask(path, probe_ != nullptr ? probe_->body() : std::string_view(), engines::probe_step_ms);
  }

  void ask(std::string_view path, std::string_view json, std::int64_t for_ms) {
    path_ = base_path_ + std::string(path);
    status_ = 0;
    body_.clear();
    http::CallRequest request;
    request.method = json.empty() ? "GET" : "POST";
    request.path = path_;
    request.body = json;
    if (!json.empty()) request.content_type = "application/json";
    waiting_ = true;
    of_.loop_.wheel().arm(*this, of_.loop_.wheel().now_ns() + for_ms * ms);
    call_ = of_.pool_.call(endpoint_, std::move(request), *this);
  }

  void on_head(const http::ResponseHead& head) override { status_ = head.status; }
  void on_body(std::string_view bytes) override {
    if (reader_) {
      reader_->feed(bytes);
    } else {
      body_.append(bytes.substr(0, engines::probe_bytes_max - body_.size()));
      if (trial_ != nullptr && trial_->enough(body_)) answered();  // the call goes, and the engine is free
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
    if (trial_ != nullptr) {
      trial_->answer(status_, body_);
      step();
      return;
    }
    if (probe_ != nullptr) {
      probe_->answer(status_, body_);
      step();
      return;
    }
    if (reader_) {
      take_figures();
      rest_or_try();
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
    } else if (found_ && misses_ == 0) {
      rest_or_try();
    } else {
      rest(every_ms);
    }
  }

  // One of its models that has not been tried, if there is one.
  void rest_or_try() {
    trial_ = nullptr;
    if (of_.generation_ms_ > 0) {
      for (std::size_t i = 0; i < std::min(models_found_.size(), engines::trial_models_max); ++i) {
        if (of_.shown_.size() >= shown_max || of_.shown_.contains(key(models_found_[i]))) continue;
        trying_ = models_found_[i];
        trial_ = std::make_unique<engines::Trial>(trying_, can_, error_shape_);
        step();
        return;
      }
    }
    rest(every_ms);
  }

  void tried() {
    const auto trial = std::move(trial_);
    const auto& shown = of_.shown_[key(trying_)] = trial->shown();
    error_shape_ = shown.error_shape;
    const auto can = shown.onto(can_);
    of_.fleet_.model_tried(site_, index_, trying_, can);
    telemetry::log(telemetry::Level::info, "model_tried",
                   {{"site", site_}, {"model", trying_}, {"engine", can_.engine}, {"version", can_.version},
                    {"outcome", trial->outcome()}, {"goes_on", fleet::words_of(fleet::ways_of(can))}});
    rest(retry_ms);
  }

  std::string key(std::string_view model) const {
    return endpoint_.key() + base_path_ + '\n' + can_.engine + ' ' + can_.version + '\n' + std::string(model);
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
      can_ = probe->found();
      models_found_ = models_.empty() ? probe->models() : models_;
      of_.fleet_.engine_found(site_, index_, can_, probe->models());
      for (const auto& model : models_found_)
        if (const auto known = of_.shown_.find(key(model)); known != of_.shown_.end())
          of_.fleet_.model_tried(site_, index_, model, known->second.onto(can_));
      if (news)
        telemetry::log(telemetry::Level::info, "engine_found",
                       {{"site", site_}, {"engine", probe->found().engine}, {"version", probe->found().version},
                        {"at", endpoint_.host + ":" + std::to_string(endpoint_.port)}});
    }
    looked_ = true;
    bool all = true;
    for (const auto& watch : of_.watches_) all = all && watch->looked();
    if (all) of_.first_round_.store(true);
    if (found_) {
      rest_or_try();
    } else {
      rest(retry_ms);
    }
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
  std::vector<std::string> models_, models_found_;  // the engine's names: as configured; those that it serves
  fleet::Capabilities can_;                         // as probed
  std::unique_ptr<engines::Trial> trial_;
  std::string trying_;
  fleet::ErrorShape error_shape_ = fleet::ErrorShape::unknown;
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
  generation_ms_ = config.gateway.probe_generation_ms;
  for (const auto& site : config.sites)
    for (std::size_t i = 0; i < site.engines.size(); ++i)
      watches_.push_back(std::make_unique<Watch>(*this, site.id, i, site.engines[i]));
  if (watches_.empty()) first_round_.store(true);
  for (auto& watch : watches_) watch->begin();
}

}  // namespace trib::app

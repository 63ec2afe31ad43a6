#include "backends/engines/probe.h"

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

namespace trib::engines {
namespace {

namespace bj = boost::json;

constexpr std::string_view paths[] = {"/v1/models", "/version", "/props", "/api/version", "/get_server_info", "/info"};
constexpr std::size_t models_max = 256;

bj::value parse(std::string_view body) {
  boost::system::error_code ec;
  bj::parse_options options;
  options.max_depth = 16;
  auto value = bj::parse(bj::string_view(body.data(), body.size()), ec, {}, options);
  return ec ? bj::value{} : value;
}

std::string text_at(const bj::object& object, const char* key) {
  const auto* const found = object.if_contains(key);
  return found != nullptr && found->is_string() ? std::string(found->get_string().c_str()) : std::string();
}

std::uint32_t number_at(const bj::object& object, const char* key) {
  const auto* const found = object.if_contains(key);
  if (found == nullptr || !found->is_int64() || found->get_int64() <= 0 || found->get_int64() > UINT32_MAX) return 0;
  return static_cast<std::uint32_t>(found->get_int64());
}

void identify(fleet::Capabilities& found, const char* engine, const char* dialect, std::string version) {
  if (!found.engine.empty()) return;
  found.engine = engine;
  found.dialect = dialect;
  found.version = std::move(version);
}

}  // namespace

std::string_view Probe::next() const {
  if (step_ >= std::size(paths)) return {};
  if (step_ == 1 && !reachable_) return {};
  if (step_ >= 3 && !found_.engine.empty()) return {};  // /props still refines what /version found
  return paths[step_];
}

void Probe::answer(int status, std::string_view body) {
  const std::size_t step = step_++;
  if (status == 0 || status >= 500) {
    if (step == 0) reachable_ = false;
    return;
  }
  if (step == 0) reachable_ = true;
  if (status != 200 || body.size() > probe_bytes_max) return;
  const bj::value value = parse(body);
  if (!value.is_object()) return;
  const bj::object& object = value.get_object();
  switch (step) {
    case 0: {
      const auto* const data = object.if_contains("data");
      if (data == nullptr || !data->is_array()) return;
      for (const auto& item : data->get_array()) {
        if (!item.is_object() || models_.size() >= models_max) continue;
        const std::string id = text_at(item.get_object(), "id");
        if (id.empty()) continue;
        models_.push_back(id);
        const auto window = number_at(item.get_object(), "max_model_len");
        if (window > 0) found_.context = window;
        const std::string owner = text_at(item.get_object(), "owned_by");
        if (owner == "llamacpp") identify(found_, "llama.cpp", "llamacpp", {});
        if (owner == "sglang") identify(found_, "sglang", "sglang", {});
      }
      return;
    }
    case 1:
      if (const auto version = text_at(object, "version"); !version.empty()) {
        if (found_.engine.empty()) {
          identify(found_, "vllm", "vllm", version);
        } else {
          found_.version = version;
        }
      }
      return;
    case 2:
      if (object.contains("total_slots") || object.contains("default_generation_settings")) {
        found_.engine = "llama.cpp";
        found_.dialect = "llamacpp";
        if (const auto build = text_at(object, "build_info"); !build.empty()) found_.version = build;
        found_.slots = number_at(object, "total_slots");
        if (const auto* const settings = object.if_contains("default_generation_settings");
            settings != nullptr && settings->is_object()) {
          if (const auto window = number_at(settings->get_object(), "n_ctx"); window > 0) found_.context = window;
        }
      }
      return;
    case 3:
      if (const auto version = text_at(object, "version"); !version.empty()) identify(found_, "ollama", "ollama", version);
      return;
    case 4:
      if (object.contains("tp_size") || object.contains("mem_fraction_static"))
        identify(found_, "sglang", "sglang", text_at(object, "version"));
      return;
    case 5:
      if (object.contains("model_id") && object.contains("max_concurrent_requests"))
        identify(found_, "tgi", "tgi", text_at(object, "version"));
      return;
    default:
      return;
  }
}

}  // namespace trib::engines

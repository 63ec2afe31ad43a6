// How offers are chosen and who waits: the file's own `routing` and that of each model.
#include "gateway/config/scalar.h"
#include "gateway/config/sections.h"

namespace trib::config {
namespace {

constexpr Key rows[] = {
    {"routing.policy", Type::choice, "balanced", "balanced|cheapest|fastest", "",
     "Which of the offers that may serve is taken; see [routing.md](routing.md)."},
    {"routing.line", Type::section, "", "", "",
     "Who waits when nothing is free; each worker has its own lines."},
    {"routing.line.length", Type::count, "256", "0", "65536",
     "Requests that wait for one model, in one worker; 0: nobody waits."},
    {"routing.line.wait", Type::duration, "10s", "1ms", "10m",
     "How long one may wait. Beyond either, 503 with a `Retry-After` from the measured drain."},
};

std::vector<std::string> ids(const Section& in, const char* key) {
  std::vector<std::string> out;
  for (const Section::Item& item : in.texts(key)) {
    if (!valid_id(item.text))
      in.fail_at(item, shown(item.node->raw) + " is not an id; use a-z, 0-9, '.', '_' and '-'");
    out.push_back(item.text);
  }
  return out;
}

}  // namespace

std::span<const Key> routing_keys() {
  return rows;
}

RoutingConfig read_routing(const Section& in) {
  RoutingConfig out;
  out.policy = static_cast<RoutingPolicy>(in.choice("policy"));
  const Section line = in.section("line");
  out.line.length_max = line.count32("length");
  out.line.wait_ms_max = line.duration_ms("wait");
  return out;
}

ModelRouting read_model_routing(const Section& in, const RoutingConfig& all) {
  ModelRouting out;
  out.policy =
      in.given("policy") ? static_cast<RoutingPolicy>(in.choice("policy")) : all.policy;
  out.regions = ids(in, "regions");
  out.vendors = ids(in, "vendors");
  out.supplier_ppm_max = in.count32("supplier_max");
  return out;
}

}  // namespace trib::config

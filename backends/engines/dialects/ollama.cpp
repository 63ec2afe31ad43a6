// Ollama. It tells no load; models unload when idle.
#include "backends/engines/dialect.h"

namespace trib::engines {
namespace {

constexpr std::string_view asks[] = {"/api/version"};

Sign sign(std::string_view path, const boost::json::object& answer) {
  return path == "/api/version" && !text_at(answer, "version").empty() ? Sign::proof : Sign::none;
}

void read(std::string_view path, const boost::json::object& answer, Findings& found) {
  if (path == "/api/version") found.can.version = text_at(answer, "version");
}

void record(Findings& found) {
  fleet::Capabilities& can = found.can;
  can.cancel = fleet::Cancel::on_disconnect;
  can.unknown_fields = fleet::UnknownFields::ignore;
  can.seed = can.grammar = can.tools = true;
}

}  // namespace

constinit const Dialect ollama{"ollama", "ollama", sign, asks, read, record, fleet::MetricsKind::none, {}, {}};

}  // namespace trib::engines

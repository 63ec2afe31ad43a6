// libFuzzer: whatever stands in a configuration file, it is read or refused with one line.
#include <cstddef>
#include <cstdint>
#include <string>

#include "gateway/base/assert.h"
#include "gateway/config/config.h"

namespace {

const char* env(const char* name) {
  return name[0] == 'A' ? "1" : nullptr;
}

template <typename Parse>
void read(Parse parse, const std::string& yaml) {
  try {
    parse("f.yaml", yaml, env);
  } catch (const trib::config::ConfigError& error) {
    const std::string message = error.what();
    TRIB_ASSERT(message.rfind("f.yaml:", 0) == 0 && message.find('\n') == std::string::npos);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string yaml(reinterpret_cast<const char*>(data), size);
  read(trib::config::parse_gateway, yaml);
  read(trib::config::parse_agent, yaml);
  return 0;
}

#include "gateway/base/transport.h"

namespace trib {

std::string Endpoint::key() const {
  std::string out = tls ? "tls://" : "tcp://";
  out += host + ':' + std::to_string(port);
  if (tls) out += '|' + server_name + '|' + trust;
  return out;
}

}  // namespace trib

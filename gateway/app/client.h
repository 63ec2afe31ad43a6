// The administrative subcommands' way to a running gateway.
#pragma once
#include <string>

namespace trib::app {

struct Reply {
  int status = 0;      // 0: the gateway could not be reached; body says why
  std::string body;
};

// One request, `url` being http://HOST:PORT or https://HOST:PORT (verified against the system's roots, or
// those of $SSL_CERT_FILE). Blocks until the gateway has answered; no deadline of its own.
Reply ask(const std::string& url, const std::string& token, const std::string& method, const std::string& target,
          const std::string& body = {});

}  // namespace trib::app

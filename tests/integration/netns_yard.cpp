// The two programs of netns_tunnel_test.py: a gateway that is only a sites door and sends requests
// through the first tunnel that offers something, and the agent.
//   netns_yard gateway HOST PORT FOLDER REQUESTS   prints "token T", then an "answer N STATUS
//   BYTES" each netns_yard enrol TOKEN CONFIG.yaml netns_yard agent CONFIG.yaml
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "backends/agent/agent.h"
#include "tests/unit/agent/mini_gateway.h"

using namespace trib;

namespace {

int gateway(const std::string& host, int port, const std::string& folder, int requests) {
  net::Worker worker(0, system_clock());
  test::MiniGateway home(worker, system_disk(), folder);
  if (const auto why = home.open(host, static_cast<std::uint16_t>(port)); !why.empty()) {
    std::fprintf(stderr, "%s\n", why.c_str());
    return 1;
  }
  std::printf("token %s\n", home.invite("cafe-one").c_str());
  std::fflush(stdout);
  std::vector<std::unique_ptr<test::MiniCall>> calls;
  int left = requests, failures = 0;
  home.on_offers = [&] {
    if (home.offers().empty() || !calls.empty()) return;
    for (int i = 0; i < requests; ++i) {
      calls.push_back(std::make_unique<test::MiniCall>());
      test::MiniCall& call = *calls.back();
      call.done = [&, i] {
        if (call.status != 200 || !call.ended) ++failures;
        std::printf("answer %d %d %zu %s\n", i, call.status, call.body.size(),
                    call.fault.detail.c_str());
        std::fflush(stdout);
        if (--left == 0) worker.post([&] { worker.stop(); });
      };
      http::CallRequest request;
      request.path = "/v1/completions";
      request.content_type = "application/json";
      request.body = "{\"n\":" + std::to_string(i) + "}";
      call.call = home.tunnel()->call(home.offers()[0].id, std::move(request), call);
      if (!call.call) call.done();
    }
  };
  worker.run();
  calls.clear();
  return failures == 0 ? 0 : 1;
}

const char* environment(const char* name) {
  return std::getenv(name);
}

}  // namespace

int main(int count, char** words) {
  const std::string what = count > 1 ? words[1] : "";
  if (what == "gateway" && count == 6)
    return gateway(words[2], std::atoi(words[3]), words[4], std::atoi(words[5]));
  try {
    if (what == "enrol" && count == 4)
      return agent::enrol_agent(words[2], *config::load_agent(words[3], environment));
    if (what == "agent" && count == 3)
      return agent::run_agent(*config::load_agent(words[2], environment));
  } catch (const config::ConfigError& error) {
    std::fprintf(stderr, "%s\n", error.what());
  }
  return 2;
}

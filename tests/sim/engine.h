// A site's inference engine: answers OpenAI's chat and completions with tokens that carry the
// customer's mark, and misbehaves as the seed says. It runs on the gateway's own server end of
// HTTP/1.1 (net::ClientSession) and has the raw stream for what that would never send.
#pragma once
#include <map>
#include <memory>
#include <string>

#include "gateway/net/net.h"
#include "tests/sim/net.h"
#include "tests/sim/oracle.h"

namespace trib::sim {

struct EngineTerms {
  std::string site, host;
  std::uint16_t port = 9001;
  std::uint32_t trouble_ppm = 0;  // of requests
  std::int64_t token_ns_max = 20 * ms;
  Weather weather;
  bool vllm = true;  // else llama.cpp
};

struct EngineFigures {
  std::uint64_t requests = 0, troubled = 0, tokens = 0;
};

class Engine final : private net::RequestHandler {
 public:
  Engine(Timeline& timeline, Net& net, Rng& rng, Oracle& oracle, EngineTerms terms);
  ~Engine();
  void start();
  void die();  // its connections are reset; dials are refused until start()
  bool up() const { return life_ != nullptr; }
  std::size_t running() const { return running_; }
  const EngineFigures& figures() const { return figures_; }
  const EngineTerms& terms() const { return terms_; }
  std::string address() const { return terms_.host + ':' + std::to_string(terms_.port); }

 private:
  class Running;
  struct Session {
    std::unique_ptr<net::ClientSession> session;
    PipeEnd* stream = nullptr;
  };
  void accept(std::unique_ptr<PipeEnd> stream);
  std::unique_ptr<net::Operation> on_request(net::Request request, net::Responder& responder) override;
  std::string refusal(int status, std::string_view why, std::string& fields) override;
  void probe(const net::Request& request, net::Responder& responder);

  Timeline& timeline_;
  Net& net_;
  Rng& rng_;
  Oracle& oracle_;
  const EngineTerms terms_;
  net::SessionLimits limits_;
  std::shared_ptr<Life> life_;
  std::map<std::uint64_t, Session> sessions_;
  std::uint64_t next_ = 1;
  std::size_t running_ = 0;
  EngineFigures figures_;
};

}  // namespace trib::sim

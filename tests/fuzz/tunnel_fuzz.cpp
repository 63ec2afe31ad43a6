// libFuzzer: whatever an agent may send to the gateway's end of a tunnel. The first byte says how
// the rest is cut into pieces and when a call is open.
#include <cstddef>
#include <cstdint>

#include "gateway/tunnel/tunnel.h"
#include "tests/unit/tunnel/pipes.h"

namespace {

struct Hall final : trib::tunnel::TunnelEvents {
  bool lost = false;
  void on_hello(const trib::tunnel::Hello&) override {}
  void on_capacity(std::vector<trib::fleet::AgentOffer>) override {}
  void on_lost(const trib::Fault&) override { lost = true; }
};

struct Customer final : trib::http::CallEvents {
  int ends = 0;
  void on_head(const trib::http::ResponseHead&) override {}
  void on_body(std::string_view) override {}
  void on_end() override { ++ends; }
  void on_fault(const trib::Fault&) override { ++ends; }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  trib::test::VirtualClock clock;
  trib::TimerWheel wheel(clock.now_);
  const auto pipe = std::make_shared<trib::test::Pipe>();
  trib::test::PipeEnd other(pipe, 1);
  Hall hall;
  Customer customer;
  trib::tunnel::GatewayTerms terms;
  terms.site = "s";
  trib::tunnel::GatewayEnd gateway(std::make_unique<trib::test::PipeEnd>(pipe, 0), hall, wheel,
                                   clock, terms);
  std::unique_ptr<trib::http::Call> call;
  const std::size_t piece = 1 + data[0];
  for (std::size_t at = 1; at < size && !hall.lost; at += piece) {
    const std::string_view bytes(reinterpret_cast<const char*>(data) + at,
                                 std::min(piece, size - at));
    pipe->ends[0]->handler_->on_bytes(bytes);
    pipe->ways[0].bytes.clear();
    if (!call && !hall.lost) {
      trib::http::CallRequest request;
      request.path = "/v1/completions";
      request.body = "{}";
      call = gateway.call("o", std::move(request), customer);
    }
    clock.now_ += 20'000'000;
    wheel.advance(clock.now_);
  }
  if (customer.ends > 1) __builtin_trap();
  return 0;
}

// A proxy of nothing but the rooms net and http: the floor below which the gateway cannot cost. It knows
// no tenants, keeps no books and believes everybody.
//
//   net_floor PORT ENGINE_PORT
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <unordered_map>

#include "gateway/net/net.h"

namespace {

using namespace trib;

class Forward final : public net::Operation, private http::CallEvents {
 public:
  Forward(net::HttpPool& pool, const Endpoint& engine, net::Request request,
          net::Responder& responder)
      : responder_(responder), path_(request.head.path) {
    http::CallRequest call;
    call.path = path_;
    call.content_type = "application/json";
    call.body = std::move(request.body);
    call_ = pool.call(engine, std::move(call), *this);
  }
  void on_gone(const Fault&) override {}

 private:
  void on_head(const http::ResponseHead& head) override {
    std::string fields;
    http::write_field(fields, "Content-Type", head.find("Content-Type"));
    std::optional<std::uint64_t> length;
    if (head.framing == http::Framing::length) left_ = head.length, length = left_;
    responder_.head(head.status, fields, length);
    by_length_ = length.has_value();
  }
  void on_body(std::string_view bytes) override {
    if (!by_length_) return responder_.body(bytes, false);
    left_ -= bytes.size();
    whole_ = left_ == 0;
    if (!whole_) return responder_.body(bytes, false);
    last_ = bytes;  // the connection goes back to its pool first
    held_.assign(last_);
  }
  void on_end() override {
    call_.reset();
    const std::string held = std::move(held_);
    responder_.body(held, true);
  }
  void on_fault(const Fault&) override {
    call_.reset();
    responder_.abort();
  }

  net::Responder& responder_;
  std::string path_;
  std::unique_ptr<http::Call> call_;
  std::uint64_t left_ = 0;
  bool by_length_ = false;
  bool whole_ = false;
  std::string_view last_;
  std::string held_;
};

class Floor final : public net::RequestHandler {
 public:
  Floor(net::Worker& worker, std::uint16_t engine_port)
      : transport_(worker), pool_(transport_, worker.wheel(), {}), worker_(worker) {
    engine_.host = "127.0.0.1";
    engine_.port = engine_port;
    limits_.idle_ms = limits_.stall_ms = 600'000;
  }
  ~Floor() = default;
  std::unique_ptr<net::Operation> on_request(net::Request request, net::Responder& responder) override {
    return std::make_unique<Forward>(pool_, engine_, std::move(request), responder);
  }
  std::string refusal(int, std::string_view, std::string&) override { return "{}"; }
  void accept(trib::net::Socket socket) {
    auto session = std::make_unique<net::ClientSession>(
        net::adopt_socket(worker_, std::move(socket), nullptr), *this, limits_, worker_.wheel(),
        [this](net::ClientSession& ended) {
          worker_.post([this, key = &ended] { sessions_.erase(key); });
        });
    auto& begun = *session;
    sessions_.emplace(&begun, std::move(session));
    begun.start();
  }

 private:
  net::SocketTransport transport_;
  net::HttpPool pool_;
  net::Worker& worker_;
  Endpoint engine_;
  net::SessionLimits limits_;
  std::unordered_map<net::ClientSession*, std::unique_ptr<net::ClientSession>> sessions_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fputs("usage: net_floor PORT ENGINE_PORT\n", stderr);
    return 2;
  }
  net::Worker worker(0, trib::system_clock());
  Floor floor(worker, static_cast<std::uint16_t>(std::atoi(argv[2])));
  net::Listener listener(worker);
  const std::string why = listener.open("127.0.0.1", static_cast<std::uint16_t>(std::atoi(argv[1])));
  if (!why.empty()) {
    std::fprintf(stderr, "net_floor: %s\n", why.c_str());
    return 1;
  }
  listener.start([&](trib::net::Socket socket) { floor.accept(std::move(socket)); });
  std::printf("ready http://127.0.0.1:%u\n", static_cast<unsigned>(listener.port()));
  std::fflush(stdout);
  worker.run();
  return 0;
}

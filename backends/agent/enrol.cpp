#include <cstdio>

#include "backends/agent/agent.h"
#include "backends/agent/door.h"
#include "backends/agent/identity.h"
#include "gateway/fleet/fleet.h"

namespace trib::agent {
namespace {

constexpr std::int64_t ms = 1'000'000;
constexpr std::int64_t enrol_ms_max = 30'000;
constexpr std::size_t reply_bytes_max = 1u << 20;

int failed(const std::string& why) {
  std::fprintf(stderr, "agent enrol: %s\n", why.c_str());
  return 1;
}

// One POST, waited for.
class Post final : private http::CallEvents {
 public:
  Post(const config::AgentConfig& config, std::shared_ptr<const net::TlsContext> tls)
      : door_(sockets_, std::move(tls), config.proxy), pool_(door_, worker_.wheel(), limits()) {
    to_.host = config.gateway_host;
    to_.port = config.gateway_port;
    to_.tls = true;
  }

  void send(std::string body) {
    http::CallRequest request;
    request.path = "/enrol/v1/requests";
    request.content_type = "application/json";
    request.body = std::move(body);
    call_ = pool_.call(to_, std::move(request), *this);
    worker_.wheel().arm(timer_, worker_.wheel().now_ns() + enrol_ms_max * ms);
    worker_.run();
    call_.reset();
  }

  int status = 0;
  std::string reply, why;

 private:
  static net::PoolLimits limits() {
    net::PoolLimits out;
    out.connect_ms = 10'000;
    return out;
  }
  void on_head(const http::ResponseHead& head) override { status = head.status; }
  void on_body(std::string_view bytes) override {
    if (reply.size() + bytes.size() <= reply_bytes_max) reply += bytes;
  }
  void on_end() override { worker_.stop(); }
  void on_fault(const Fault& fault) override {
    status = 0;
    why = fault.detail.empty() ? std::string(name(fault.kind)) : fault.detail;
    worker_.stop();
  }
  void late() {
    status = 0;
    why = "no answer within 30 s";
    worker_.stop();
  }

  net::Worker worker_{0, system_clock()};
  net::SocketTransport sockets_{worker_};
  DoorTransport door_;
  net::HttpPool pool_;
  Endpoint to_;
  std::unique_ptr<http::Call> call_;
  MemberTimer<Post, &Post::late> timer_{*this};
};

}  // namespace

int enrol_agent(const std::string& token, const config::AgentConfig& config) {
  std::string why;
  const auto invite = fleet::read_token(token, why);
  if (!invite) return failed(why);
  if (invite->expires_s * 1000 <= system_clock().wall_ms())
    return failed("the invite has expired; ask for a new one");

  net::TlsClientOptions options;
  options.pin = invite->ca_pin;
  options.verify_name = false;  // the CA is this one gateway's own
  options.alpn = {"http/1.1"};
  auto tls = net::TlsContext::client(options, why);
  if (!tls) return failed(why);

  Identity identity;
  identity.instance_id = random_id();
  identity.key_pem = net::make_key_pem();
  const auto request = net::make_request_pem(identity.key_pem, invite->site);
  if (!request) return failed("the certificate request could not be made");

  Post post(config, std::move(tls));
  post.send(enrol_body(token, *request, identity.instance_id));
  const std::string place = config::Address{config.gateway_host, config.gateway_port}.text();
  if (post.status == 0) return failed(place + ": " + post.why);
  if (post.status != 201) {
    const std::string message = read_refusal(post.reply);
    return failed(place + " refused (" + std::to_string(post.status) +
                  "): " + (message.empty() ? "no reason given" : message));
  }
  Enrolled enrolled;
  if (!read_enrolled(post.reply, enrolled))
    return failed(place + " answered something that is no enrolment");
  const auto ca_key = net::certificate_key(enrolled.ca_pem);
  const auto own_key = net::certificate_key(enrolled.certificate_pem);
  if (!ca_key || *ca_key != invite->ca_pin)
    return failed(place + " sent another CA than the invite names");
  const auto made = net::public_key_der(identity.key_pem);
  if (!own_key || !made || *own_key != sha256(*made))
    return failed(place + " sent a certificate of another key");
  identity.site = enrolled.site;
  identity.certificate_pem = enrolled.certificate_pem;
  identity.ca_pem = enrolled.ca_pem;
  if (const auto error = save_identity(system_disk(), config.state, identity); !error.empty())
    return failed(error);
  // From our own key, not from the answer: it is what the operator's words are compared with.
  std::printf("enrolled site=%s state=%s\ncheck words: %s\n", enrolled.site.c_str(),
              enrolled.state.c_str(), fleet::check_words(*own_key).c_str());
  return 0;
}

}  // namespace trib::agent

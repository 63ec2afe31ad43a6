// Doors whose answers take the disk or a while: run on the administrative thread, answered here.
#include "gateway/api/doors.h"

namespace trib::api {
namespace {

// Alive on its loop; the other thread only ever holds the shared part.
class Offloaded final : public net::Operation {
 public:
  struct Shared {
    net::Responder* responder = nullptr;  // null: the client has gone
  };
  explicit Offloaded(net::Responder& responder) : shared_(std::make_shared<Shared>(Shared{&responder})) {}
  ~Offloaded() override { shared_->responder = nullptr; }
  void on_gone(const Fault&) override { shared_->responder = nullptr; }
  std::shared_ptr<Shared> shared() { return shared_; }

 private:
  std::shared_ptr<Shared> shared_;
};

void send(net::Responder& responder, const std::string& id, const Answer& answer) {
  std::string fields;
  http::write_field(fields, "Content-Type", answer.content_type);
  http::write_field(fields, "x-request-id", id);
  responder.head(answer.status, fields, answer.body.size());
  responder.body(answer.body, true);
}

std::unique_ptr<net::Operation> offload(Services& services, Loop& loop, net::Responder& responder,
                                        std::function<Answer()> work) {
  auto operation = std::make_unique<Offloaded>(responder);
  const std::string id = mint_request_id(services.clock.wall_ms(), 0, loop.rng()).text();
  const bool queued = services.run_admin([shared = operation->shared(), &loop, id, work = std::move(work)] {
    auto answer = std::make_shared<Answer>(work());
    loop.post([shared, answer, id] {
      if (shared->responder != nullptr) send(*shared->responder, id, *answer);
    });
  });
  if (!queued) {
    const std::string text = exchange::error_json("Too much administrative work is waiting. Try again in a moment.",
                                                  "server_error", {}, "busy");
    std::string fields;
    http::write_field(fields, "Content-Type", "application/json");
    http::write_field(fields, "Retry-After", "1");
    http::write_field(fields, "x-request-id", id);
    responder.head(503, fields, text.size());
    responder.body(text, true);
    return nullptr;
  }
  return operation;
}

AdminRequest copy_of(const net::Request& request, std::string body) {
  return {std::string(request.head.method), std::string(request.head.path), std::string(request.head.query), std::move(body),
          request.stream.peer()};
}

}  // namespace

std::unique_ptr<net::Operation> Api::admin(const net::Request& request, net::Responder& responder, std::string body) {
  const auto live = services_.live.load();
  const std::string_view token = bearer(request.head.find("Authorization"));
  if (!live->admin_token || token.empty() || !equal_constant_time(*live->admin_token, sha256(token))) {
    refuse(responder, 401, "The admin token is missing or wrong. Send it as `Authorization: Bearer TOKEN`; the gateway "
                           "takes it from the variable that gateway.admin.token_env names.", {}, "invalid_admin_token");
    return nullptr;
  }
  auto asked = std::make_shared<AdminRequest>(copy_of(request, std::move(body)));
  if (auto answer = services_.doors.at_once(*asked)) {
    send(responder, mint_request_id(services_.clock.wall_ms(), 0, loop_.rng()).text(), *answer);
    return nullptr;
  }
  return offload(services_, loop_, responder, [this, asked] { return services_.doors.admin(*asked); });
}

std::unique_ptr<net::Operation> EnrolDoor::on_request(net::Request request, net::Responder& responder) {
  std::string body = std::move(request.body);
  auto asked = std::make_shared<AdminRequest>(copy_of(request, std::move(body)));
  return offload(services_, loop_, responder, [this, asked] {
    if (asked->path != "/enrol/v1/requests")
      return Answer{404, exchange::error_json("This door takes POST /enrol/v1/requests only.", "not_found_error", {}, {})};
    if (asked->method != "POST")
      return Answer{405, exchange::error_json("This path takes POST only.", "invalid_request_error", {}, {})};
    return services_.doors.enrol(*asked);
  });
}

std::string EnrolDoor::refusal(int status, std::string_view why, std::string&) {
  return exchange::error_json(why, exchange::error_type(status), {}, {});
}

}  // namespace trib::api

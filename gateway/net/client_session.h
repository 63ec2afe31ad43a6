// The server's end of HTTP/1.1 on one stream: strict heads, bodies under a cap and a deadline, one
// request at a time, keep-alive. Knows no sockets; the simulation runs it on pipes.
#pragma once
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "gateway/base/base.h"
#include "gateway/http/http.h"

namespace trib::net {

class ClientSession;

// One request as the handler sees it; views are valid during the handler's call, `body` is its own.
struct Request {
  const http::RequestHead& head;
  std::string body;
  const Stream& stream;  // for its peer()
};

// How a response leaves. Exactly one head, then body pieces, then the last one. Held by the
// operation only as long as it lives; after gone() nothing may be called.
class Responder {
 public:
  virtual ~Responder() = default;
  // `fields` is ready text: "Name: value\r\n..." made by http::write_field. With `length` the body is
  // framed by it, without it is chunked (HTTP/1.0: until close). Sent together with the first piece.
  virtual void head(int status, std::string_view fields, std::optional<std::uint64_t> length) = 0;
  virtual void body(std::span<const std::string_view> pieces, bool last) = 0;
  void body(std::string_view piece, bool last) { body(std::span<const std::string_view>(&piece, 1), last); }
  // Ends the connection without ending the body: the peer sees a cut.
  virtual void abort() = 0;
  virtual std::size_t unsent_bytes() const = 0;
  // Those, and what the peer's machine has not yet said to have; wherever that is not known, the same.
  virtual std::size_t unacknowledged_bytes() const { return unsent_bytes(); }
};

// A request being answered. The session owns it and destroys it after the last piece or an abort.
class Operation {
 public:
  virtual ~Operation() = default;
  virtual void on_drained() {}                    // unsent bytes have left
  virtual void on_gone(const Fault& fault) = 0;   // the client left or stalled; destroyed right after
  virtual void on_drain_expired() {}              // end it now, visibly; may complete from within
};

class RequestHandler {
 public:
  // Starts answering. Null when the answer was already completed through `responder`.
  virtual std::unique_ptr<Operation> on_request(Request request, Responder& responder) = 0;
  // A refusal of the protocol itself, as the API words it: adds fields, returns the body (JSON).
  virtual std::string refusal(int status, std::string_view why, std::string& fields) = 0;

 protected:
  ~RequestHandler() = default;
};

struct SessionLimits {
  http::HeadLimits head;
  std::uint64_t body_bytes = 16u << 20;
  std::int64_t head_ms = 10'000, body_ms = 30'000, idle_ms = 60'000, stall_ms = 30'000;
};

class ClientSession final : private StreamHandler, private Responder {
 public:
  // `closed` is told once: the session is then to be destroyed, though not from within.
  ClientSession(std::unique_ptr<Stream> stream, RequestHandler& handler, const SessionLimits& limits,
                TimerWheel& wheel, std::function<void(ClientSession&)> closed);
  ~ClientSession();
  void start();
  // Lets a running answer finish, then closes; idle ones close at once unless they are new: those are
  // about to ask, and get an answer.
  void drain(bool close_idle = true);
  void drain_expired();  // the grace is over
  bool idle() const { return operation_ == nullptr && state_ == State::head && in_.empty(); }

 private:
  enum class State : std::uint8_t { head, body, answering, closing, dead };

  void on_bytes(std::string_view bytes) override;
  void on_drained() override;
  void on_end() override;
  void on_error(const Fault& fault) override;

  void head(int status, std::string_view fields, std::optional<std::uint64_t> length) override;
  void body(std::span<const std::string_view> pieces, bool last) override;
  void abort() override;
  std::size_t unsent_bytes() const override;
  std::size_t unacknowledged_bytes() const override;

  void consume(std::string_view bytes);
  bool take_head(std::string_view& bytes);
  bool take_body(std::string_view& bytes);
  void dispatch();
  void finish_response();
  void refuse(int status, std::string_view why);
  void gone(const Fault& fault);
  void close();
  void linger();
  void on_deadline();
  void on_stall();
  void expect_taking();
  void watch_unsent();

  std::unique_ptr<Stream> stream_;
  RequestHandler& handler_;
  const SessionLimits& limits_;
  TimerWheel& wheel_;
  std::function<void(ClientSession&)> closed_;

  State state_ = State::head;
  bool keep_alive_ = true, draining_ = false, head_request_ = false, http10_ = false, in_dispatch_ = false;
  bool completed_ = false, chunked_ = false, consuming_ = false, head_begun_ = false;
  bool asked_ = false;           // it has had a request
  bool ended_ = false;           // the client has finished its side; what waits is still sent
  std::size_t unsent_seen_ = 0;  // at the last look
  bool taken_ = false;           // the client has taken something since the stall deadline was set
  std::string in_;          // a head or pipelined bytes not taken yet
  std::string head_bytes_;  // the head that body bytes follow; views of head_ point here
  std::string body_;
  http::HeadReader reader_;
  http::RequestHead head_;
  http::ChunkReader chunks_;
  std::uint64_t body_left_ = 0;
  std::string out_head_;  // waits for the first piece
  std::unique_ptr<Operation> operation_;
  MemberTimer<ClientSession, &ClientSession::on_deadline> deadline_{*this};
  MemberTimer<ClientSession, &ClientSession::on_stall> stall_{*this};
};

}  // namespace trib::net

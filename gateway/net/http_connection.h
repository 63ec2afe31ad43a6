// One pooled HTTP/1.1 connection to an engine, and the call that is using it. The pool's own.
#pragma once
#include <memory>
#include <string>

#include "gateway/net/http_pool.h"

namespace trib::net {

class HttpConnection;

class HttpCall final : public http::Call {
 public:
  HttpCall(HttpPool& pool, const Endpoint& to, http::CallRequest request, http::CallEvents& events)
      : pool_(pool), to_(to), request_(std::move(request)), events_(events) {}
  ~HttpCall() override;
  void pause() override;
  void resume() override;
  bool sent() const override { return sent_; }
  void begin(bool fresh);

 private:
  friend class HttpConnection;
  HttpPool& pool_;
  Endpoint to_;
  http::CallRequest request_;
  http::CallEvents& events_;
  HttpConnection* connection_ = nullptr;  // null once the call has ended
  bool sent_ = false;
  bool paused_ = false;
};

class HttpConnection final : private StreamHandler {
 public:
  HttpConnection(HttpPool& pool, const Endpoint& to);
  ~HttpConnection() {
    if (destroyed_ != nullptr) *destroyed_ = true;
    if (call_ != nullptr) call_->connection_ = nullptr;  // the pool goes first
  }

  void start(HttpCall& call);  // sends now, or once connected
  void pause() { stream_->pause(); }
  void resume() { stream_->resume(); }
  void park();                 // watched for its end while idle
  const Endpoint& to() const { return to_; }

 private:
  friend class HttpCall;
  enum class State : std::uint8_t { connecting, idle, head, body, dead };

  void on_open() override;
  void on_bytes(std::string_view bytes) override;
  void on_end() override;
  void on_error(const Fault& fault) override;

  void send();
  bool take_head(std::string_view& data);
  bool take_body(std::string_view& data);
  void finish(std::string_view surplus);
  void leave_upcall();
  void fail(Fault fault);
  void on_deadline();

  HttpPool& pool_;
  const Endpoint to_;
  State state_ = State::connecting;
  bool reused_ = false;      // this call found the connection in the pool
  bool heard_ = false;       // bytes have come since the request was sent
  bool keep_alive_ = true;
  bool* destroyed_ = nullptr;  // set by a caller up the stack that must know
  std::string in_;
  http::HeadReader reader_;
  http::ChunkReader chunks_;
  http::Framing framing_ = http::Framing::none;
  std::uint64_t left_ = 0;
  HttpCall* call_ = nullptr;
  std::unique_ptr<Stream> stream_;
  MemberTimer<HttpConnection, &HttpConnection::on_deadline> deadline_{*this};
};

}  // namespace trib::net

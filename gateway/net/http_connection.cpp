#include "gateway/net/http_connection.h"

#include <utility>

namespace trib::net {
namespace {

constexpr std::int64_t ms = 1'000'000;

}  // namespace

void HttpCall::begin(bool fresh) {
  HttpConnection* connection = fresh ? nullptr : pool_.take_idle(to_);
  const bool reused = connection != nullptr;
  if (!reused) connection = &pool_.connect(to_);
  connection->reused_ = reused;
  connection->start(*this);
}

HttpCall::~HttpCall() {
  if (connection_ != nullptr) pool_.discard(*connection_);  // the engine sees the close: cancelled
}

void HttpCall::pause() {
  paused_ = true;
  if (connection_ != nullptr) connection_->pause();
}

void HttpCall::resume() {
  paused_ = false;
  if (connection_ != nullptr) connection_->resume();
}

HttpConnection::HttpConnection(HttpPool& pool, const Endpoint& to)
    : pool_(pool), to_(to), reader_(pool.limits_.head) {
  stream_ = pool.transport_.dial(to, *this);
  pool.wheel_.arm(deadline_, pool.wheel_.now_ns() + pool.limits_.connect_ms * ms);
}

void HttpConnection::start(HttpCall& call) {
  call_ = &call;
  call.connection_ = this;
  if (state_ == State::connecting) return;
  deadline_.cancel();
  send();
}

void HttpConnection::send() {
  const http::CallRequest& request = call_->request_;
  thread_local std::string head;  // keeps its memory
  head.clear();
  head.append(request.method).append(" ").append(request.path).append(" HTTP/1.1\r\n");
  const Endpoint& to = call_->to_;
  const bool v6 = to.host.find(':') != std::string::npos;
  head.append("Host: ").append(v6 ? "[" : "").append(to.host).append(v6 ? "]:" : ":");
  head.append(std::to_string(to.port)).append("\r\n");
  if (!request.content_type.empty()) http::write_field(head, "Content-Type", request.content_type);
  if (!request.accept.empty()) http::write_field(head, "Accept", request.accept);
  if (!request.body.empty() || request.method == "POST")
    http::write_field(head, "Content-Length", static_cast<std::uint64_t>(request.body.size()));
  head += "\r\n";
  state_ = State::head;
  heard_ = false;
  call_->sent_ = true;
  const std::string_view pieces[] = {head, request.body};
  if (!call_->paused_) stream_->resume();
  stream_->write(pieces);
}

void HttpConnection::park() {
  state_ = State::idle;
  pool_.wheel_.arm(deadline_, pool_.wheel_.now_ns() + pool_.limits_.idle_ms * ms);
  stream_->resume();
}

void HttpConnection::on_open() {
  deadline_.cancel();
  if (call_ != nullptr) send();
}

void HttpConnection::on_bytes(std::string_view bytes) {
  if (state_ == State::idle || call_ == nullptr) {  // unsolicited: never trusted again
    pool_.discard(*this);
    return;
  }
  heard_ = true;
  std::string carried;
  std::string_view data = bytes;
  if (!in_.empty()) {
    in_.append(bytes);
    carried.swap(in_);
    data = carried;
  }
  bool destroyed = false;
  destroyed_ = &destroyed;
  while (true) {
    const bool went_on = state_ == State::head ? take_head(data) : state_ == State::body && take_body(data);
    if (destroyed) return;
    if (!went_on) break;
  }
  destroyed_ = nullptr;
  if (state_ == State::head && !data.empty()) in_.assign(data);
}

bool HttpConnection::take_head(std::string_view& data) {
  if (data.empty()) return false;
  http::ResponseHead head;
  http::HeadRefusal why;
  std::size_t used = 0;
  const auto status = reader_.response(data, call_->request_.method == "HEAD", head, used, why);
  if (status == http::HeadStatus::need_more) return false;
  reader_.reset();
  if (status == http::HeadStatus::refused) {
    fail({FaultKind::bad_head, Side::engine, Retry::elsewhere, why.why});
    return false;
  }
  if (head.status < 200) {  // interim: skipped; an upgrade was never asked for
    data.remove_prefix(used);
    return true;
  }
  framing_ = head.framing;
  left_ = head.length;
  keep_alive_ = head.keep_alive && head.framing != http::Framing::until_close;
  chunks_.reset();
  state_ = State::body;
  bool* const destroyed = destroyed_;
  call_->events_.on_head(head);
  if (*destroyed) return false;
  data.remove_prefix(used);
  return true;
}

bool HttpConnection::take_body(std::string_view& data) {
  bool* const destroyed = destroyed_;
  switch (framing_) {
    case http::Framing::none:
      finish(data);
      return false;
    case http::Framing::length: {
      const auto n = std::min<std::uint64_t>(left_, data.size());
      const std::string_view piece = data.substr(0, n);
      data.remove_prefix(n);
      left_ -= n;
      if (n > 0) call_->events_.on_body(piece);
      if (*destroyed) return false;
      if (left_ == 0) finish(data);
      return false;
    }
    case http::Framing::until_close: {
      const std::string_view piece = data;
      data = {};
      if (!piece.empty()) call_->events_.on_body(piece);
      return false;
    }
    case http::Framing::chunked:
      break;
  }
  while (!data.empty()) {
    std::string_view piece;
    switch (chunks_.next(data, piece)) {
      case http::ChunkReader::Status::need_more:
        return false;
      case http::ChunkReader::Status::data:
        call_->events_.on_body(piece);
        if (*destroyed) return false;
        break;
      case http::ChunkReader::Status::done:
        finish(data);
        return false;
      case http::ChunkReader::Status::bad:
        fail({FaultKind::bad_chunk, Side::engine, Retry::elsewhere, chunks_.why()});
        return false;
    }
  }
  return false;
}

// The answer is complete. Surplus bytes belong to nobody, and a request that was answered before it was
// read may never be: such a connection is not used again.
void HttpConnection::finish(std::string_view surplus) {
  HttpCall& call = *call_;
  http::CallEvents& events = call.events_;
  call.connection_ = nullptr;
  call_ = nullptr;
  leave_upcall();  // parking may close it too, and nothing is left to read
  if (!keep_alive_ || !surplus.empty() || stream_->unsent_bytes() > 0) {
    pool_.discard(*this);
  } else {
    pool_.park(*this);
  }
  events.on_end();
}

// Tells the frame up the stack that this is not to be touched again, and forgets that frame: a parked
// connection lives on without it.
void HttpConnection::leave_upcall() {
  if (bool* const told = std::exchange(destroyed_, nullptr); told != nullptr) *told = true;
}

void HttpConnection::fail(Fault fault) {
  leave_upcall();
  HttpCall* const call = call_;
  if (call == nullptr) {
    pool_.discard(*this);
    return;
  }
  const bool stale = reused_ && state_ == State::head && !heard_ && fault.kind == FaultKind::reset_before_head;
  HttpPool& pool = pool_;
  call->connection_ = nullptr;
  call_ = nullptr;
  pool.discard(*this);
  if (stale) {
    ++pool.figures_.stale;
    call->begin(true);
    return;
  }
  call->events_.on_fault(fault);
}

void HttpConnection::on_end() {
  if (state_ == State::body && framing_ == http::Framing::until_close && call_ != nullptr) {
    keep_alive_ = false;
    finish({});
    return;
  }
  if (state_ == State::body) {
    fail({FaultKind::cut, Side::site_network, Retry::elsewhere, "the engine closed the connection in its answer"});
  } else {
    fail({FaultKind::reset_before_head, Side::site_network, Retry::elsewhere,
          "the engine closed the connection before its answer"});
  }
}

void HttpConnection::on_error(const Fault& fault) {
  if (state_ == State::connecting) {
    fail(fault);
  } else if (state_ == State::body) {
    fail({FaultKind::cut, Side::site_network, Retry::elsewhere, fault.detail});
  } else {
    fail({FaultKind::reset_before_head, Side::site_network, Retry::elsewhere, fault.detail});
  }
}

void HttpConnection::on_deadline() {
  if (state_ == State::connecting) {
    fail({FaultKind::connect_timeout, Side::site_network, Retry::elsewhere, "no connection within deadlines.connect"});
  } else if (state_ == State::idle) {
    pool_.discard(*this);
  }
}

}  // namespace trib::net

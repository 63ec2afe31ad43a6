#include "gateway/net/client_session.h"

#include <utility>

namespace trib::net {
namespace {

constexpr std::int64_t ms = 1'000'000;
constexpr std::int64_t linger_ms = 2'000;  // so that the last answer is read before a reset can kill it
constexpr std::size_t pieces_max = 12;

}  // namespace

ClientSession::ClientSession(std::unique_ptr<Stream> stream, RequestHandler& handler, const SessionLimits& limits,
                             TimerWheel& wheel, std::function<void(ClientSession&)> closed)
    : stream_(std::move(stream)), handler_(handler), limits_(limits), wheel_(wheel), closed_(std::move(closed)),
      reader_(limits.head) {}

ClientSession::~ClientSession() = default;

void ClientSession::start() {
  stream_->set_handler(*this);
  wheel_.arm(deadline_, wheel_.now_ns() + limits_.idle_ms * ms);
  stream_->resume();
}

void ClientSession::drain(bool close_idle) {
  draining_ = true;
  if (close_idle && idle() && asked_) close();
}

void ClientSession::drain_expired() {
  if (operation_ != nullptr) operation_->on_drain_expired();
}

void ClientSession::on_bytes(std::string_view bytes) {
  switch (state_) {
    case State::answering:  // a pipelined request waits its turn
      in_.append(bytes);
      if (in_.size() > limits_.head.bytes) stream_->pause();
      return;
    case State::head:
    case State::body:
      consume(bytes);
      return;
    case State::closing:
    case State::dead:
      return;
  }
}

void ClientSession::consume(std::string_view bytes) {
  std::string carried;
  std::string_view data = bytes;
  if (!in_.empty()) {
    in_.append(bytes);
    carried.swap(in_);
    data = carried;
  }
  consuming_ = true;
  while (!data.empty()) {
    const bool went_on = state_ == State::head ? take_head(data) : state_ == State::body && take_body(data);
    if (!went_on) break;
  }
  consuming_ = false;
  if (state_ != State::closing && state_ != State::dead && !data.empty()) in_.assign(data);
}

bool ClientSession::take_head(std::string_view& data) {
  std::size_t used = 0;
  http::HeadRefusal why;
  const auto status = reader_.request(data, head_, used, why);
  if (status == http::HeadStatus::need_more) {
    if (!head_begun_) wheel_.arm(deadline_, wheel_.now_ns() + limits_.head_ms * ms);
    head_begun_ = true;  // the deadline runs from its first byte, however slowly the rest comes
    return false;
  }
  head_begun_ = false;
  reader_.reset();
  if (status == http::HeadStatus::refused) {
    refuse(why.status, why.why);
    return false;
  }
  keep_alive_ = head_.keep_alive && !draining_;
  head_request_ = head_.method == "HEAD";
  http10_ = head_.minor == 0;
  body_.clear();
  const std::string_view head_text = data.substr(0, used);
  data.remove_prefix(used);
  if (head_.framing == http::Framing::none) {
    dispatch();
    return true;
  }
  if (head_.framing == http::Framing::length && head_.length > limits_.body_bytes) {
    refuse(413, "the body is larger than limits.body");
    return false;
  }
  chunks_.reset();
  body_left_ = head_.framing == http::Framing::length ? head_.length : 0;
  if (head_.framing == http::Framing::length && data.size() >= body_left_) {  // all here: no copy of the head
    body_.assign(data.substr(0, body_left_));
    data.remove_prefix(body_left_);
    dispatch();
    return true;
  }
  head_bytes_.assign(head_text);
  state_ = State::body;
  wheel_.arm(deadline_, wheel_.now_ns() + limits_.body_ms * ms);
  if (head_.framing == http::Framing::length) body_.reserve(std::min<std::uint64_t>(body_left_, 64u << 10));
  if (head_.expect_continue && data.empty()) stream_->write("HTTP/1.1 100 Continue\r\n\r\n");
  return true;
}

bool ClientSession::take_body(std::string_view& data) {
  bool done = false;
  if (head_.framing == http::Framing::length) {
    const auto n = std::min<std::uint64_t>(body_left_, data.size());
    body_.append(data.substr(0, n));
    data.remove_prefix(n);
    body_left_ -= n;
    done = body_left_ == 0;
  } else {
    while (!data.empty() && !done) {
      std::string_view piece;
      switch (chunks_.next(data, piece)) {
        case http::ChunkReader::Status::need_more:
          return false;
        case http::ChunkReader::Status::data:
          if (body_.size() + piece.size() > limits_.body_bytes) {
            refuse(413, "the body is larger than limits.body");
            return false;
          }
          body_.append(piece);
          break;
        case http::ChunkReader::Status::done:
          done = true;
          break;
        case http::ChunkReader::Status::bad:
          refuse(400, chunks_.why());
          return false;
      }
    }
  }
  if (!done) return false;
  // The head's views died with the buffer they pointed into: read it again from its own copy.
  std::size_t used = 0;
  http::HeadRefusal why;
  reader_.reset();
  TRIB_ASSERT(reader_.request(head_bytes_, head_, used, why) == http::HeadStatus::ok);
  reader_.reset();
  dispatch();
  return true;
}

void ClientSession::dispatch() {
  state_ = State::answering;
  asked_ = true;
  deadline_.cancel();
  completed_ = false;
  in_dispatch_ = true;
  operation_ = handler_.on_request(Request{head_, std::move(body_), *stream_}, *this);
  in_dispatch_ = false;
  body_ = {};
  if (completed_ && state_ == State::answering) finish_response();
}

void ClientSession::head(int status, std::string_view fields, std::optional<std::uint64_t> length) {
  out_head_.clear();
  http::write_status_line(out_head_, status);
  out_head_ += fields;
  chunked_ = !length && !http10_;
  if (length) {
    if (status >= 200 && status != 204) http::write_field(out_head_, "Content-Length", *length);
  } else if (http10_) {
    keep_alive_ = false;
  } else {
    http::write_field(out_head_, "Transfer-Encoding", "chunked");
  }
  if (draining_) keep_alive_ = false;
  if (!keep_alive_) http::write_field(out_head_, "Connection", "close");
  else if (http10_) http::write_field(out_head_, "Connection", "keep-alive");
  out_head_ += "\r\n";
}

void ClientSession::body(std::span<const std::string_view> pieces, bool last) {
  if (state_ != State::answering) return;
  TRIB_ASSERT(pieces.size() <= pieces_max);
  std::array<std::string_view, pieces_max + 4> all;
  std::size_t n = 0;
  std::size_t bytes = 0;
  for (const auto& piece : pieces) bytes += piece.size();
  char size_line[20];
  if (!out_head_.empty()) all[n++] = out_head_;
  if (!head_request_ && bytes > 0) {
    if (chunked_) all[n++] = {size_line, http::write_chunk_size(size_line, bytes)};
    for (const auto& piece : pieces)
      if (!piece.empty()) all[n++] = piece;
    if (chunked_) all[n++] = http::chunk_end;
  }
  if (last && chunked_ && !head_request_) all[n++] = http::last_chunk;
  watch_unsent();
  if (n > 0) stream_->write({all.data(), n});
  out_head_.clear();
  expect_taking();
  if (!last) return;
  if (in_dispatch_) {
    completed_ = true;
  } else {
    finish_response();
  }
}

void ClientSession::finish_response() {
  const auto ended = std::move(operation_);  // destroyed at the end of this function
  completed_ = false;
  if (!keep_alive_ || draining_) {
    close();
    return;
  }
  state_ = State::head;
  wheel_.arm(deadline_, wheel_.now_ns() + limits_.idle_ms * ms);
  if (in_dispatch_ || consuming_) return;  // the loop that dispatched goes on by itself
  stream_->resume();
  if (!in_.empty()) consume({});
}

void ClientSession::abort() {
  if (state_ != State::answering) return;
  const auto ended = std::move(operation_);
  state_ = State::dead;
  deadline_.cancel();
  stall_.cancel();
  closed_(*this);
}

std::size_t ClientSession::unsent_bytes() const { return stream_->unsent_bytes(); }
std::size_t ClientSession::unacknowledged_bytes() const { return stream_->unacknowledged_bytes(); }

void ClientSession::refuse(int status, std::string_view why) {
  state_ = State::answering;
  keep_alive_ = false;
  head_request_ = false;
  std::string fields;
  const std::string text = handler_.refusal(status, why, fields);
  http::write_field(fields, "Content-Type", "application/json");
  head(status, fields, text.size());
  Responder::body(text, true);
}

void ClientSession::close() {
  if (state_ == State::closing || state_ == State::dead) return;
  state_ = State::closing;
  in_.clear();
  deadline_.cancel();
  stream_->shutdown();
  stream_->resume();
  expect_taking();
  if (unsent_seen_ == 0) linger();  // else when all has left, or the client has stalled
}

void ClientSession::linger() {
  if (ended_) {
    gone({FaultKind::client_gone, Side::client, Retry::never, "closed"});
    return;
  }
  stall_.cancel();
  wheel_.arm(deadline_, wheel_.now_ns() + linger_ms * ms);
}

void ClientSession::gone(const Fault& fault) {
  if (state_ == State::dead) return;
  state_ = State::dead;
  deadline_.cancel();
  stall_.cancel();
  if (operation_ != nullptr) operation_->on_gone(fault);
  operation_.reset();
  closed_(*this);
}

void ClientSession::on_drained() {
  stall_.cancel();
  unsent_seen_ = 0;
  if (state_ == State::closing) {
    linger();
  } else if (operation_ != nullptr) {
    operation_->on_drained();
  }
}

void ClientSession::on_end() {
  // One that has asked its last may still be reading its answer.
  if (state_ != State::answering && stream_->unsent_bytes() > 0) {
    ended_ = true;
    close();
    return;
  }
  gone({FaultKind::client_gone, Side::client, Retry::never, "the client closed the connection"});
}

void ClientSession::on_error(const Fault& fault) {
  gone({FaultKind::client_gone, Side::client, Retry::never, fault.detail});
}

void ClientSession::on_deadline() {
  if (state_ == State::body || (state_ == State::head && !in_.empty())) {
    refuse(408, state_ == State::body ? "the body took longer than deadlines.body"
                                      : "the head took longer than deadlines.head");
    return;
  }
  if (state_ == State::head) {
    close();
  } else {
    gone({FaultKind::client_gone, Side::client, Retry::never, "closed"});
  }
}

void ClientSession::expect_taking() {
  watch_unsent();  // what was taken since the last look counts for a deadline that runs already
  if (unsent_seen_ == 0 || stall_.armed()) return;
  taken_ = false;
  wheel_.arm(stall_, wheel_.now_ns() + limits_.stall_ms * ms);
}

// Whether the client took anything is seen between two writes: what waits may grow all the same.
void ClientSession::watch_unsent() {
  const std::size_t unsent = stream_->unsent_bytes();
  if (unsent < unsent_seen_) taken_ = true;
  unsent_seen_ = unsent;
}

void ClientSession::on_stall() {
  watch_unsent();
  if (unsent_seen_ == 0) return;
  if (std::exchange(taken_, false)) {  // it takes, if slowly
    wheel_.arm(stall_, wheel_.now_ns() + limits_.stall_ms * ms);
    return;
  }
  gone({FaultKind::client_stall, Side::client, Retry::never, "no byte was taken within deadlines.stall"});
}

}  // namespace trib::net

#include "gateway/net/socket.h"

#include <sys/socket.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/post.hpp>
#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <boost/smart_ptr/intrusive_ref_counter.hpp>
#include <cerrno>
#include <cstring>
#include <utility>

namespace trib::net {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

constexpr std::size_t pieces_max = 16;
constexpr std::size_t cork_bytes_max = 32u << 10;  // gathered for one socket in one turn
constexpr std::size_t cork_keep_bytes = 1u << 10;  // of memory between turns

Fault socket_fault(const error_code& ec) {
  const bool refused = ec == asio::error::connection_refused;
  return {refused ? FaultKind::connect_refused : FaultKind::connect_failed, Side::site_network, Retry::elsewhere,
          ec.message()};
}

}  // namespace

// What pending operations hold on to. The stream's owner holds the SocketStream; when that goes, the
// core is closed and marked, and the operations find nobody to tell.
class SocketCore : public boost::intrusive_ref_counter<SocketCore, boost::thread_unsafe_counter> {
 public:
  SocketCore(Worker& worker, Socket socket, std::shared_ptr<const TlsContext> tls, const std::string& server_name)
      : worker_(worker), socket_(std::move(socket)) {
    if (tls != nullptr) tls_ = std::make_unique<TlsSession>(std::move(tls), server_name);
  }

  void connected() {
    error_code ignored;
    socket_.set_option(tcp::no_delay(true), ignored);
    socket_.non_blocking(true, ignored);
    open_ = true;
  }

  void resolve_and_connect(const std::string& host, std::uint16_t port);
  void dialled();
  void read();
  void write(std::span<const std::string_view> pieces);
  void shutdown();
  void close() {
    if (corked_ && !failed_ && !writing_) {  // what was written leaves as if it had not been gathered
      const std::string bytes = std::exchange(out_, {});
      const std::string_view piece = bytes;
      send_now({&piece, 1});
    }
    handler_ = nullptr;
    error_code ignored;
    socket_.close(ignored);
  }
  std::size_t unsent() const { return out_.size() + sending_.size() - sending_from_; }
  // Sends the FIN that shutdown() asked for, once everything before it has left.
  void finish_if_due() {
    if (!shut_ || !open_ || unsent() > 0 || (tls_ != nullptr && !tls_->ready())) return;
    error_code ignored;
    socket_.shutdown(Socket::shutdown_send, ignored);
  }
  void tls_start() {
    flush_tls();
    if (!reading_) read();
  }

  Worker& worker_;
  Socket socket_;
  std::unique_ptr<TlsSession> tls_;
  StreamHandler* handler_ = nullptr;
  bool open_ = false;
  bool paused_ = true;
  bool reading_ = false;
  bool delivering_ = false;  // an upcall has a view of the buffer: nothing may be read into it
  bool ended_ = false;       // the peer finished
  bool shut_ = false;        // we finish once the queue is empty
  bool writing_ = false;
  bool failed_ = false;
  bool corked_ = false;      // out_ goes at the end of the turn
  bool asked_ = false;       // the owner saw it unsent: it is told when it has left
  std::string out_;          // what the kernel did not take
  std::string sending_;      // the part of it that a pending write points into
  std::size_t sending_from_ = 0;

 private:
  using Ptr = boost::intrusive_ptr<SocketCore>;
  friend class Corked;
  void flush_cork();
  void on_read(const error_code& ec, std::size_t n);
  void deliver(std::string_view bytes);
  void deliver_tls(std::string_view bytes);
  void flush_tls();
  void send(std::span<const std::string_view> pieces);
  void send_now(std::span<const std::string_view> pieces);
  void send_queue();
  void fail(Fault fault);
  void end();

  // Most requests and events fit; more is read on into the worker's scratch in the same turn.
  std::array<char, 2048> buffer_;
};

// While one socket's bytes are being handled, small writes to any socket of the worker are gathered;
// they leave together when the handling is done. Many events that came in one read so cost one write.
class Corked {
 public:
  Corked() { ++depth_; }
  ~Corked() {
    if (--depth_ > 0) return;
    // A flush may make a handler write more: those are flushed in the same walk.
    for (std::size_t i = 0; i < gathered_.size(); ++i) {
      const auto core = gathered_[i];
      core->flush_cork();
    }
    gathered_.clear();
  }
  static bool on() { return depth_ > 0; }
  static void add(SocketCore& core) { gathered_.emplace_back(&core); }

 private:
  static thread_local unsigned depth_;
  static thread_local std::vector<boost::intrusive_ptr<SocketCore>> gathered_;
};
thread_local unsigned Corked::depth_ = 0;
thread_local std::vector<boost::intrusive_ptr<SocketCore>> Corked::gathered_;

void SocketCore::flush_cork() {
  corked_ = false;
  if (handler_ == nullptr || failed_ || writing_ || out_.empty()) return;
  std::string bytes;
  bytes.swap(out_);
  const std::string_view piece = bytes;
  send_now({&piece, 1});
  if (out_.empty() && !failed_) {
    bytes.clear();
    if (bytes.capacity() <= cork_keep_bytes) out_.swap(bytes);  // its memory serves the next turn
    finish_if_due();
    if (std::exchange(asked_, false)) handler_->on_drained();
  }
}

void SocketCore::resolve_and_connect(const std::string& host, std::uint16_t port) {
  error_code ec;
  const auto address = asio::ip::make_address(host, ec);
  if (!ec) {
    socket_.async_connect(tcp::endpoint(address, port), [self = Ptr(this)](const error_code& failed) {
      if (self->handler_ == nullptr) return;
      if (failed) return self->fail(socket_fault(failed));
      self->dialled();
    });
    return;
  }
  auto resolver = std::make_shared<tcp::resolver>(worker_.io());
  resolver->async_resolve(host, std::to_string(port), [self = Ptr(this), resolver](const error_code& failed,
                                                                                   const tcp::resolver::results_type& found) {
    if (self->handler_ == nullptr) return;
    if (failed) return self->fail(socket_fault(failed));
    asio::async_connect(self->socket_, found, [self](const error_code& refused, const tcp::endpoint&) {
      if (self->handler_ == nullptr) return;
      if (refused) return self->fail(socket_fault(refused));
      self->dialled();
    });
  });
}

void SocketCore::dialled() {
  connected();
  if (unsent() > 0) send_queue();  // written before the connection stood
  if (tls_ != nullptr) return tls_start();
  finish_if_due();
  handler_->on_open();
  if (handler_ != nullptr && !paused_) read();
}

void SocketCore::read() {
  if (reading_ || delivering_ || !open_ || ended_ || failed_) return;
  reading_ = true;
  socket_.async_read_some(asio::buffer(buffer_), [self = Ptr(this)](const error_code& ec, std::size_t n) {
    self->on_read(ec, n);
  });
}

void SocketCore::on_read(const error_code& ec, std::size_t n) {
  reading_ = false;
  if (handler_ == nullptr) return;
  const Corked turn;
  worker_.clock().turn();
  if (ec == asio::error::eof) {
    if (tls_ == nullptr) return end();
    tls_->feed_end();
    return deliver_tls({});  // nothing is read after it
  }
  if (ec) return fail({FaultKind::reset_before_head, Side::site_network, Retry::elsewhere, ec.message()});
  std::string_view bytes(buffer_.data(), n);
  if (n == buffer_.size()) {  // there is more: take it in the same turn
    const auto scratch = worker_.scratch();
    const ssize_t more = ::recv(socket_.native_handle(), scratch.data() + n, scratch.size() / 2 - n, MSG_DONTWAIT);
    if (more > 0) {
      std::memcpy(scratch.data(), buffer_.data(), n);
      bytes = {scratch.data(), n + static_cast<std::size_t>(more)};
    }
  }
  delivering_ = true;
  if (tls_ != nullptr) {
    deliver_tls(bytes);
  } else {
    handler_->on_bytes(bytes);
  }
  delivering_ = false;
  if (handler_ != nullptr && (!paused_ || (tls_ != nullptr && !tls_->ready()))) read();
}

void SocketCore::deliver_tls(std::string_view bytes) {
  if (!bytes.empty()) tls_->feed(bytes);
  // The upper half of the scratch holds plaintext; the lower may hold the ciphertext being read.
  const auto scratch = worker_.scratch().subspan(worker_.scratch().size() / 2);
  while (handler_ != nullptr) {
    const bool was_ready = tls_->ready();
    const std::size_t n = tls_->read(scratch);
    flush_tls();
    if (!was_ready && tls_->ready()) {
      finish_if_due();
      handler_->on_open();
    }
    if (n == 0 || handler_ == nullptr) break;
    handler_->on_bytes({scratch.data(), n});
  }
  if (handler_ == nullptr) return;
  flush_tls();
  if (tls_->fault()) return fail(tls_->fault());
  if (tls_->ended()) end();
}

void SocketCore::flush_tls() {
  const std::string_view pending = tls_->output();
  if (pending.empty()) return;
  send({&pending, 1});
  tls_->take(pending.size());
}

void SocketCore::write(std::span<const std::string_view> pieces) {
  if (failed_) return;
  if (tls_ == nullptr) return send(pieces);
  for (const auto& piece : pieces) tls_->write(piece);
  flush_tls();
}

void SocketCore::send(std::span<const std::string_view> pieces) {
  std::size_t total = 0;
  for (const auto& piece : pieces) total += piece.size();
  if (Corked::on() && open_ && !writing_ && out_.size() + total <= cork_bytes_max) {
    for (const auto& piece : pieces) out_ += piece;
    if (!corked_) Corked::add(*this);
    corked_ = true;
    return;
  }
  if (corked_) {  // more than is worth gathering: what waits goes along
    for (const auto& piece : pieces) out_ += piece;
    flush_cork();
    return;
  }
  send_now(pieces);
}

void SocketCore::send_now(std::span<const std::string_view> pieces) {
  TRIB_ASSERT(pieces.size() <= pieces_max);
  std::size_t total = 0;
  for (const auto& piece : pieces) total += piece.size();
  std::size_t sent = 0;
  if (out_.empty() && !writing_ && open_) {
    std::array<iovec, pieces_max> iov;
    std::size_t n = 0;
    for (const auto& piece : pieces)
      if (!piece.empty()) iov[n++] = {const_cast<char*>(piece.data()), piece.size()};
    msghdr message{};
    message.msg_iov = iov.data();
    message.msg_iovlen = n;
    const ssize_t did = n == 0 ? 0 : ::sendmsg(socket_.native_handle(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (did >= 0) {
      sent = static_cast<std::size_t>(did);
    } else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
      // Told later, outside the caller's frame. Often the read reports the same first.
      const error_code ec(errno, boost::system::system_category());
      asio::post(worker_.io(), [self = Ptr(this), ec] {
        if (self->handler_ != nullptr)
          self->fail({FaultKind::reset_before_head, Side::site_network, Retry::elsewhere, ec.message()});
      });
      failed_ = true;
      return;
    }
  }
  if (sent == total) return;
  for (const auto& piece : pieces) {
    if (sent >= piece.size()) {
      sent -= piece.size();
    } else {
      out_ += piece.substr(sent);
      sent = 0;
    }
  }
  if (open_ && !writing_) send_queue();
}

void SocketCore::send_queue() {
  if (sending_from_ == sending_.size()) {
    sending_.clear();
    sending_.swap(out_);
    sending_from_ = 0;
  }
  writing_ = true;
  const auto rest = asio::buffer(sending_) + sending_from_;
  socket_.async_write_some(rest, [self = Ptr(this)](const error_code& ec, std::size_t n) {
    self->writing_ = false;
    if (self->handler_ == nullptr) return;
    if (ec) return self->fail({FaultKind::reset_before_head, Side::site_network, Retry::elsewhere, ec.message()});
    self->sending_from_ += n;
    if (self->unsent() > 0) return self->send_queue();
    self->sending_ = {};
    self->sending_from_ = 0;
    self->finish_if_due();
    self->handler_->on_drained();
  });
}

void SocketCore::shutdown() {
  if (shut_) return;
  if (tls_ != nullptr) {
    tls_->shutdown();
    flush_tls();
  }
  shut_ = true;
  if (corked_) flush_cork();
  finish_if_due();
}

void SocketCore::fail(Fault fault) {
  StreamHandler* const handler = std::exchange(handler_, nullptr);
  failed_ = true;
  error_code ignored;
  socket_.close(ignored);
  if (handler != nullptr) handler->on_error(fault);
}

void SocketCore::end() {
  if (ended_) return;
  ended_ = true;
  handler_->on_end();
}

namespace {

class SocketStream final : public Stream {
 public:
  explicit SocketStream(boost::intrusive_ptr<SocketCore> core) : core_(std::move(core)) {}
  ~SocketStream() override { core_->close(); }
  void set_handler(StreamHandler& handler) override {
    core_->handler_ = &handler;
    if (core_->tls_ != nullptr && core_->open_ && !core_->tls_->ready()) core_->tls_start();
  }
  void resume() override {
    core_->paused_ = false;
    core_->read();
  }
  void pause() override { core_->paused_ = true; }
  void write(std::span<const std::string_view> pieces) override { core_->write(pieces); }
  std::size_t unsent_bytes() const override {
    core_->asked_ = core_->asked_ || core_->corked_;
    return core_->unsent();
  }
  void shutdown() override { core_->shutdown(); }
  std::string peer() const override {
    error_code ec;
    const auto at = core_->socket_.remote_endpoint(ec);
    if (ec) return {};
    return at.address().to_string() + ':' + std::to_string(at.port());
  }
  TlsSession* tls() { return core_->tls_.get(); }

 private:
  boost::intrusive_ptr<SocketCore> core_;
};

std::shared_ptr<const TlsContext> client_context(const std::string& trust_file, std::string& why) {
  TlsClientOptions options;
  options.alpn = {"http/1.1"};
  if (!trust_file.empty()) {
    if (const auto ec = read_file(system_disk(), trust_file, options.trust_pem, 1u << 20)) {
      why = trust_file + ": " + ec.message();
      return nullptr;
    }
  }
  return TlsContext::client(options, why);
}

}  // namespace

std::unique_ptr<Stream> adopt_socket(Worker& worker, Socket socket, std::shared_ptr<const TlsContext> tls) {
  boost::intrusive_ptr<SocketCore> core(new SocketCore(worker, std::move(socket), std::move(tls), {}));
  core->connected();
  return std::make_unique<SocketStream>(std::move(core));
}

TlsSession* tls_of(Stream& stream) {
  auto* const socket = dynamic_cast<SocketStream*>(&stream);
  return socket == nullptr ? nullptr : socket->tls();
}

std::unique_ptr<Stream> SocketTransport::dial(const Endpoint& to, StreamHandler& handler) {
  std::shared_ptr<const TlsContext> tls;
  std::string why;
  if (to.tls) {
    tls = tls_;
    if (tls == nullptr) {
      auto& made = by_trust_[to.trust];
      if (made == nullptr) made = client_context(to.trust, why);
      tls = made;
    }
  }
  boost::intrusive_ptr<SocketCore> core(
      new SocketCore(worker_, Socket(worker_.io()), tls, to.server_name.empty() ? to.host : to.server_name));
  core->handler_ = &handler;
  auto stream = std::make_unique<SocketStream>(core);
  if (to.tls && tls == nullptr) {
    asio::post(worker_.io(), [core, why] {
      if (core->handler_ == nullptr) return;
      StreamHandler* const told = std::exchange(core->handler_, nullptr);
      told->on_error({FaultKind::connect_failed, Side::gateway, Retry::elsewhere, why});
    });
    return stream;
  }
  core->resolve_and_connect(to.host, to.port);
  return stream;
}

}  // namespace trib::net

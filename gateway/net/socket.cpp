#include "gateway/net/socket.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

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
constexpr std::size_t flat_bytes_max = 4u << 10;   // pieces up to it are copied together: cheaper than a vector
constexpr std::size_t cork_bytes_max = 32u << 10;  // gathered for one socket in one turn
constexpr std::size_t cork_keep_bytes = 1u << 10;  // of memory between turns

// The plain calls without libc's bookkeeping for thread cancellation, which nobody here uses.
ssize_t receive_now(int fd, std::span<char> room) {
  return ::syscall(SYS_recvfrom, fd, room.data(), room.size(), MSG_DONTWAIT, nullptr, nullptr);
}

ssize_t send_now(int fd, std::string_view bytes) {
  return ::syscall(SYS_sendto, fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT, nullptr, 0);
}

ssize_t send_now(int fd, std::span<const std::string_view> pieces, std::size_t total) {
  if (total <= flat_bytes_max) {
    char flat[flat_bytes_max];
    std::size_t n = 0;
    for (const auto& piece : pieces) {
      if (!piece.empty()) std::memcpy(flat + n, piece.data(), piece.size());
      n += piece.size();
    }
    return send_now(fd, {flat, n});
  }
  std::array<iovec, pieces_max> iov;
  std::size_t n = 0;
  for (const auto& piece : pieces)
    if (!piece.empty()) iov[n++] = {const_cast<char*>(piece.data()), piece.size()};
  msghdr message{};
  message.msg_iov = iov.data();
  message.msg_iovlen = n;
  return ::syscall(SYS_sendmsg, fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

Fault socket_fault(const error_code& ec) {
  const bool refused = ec == asio::error::connection_refused;
  return {refused ? FaultKind::connect_refused : FaultKind::connect_failed, Side::site_network, Retry::elsewhere,
          ec.message()};
}

}  // namespace

// What pending operations hold on to. The stream's owner holds the SocketStream; when that goes, the
// core is closed and marked, and the operations find nobody to tell.
class SocketCore final : public boost::intrusive_ref_counter<SocketCore, boost::thread_unsafe_counter>, private Poller::Watched {
 public:
  SocketCore(Worker& worker, Socket socket, std::shared_ptr<const TlsContext> tls, const std::string& server_name)
      : worker_(worker), socket_(std::move(socket)) {
    if (tls != nullptr) tls_ = std::make_unique<TlsSession>(std::move(tls), server_name);
  }

  ~SocketCore() { close_descriptor(); }

  // Asio dials and accepts; from here on the descriptor is the poller's.
  void connected() {
    error_code ec;
    socket_.set_option(tcp::no_delay(true), ec);
    fd_ = socket_.release(ec);
    open_ = true;
    if (const auto refused = worker_.poller().add(fd_, *this)) fail_later({refused.value(), boost::system::system_category()});
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
    close_descriptor();
  }
  std::size_t unsent() const { return out_.size() + sending_.size() - sending_from_; }
  // Sends the FIN that shutdown() asked for, once everything before it has left.
  void finish_if_due() {
    if (!shut_ || !open_ || unsent() > 0 || (tls_ != nullptr && !tls_->ready())) return;
    ::shutdown(fd_, SHUT_WR);
  }
  void tls_start() {
    flush_tls();
    read();
  }

  Worker& worker_;
  Socket socket_;  // until the connection stands
  int fd_ = -1;    // from then on; ours to close
  std::unique_ptr<TlsSession> tls_;
  StreamHandler* handler_ = nullptr;
  bool open_ = false;
  bool paused_ = true;
  bool readable_ = false;    // an edge came, and no receive has emptied the socket since
  bool hung_up_ = false;     // the peer's end or an error is in that edge: only a receive of nothing empties it
  bool read_posted_ = false;
  bool delivering_ = false;  // an upcall has a view of the scratch: nothing may be read into it
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
  void on_ready(std::uint32_t events) override;
  bool wants_bytes() const { return !paused_ || (tls_ != nullptr && !tls_->ready()); }
  void receive();
  void flush_cork();
  void deliver_tls(std::string_view bytes);
  void flush_tls();
  void send(std::span<const std::string_view> pieces);
  void send_now(std::span<const std::string_view> pieces);
  void send_queue();
  void fail(Fault fault);
  void fail_later(const error_code& ec);
  void end();
  void close_descriptor();
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
  if (failed_) return;
  const bool waited = unsent() > 0;
  if (waited) send_queue();  // written before the connection stood
  if (tls_ != nullptr) return tls_start();
  finish_if_due();
  handler_->on_open();
  if (handler_ != nullptr && waited && !writing_) handler_->on_drained();
}

// Never within the caller: what is there already is taken in a turn of its own.
void SocketCore::read() {
  if (!readable_ || read_posted_ || delivering_ || ended_ || failed_) return;
  read_posted_ = true;
  asio::post(worker_.io(), [self = Ptr(this)] {
    self->read_posted_ = false;
    self->receive();
  });
}

void SocketCore::on_ready(std::uint32_t events) {
  const Ptr self(this);
  if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) hung_up_ = true;
  if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) readable_ = true;
  if ((events & EPOLLOUT) != 0 && writing_ && !failed_) {
    send_queue();
    if (!writing_ && handler_ != nullptr) handler_->on_drained();
  }
  if (readable_ && !read_posted_) receive();
}

void SocketCore::receive() {
  if (handler_ == nullptr || !readable_ || ended_ || failed_ || !wants_bytes()) return;
  const Corked turn;
  worker_.clock().turn();
  const auto room = worker_.scratch().first(worker_.scratch().size() / 2);
  const ssize_t n = receive_now(fd_, room);
  if (n < 0) {
    if (errno == EINTR) return read();
    readable_ = false;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return;
    const error_code ec(errno, boost::system::system_category());
    return fail({FaultKind::reset_before_head, Side::site_network, Retry::elsewhere, ec.message()});
  }
  if (n == 0) {
    readable_ = false;
    if (tls_ == nullptr) return end();
    tls_->feed_end();
    return deliver_tls({});  // nothing is read after it
  }
  const std::string_view bytes(room.data(), static_cast<std::size_t>(n));
  readable_ = hung_up_ || bytes.size() == room.size();
  delivering_ = true;
  if (tls_ != nullptr) {
    deliver_tls(bytes);
  } else {
    handler_->on_bytes(bytes);
  }
  delivering_ = false;
  if (handler_ != nullptr && wants_bytes()) read();
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
    ssize_t did = 0;
    do {
      did = total == 0 ? 0 : net::send_now(fd_, pieces, total);
    } while (did < 0 && errno == EINTR);
    if (did >= 0) {
      sent = static_cast<std::size_t>(did);
    } else if (errno != EAGAIN && errno != EWOULDBLOCK) {
      return fail_later({errno, boost::system::system_category()});
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
  writing_ = open_;  // the kernel is full: the poller says when there is room
}

// Sends what the kernel takes; the rest waits for the poller to say that there is room.
void SocketCore::send_queue() {
  writing_ = true;
  while (true) {
    if (sending_from_ == sending_.size()) {
      sending_.clear();
      sending_.swap(out_);
      sending_from_ = 0;
    }
    if (sending_.empty()) break;
    const ssize_t did = net::send_now(fd_, std::string_view(sending_).substr(sending_from_));
    if (did < 0 && errno == EINTR) continue;
    if (did < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (did < 0) return fail_later({errno, boost::system::system_category()});
    sending_from_ += static_cast<std::size_t>(did);
  }
  writing_ = false;
  sending_ = {};
  finish_if_due();
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
  close_descriptor();
  if (handler != nullptr) handler->on_error(fault);
}

// Told outside the caller's frame. Often the read reports the same first.
void SocketCore::fail_later(const error_code& ec) {
  failed_ = true;
  asio::post(worker_.io(), [self = Ptr(this), ec] {
    if (self->handler_ != nullptr)
      self->fail({FaultKind::reset_before_head, Side::site_network, Retry::elsewhere, ec.message()});
  });
}

void SocketCore::close_descriptor() {
  if (fd_ >= 0) {
    worker_.poller().forget(*this);
    ::close(std::exchange(fd_, -1));
  }
  error_code ignored;
  if (socket_.is_open()) socket_.close(ignored);
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
  std::size_t unacknowledged_bytes() const override {
    int in_flight = 0;
    if (::ioctl(core_->fd_, SIOCOUTQ, &in_flight) != 0 || in_flight < 0) in_flight = 0;
    return core_->unsent() + static_cast<std::size_t>(in_flight);
  }
  void shutdown() override { core_->shutdown(); }
  std::string peer() const override {
    tcp::endpoint at;
    socklen_t size = static_cast<socklen_t>(at.capacity());
    if (::getpeername(core_->fd_, at.data(), &size) != 0) return {};
    at.resize(size);
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

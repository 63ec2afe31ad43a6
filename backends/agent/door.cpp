#include "backends/agent/door.h"

#include <utility>

#include "gateway/http/http.h"

namespace trib::agent {
namespace {

class DoorStream final : public Stream, private StreamHandler {
 public:
  DoorStream(Transport& plain, const Endpoint& to, std::shared_ptr<const net::TlsContext> tls,
             const std::optional<config::Address>& proxy, StreamHandler& handler)
      : to_(to), tls_(std::move(tls), to.host), handler_(&handler), proxied_(proxy.has_value()) {
    Endpoint first;
    first.host = proxied_ ? proxy->host : to.host;
    first.port = proxied_ ? proxy->port : to.port;
    inner_ = plain.dial(first, *this);
  }
  ~DoorStream() override {
    if (destroyed_ != nullptr) *destroyed_ = true;
  }

  void set_handler(StreamHandler& handler) override { handler_ = &handler; }
  void resume() override {
    if (opened_) inner_->resume();
  }
  void pause() override {
    if (opened_) inner_->pause();
  }
  void write(std::span<const std::string_view> pieces) override {
    for (const auto piece : pieces) tls_.write(piece);
    send();
  }
  std::size_t unsent_bytes() const override { return inner_->unsent_bytes(); }
  void shutdown() override {
    tls_.shutdown();
    send();
    inner_->shutdown();
  }
  std::string peer() const override { return inner_->peer(); }

 private:
  void send() {
    const auto out = tls_.output();
    if (out.empty()) return;
    inner_->write(out);
    tls_.take(out.size());
  }

  void on_open() override {
    inner_->resume();
    if (!proxied_) return send();
    const bool v6 = to_.host.find(':') != std::string::npos;
    const std::string place =
        (v6 ? "[" + to_.host + "]" : to_.host) + ":" + std::to_string(to_.port);
    inner_->write("CONNECT " + place + " HTTP/1.1\r\nHost: " + place + "\r\n\r\n");
  }

  void on_bytes(std::string_view bytes) override {
    if (proxied_ && !tunnelled_) {
      head_.append(bytes);
      http::ResponseHead head;
      http::HeadRefusal why;
      std::size_t used = 0;
      // As to HEAD: after a CONNECT no body follows a 2xx, and any other ends the attempt.
      const auto status = reader_.response(head_, true, head, used, why);
      if (status == http::HeadStatus::need_more) return;
      if (status == http::HeadStatus::refused)
        return fail(std::string("the proxy's answer: ") + why.why);
      if (head.status < 200 || head.status > 299)
        return fail("the proxy answered " + std::to_string(head.status));
      tunnelled_ = true;
      const std::string rest = head_.substr(used);
      std::string().swap(head_);
      send();
      if (!rest.empty()) take(rest);
      return;
    }
    take(bytes);
  }

  // May destroy us at each upcall.
  void take(std::string_view bytes) {
    bool destroyed = false;
    destroyed_ = &destroyed;
    tls_.feed(bytes);
    char plain[16u << 10];
    for (;;) {
      const std::size_t n = tls_.read(plain);
      send();
      if (tls_.ready() && !opened_) {
        opened_ = true;
        handler_->on_open();
        if (destroyed) return;
      }
      if (n == 0) break;
      handler_->on_bytes({plain, n});
      if (destroyed) return;
    }
    destroyed_ = nullptr;
    if (tls_.fault()) return on_error(tls_.fault());
    if (tls_.ended() && !ended_) {
      ended_ = true;
      handler_->on_end();
    }
  }

  void on_drained() override {
    if (opened_) handler_->on_drained();
  }

  void on_end() override {
    if (ended_ || failed_) return;
    tls_.feed_end();
    if (proxied_ && !tunnelled_) return fail("the proxy closed the connection");
    on_error(tls_.fault());
  }

  void on_error(const Fault& fault) override {
    if (std::exchange(failed_, true)) return;
    const Fault copy = fault;
    handler_->on_error(copy);
  }

  void fail(std::string why) {
    on_error({FaultKind::connect_failed, Side::site_network, Retry::elsewhere, std::move(why)});
  }

  const Endpoint to_;
  net::TlsSession tls_;
  StreamHandler* handler_;
  std::unique_ptr<Stream> inner_;
  const bool proxied_;
  bool tunnelled_ = false, opened_ = false, ended_ = false, failed_ = false;
  bool* destroyed_ = nullptr;
  std::string head_;
  http::HeadReader reader_;
};

}  // namespace

std::unique_ptr<Stream> DoorTransport::dial(const Endpoint& to, StreamHandler& handler) {
  return std::make_unique<DoorStream>(plain_, to, tls_, proxy_, handler);
}

}  // namespace trib::agent

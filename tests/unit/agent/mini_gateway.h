// As much of a gateway as an agent needs, over real sockets: the sites door with its own CA,
// enrolment and one tunnel. One worker's thread.
#pragma once
#include <boost/asio/ip/tcp.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "gateway/fleet/enrolment.h"
#include "gateway/net/net.h"
#include "gateway/tunnel/tunnel.h"

namespace trib::test {

class MiniGateway final : public tunnel::TunnelEvents {
 public:
  MiniGateway(net::Worker& worker, Disk& disk, const std::string& data)
      : worker_(worker), registry_(disk, data + "/sites.json") {
    std::string why;
    disk.make_dirs(data);
    TRIB_ASSERT(registry_.open(why));
    enrolment_ = fleet::Enrolment::open(disk, data, registry_, worker.clock(), why);
    TRIB_ASSERT(enrolment_ != nullptr);
    const auto door = enrolment_->door({"gateway.test"});
    net::TlsServerOptions options;
    options.certificate_pem = door->certificate_pem;
    options.key_pem = door->key_pem;
    options.alpn = {"http/1.1"};
    options.agent_ca_pem = enrolment_->ca_pem();
    tls_ = net::TlsContext::server(options, why);
    TRIB_ASSERT(tls_ != nullptr);
  }

  std::string open(const std::string& host, std::uint16_t port) {
    const auto why = listener_.open(host, port);
    if (why.empty()) {
      listener_.start([this](trib::net::Socket socket) {
        guests_.push_back(
            std::make_unique<Guest>(*this, net::adopt_socket(worker_, std::move(socket), tls_)));
      });
    }
    return why;
  }
  std::uint16_t port() const { return listener_.port(); }

  std::string invite(const std::string& site) {
    fleet::InviteTerms terms;
    terms.site = site;
    terms.hosts = {"gateway.test:" + std::to_string(port())};
    std::string why;
    return enrolment_->invite(terms, why).token;
  }

  fleet::SiteRegistry& registry() { return registry_; }
  tunnel::GatewayEnd* tunnel() { return tunnel_.get(); }
  void drop_tunnel() { tunnel_.reset(); }
  const std::vector<fleet::AgentOffer>& offers() const { return offers_; }
  const std::string& check_words() const { return check_words_; }
  std::function<void()> on_offers;
  int hellos = 0, refused = 0;

 private:
  // A connection until it is known what it is.
  struct Guest final : StreamHandler {
    Guest(MiniGateway& h, std::unique_ptr<Stream> s) : home(h), stream(std::move(s)) {
      stream->set_handler(*this);
      stream->resume();
    }
    void on_open() override {
      const auto* session = net::tls_of(*stream);
      if (!session->is_agent()) return;
      const auto peer = session->peer();
      if (home.registry_.admit(peer->site, peer->serial) != fleet::Admission::admitted) {
        ++home.refused;
        stream->shutdown();
        return;
      }
      tunnel::GatewayTerms terms;
      terms.site = peer->site;
      home.offers_.clear();
      home.tunnel_ = std::make_unique<tunnel::GatewayEnd>(
          std::move(stream), home, home.worker_.wheel(), home.worker_.clock(), terms);
    }
    void on_bytes(std::string_view bytes) override {
      in.append(bytes);
      http::RequestHead head;
      http::HeadRefusal why;
      std::size_t used = 0;
      reader.reset();
      if (reader.request(in, head, used, why) != http::HeadStatus::ok ||
          in.size() < used + head.length)
        return;
      fleet::EnrolReply reply{404, "{}", {}, {}};
      if (head.target == "/enrol/v1/requests" && head.method == "POST") {
        reply = home.enrolment_->enrol(std::string_view(in).substr(used, head.length), "peer");
      }
      if (reply.status == 201) home.check_words_ = reply.check_words;
      stream->write("HTTP/1.1 " + std::to_string(reply.status) +
                    " X\r\nContent-Type: application/json\r\nContent-Length: " +
                    std::to_string(reply.json.size()) + "\r\n\r\n" + reply.json);
      in.clear();
    }
    void on_end() override { stream->shutdown(); }
    void on_error(const Fault&) override {}
    MiniGateway& home;
    std::unique_ptr<Stream> stream;
    std::string in;
    http::HeadReader reader;
  };

  void on_hello(const tunnel::Hello&) override { ++hellos; }
  void on_capacity(std::vector<fleet::AgentOffer> offers) override {
    offers_ = std::move(offers);
    if (on_offers) on_offers();
  }
  void on_lost(const Fault&) override { tunnel_.reset(); }

  net::Worker& worker_;
  fleet::SiteRegistry registry_;
  std::unique_ptr<fleet::Enrolment> enrolment_;
  std::shared_ptr<const net::TlsContext> tls_;
  net::Listener listener_{worker_};
  std::vector<std::unique_ptr<Guest>> guests_;
  std::unique_ptr<tunnel::GatewayEnd> tunnel_;
  std::vector<fleet::AgentOffer> offers_;
  std::string check_words_;
};

// One request through the tunnel and all of its answer.
struct MiniCall final : http::CallEvents {
  std::unique_ptr<http::Call> call;
  std::function<void()> done;
  int status = 0;
  bool ended = false;
  std::string body;
  Fault fault;
  void on_head(const http::ResponseHead& head) override { status = head.status; }
  void on_body(std::string_view bytes) override { body += bytes; }
  void on_end() override {
    ended = true;
    if (done) done();
  }
  void on_fault(const Fault& f) override {
    fault = f;
    if (done) done();
  }
};

}  // namespace trib::test

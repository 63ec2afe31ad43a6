// Two TLS ends joined by byte queues, cut at random places.
#include <openssl/ssl.h>

#include <string>

#include "gateway/net/pki.h"
#include "gateway/net/tls.h"
#include "tests/catch.h"

using namespace trib;
using namespace trib::net;

namespace {

constexpr std::int64_t day_ms = 86'400'000;

struct Authority {
  std::string key = make_key_pem();
  std::string certificate = *make_authority_pem(
      key, "test authority", system_clock().wall_ms() - day_ms, system_clock().wall_ms() + day_ms);

  std::string issue_for(const std::string& end_key, bool server, std::vector<std::string> hosts,
                        std::vector<std::string> uris, std::int64_t until_ms = 0) const {
    CertificateTerms terms;
    terms.public_key_der = *public_key_der(end_key);
    terms.name = "end";
    terms.hosts = std::move(hosts);
    terms.uris = std::move(uris);
    terms.for_server = server;
    terms.from_ms = system_clock().wall_ms() - day_ms;
    terms.until_ms = until_ms != 0 ? until_ms : system_clock().wall_ms() + day_ms;
    return issue(certificate, key, terms)->certificate_pem;
  }
};

struct World {
  Authority ca;
  std::string server_key = make_key_pem();
  std::string server_cert =
      ca.issue_for(server_key, true, {"gw.test", "127.0.0.1"}, {}) + ca.certificate;
  std::string agent_key = make_key_pem();
  std::string agent_cert = ca.issue_for(agent_key, false, {}, {"trib://site/cafe-one"});
};

const World& world() {
  static const World w;
  return w;
}

std::shared_ptr<const TlsContext> server_context(
    const std::string& agent_ca = world().ca.certificate) {
  TlsServerOptions options;
  options.certificate_pem = world().server_cert;
  options.key_pem = world().server_key;
  options.alpn = {"http/1.1"};
  options.agent_ca_pem = agent_ca;
  std::string why;
  auto out = TlsContext::server(options, why);
  INFO(why);
  REQUIRE(out);
  return out;
}

std::shared_ptr<const TlsContext> client_context(TlsClientOptions options) {
  std::string why;
  auto out = TlsContext::client(options, why);
  INFO(why);
  REQUIRE(out);
  return out;
}

TlsClientOptions agent_options() {
  TlsClientOptions options;
  options.pin = certificate_key(world().ca.certificate);
  options.verify_name = false;
  options.alpn = {std::string(agent_alpn)};
  options.certificate_pem = world().agent_cert;
  options.key_pem = world().agent_key;
  return options;
}

struct Pair {
  TlsSession client, server;
  std::string client_got, server_got;
  SeededRng rng{7};

  Pair(std::shared_ptr<const TlsContext> c, std::shared_ptr<const TlsContext> s,
       std::string_view name = "gw.test")
      : client(std::move(c), name), server(std::move(s)) {}

  static void drain(TlsSession& from, std::string& into, std::size_t step) {
    std::string buffer(step, '\0');
    while (const auto n = from.read({buffer.data(), buffer.size()})) into.append(buffer, 0, n);
  }

  bool move(TlsSession& from, TlsSession& to, std::string& got) {
    const auto out = from.output();
    if (out.empty()) return false;
    const std::size_t bytes = std::min<std::size_t>(out.size(), 1 + rng.below(1500));
    to.feed(out.substr(0, bytes));
    from.take(bytes);
    drain(to, got, 1 + static_cast<std::size_t>(rng.below(4000)));
    return true;
  }

  void run() {
    for (bool moved = true; moved;) {
      moved = move(client, server, server_got);
      moved = move(server, client, client_got) || moved;
    }
  }
};

}  // namespace

TEST_CASE("an agent and the gateway talk, cut at random sizes") {
  Pair pair(client_context(agent_options()), server_context());
  std::string up, down;
  SeededRng rng(3);
  for (int i = 0; i < 50; ++i) {
    up += std::string(static_cast<std::size_t>(rng.below(3000)), static_cast<char>('a' + i % 26));
    down += std::string(static_cast<std::size_t>(rng.below(3000)), static_cast<char>('A' + i % 26));
  }
  pair.client.write(up.substr(0, 10));  // held back until the handshake is done
  pair.run();
  REQUIRE(pair.client.ready());
  REQUIRE(pair.server.ready());
  CHECK(pair.server.is_agent());
  CHECK(pair.client.alpn() == agent_alpn);
  pair.client.write(std::string_view(up).substr(10));
  pair.server.write(down);
  pair.run();
  CHECK(pair.server_got == up);
  CHECK(pair.client_got == down);

  const auto peer = pair.server.peer();
  REQUIRE(peer);
  CHECK(peer->site == "cafe-one");
  CHECK(peer->serial.size() == 32);
  CHECK(peer->key == *certificate_key(world().agent_cert));

  pair.client.shutdown();
  pair.run();
  CHECK(pair.server.ended());
  CHECK_FALSE(pair.server.fault());
  pair.server.write("still open");
  pair.server.shutdown();
  pair.run();
  CHECK(pair.client_got == down + "still open");
  CHECK(pair.client.ended());
}

TEST_CASE("a customer on the same door is never asked for a certificate") {
  TlsClientOptions options;
  options.trust_pem = world().ca.certificate;
  options.alpn = {"h2", "http/1.1"};
  Pair pair(client_context(options), server_context());
  pair.run();
  CHECK(pair.client.ready());
  CHECK(pair.server.ready());
  CHECK(pair.server.alpn() == "http/1.1");
  CHECK_FALSE(pair.server.is_agent());
  CHECK_FALSE(pair.server.peer());
}

TEST_CASE("who must be refused is refused") {
  const auto refused_by_server = [](const TlsClientOptions& options) {
    Pair pair(client_context(options), server_context());
    pair.run();
    CHECK_FALSE(pair.server.ready());
    CHECK(pair.server.fault().kind == FaultKind::connect_failed);
    CHECK(pair.client.fault());  // the alert reached it
    return pair.server.fault().detail;
  };
  SECTION("an agent without a certificate") {
    auto options = agent_options();
    options.certificate_pem.clear();
    refused_by_server(options);
  }
  SECTION("an agent of another CA") {
    const Authority other;
    auto options = agent_options();
    options.certificate_pem =
        other.issue_for(world().agent_key, false, {}, {"trib://site/cafe-one"});
    refused_by_server(options);
  }
  SECTION("an expired agent") {
    auto options = agent_options();
    options.certificate_pem = world().ca.issue_for(
        world().agent_key, false, {}, {"trib://site/cafe-one"}, system_clock().wall_ms() - 60'000);
    CHECK(refused_by_server(options).find("expired") != std::string::npos);
  }
  SECTION("a server's certificate is not an agent's") {
    auto options = agent_options();
    options.certificate_pem = world().server_cert;
    options.key_pem = world().server_key;
    refused_by_server(options);
  }
  SECTION("no common protocol") {
    auto options = agent_options();
    options.alpn = {"h2"};
    refused_by_server(options);
  }
  SECTION("a door without agents knows no agent") {
    Pair pair(client_context(agent_options()), server_context(""));
    pair.run();
    CHECK(pair.server.fault());
  }
}

TEST_CASE("a client trusts only what it was told to trust") {
  const auto refused_by_client = [](const TlsClientOptions& options, const char* name) {
    Pair pair(client_context(options), server_context(), name);
    pair.run();
    CHECK_FALSE(pair.client.ready());
    CHECK(pair.client.fault().kind == FaultKind::connect_failed);
    CHECK(pair.client.fault().side == Side::site);
  };
  TlsClientOptions options;
  options.alpn = {"http/1.1"};
  SECTION("another CA") {
    const Authority other;
    options.trust_pem = other.certificate;
    refused_by_client(options, "gw.test");
  }
  SECTION("another pin") {
    options.pin = sha256("something else");
    options.verify_name = false;
    refused_by_client(options, "gw.test");
  }
  SECTION("an agent's certificate cannot play the server") {
    TlsServerOptions thief;
    thief.certificate_pem = world().agent_cert + world().ca.certificate;
    thief.key_pem = world().agent_key;
    thief.alpn = {"http/1.1"};
    std::string why;
    options.pin = certificate_key(world().ca.certificate);
    options.verify_name = false;
    Pair pair(client_context(options), TlsContext::server(thief, why));
    pair.run();
    CHECK_FALSE(pair.client.ready());
    CHECK(pair.client.fault());
  }
  SECTION("another name") {
    options.trust_pem = world().ca.certificate;
    refused_by_client(options, "other.test");
    refused_by_client(options, "127.0.0.2");
    refused_by_client(options, "");
  }
  SECTION("the system's store does not know us") {
    refused_by_client(options, "gw.test");
  }
}

TEST_CASE("an address is verified as an address, and one certificate may be trusted itself") {
  TlsClientOptions options;
  options.trust_pem =
      world().server_cert.substr(0, world().server_cert.find("-----END CERTIFICATE-----") + 26);
  Pair pair(client_context(options), server_context(), "127.0.0.1");
  pair.run();
  CHECK(pair.client.ready());
}

TEST_CASE("TLS 1.2 is refused") {
  TlsSession server(server_context());
  SSL_CTX* raw = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_max_proto_version(raw, TLS1_2_VERSION);
  SSL* ssl = SSL_new(raw);
  BIO* in = BIO_new(BIO_s_mem());
  BIO* out = BIO_new(BIO_s_mem());
  SSL_set_bio(ssl, in, out);
  SSL_set_connect_state(ssl);
  SSL_do_handshake(ssl);
  char* data = nullptr;
  const long bytes = BIO_get_mem_data(out, &data);
  server.feed({data, static_cast<std::size_t>(bytes)});
  char buffer[16];
  CHECK(server.read(buffer) == 0);
  CHECK_FALSE(server.ready());
  CHECK(server.fault().kind == FaultKind::connect_failed);
  SSL_free(ssl);
  SSL_CTX_free(raw);
}

TEST_CASE("a cut is not a clean end, and altered bytes are a fault") {
  Pair pair(client_context(agent_options()), server_context());
  pair.run();
  REQUIRE(pair.server.ready());
  SECTION("the connection ends without a goodbye") {
    pair.server.feed_end();
    CHECK(pair.server.fault().kind == FaultKind::cut);
    CHECK_FALSE(pair.server.ended());
  }
  SECTION("one bit flips") {
    pair.client.write("secret");
    std::string bytes(pair.client.output());
    bytes[bytes.size() / 2] ^= 1;
    pair.server.feed(bytes);
    char buffer[100];
    CHECK(pair.server.read(buffer) == 0);
    CHECK(pair.server.fault().kind == FaultKind::cut);
  }
}

TEST_CASE("random bytes never get past the handshake") {
  SeededRng rng(11);
  for (int round = 0; round < 200; ++round) {
    TlsSession server(server_context());
    std::string junk;
    for (int i = 0; i < 300; ++i) junk += static_cast<char>(rng.next());
    if (round % 2 == 0) junk[0] = 22, junk[1] = 3, junk[2] = 1;
    server.feed(junk);
    char buffer[16];
    CHECK(server.read(buffer) == 0);
    server.feed_end();
    CHECK_FALSE(server.ready());
    CHECK(server.fault());
  }
}

TEST_CASE("unusable material is said in words") {
  TlsServerOptions options;
  std::string why;
  CHECK_FALSE(TlsContext::server(options, why));
  CHECK(why == "no certificate in PEM form");
  options.certificate_pem = world().server_cert;
  options.key_pem = world().agent_key;
  CHECK_FALSE(TlsContext::server(options, why));
  CHECK(why.find("do not fit") != std::string::npos);
  TlsClientOptions client;
  client.trust_pem = "rubbish";
  CHECK_FALSE(TlsContext::client(client, why));
}

// TLS 1.3 (OpenSSL 3) without I/O: ciphertext goes in and comes out as bytes, the socket stream
// moves them. Older versions are refused. A context is immutable and shared by all threads; a
// session belongs to one connection and one thread. Errors are Faults: connect_failed until the
// handshake is done, cut afterwards; nothing throws.
#pragma once
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/base/base.h"

struct ssl_ctx_st;
struct ssl_st;
struct x509_store_st;

namespace trib::net {

// The protocol of a site's agent. Who offers it must show a certificate of the gateway's own CA.
inline constexpr std::string_view agent_alpn = "trib-h2r/1";

struct TlsServerOptions {
  std::string certificate_pem;  // the leaf first, then what the client needs to reach its root
  std::string key_pem;
  std::vector<std::string> alpn;  // in order of preference; a client that offers none is served
  std::string agent_ca_pem;       // empty: agents are not served. Else agent_alpn is accepted too,
                                  // without resumption, and only with a certificate of this CA
};

struct TlsClientOptions {
  std::string trust_pem;  // CA certificates, or the one certificate to accept; empty: the system's
  std::optional<Sha256>
      pin;  // or: of the public key (SubjectPublicKeyInfo) of the CA that the server sends
  bool verify_name = true;  // off only where the CA belongs to the one server meant
  std::vector<std::string> alpn;
  std::string certificate_pem;  // empty: none is shown
  std::string key_pem;
};

class TlsContext {
 public:
  // Null when the material is unusable; `why` then says what and where.
  static std::shared_ptr<const TlsContext> server(const TlsServerOptions& options,
                                                  std::string& why);
  static std::shared_ptr<const TlsContext> client(const TlsClientOptions& options,
                                                  std::string& why);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

 private:
  friend class TlsSession;
  friend struct TlsCallbacks;
  TlsContext() = default;
  bool load(const std::string& certificate_pem, const std::string& key_pem, std::string& why);

  ssl_ctx_st* ctx_ = nullptr;
  x509_store_st* agent_store_ = nullptr;  // servers that take agents
  bool server_ = false;
  bool verify_name_ = true;
  std::optional<Sha256> pin_;
  std::vector<std::string> alpn_;
  std::string alpn_wire_;
};

// Who stands at the other end of an agent's connection, from its verified certificate.
struct TlsPeer {
  std::string site;    // of the SAN URI trib://site/<site>; empty: the certificate names none
  std::string serial;  // lower-case hex
  Sha256 key{};        // of the public key (SubjectPublicKeyInfo)
};

class TlsSession {
 public:
  // A client says hello at once (see output()). `server_name`: a name (sent as SNI) or an address.
  explicit TlsSession(std::shared_ptr<const TlsContext> context, std::string_view server_name = {});
  ~TlsSession();
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;

  // Takes ciphertext. Read until read() gives 0 before feeding more: what is fed is kept until
  // read.
  void feed(std::string_view ciphertext);
  // The connection ended. A fault unless the peer said goodbye first: a cut must not look clean.
  void feed_end();
  // Moves plaintext out; 0: none now. Drives the handshake too: only here does ready() become true.
  std::size_t read(std::span<char> out);
  // Encrypts all of it. Before the handshake is done it is held back; after a fault it is dropped.
  void write(std::string_view plaintext);
  // Says goodbye (close_notify); reading may go on.
  void shutdown();

  // Ciphertext to send; valid until the next call. Then take() what was sent.
  std::string_view output() const { return std::string_view(out_).substr(out_at_); }
  void take(std::size_t bytes);

  bool ready() const { return ready_; }  // the handshake is done and the peer verified
  bool ended() const { return ended_; }  // the peer said goodbye; everything before it was read
  const Fault& fault() const { return fault_; }
  std::string_view alpn() const;  // empty: none was agreed
  bool is_agent() const { return alpn() == agent_alpn; }
  std::optional<TlsPeer> peer() const;  // none: the peer showed no certificate

 private:
  friend struct TlsCallbacks;
  void handshake();
  void fail(int rc);

  std::shared_ptr<const TlsContext> context_;
  ssl_st* ssl_ = nullptr;
  std::string in_, out_, early_;
  std::size_t in_at_ = 0, out_at_ = 0;
  bool ready_ = false, ended_ = false, closing_ = false;
  Fault fault_;
};

}  // namespace trib::net
